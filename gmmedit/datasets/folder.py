"""A folder of images with a table of labels: a CSV, or CelebA's `img_align_celeba` and `list_attr_celeba.txt`.

Images are decoded when they are asked for. A file that turns out to be unreadable is replaced by the next readable one
of the list that is as well labelled and no less trained on, so that rows keep their numbers, and is named in `notes`.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gmmedit.classifiers.table_files import FILE, Sheet, read_table
from gmmedit.datasets.base import Batch, Rows
from gmmedit.datasets.checks import digest
from gmmedit.datasets.resized import resize_square
from gmmedit.datasets.table_columns import Column, read_columns
from gmmedit.datasets.with_columns import ColumnDataSet
from gmmedit.errors import InputError, RunError
from gmmedit.runtime.image_files import open_image

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".pgm", ".ppm", ".tif", ".tiff")
TABLES = ("list_attr_celeba.txt", "list_attr_celeba.csv", "labels.csv", "attributes.csv")
CELEBA = "img_align_celeba"
FILE_COLUMNS = ("file", "filename", "file_name", "image", "image_id", "path", FILE)
LEAST = 16  # images
PROBED = 64  # files whose sizes are compared when the folder is opened
MOST_BROKEN = 0.1  # share of unreadable files
MOST_PIXELS = 1 << 24  # of an image as floats; larger ones are shrunk by a whole factor first
HINT = "put a table labels.csv beside the images, with a column `file` and one for each attribute"


class Folder(ColumnDataSet):
    """Images of a folder, those that the table lists if there is one, in the order of the table or of their names."""

    def __init__(self, files: Sequence[Path], columns: Sequence[Column], name: str, size: int | None) -> None:
        """InputError: too few images, or of different sizes where no size is asked for."""
        if len(files) < LEAST:
            raise InputError(f"{name} has {len(files)} images, at least {LEAST} are needed", hint=HINT)
        self.name, self.files, self.size = name, list(files), size
        self.set_columns(columns, len(files))
        self.apart = np.isin(np.arange(len(self)), self.held_out())
        self.broken: dict[int, str] = {}
        self.image_shape = self.probe()
        listed = [(file.name, file.stat().st_size) for file in self.files]
        names = [attribute.name for attribute in self.attributes]
        self.fingerprint = digest(listed, size, self.values.numpy(), names, *self.measures)

    @property
    def notes(self) -> tuple[str, ...]:  # type: ignore[override]
        """How many files could not be read so far, and the first of them."""
        first = next(iter(self.broken.values()), "")
        return (f"{len(self.broken)} of {len(self)} images left out: {first}",) if self.broken else ()

    def __len__(self) -> int:
        return len(self.files)

    def images(self, rows: Rows) -> Tensor:
        """See `DataSet.images`. RunError: more than a tenth of the files, and more than ten, cannot be read."""
        return torch.stack([self.read_row(int(row))[1] for row in rows])

    def batch(self, rows: Rows) -> Batch:
        """See `DataSet.batch`: labels are those of the images, also where one stands in for an unreadable one."""
        found = [self.read_row(int(row)) for row in rows]
        read = [row for row, _ in found]
        return torch.stack([image for _, image in found]), self.values[read], self.true_factors(read)

    def probe(self) -> tuple[int, int, int]:
        """The shape of the images. InputError: many cannot be read, or some have different sizes."""
        rows = sorted({*range(min(8, len(self))), *np.linspace(0, len(self) - 1, PROBED).astype(int).tolist()})
        shapes: dict[tuple[int, ...], str] = {}
        for row in rows:
            try:
                read = self.try_row(row)
            except RunError as error:
                raise InputError(error.message, hint=error.hint) from error
            if read is not None:
                shapes.setdefault(tuple(read.shape), self.files[row].name)
        if not shapes:
            raise InputError(f"{self.name}: {next(iter(self.broken.values()))}", hint="check that these are images")
        if len(shapes) > 1:
            (first, a), (second, b) = list(shapes.items())[:2]
            message = (
                f"{self.name} has images of different sizes: {a} is {first[2]}x{first[1]}, {b} {second[2]}x{second[1]}"
            )
            raise InputError(message, hint="--size 64 crops and resizes all of them")
        shape = next(iter(shapes))
        return shape[0], shape[1], shape[2]

    def read_row(self, row: int) -> tuple[int, Tensor]:
        """The row's image, or that of the first readable one of its stand-ins, and whose it is.

        RunError: none can be read, or it is of another size.
        """
        for other in self.stand_ins(row):
            read = self.try_row(other)
            if read is not None:
                if tuple(read.shape) != self.image_shape:
                    name = self.files[other]
                    message = (
                        f"{name} is {read.shape[2]}x{read.shape[1]}, others {self.image_shape[2]}x{self.image_shape[1]}"
                    )
                    raise RunError(message, hint="--size 64 crops and resizes all of them")
                return other, read
        message = f"{self.name}: {self.broken[row]}, and no other image can stand in for it"
        raise RunError(message, hint="check the disk, or add images with the same labels")

    def stand_ins(self, row: int) -> Iterator[int]:
        """The row, then those after it, in a circle, that have all the labels that it has.

        They are held out if it is, and train if it trains; for a held-out one, those that train follow.
        """
        yield row
        known = self.values[row] >= 0
        for apart in (True, False) if self.apart[row] else (False,):
            for other in (number % len(self) for number in range(row + 1, row + len(self))):
                if self.apart[other] == apart and bool((self.values[other] >= 0)[known].all()):
                    yield other

    def try_row(self, row: int) -> Tensor | None:
        """The row's image (C, H, W) in [-1, 1]; None: it cannot be read."""
        if row in self.broken:
            return None
        try:
            return read_image(self.files[row], self.size)
        except (OSError, ValueError, SyntaxError, MemoryError, Image.DecompressionBombError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            self.broken[row] = f"{self.files[row].name}: {reason}"
            if len(self.broken) > max(10, MOST_BROKEN * len(self)):
                message = f"{self.name}: {len(self.broken)} of {len(self)} images cannot be read, {self.broken[row]}"
                raise RunError(message, hint="check that the copy of the images is whole") from error
            return None


def read_image(path: Path, size: int | None) -> Tensor:
    """An image file as RGB (3, H, W) in [-1, 1], square of `size` pixels if given. Errors as in `open_image`."""
    with open_image(path) as image:
        if size:
            image.draft("RGB", (2 * size, 2 * size))  # JPEG: decoded at a fraction of its size
        whole = image.convert("RGB")
    if size:
        most = max(1, min(whole.size) // (2 * size))
        whole = whole.reduce(min(most, math.ceil(math.sqrt(whole.width * whole.height / MOST_PIXELS))))
    tensor = torch.tensor(np.asarray(whole)).permute(2, 0, 1).float().div_(127.5).sub_(1)
    return resize_square(tensor[None], size)[0] if size else tensor


def load(path: Path, size: int | None = None) -> Folder:
    """The folder's images with its table, or the table's images. InputError: no image, or another's table."""
    table = path if path.is_file() else next((path / name for name in TABLES if (path / name).is_file()), None)
    if table is None and path.is_dir():
        others = sorted(path.glob("*.csv"))
        table = others[0] if len(others) == 1 else None
    base = table.parent if table else path
    base = base / CELEBA if (base / CELEBA).is_dir() else base
    if table is None:
        return Folder(sorted(list_images(base)), (), str(path), size)
    sheet = read_table(table)
    files, kept = find_files(sheet, base)
    columns = read_columns(sheet, kept, [file_column(sheet)])
    return Folder(files, columns, str(path), size)


def list_images(base: Path) -> Iterator[Path]:
    """The files below a folder that are named like images; no pipes or devices, which would not end."""
    return (file for file in base.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())


def file_column(sheet: Sheet) -> str:
    """The name of the column of file names. InputError: there is none."""
    named = [name for name in sheet.columns if name.lower() in FILE_COLUMNS and name in sheet.texts]
    if not named:
        raise InputError(f"{sheet.path} has no column of file names", hint=HINT)
    return named[0]


def find_files(sheet: Sheet, base: Path) -> tuple[list[Path], np.ndarray]:
    """The files that are there, and the places (n,) of their lines. InputError: there is none."""
    column = file_column(sheet)
    listed = [base / sheet.cell(column, place) for place in range(len(sheet))]
    present = set(list_images(base))
    kept = [place for place, file in enumerate(listed) if file in present]
    if not kept:
        message = f"{base} has none of the {len(listed)} images that {sheet.path.name} lists, such as {listed[0].name}"
        raise InputError(message, hint="name the folder that holds the table and the images")
    return [listed[place] for place in kept], np.array(kept)
