"""Sheets of held-out typefaces: generated above true."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gmmedit.pictures.pixels import to_bytes
from style.claims import Task

FACES, LETTERS = 10, 18  # rows of pairs, columns
SCALE = 2
CELL = 6  # pixels of an entry of a matrix


def write_sheet(path: Path, task: Task, images: Tensor) -> None:
    """Write some of the glyphs (T, K, C, S, S), each row above one of the true glyphs."""
    faces = torch.linspace(0, len(images) - 1, FACES).round().long()
    letters = torch.linspace(0, task.letters - 1, LETTERS).round().long()
    rows = [part[face][letters] for face in faces for part in (images, task.true)]
    pixels = torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)[None]
    levels = to_bytes(pixels)[0]
    sheet = Image.fromarray(levels if levels.shape[2] == 3 else levels[..., 0])
    sheet.resize((sheet.width * SCALE, sheet.height * SCALE), Image.Resampling.BICUBIC).save(path)


def write_matrices(path: Path, matrices: Sequence[Tensor]) -> None:
    """Write matrices of shares in [0, 1] side by side, 1 in black."""
    cells = [np.kron(255 - (matrix.numpy() * 255).round(), np.ones((CELL, CELL))) for matrix in matrices]
    sheet = Image.new("L", (sum(part.shape[1] for part in cells) + 2 * CELL, max(map(len, cells))), 255)
    left = 0
    for part in cells:
        sheet.paste(Image.fromarray(part.astype(np.uint8)), (left, 0))
        left += part.shape[1] + 2 * CELL
    sheet.save(path)
