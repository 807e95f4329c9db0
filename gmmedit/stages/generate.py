"""A labelled data set of generated images: PNGs and a table that `--data FOLDER` reads.

Labels are what the latents say themselves (the content of a generator that has such a block), and what a classifier
reads from the images. Images are written chunk by chunk, each followed by its lines of the unfinished table, from whose
end a stopped run resumes.
"""

import csv
import io
import json
import os
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from gmmedit import classifiers, generators
from gmmedit.classifiers import Classifier
from gmmedit.config import SampleSettings
from gmmedit.errors import InputError, summarise_differences, writing
from gmmedit.pictures.pixels import as_shown, to_bytes
from gmmedit.pictures.sheets import contact_sheet, sheet_to_png, to_png
from gmmedit.run.prior import record_prior
from gmmedit.run.rendering import Renderer
from gmmedit.runtime.execution import Execution, prepare
from gmmedit.runtime.storage import append_file, cut_file, lock, write_file

TABLE, SETTINGS, SHEET = "labels.csv", "settings.json", "sheet.png"
SHEET_ROWS, SHEET_COLUMNS = 8, 12
CHUNK = 256  # images
Row = list[str]


def run(folder: Path, settings: SampleSettings, classifier: str | None, execution: Execution) -> Path:
    """Write `settings.n` PNGs and labels.csv into `folder`; the path of the table.

    classifier: of every image; None: the latents' own labels only. InputError: neither the latents nor a classifier
    gives labels, the folder holds a data set of other settings or other files, or as `generators.load`.
    """
    prepare(execution)
    settings = record_prior(settings)
    renderer = Renderer(generators.load(settings.gan, execution.device, trusted=True), settings)
    network = classifiers.load(classifier, execution.device, trusted=True) if classifier else None
    path = folder / TABLE
    with lock(path), writing(path):
        claim_folder(folder, describe_settings(renderer, network))
        if path.exists():
            check_images(path)
            execution.kept.add(path)
            return path
        unfinished = path.with_name(f"{TABLE}.partial")
        done = cut_to_chunks(unfinished)
        while done < settings.n:
            stop = min(done + CHUNK, settings.n)
            lines = write_chunk(folder, renderer, network, range(done, stop), execution)
            append_lines(unfinished, lines if done else [header_of(renderer, network), *lines])
            done = stop
            execution.tick(done, settings.n, "images")
            execution.stop.check()
        write_file(folder / SHEET, sheet_to_png(make_sheet(renderer)))
        os.replace(unfinished, path)
    return path


def describe_settings(renderer: Renderer, classifier: Classifier | None) -> dict[str, object]:
    """What the images and labels depend on, JSON-ready. InputError: nothing gives labels."""
    generator = renderer.generator
    if classifier is None and not generator.name_labels(renderer.draw([0])):
        message = f"the latents of {renderer.settings.gan} say nothing of their images"
        raise InputError(message, hint="name a classifier: --classifier WHAT")
    record = renderer.settings.record() | {"generator": generator.fingerprint}
    del record["gan"], record["images"]
    return record | ({"classifier": classifier.fingerprint} if classifier else {})


def claim_folder(folder: Path, settings: dict[str, object]) -> None:
    """Record the settings in the folder. InputError: it holds those of another data set, or files of something else."""
    path = folder / SETTINGS
    if not path.exists():
        others = sorted(file.name for file in folder.iterdir() if not file.name.startswith(f"{TABLE}."))
        if others:
            raise InputError(f"{folder} is not empty, it holds {others[0]}", hint="choose another --data-out")
        write_file(path, json.dumps(settings, indent=1, sort_keys=True).encode())
    there = read_settings(path)
    different = [
        f"{key} is {there.get(key)} there and {settings.get(key)} now"
        for key in sorted({*there, *settings})
        if there.get(key) != settings.get(key)
    ]
    if different:
        message = f"{folder} was generated with different settings: {summarise_differences(different)}"
        raise InputError(message, hint="choose another --data-out")


