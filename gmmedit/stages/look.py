"""A look at the labels: which images the classifier calls what, and how sure it is.

Reads samples.h5, labels.h5 and the generator, or stored images; writes look/sheet.png and look/samples.png.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL.Image import Image

from gmmedit.artifacts import Artifact
from gmmedit.artifacts.kinds import as_tuple
from gmmedit.errors import refuse_link, writing
from gmmedit.pictures.galleries import Cell, GalleryRow, make_gallery
from gmmedit.pictures.pixels import to_bytes
from gmmedit.pictures.sheets import sheet_to_png, to_tile
from gmmedit.run.folder import RunFolder, layout_of
from gmmedit.run.hold_out import labelled_rows, labels_photographs, name_of_rows
from gmmedit.runtime.batching import TILE
from gmmedit.runtime.execution import Execution, prepare
from gmmedit.runtime.storage import lock, write_file

FIRST, PER_ROW = 24, 8  # samples in samples.png, and how many side by side
LARGEST_READ = 1 << 29  # bytes of stored images; more are generated instead of read
LONG = 20  # letters of an attribute's name and value in one line
PARTS = ["most confident", "least confident of those that have the value"]

Tiles = dict[int, Image]  # row of samples.h5 -> its image


@dataclass(frozen=True)
class Value:
    """A value of an attribute and the samples that have it, for which it is the most probable one.

    count: their number. most, least: the rows of those shown, by falling probability.
    """

    name: str
    column: int
    count: int
    most: list[int]
    least: list[int]


@torch.no_grad()
def run(folder: Path, k: int, execution: Execution) -> list[Path]:
    """Write folder/look/sheet.png and samples.png; their paths.

    sheet.png: for each value of each attribute the k samples with the highest and the k with the lowest probability
    among those that have the value. samples.png: the first samples with all their labels.
    InputError: samples.h5, labels.h5 or the generator is missing or has changed.
    """
    prepare(execution)
    place = folder / "look"
    with RunFolder(folder, execution) as run_folder:
        samples, labels = run_folder.samples, run_folder.labels
        rows, probabilities = labelled_rows(labels), labels["labels"]
        values = find_values(labels, probabilities, rows, k)
        first = rows[:FIRST].tolist()
        shown = {*first, *(row for value in values for row in (*value.most, *value.least))}
        tiles = draw_tiles(run_folder, samples, sorted(shown))
    what = name_of_rows(labels)
    title = f"{len(rows)} {what} labelled by {(labels.spec.classifier or {}).get('name', 'nobody')}"
    by_value = [
        value_row(value, probabilities[:, value.column], f"{value.count / len(rows):.3f}, {value.count} {what}", tiles)
        for value in values
    ]
    sheets = {
        "sheet.png": make_gallery(by_value, f"{title}; below each image: probability of the value, row", PARTS),
        "samples.png": make_gallery(
            sample_rows(labels, probabilities, first, tiles), f"the first {len(first)} of {title}"
        ),
    }
    refuse_link(place)
    with lock(place / "sheet.png"), writing(place / "sheet.png"):
        for file, sheet in sheets.items():
            write_file(place / file, sheet_to_png(sheet))
    return [place / file for file in sheets]


def find_values(labels: Artifact, probabilities: np.ndarray, rows: np.ndarray, k: int) -> list[Value]:
    """The K values with at most k most and k least confident samples each, none in both.

    probabilities: (N, K) of all samples. rows: those that are labelled.
    """
    found = []
    for (name, names), columns in zip(labels.attributes, layout_of(labels).columns, strict=True):
        part = probabilities[rows, columns]
        for value, text in enumerate(names):
            own = np.flatnonzero(part.argmax(1) == value)
            ranked = rows[own[np.argsort(-part[own, value], kind="stable")]].tolist()
            rest = ranked[k:]
            found.append(Value(f"{name}={text}", columns.start + value, len(own), ranked[:k], rest[-k:]))
    return found


def draw_tiles(run_folder: RunFolder, samples: Artifact, rows: list[int]) -> Tiles:
    """The images of these samples, stored or generated, or of photographs, in the size of a sheet."""
    if labels_photographs(run_folder.labels):
        return dict(zip(rows, map(to_tile, run_folder.artifact("inversions")["images"][rows]), strict=True))
    if "images" in samples and bytes_of(samples) <= LARGEST_READ:
        return dict(zip(rows, map(to_tile, samples["images"][rows]), strict=True))
    renderer, execution = run_folder.renderer, run_folder.execution
    space = renderer.space.name
    latents, tiles = torch.from_numpy(samples[space][rows]), Tiles()
    for start in range(0, len(rows), TILE):
        execution.stop.check()
        part = slice(start, start + TILE)
        (images,) = execution.in_batches(lambda latent: (renderer.generate(latent, space),), latents[part])
        tiles |= dict(zip(rows[part], map(to_tile, to_bytes(images)), strict=True))
        execution.tick(min(start + TILE, len(rows)), len(rows), "images")
    return tiles


def bytes_of(samples: Artifact) -> int:
    """Bytes of all stored images."""
    return math.prod(axis for dim in ("N", "H", "W", "C") for axis in as_tuple(samples.sizes[dim]))


def value_row(value: Value, probabilities: np.ndarray, rate: str, tiles: Tiles) -> GalleryRow:
    """A row of sheet.png, of a value with these probabilities (N,), and its rate among what is labelled."""
    parts = [
        [Cell(tiles[row], [f"{probabilities[row]:.3f}", f"row {row}"]) for row in rows]
        for rows in (value.most, value.least)
    ]
    return GalleryRow(f"{value.name}: rate {rate}", parts)


def sample_rows(labels: Artifact, probabilities: np.ndarray, first: list[int], tiles: Tiles) -> list[GalleryRow]:
    """The rows of samples.png, with the most probable value of every attribute below each image."""
    cells = [Cell(tiles[row], [f"row {row}", *describe_labels(labels, probabilities[row])]) for row in first]
    return [GalleryRow("", [cells[start : start + PER_ROW]]) for start in range(0, len(cells), PER_ROW)]


def describe_labels(labels: Artifact, probabilities: np.ndarray) -> list[str]:
    """A line for each attribute, from a sample's probabilities (K,): the most probable value and its probability.

    Two lines if one of the attribute's values makes it long, so that the lines of all samples are level.
    """
    lines = []
    for (name, values), columns in zip(labels.attributes, layout_of(labels).columns, strict=True):
        part = probabilities[columns]
        text = f"{values[part.argmax()]} {part.max():.2f}"
        longest = len(name) + max(map(len, values))
        lines += [f"{name}={text}"] if longest <= LONG else [f"{name}=", text]
    return lines
