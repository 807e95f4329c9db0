"""The loop that every training shares: progress, checkpoints, exact resume, a log with curves, sample sheets.

In the folder are, of a training called NAME: NAME.checkpoint, NAME.jsonl (its log), NAME.png (the curves of the log),
samples*.png, and at the end NAME.safetensors. A training that was stopped or killed resumes from its checkpoint.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from gmmedit.errors import InputError, RunError, out_of_memory, summarise_differences, writing
from gmmedit.pictures.curves import draw_curves
from gmmedit.pictures.sheets import sheet_to_png
from gmmedit.runtime.execution import Execution
from gmmedit.runtime.storage import write_file
from gmmedit.training.base import Step, Trainer
from gmmedit.training.checkpoints import append_log, cut_log, read_checkpoint, read_log, save_checkpoint, unusable

CHECKPOINT_EVERY, SHEET_EVERY, LOG_EVERY = 250, 750, 100  # steps
SHOWN_LOSSES = 2  # in a line of progress
NO_CURVE = ("images", "images_per_second", "resolution")


def run_training(
    trainer: Trainer, out: Path, save: Callable[[Path], None], execution: Execution, log_every: int | None = None
) -> Path:
    """Train to the end in `out`, from its checkpoint if there is one; the path of what `save` writes.

    log_every: steps between two lines of the log; None: LOG_EVERY. Several processes take every step together; the
    main one writes the files.

    InputError: the folder cannot be written, or its checkpoint is of other settings. RunError: the disk is full,
    another process trains there, or a loss is not finite any more: the checkpoint is the last good state. Stopped: a
    signal asked for it; a checkpoint was saved.
    """
    path, processes = out / f"{trainer.name}.safetensors", execution.processes
    with processes.lock(path), writing(path), report_memory(trainer.name, trainer.batch):
        processes.main_first(lambda: resume(trainer, out))
        for done in trainer:
            check_finite(trainer, done, out)
            show_progress(trainer, done, execution)
            if not processes.main:  # it ends with the main one
                continue
            if trainer.step % (log_every or LOG_EVERY) == 0:
                append_log(out / f"{trainer.name}.jsonl", log_line(done))
            if trainer.step % SHEET_EVERY == 0:  # before the checkpoint, after which it would not be made again
                show(trainer, out, f"_{done.images:07d}")
            if trainer.step % CHECKPOINT_EVERY == 0 or execution.stop.asked:
                checkpoint(trainer, out)
            execution.stop.check()
        if processes.main:
            checkpoint(trainer, out)
            save(path)
            show(trainer, out)
    return path


@contextmanager
def report_memory(name: str, batch: int) -> Iterator[None]:
    """RunError: a step of so many images does not fit in memory."""
    try:
        yield
    except Exception as error:
        if not out_of_memory(error):
            raise
        message = f"{name}: out of memory for the {batch} images of a step"
        raise RunError(message, hint="use another --device, or smaller images") from error


def resume(trainer: Trainer, out: Path) -> None:
    """Load the training's checkpoint, if there is one. InputError: it is of other settings, or of no training."""
    path = out / f"{trainer.name}.checkpoint"
    saved = read_checkpoint(path)
    cut_log(path.with_suffix(".jsonl"), saved)
    if not saved:
        return
    check_settings(saved["settings"], trainer.settings, path)
    try:
        trainer.load_state(saved)
    except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        if out_of_memory(error):
            raise
        raise unusable(path, error) from error


def check_settings(there: dict[str, Any], settings: Any, path: Path) -> None:
    """InputError: a checkpoint's settings are not these, or no settings. A field that it lacks had its default."""
    known, present = default_settings(settings) | there, asdict(settings)
    for key, now in present.items():
        if key not in known or not alike(known[key], now):
            reason = f"its setting {key} is missing or of another type"
            raise unusable(path, ValueError(reason))
    different = [f"{key} is {known[key]} there and {now} now" for key, now in present.items() if known[key] != now]
    if different:
        message = f"{path} was created with different settings: {summarise_differences(different)}"
        raise InputError(message, hint="choose another --out")