def read_settings(path: Path) -> dict[str, object]:
    """The settings of a data set that was begun. InputError: the file is damaged."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} cannot be read", hint="choose another --data-out") from error


def check_images(table: Path) -> None:
    """InputError: an image that the finished table lists is not there any more."""
    with table.open(encoding="utf-8", newline="") as file:
        missing = [row[0] for row in list(csv.reader(file))[1:] if not (table.parent / row[0]).is_file()]
    if missing:
        message = f"{table} lists {missing[0]}, which is missing"
        raise InputError(message, hint=f"generate into another --data-out, or remove {table.parent}")


def cut_to_chunks(unfinished: Path) -> int:
    """Cut the unfinished table back to whole chunks of lines; how many images it lists."""
    if not unfinished.exists():
        return 0
    lines = unfinished.read_bytes().splitlines(keepends=True)
    whole = [line for line in lines if line.endswith(b"\n")]
    done = max(0, len(whole) - 1) // CHUNK * CHUNK
    cut_file(unfinished, sum(map(len, whole[: done + 1])) if done else 0)
    return done


@torch.no_grad()
def write_chunk(
    folder: Path, renderer: Renderer, classifier: Classifier | None, rows: range, execution: Execution
) -> list[Row]:
    """Write the images of the rows; their lines of the table."""
    seed = renderer.settings.seed
    z = renderer.draw(range(seed + rows.start, seed + rows.stop))
    own = renderer.generator.name_labels(z)
    latent = z.to(renderer.generator.device)
    latent = renderer.map(latent) if "w" in renderer.generator.spaces else latent

    def show(part: Tensor) -> tuple[Tensor, ...]:
        shown = as_shown(renderer.generate(part, renderer.space.name))
        return (shown, classifier.logits(shown).float()) if classifier else (shown,)

    images, *logits = execution.in_batches(show, latent)
    pixels = to_bytes(images)
    lines = []
    for place, row in enumerate(rows):
        name = f"{row:06}.png"
        image = Image.fromarray(pixels[place, ..., 0] if pixels.shape[-1] == 1 else pixels[place])
        write_file(folder / name, to_png(image), synced=False)
        lines.append([name, *(values[place] for values in own.values())])
    if classifier:
        named = name_values(classifier, logits[0], set(own))
        lines = [line + more for line, more in zip(lines, named, strict=True)]
    return lines


@torch.no_grad()
def make_sheet(renderer: Renderer) -> Image.Image:
    """The first images, in rows; of a generator with a content block, a style in each row and a content in each
    column."""
    seed, block = renderer.settings.seed, renderer.space.blocks.get("content")
    z = renderer.draw(range(seed, seed + SHEET_ROWS * SHEET_COLUMNS))
    if block is not None:
        size = block.stop - block.start
        shown = torch.linspace(0, size - 1, SHEET_COLUMNS).round().long()
        z = z[:SHEET_ROWS].repeat_interleave(SHEET_COLUMNS, dim=0)
        z[:, block] = torch.eye(size)[shown].repeat(SHEET_ROWS, 1)
    latent = z.to(renderer.generator.device)
    latent = renderer.map(latent) if "w" in renderer.generator.spaces else latent
    images = to_bytes(renderer.generate(latent, renderer.space.name))
    captions = next(iter(renderer.generator.name_labels(z).values()), [""] * len(z))
    rows = [captions[first : first + SHEET_COLUMNS] for first in range(0, len(z), SHEET_COLUMNS)]
    grid = images.reshape(SHEET_ROWS, SHEET_COLUMNS, *images.shape[1:])
    return contact_sheet(grid, [""] * SHEET_COLUMNS, rows, f"samples of {Path(renderer.settings.gan).name}")


def name_values(classifier: Classifier, logits: Tensor, known: set[str]) -> list[Row]:
    """The most probable value of each attribute that is not `known` already; logits (N, K)."""
    parts = logits.split([len(attribute.values) for attribute in classifier.attributes], dim=1)
    columns = [
        [attribute.values[number] for number in part.argmax(1).tolist()]
        for attribute, part in zip(classifier.attributes, parts, strict=True)
        if attribute.name not in known
    ]
    return [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in range(len(logits))]


def header_of(renderer: Renderer, classifier: Classifier | None) -> Row:
    """The names of the table's columns."""
    own = list(renderer.generator.name_labels(renderer.draw([0])))
    more = [attribute.name for attribute in classifier.attributes] if classifier else []
    return ["file", *own, *(name for name in more if name not in own)]


def append_lines(path: Path, rows: list[Row]) -> None:
    """Add lines of a CSV to a file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    append_file(path, text.getvalue().encode())
