"""Images of directions: a strip for each, and a sheet of all."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from gmmedit.discovery.latents import Latents, step_random
from gmmedit.discovery.reading import Directions
from gmmedit.errors import writing
from gmmedit.pictures.pixels import to_bytes
from gmmedit.pictures.sheets import contact_sheet, sheet_to_png
from gmmedit.runtime.execution import Execution
from gmmedit.runtime.storage import write_file

STEPS = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
SAMPLES = 4  # rows of a strip; the first of them also in the sheet
OWN = re.compile(r"direction_[0-9]{2,}\.png(\.tmp)?")


@torch.no_grad()
def write_strips(folder: Path, latents: Latents, directions: Directions, execution: Execution) -> None:
    """Write direction_NN.png and sheet.png into the folder; strips of earlier discoveries are deleted."""
    sheet, headings = [], [f"{step:+g}" if step else "sample" for step in STEPS]
    with writing(folder / "sheet.png"):
        folder.mkdir(exist_ok=True)
        remove_strips(folder)
        for number, images in enumerate(render_strips(latents, directions, execution)):
            title = f"direction {directions.title(number)}; in steps"
            captions = [[""] * len(STEPS)] * SAMPLES
            strip = contact_sheet(images, headings, captions, title)
            write_file(folder / f"direction_{number:02d}.png", sheet_to_png(strip), synced=False)
            sheet.append(images[0])
        names = [[directions.title(number), *[""] * (len(STEPS) - 1)] for number in range(len(sheet))]
        whole = contact_sheet(np.stack(sheet), headings, names, "discovered directions; in steps")
        write_file(folder / "sheet.png", sheet_to_png(whole))


def has_strips(folder: Path, count: int) -> bool:
    """Whether the images of that many directions are there."""
    names = ["sheet.png", *(f"direction_{number:02d}.png" for number in range(count))]
    return all((folder / name).is_file() for name in names)


def remove_strips(folder: Path) -> None:
    """Delete the images of earlier discoveries."""
    with writing(folder / "sheet.png"):
        for old in sorted(folder.iterdir()) if folder.is_dir() else []:
            if old.name == "sheet.png" or OWN.fullmatch(old.name):
                old.unlink()


def render_strips(latents: Latents, directions: Directions, execution: Execution) -> Iterator[np.ndarray]:
    """Of each direction the images uint8 (SAMPLES, STEPS, H, W, C) of the same samples, moved."""
    x, amounts = latents.draw(SAMPLES, step_random(0, 5)), torch.tensor(STEPS)
    for number, step in enumerate(directions.steps):
        execution.stop.check()
        moved = x[:, None] + amounts[:, None] * step
        yield to_bytes(latents.render(moved.flatten(0, 1), execution)).reshape(SAMPLES, len(STEPS), *shape_of(latents))
        execution.tick(number + 1, len(directions.steps), "strips")


def shape_of(latents: Latents) -> tuple[int, int, int]:
    """(H, W, C) of the images."""
    channels, height, width = latents.renderer.generator.image_shape
    return height, width, channels
