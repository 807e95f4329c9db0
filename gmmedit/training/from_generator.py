"""`gmmedit train encoder`: the networks of a run or of a generator's name, and the result."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gmmedit import classifiers, generators
from gmmedit.classifiers import Classifier
from gmmedit.config import SampleSettings
from gmmedit.encoders.convnet import save_encoder
from gmmedit.errors import InputError
from gmmedit.run.folder import RunFolder
from gmmedit.run.rendering import Renderer
from gmmedit.runtime.execution import Execution
from gmmedit.training.encoder import EncoderSettings, EncoderTraining
from gmmedit.training.loop import run_training

LOG_EVERY = 50  # steps


def train_encoder(
    out: Path, settings: EncoderSettings, renderer: Renderer, classifier: Classifier | None, execution: Execution
) -> Path:
    """Train an encoder of the renderer's images in `out`, resuming its last checkpoint; the path of the weights.

    classifier: whose features are compared; None: only pixels and latents are. Errors as in `run_training`.
    """
    training = EncoderTraining(settings, renderer, classifier, execution.processes)
    return run_training(training, out, lambda path: save_encoder(training.average, path), execution, LOG_EVERY)


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
