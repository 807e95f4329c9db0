"""Checkpoints of a training, and its log, which is cut back to the checkpoint when the training is resumed."""

import io
import json
import math
from pathlib import Path
from typing import Any

import torch

from gmmedit.errors import InputError
from gmmedit.runtime.regular_files import read_json_lines
from gmmedit.runtime.storage import append_file, cut_file, write_file


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """The saved state; None: there is none. InputError: the file cannot be read."""
    if not path.exists():
        return None
    try:
        saved = torch.load(path, weights_only=True, map_location="cpu")  # on whatever device it was trained
        if not (isinstance(saved["settings"], dict) and isinstance(saved["logged"], int) and saved["logged"] >= 0):
            raise ValueError("no state of a training")
    except Exception as error:  # torch raises whatever the damage leads to
        raise unusable(path, error) from error
    return dict(saved)


def unusable(path: Path, error: Exception) -> InputError:
    """The error for a checkpoint that is damaged, or holds something else; the first line of the reason is shown."""
    reason = f"it has no {error}" if isinstance(error, KeyError) else (str(error).splitlines() or [repr(error)])[0]
    return InputError(f"the checkpoint {path} cannot be read: {reason}", hint="remove it to start again")


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Replace the checkpoint as a whole. It also records the length of the log beside it, PATH.jsonl."""
    log = path.with_suffix(".jsonl")
    logged = log.stat().st_size if log.exists() else 0
    content = io.BytesIO()  # torch.save into a file does not report a full disk as such
    torch.save(state | {"logged": logged}, content)
    write_file(path, content.getbuffer())


def cut_log(path: Path, saved: dict[str, Any] | None) -> None:
    """Remove the log's lines of steps after the checkpoint, which will be repeated."""
    if path.exists():
        cut_file(path, min(saved["logged"] if saved else 0, path.stat().st_size))


def append_log(path: Path, values: dict[str, Any]) -> None:
    """Add a line to the log, as JSON."""
    append_file(path, f"{json.dumps(values)}\n".encode())


def read_log(path: Path, names: set[str]) -> list[dict[str, float]]:
    """The lines of a log, which may be missing, that have at least these names and hold finite numbers alone."""
    lines = read_json_lines(path, names)[0] if path.exists() else []
    return [line for line in lines if all(map(is_number, line.values()))]


def is_number(value: Any) -> bool:
    """Whether it is a number that fits a float, and is finite."""
    try:
        return not isinstance(value, bool) and math.isfinite(value)
    except (TypeError, OverflowError):
        return False
