"""Idx files, the format of MNIST and Fashion-MNIST, as they are or gzipped; MorphoMNIST has a table beside each."""

import gzip
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gmmedit.classifiers.attributes import Attribute
from gmmedit.classifiers.table_files import INDEX, read_table
from gmmedit.datasets.base import DataSet, Rows
from gmmedit.datasets.checks import digest
from gmmedit.datasets.resized import fit
from gmmedit.datasets.table_columns import Column, parse_measures
from gmmedit.datasets.with_columns import ColumnDataSet
from gmmedit.errors import InputError
from gmmedit.runtime.regular_files import check_regular

LARGEST = 1 << 31  # bytes of an array
UNSIGNED_BYTES = 8  # the format's code for them
HINT = "name a folder with NAME-images-idx3-ubyte and NAME-labels-idx1-ubyte, or with .gz after these"
CLOTHES = ("t-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
FASHION = Path("/usr/share/datasets/fashion-mnist")  # of Debian's package


@dataclass(frozen=True)
class Part:
    """Images uint8 (n, H, W) and labels uint8 (n,) of one of the published parts; columns (n,) of a table beside it."""

    images: np.ndarray
    labels: np.ndarray
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)


class Idx(ColumnDataSet):
    """Grey images of one attribute, and measures. The test part, if there is one, comes last and is held out."""

    def __init__(self, parts: list[Part], name: str, attribute: Attribute) -> None:
        """parts: the training part first. InputError: they do not belong together."""
        if len({part.images.shape[1:] for part in parts}) > 1:
            raise InputError(f"{name}: its parts have images of different sizes", hint=HINT)
        labels = np.concatenate([part.labels for part in parts]).astype(np.int64)
        if labels.max() >= len(attribute.values):
            message = f"{name} has the label {labels.max()}, its values are {len(attribute.values)}"
            raise InputError(message, hint=HINT)
        columns = [Column(attribute, labels), *read_measures(parts, attribute.name)]
        self.name, self.pixels = name, np.concatenate([part.images for part in parts])
        self.set_columns(columns, len(self.pixels))
        self.tested = len(parts[1].images) if len(parts) > 1 else 0
        self.image_shape = (1, *self.pixels.shape[1:])
        self.fingerprint = digest(self.pixels, self.values.numpy(), *self.measures)

    def __len__(self) -> int:
        return len(self.pixels)

    def images(self, rows: Rows) -> Tensor:
        """See `DataSet.images`."""
        return torch.from_numpy(self.pixels[np.asarray(rows)])[:, None].float() / 127.5 - 1

    def held_out(self) -> np.ndarray:
        """See `DataSet.held_out`."""
        return np.arange(len(self) - self.tested, len(self)) if self.tested else super().held_out()


def read_idx(path: Path) -> np.ndarray:
    """The array of bytes in an idx file, which may be gzipped. InputError: damaged, or of another type."""
    check_regular(path, HINT, LARGEST)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            _, kind, dims = struct.unpack(">HBB", file.read(4))
            shape = struct.unpack(f">{dims}I", file.read(4 * dims))
            if kind != UNSIGNED_BYTES or math.prod(shape) > LARGEST:
                raise ValueError(f"type {kind}, shape {shape}")
            content = file.read(math.prod(shape) + 1)
        return np.frombuffer(content, np.uint8).reshape(shape)
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise InputError(f"{path} is not a whole idx file of bytes: {error}", hint=HINT) from error


def read_measures(parts: Sequence[Part], label: str) -> list[Column]:
    """The measures in the tables of all parts, but one that is called as the label is."""
    names = [name for name in parts[0].columns if name not in (INDEX, label)]
    shared = [name for name in names if all(name in part.columns for part in parts)]
    found = [parse_measures(name, np.concatenate([part.columns[name] for part in parts])) for name in shared]
    return [column for column in found if column is not None]


def find_images(folder: Path) -> list[Path]:
    """Idx files of images in the folder; the training part first."""
    found = [path for path in folder.iterdir() if "-images-idx3-ubyte" in path.name or "-images.idx3-" in path.name]
    return sorted(found, key=lambda path: (not path.name.startswith("train"), path.name))


def read_part(path: Path) -> Part:
    """Images of PREFIX-images-idx3-ubyte, their labels from the file beside it, and the columns of PREFIX-NAME.csv.

    InputError: there are no labels, or labels or table are of another length.
    """
    labels = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    part = Part(read_idx(path), read_idx(labels))
    if part.images.ndim != 3 or part.labels.shape != part.images.shape[:1] or not part.images.size:
        message = f"{path.name} has the shape {part.images.shape}, {labels.name} {part.labels.shape}"
        raise InputError(message, hint=HINT)
    tables = sorted(path.parent.glob(f"{path.name.partition('-images')[0]}-*.csv"))
    if len(tables) != 1:
        return part
    sheet = read_table(tables[0])
    if len(sheet) != len(part.images):
        message = f"{tables[0].name} has {len(sheet)} lines, {path.name} {len(part.images)} images"
        raise InputError(message, hint="a table beside an idx file has a line for each image, in their order")
    return replace(part, columns={name: sheet.columns[name] for name in sheet.columns if name not in sheet.texts})


def load(path: Path, size: int | None = None) -> DataSet:
    """The idx files of a folder, or that of images at the path. InputError: there is none, or it is damaged."""
    files = find_images(path) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path} has no idx file of images", hint=HINT)
    parts = [read_part(file) for file in files[:2]]
    clothes = "fashion" in str(path.resolve())
    count = 1 + max(int(part.labels.max()) for part in parts)
    values = CLOTHES if clothes and count == len(CLOTHES) else tuple(str(i) for i in range(count))
    attribute = Attribute("kind" if clothes else "digit" if count == 10 else "label", values)
    return fit(Idx(parts, path.name, attribute), size)


def load_fashion(size: int | None = None) -> DataSet:
    """Fashion-MNIST as Debian installs it. InputError: it is not installed."""
    if not FASHION.is_dir():
        hint = "apt-get install dataset-fashion-mnist, or name the folder of its idx files"
        raise InputError(f"fashion-mnist is not in {FASHION}", hint=hint)
    return load(FASHION, size)
