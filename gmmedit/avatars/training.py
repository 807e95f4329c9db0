"""Training runs in a folder: checkpoints, a log, sample sheets, and the weights as safetensors."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from gmmedit.avatars.gan_settings import GANSettings
from gmmedit.avatars.train_classifier import CRITIC, EVALUATION, LABELLING, ClassifierSettings, ClassifierTraining
from gmmedit.avatars.train_generator import (
    POOL_SEED,
    GANTraining,
    render_pool,
    sample_images,
    save_atomically,
)
from gmmedit.classifiers import convnet
from gmmedit.errors import InputError
from gmmedit.generators import stylegan2

CHECKPOINT_EVERY, SHEET_EVERY, LOG_EVERY = 250, 750, 100  # steps
SHEET_ROWS, SHEET_COLUMNS = 4, 12

Tick = Callable[[int, int, str], None]


def train_generator(out: Path, settings: GANSettings, device: str, tick: Tick) -> Path:
    """Train to the end from the last checkpoint in `out`; the path of the weights."""
    make_folder(out)
    checkpoint = out / "generator.checkpoint"
    critic = convnet.read(train_network(out, "critic", CRITIC, device, tick))
    training = GANTraining(settings, critic, device=device)
    saved = read_checkpoint(checkpoint)
    if saved:
        if saved["settings"] != asdict(settings):
            raise InputError(f"{checkpoint} was made with other settings", hint="give another --out")
        training = GANTraining(settings, critic, saved["phase"], device)
        training.load(saved)
    pool = np.ascontiguousarray(render_pool(settings.pool, POOL_SEED, out / "pool.npy"))
    while True:
        for done in training.run(pool):
            words = f"{training.resolution} px, D {done.d_loss:.2f}, {done.images_per_second:.0f} images/s"
            tick(done.images, training.images, words)
            keep_log(out / "generator.jsonl", training.step, {"resolution": training.resolution, **asdict(done)})
            if training.step % CHECKPOINT_EVERY == 0:
                save_atomically(training.state(), checkpoint)
            if training.step % SHEET_EVERY == 0:
                save_sheet(training, out / f"samples_{training.resolution}px_{done.images:07d}.png")
        save_atomically(training.state(), checkpoint)
        if training.phase == len(settings.phases) - 1:
            break
        training = training.grow()
    path = out / "generator.safetensors"
    save_sheet(training, out / "samples.png")
    stylegan2.save(training.average, path)
    return path


def train_classifier(out: Path, evaluator: bool, device: str, tick: Tick) -> Path:
    """Train the labelling or the evaluation network; the path of the weights."""
    if evaluator:
        return train_network(out, "evaluator", EVALUATION, device, tick)
    return train_network(out, "classifier", LABELLING, device, tick)


def train_network(out: Path, name: str, settings: ClassifierSettings, device: str, tick: Tick) -> Path:
    """Train a classifier of avatars from its last checkpoint in `out`, if it is not done; the path of the weights."""
    make_folder(out)
    path, checkpoint = out / f"{name}.safetensors", out / f"{name}.checkpoint"
    training = ClassifierTraining(settings, device)
    saved = read_checkpoint(checkpoint)
    if saved:
        training.load(saved)
    for done in training.run():
        tick(done.images, training.settings.images, f"{name}, loss {done.loss:.3f}, accuracy {done.accuracy:.3f}")
        keep_log(out / f"{name}.jsonl", training.step, asdict(done))
        if training.step % CHECKPOINT_EVERY == 0 or done.images >= settings.images:
            save_atomically(training.state(), checkpoint)
    convnet.save(training.average, path)
    return path


def make_folder(out: Path) -> None:
    """InputError: it cannot be made."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {out}: {error.strerror}", hint="choose another --out") from error


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """What was saved there, if anything. InputError: it cannot be read."""
    if not path.exists():
        return None
    try:
        return torch.load(path, weights_only=True)
    except Exception as error:  # torch raises whatever the damage leads to
        raise InputError(f"the checkpoint {path} cannot be read: {error}", hint="remove it to begin anew") from error


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
    sheet.resize((sheet.width * 128 // size, sheet.height * 128 // size), Image.Resampling.BICUBIC).save(path)
