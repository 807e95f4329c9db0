"""Training runs in a folder, resumable: checkpoints, a log, sample sheets, and the weights as safetensors."""

import io
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from gmmedit.classifiers import embedded
from gmmedit.classifiers.trained import TrainedNetwork
from gmmedit.errors import InputError, summarise_differences, writing
from gmmedit.generators import stylegan2
from gmmedit.runtime.execution import Execution
from gmmedit.runtime.storage import lock, publish, write_file
from gmmedit.training.checkpoints import append_log, cut_log, read_checkpoint, save_checkpoint
from gmmedit.training.classifier import CRITIC, NETWORKS, ClassifierSettings, ClassifierTraining
from gmmedit.training.stylegan2 import POOL_SEED, GANTraining, render_pool, sample_images
from gmmedit.training.stylegan2_settings import GANSettings

CHECKPOINT_EVERY, SHEET_EVERY, LOG_EVERY = 250, 750, 100  # steps
SHEET_ROWS, SHEET_COLUMNS = 4, 12


def train_generator(out: Path, settings: GANSettings, execution: Execution) -> Path:
    """Train a generator of avatars in `out`, resuming its last checkpoint; returns the path of the weights.

    InputError: the folder cannot be written, or its checkpoint is of other settings. RunError: the disk is full, or
    another process trains there. Stopped: a signal asked for it; a checkpoint was saved.
    """
    path, checkpoint = out / "generator.safetensors", out / "generator.checkpoint"
    with lock(path), writing(path):
        critic = embedded.read_network(train_network(out, "critic", CRITIC, execution))
        training = load_training(checkpoint, settings, critic, execution.device)
        pool = np.ascontiguousarray(load_pool(settings.pool, out / "pool.npy"))
        run_phase(training, pool, out, execution)
        while training.phase < len(settings.phases) - 1:
            training = training.grow()
            run_phase(training, pool, out, execution)
        save_sheet(training, out / "samples.png")
        stylegan2.save_generator(training.average, path)
    return path


def load_training(checkpoint: Path, settings: GANSettings, critic: TrainedNetwork, device: str) -> GANTraining:
    """The training resumed from its checkpoint, or a new one. InputError: the checkpoint is of other settings."""
    saved = read_checkpoint(checkpoint)
    cut_log(checkpoint.with_suffix(".jsonl"), saved)
    if not saved:
        return GANTraining(settings, critic, device=device)
    there, now = saved["settings"], asdict(settings)
    found = [f"{key} is {there.get(key)} there and {now[key]} now" for key in now if there.get(key) != now[key]]
    if found:
        message = f"{checkpoint} was created with different settings: {summarise_differences(found)}"
        raise InputError(message, hint="choose another --out")
    training = GANTraining(settings, critic, saved["phase"], device)
    training.load_state(saved)
    return training


def load_pool(n: int, path: Path) -> np.ndarray:
    """The n rendered avatars at `path`, uint8 (n, 64, 64, 3), memory-mapped; rendered first if there are none."""
    if not path.exists():
        publish(path, lambda draft: render_pool(n, POOL_SEED, draft))
    return np.load(path, mmap_mode="r")


def run_phase(training: GANTraining, pool: np.ndarray, out: Path, execution: Execution) -> None:
    """Train to the end of the phase, with checkpoints, log and sample sheets in `out`."""
    checkpoint = out / "generator.checkpoint"
    for done in training.run(pool):
        words = f"{training.resolution} px, D {done.d_loss:.2f}, {done.images_per_second:.0f} images/s"
        execution.tick(done.images, training.images, words)
        if training.step % LOG_EVERY == 0:
            append_log(out / "generator.jsonl", {"resolution": training.resolution, **asdict(done)})
        if training.step % CHECKPOINT_EVERY == 0 or execution.stop.asked:
            save_checkpoint(training.state(), checkpoint)
        execution.stop.check()
        if training.step % SHEET_EVERY == 0:
            save_sheet(training, out / f"samples_{training.resolution}px_{done.images:07d}.png")
    save_checkpoint(training.state(), checkpoint)


def train_classifier(out: Path, network: str, execution: Execution) -> Path:
    """Train one of `NETWORKS`, by its name; the path of the weights. Errors as in `train_generator`."""
    name, settings = NETWORKS[network]
    return train_network(out, name, settings, execution)


def train_network(out: Path, name: str, settings: ClassifierSettings, execution: Execution) -> Path:
    """Train a classifier of avatars in `out`, resuming its last checkpoint; returns the path of the weights.

    Errors as in `train_generator`.
    """
    path, checkpoint = out / f"{name}.safetensors", out / f"{name}.checkpoint"
    with lock(path), writing(path):
        training = ClassifierTraining(settings, execution.device)
        saved = read_checkpoint(checkpoint)
        cut_log(out / f"{name}.jsonl", saved)
        if saved:
            training.load_state(saved)
        for done in training.run():
            words = f"{name}, loss {done.loss:.3f}, accuracy {done.accuracy:.3f}"
            execution.tick(done.images, training.settings.images, words)
            if training.step % LOG_EVERY == 0:
                append_log(out / f"{name}.jsonl", asdict(done))
            if training.step % CHECKPOINT_EVERY == 0 or done.images >= settings.images or execution.stop.asked:
                save_checkpoint(training.state(), checkpoint)
            execution.stop.check()
        embedded.save_network(training.average, path)
    return path


def save_sheet(training: GANTraining, path: Path) -> None:
    """Write a sheet of images of the averaged generator; the latents are the same at every step."""
    images = sample_images(training.average, SHEET_ROWS * SHEET_COLUMNS)
    size = images.shape[1]
    grid = images.reshape(SHEET_ROWS, SHEET_COLUMNS, size, size, 3).transpose(0, 2, 1, 3, 4)
    sheet = Image.fromarray(np.ascontiguousarray(grid.reshape(SHEET_ROWS * size, SHEET_COLUMNS * size, 3)))
    content = io.BytesIO()
    larger = sheet.resize((sheet.width * 128 // size, sheet.height * 128 // size), Image.Resampling.BICUBIC)
    larger.save(content, "PNG")
    write_file(path, content.getbuffer())
