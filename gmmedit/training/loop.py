"""Training runs in a folder: checkpoints, a log, sample sheets, and the weights as safetensors."""

import io
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from gmmedit.classifiers import convnet
from gmmedit.errors import InputError, writing
from gmmedit.generators import stylegan2
from gmmedit.runtime.execution import Execution
from gmmedit.runtime.storage import lock, publish, write_file
from gmmedit.training.classifier import CRITIC, EVALUATION, LABELLING, ClassifierSettings, ClassifierTraining
from gmmedit.training.gan_settings import GANSettings
from gmmedit.training.stylegan2 import POOL_SEED, GANTraining, render_pool, sample_images

CHECKPOINT_EVERY, SHEET_EVERY, LOG_EVERY = 250, 750, 100  # steps
SHEET_ROWS, SHEET_COLUMNS = 4, 12


def train_generator(out: Path, settings: GANSettings, execution: Execution) -> Path:
    """Train to the end from the last checkpoint in `out`; the path of the weights.

    InputError: the folder cannot be written, or its checkpoint is of other settings. RunError: the disk is full, or
    another process trains there. Stopped: it goes on from the step it was at.
    """
    path, checkpoint = out / "generator.safetensors", out / "generator.checkpoint"
    with lock(path), writing(path):
        critic = convnet.read_network(train_network(out, "critic", CRITIC, execution))
        training = begin(checkpoint, settings, critic, execution.device)
        pool = np.ascontiguousarray(load_pool(settings.pool, out / "pool.npy"))
        run_phase(training, pool, out, execution)
        while training.phase < len(settings.phases) - 1:
            training = training.grow()
            run_phase(training, pool, out, execution)
        save_sheet(training, out / "samples.png")
        stylegan2.save_generator(training.average, path)
    return path


def begin(checkpoint: Path, settings: GANSettings, critic: convnet.ConvNet, device: str) -> GANTraining:
    """The training as its checkpoint left it, or a new one. InputError: the checkpoint is of other settings."""
    saved = read_checkpoint(checkpoint)
    cut_log(checkpoint.with_suffix(".jsonl"), saved)
    if not saved:
        return GANTraining(settings, critic, device=device)
    if saved["settings"] != asdict(settings):
        raise InputError(f"{checkpoint} was made with other settings", hint="give another --out")
    training = GANTraining(settings, critic, saved["phase"], device)
    training.load(saved)
    return training


def load_pool(n: int, path: Path) -> np.ndarray:
    """The renders at `path`, made first where there are none; never half of them."""
    if not path.exists():
        publish(path, lambda draft: render_pool(n, POOL_SEED, draft))
    return np.load(path, mmap_mode="r")


def run_phase(training: GANTraining, pool: np.ndarray, out: Path, execution: Execution) -> None:
    """Train to the end of the phase, with checkpoints, log and sample sheets in `out`."""
    checkpoint = out / "generator.checkpoint"
    for done in training.run(pool):
        words = f"{training.resolution} px, D {done.d_loss:.2f}, {done.images_per_second:.0f} images/s"
        execution.tick(done.images, training.images, words)
        keep_log(out / "generator.jsonl", training.step, {"resolution": training.resolution, **asdict(done)})
        if training.step % CHECKPOINT_EVERY == 0 or execution.stop.asked:
            save_checkpoint(training.state(), checkpoint)
        execution.stop.check()
        if training.step % SHEET_EVERY == 0:
            save_sheet(training, out / f"samples_{training.resolution}px_{done.images:07d}.png")
    save_checkpoint(training.state(), checkpoint)


def train_classifier(out: Path, evaluator: bool, execution: Execution) -> Path:
    """Train the labelling or the evaluation network; the path of the weights."""
    if evaluator:
        return train_network(out, "evaluator", EVALUATION, execution)
    return train_network(out, "classifier", LABELLING, execution)


def train_network(out: Path, name: str, settings: ClassifierSettings, execution: Execution) -> Path:
    """Train a classifier of avatars from its last checkpoint in `out`, if it is not done; the path of the weights.

    InputError and RunError as in `train_generator`.
    """
    path, checkpoint = out / f"{name}.safetensors", out / f"{name}.checkpoint"
    with lock(path), writing(path):
        training = ClassifierTraining(settings, execution.device)
        saved = read_checkpoint(checkpoint)
        cut_log(out / f"{name}.jsonl", saved)
        if saved:
            training.load(saved)
        for done in training.run():
            words = f"{name}, loss {done.loss:.3f}, accuracy {done.accuracy:.3f}"
            execution.tick(done.images, training.settings.images, words)
            keep_log(out / f"{name}.jsonl", training.step, asdict(done))
            if training.step % CHECKPOINT_EVERY == 0 or done.images >= settings.images or execution.stop.asked:
                save_checkpoint(training.state(), checkpoint)
            execution.stop.check()
        convnet.save_network(training.average, path)
    return path


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """What was saved there, if anything. InputError: it cannot be read."""
    if not path.exists():
        return None
    try:
        return torch.load(path, weights_only=True)
    except Exception as error:  # torch raises whatever the damage leads to
        raise InputError(f"the checkpoint {path} cannot be read: {error}", hint="remove it to begin anew") from error


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Leaves the old file or the new one, never half of one. It also says how long the log was."""
    log = path.with_suffix(".jsonl")
    logged = log.stat().st_size if log.exists() else 0
    content = io.BytesIO()  # torch.save into a file tells of a full disk without saying so
    torch.save(state | {"logged": logged}, content)
    write_file(path, content.getbuffer())


def cut_log(path: Path, saved: dict[str, Any] | None) -> None:
    """Drop the lines of steps after the checkpoint: they will be done again."""
    if path.exists():
        os.truncate(path, min(saved["logged"] if saved else 0, path.stat().st_size))


def keep_log(path: Path, step: int, values: dict[str, Any]) -> None:
    if step % LOG_EVERY == 0:
        with path.open("a") as log:
            log.write(json.dumps(values) + "\n")


def save_sheet(training: GANTraining, path: Path) -> None:
    """The same latents at every stage of the training."""
    images = sample_images(training.average, SHEET_ROWS * SHEET_COLUMNS)
    size = images.shape[1]
    grid = images.reshape(SHEET_ROWS, SHEET_COLUMNS, size, size, 3).transpose(0, 2, 1, 3, 4)
    sheet = Image.fromarray(np.ascontiguousarray(grid.reshape(SHEET_ROWS * size, SHEET_COLUMNS * size, 3)))
    content = io.BytesIO()
    larger = sheet.resize((sheet.width * 128 // size, sheet.height * 128 // size), Image.Resampling.BICUBIC)
    larger.save(content, "PNG")
    write_file(path, content.getbuffer())
