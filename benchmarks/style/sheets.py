"""Sheets of held-out typefaces: generated above true."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from gmmedit.pictures.pixels import to_bytes
from style.claims import Task

FACES, LETTERS = 10, 18  # rows of pairs, columns
SCALE = 2


def write_sheet(path: Path, task: Task, images: Tensor) -> None:
    """Write some of the glyphs (T, K, C, S, S), each row above one of the true glyphs."""
    faces = torch.linspace(0, len(images) - 1, FACES).round().long()
    letters = torch.linspace(0, task.letters - 1, LETTERS).round().long()
    rows = [part[face][letters] for face in faces for part in (images, task.true)]
    pixels = torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)[None]
    sheet = Image.fromarray(to_bytes(pixels)[0].squeeze(-1))
    sheet.resize((sheet.width * SCALE, sheet.height * SCALE), Image.Resampling.BICUBIC).save(path)