def default_settings(settings: Any) -> dict[str, Any]:
    """The defaults of the fields that have one, as in `asdict`."""
    found = {field.name: field.default for field in fields(settings) if field.default is not MISSING}
    return {name: asdict(value) if is_dataclass(value) else value for name, value in found.items()}  # type: ignore[arg-type]


def alike(old: Any, now: Any) -> bool:
    """Whether two settings are of the same kind, also inside, so that they can be compared; None is like any."""
    if isinstance(now, dict) and isinstance(old, dict):
        return all(alike(old[key], now[key]) for key in old.keys() & now.keys())
    if isinstance(now, list | tuple) and isinstance(old, list | tuple):
        return all(map(alike, old, now))
    if now is None and isinstance(old, dict | list | tuple):
        return True
    kinds = ((bool, int, float), (str,))
    return old is None or any(isinstance(old, kind) and (now is None or isinstance(now, kind)) for kind in kinds)


def checkpoint(trainer: Trainer, out: Path) -> None:
    """Save the training's state. RunError: a parameter is not finite; the last good state is kept."""
    bad = [name for name, network in trainer.networks().items() if not all(map(is_finite, network.parameters()))]
    if bad:
        raise diverged(trainer, f"the parameters of {', '.join(bad)}", out)
    save_checkpoint(trainer.state(), out / f"{trainer.name}.checkpoint")


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether all of its numbers are."""
    return bool(tensor.isfinite().all())


def check_finite(trainer: Trainer, done: Step, out: Path) -> None:
    """RunError: a loss is not finite."""
    bad = [name for name, value in done.losses.items() if not math.isfinite(value)]
    if bad:
        raise diverged(trainer, ", ".join(bad), out)


def diverged(trainer: Trainer, what: str, out: Path) -> RunError:
    """The error of a training whose numbers are not finite any more."""
    path = out / f"{trainer.name}.checkpoint"
    kept = f"; the last good state is in {path}" if path.exists() else ""
    message = f"{trainer.name}: {what} stopped being finite after {trainer.step} steps{kept}"
    return RunError(message, hint="train with another --seed in another --out, or check the data")


def log_line(done: Step) -> dict[str, float]:
    """A step as a line of the log."""
    return {"images": done.images, **done.losses, "images_per_second": done.images_per_second}


def show_progress(trainer: Trainer, done: Step, execution: Execution) -> None:
    """Report a step's first losses."""
    losses = ", ".join(f"{name} {value:.3f}" for name, value in list(done.losses.items())[:SHOWN_LOSSES])
    execution.tick(done.images, trainer.total, f"{trainer.name}, {losses}")


def show(trainer: Trainer, out: Path, suffix: str = "") -> None:
    """Write a sheet of samples, where the training makes images, and the curves of its log."""
    images = trainer.sheet()
    if images is not None:
        write_file(out / f"samples{suffix}.png", sheet_to_png(join_sheet(images)))
    lines = read_log(out / f"{trainer.name}.jsonl", {"images", "images_per_second"})
    names = [name for name in lines[-1] if name not in NO_CURVE] if lines else []
    shown = [line for line in lines if all(name in line for name in names)]
    if names and len(shown) > 1:
        curves = {name: [float(line[name]) for line in shown] for name in names}
        write_file(out / f"{trainer.name}.png", sheet_to_png(draw_curves([line["images"] for line in shown], curves)))


def join_sheet(images: np.ndarray) -> Image.Image:
    """A sheet of images uint8 (rows, columns, H, W, C) without gaps, of 128 pixels in height each."""
    rows, columns, height, width, channels = images.shape
    grid = images.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)
    sheet = Image.fromarray(np.ascontiguousarray(grid[..., 0] if channels == 1 else grid))
    return sheet.resize((sheet.width * 128 // height, sheet.height * 128 // height), Image.Resampling.BICUBIC)
