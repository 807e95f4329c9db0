"""The training of an encoder in a folder, resumable: a checkpoint, a log, sample sheets, and the weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from gmmedit import classifiers, generators
from gmmedit.classifiers import Classifier
from gmmedit.config import SampleSettings
from gmmedit.encoders.convnet import save_encoder
from gmmedit.errors import InputError, writing
from gmmedit.pictures.sheets import to_png
from gmmedit.run.folder import RunFolder
from gmmedit.run.rendering import Renderer
from gmmedit.runtime.execution import Execution
from gmmedit.runtime.storage import lock, write_file
from gmmedit.training.checkpoints import append_log, cut_log, read_checkpoint, save_checkpoint
from gmmedit.training.encoder import EncoderSettings, EncoderTraining
from gmmedit.training.loop import join_sheet

CHECKPOINT_EVERY, SHEET_EVERY, LOG_EVERY = 250, 500, 50  # steps
SHOWN = 12  # images of a sheet


def train_encoder(
    out: Path, settings: EncoderSettings, renderer: Renderer, classifier: Classifier | None, execution: Execution
) -> Path:
    """Train an encoder of the renderer's images in `out`, resuming its last checkpoint; the path of the weights.

    classifier: whose features are compared; None: only pixels and latents are. InputError: the folder cannot be
    written, or its checkpoint is of other settings. RunError: the disk is full, or another process trains there.
    Stopped: a signal asked for it; a checkpoint was saved.
    """
    path, checkpoint = out / "encoder.safetensors", out / "encoder.checkpoint"
    with lock(path), writing(path):
        training = EncoderTraining(settings, renderer, classifier)
        saved = read_checkpoint(checkpoint)
        cut_log(checkpoint.with_suffix(".jsonl"), saved)
        if saved:
            training.load_state(saved)
        for done in training.run():
            words = f"encoder, coordinates {done.coordinates:.2f}, pixels {done.pixels:.3f}"
            execution.tick(done.images, settings.images, words)
            if training.step % LOG_EVERY == 0:
                append_log(checkpoint.with_suffix(".jsonl"), asdict(done))
            if training.step % CHECKPOINT_EVERY == 0 or training.done == 1 or execution.stop.asked:
                save_checkpoint(training.state(), checkpoint)
            execution.stop.check()
            if training.step % SHEET_EVERY == 0:
                save_sheet(training, out / "encoder.png")
        save_sheet(training, out / "encoder.png")
        save_encoder(training.average, path)
    return path


@contextmanager
def open_networks(
    run: Path | None, gan: str | None, execution: Execution
) -> Iterator[tuple[Renderer, Classifier | None]]:
    """The generator of a run folder, or the one called `gan`, and the classifier whose features are compared.

    None: no classifier of images with gradients is known. InputError: both or neither are given; as
    `RunFolder.generator` and `RunFolder.classifier`.
    """
    if (run is None) == (gan is None):
        raise InputError("train encoder needs a run folder or a generator", hint="give one of --run DIR and --gan NAME")
    if run is None:
        name = gan or ""
        entry = generators.CATALOGUE.get(name)
        paired = entry and entry.classifier
        renderer = Renderer(generators.load(name, execution.device), SampleSettings(gan=name))
        yield renderer, classifiers.load(paired, execution.device) if paired else None
        return
    with RunFolder(run, execution) as run_folder:
        classifier = run_folder.classifier if run_folder.file("labels").exists() else None
        usable = classifier is not None and classifier.sees_images and classifier.differentiable
        yield run_folder.renderer, classifier if usable else None


def save_sheet(training: EncoderTraining, path: Path) -> None:
    """Write unseen samples and their reconstructions below; the samples are the same at every step."""
    write_file(path, to_png(join_sheet(training.reconstruct(SHOWN))))
