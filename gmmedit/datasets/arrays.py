"""Images in one array: npz and HDF5 files, those of dSprites, Shapes3D and MPI3D by their published names."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gmmedit.classifiers.attributes import Attribute
from gmmedit.classifiers.table_files import check_count
from gmmedit.datasets.array_files import HELD, check_stored, open_arrays, reading
from gmmedit.datasets.base import Changes, DataSet, Rows
from gmmedit.datasets.checks import change_labels, digest
from gmmedit.datasets.resized import fit
from gmmedit.datasets.table_columns import Column, parse_measures, parse_numbers
from gmmedit.datasets.with_columns import ColumnDataSet
from gmmedit.errors import InputError

IMAGES = ("images", "imgs", "x", "X", "data", "x_train")
HINT = "store images (n, H, W) or (n, H, W, C) as uint8 `images`, and a label (n,) for each attribute"
PROBED = 64  # images in the fingerprint, fewer of very large ones
LARGEST_IMAGE = 1 << 26  # bytes: 4,096 x 4,096 in colour, and more


@dataclass(frozen=True)
class Grid:
    """A published data set: all combinations of its factors' values, the last one fastest."""

    name: str
    factors: Mapping[str, tuple[str, ...]]

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many values each factor has."""
        return tuple(len(values) for values in self.factors.values())


def count(n: int) -> tuple[str, ...]:
    """The names "0" to n - 1."""
    return tuple(str(i) for i in range(n))


MPI3D = {
    "object_color": ("white", "green", "red", "blue", "brown", "olive"),
    "object_shape": ("cone", "cube", "cylinder", "hexagonal", "pyramid", "sphere"), "object_size": ("small", "large"),
    "camera_height": ("top", "center", "bottom"), "background_color": ("purple", "sea green", "salmon"),
    "horizontal_axis": count(40), "vertical_axis": count(40),
}  # fmt: skip
COMPLEX = MPI3D | {
    "object_color": ("yellow", "green", "olive", "red"), "object_shape": ("coffee-cup", "tennis-ball", "croissant",
    "beer-cup"),
}  # fmt: skip
GRIDS = (
    Grid("dsprites", {"color": ("white",), "shape": ("square", "ellipse", "heart"), "scale": count(6),
                      "orientation": count(40), "x": count(32), "y": count(32)}),
    Grid("shapes3d", {"floor_hue": count(10), "wall_hue": count(10), "object_hue": count(10), "scale": count(8),
                      "shape": ("cube", "cylinder", "sphere", "capsule"), "orientation": count(15)}),
    Grid("mpi3d", MPI3D), Grid("mpi3d-complex", COMPLEX),
)  # fmt: skip
KEYS = {"dsprites": ("imgs", "latents_values"), "shapes3d": ("images", "labels"), "mpi3d": ("images",),
        "mpi3d-complex": ("images",)}  # fmt: skip


class Arrays(ColumnDataSet):
    """Images of an array (n, H, W) or (n, H, W, C) that may be on disk, uint8; columns are its labels."""

    def __init__(self, images: Any, columns: list[Column], name: str, scale: float = 255) -> None:
        """images: anything of `shape` from which sorted rows can be taken. scale: the number that is white."""
        self.pixels, self.name, self.scale = images, name, scale
        height, width, channels = (*images.shape[1:], 1)[:3]
        self.image_shape = (channels, height, width)
        self.set_columns(columns, len(images))
        probes = min(PROBED, HELD // math.prod(images.shape[1:]))
        probed = np.unique(np.linspace(0, len(images) - 1, probes).astype(int))
        stored = np.asarray(images[probed])
        self.fingerprint = digest(name, images.shape, self.values.numpy(), stored, *self.measures)

    def __len__(self) -> int:
        return len(self.pixels)

    def images(self, rows: Rows) -> Tensor:
        """See `DataSet.images`."""
        ordered, back = np.unique(np.asarray(rows), return_inverse=True)  # HDF5 takes ascending rows only
        pixels = torch.from_numpy(np.asarray(self.pixels[ordered])[back])
        pixels = pixels[..., None] if pixels.ndim == 3 else pixels
        return pixels.permute(0, 3, 1, 2).float() / (self.scale / 2) - 1


class GridArrays(Arrays):
    """Images of all combinations of known factors, so that every counterfactual is one of them."""

    def __init__(self, images: Any, grid: Grid, scale: float) -> None:
        """InputError: the array has another number of images than the grid."""
        if len(images) != math.prod(grid.sizes):
            message = f"{grid.name} has {math.prod(grid.sizes)} images, this file {len(images)}"
            raise InputError(message, hint="download it again")
        self.sizes = grid.sizes
        places = np.stack(np.unravel_index(np.arange(len(images)), grid.sizes), axis=1)
        named = [(Attribute(name, values), places[:, i]) for i, (name, values) in enumerate(grid.factors.items())]
        columns = [Column(attribute, values) for attribute, values in named if len(attribute.values) > 1]
        super().__init__(images, columns, grid.name, scale)
        self.factors = tuple(attribute.name for attribute in self.attributes)

    def true_factors(self, rows: Rows) -> Tensor:
        """See `DataSet.true_factors`: the indices of the values."""
        return self.labels(rows).float()

    def counterfactual(self, rows: Rows, changes: Changes) -> Tensor:
        """See `DataSet.counterfactual`."""
        labels, _ = change_labels(self, rows, changes)
        sizes = [size for size in self.sizes if size > 1]
        return self.images(np.ravel_multi_index(tuple(labels.T.numpy()), sizes))


def load(path: Path, size: int | None = None) -> DataSet:
    """The images of an npz or HDF5 file. InputError: it has none, or is damaged."""
    arrays = open_arrays(path)
    with reading(path):
        return fit(choose_images(path, arrays), size)


def choose_images(path: Path, arrays: Mapping[str, Any]) -> Arrays:
    """The images among the arrays, with their labels. InputError: there are none, or they cannot be read."""
    for grid in GRIDS:
        keys = KEYS[grid.name]
        if all(key in arrays for key in keys) and arrays[keys[0]].shape[:1] == (math.prod(grid.sizes),):
            check_images(path, keys[0], arrays[keys[0]])
            return GridArrays(arrays[keys[0]], grid, 1 if grid.name == "dsprites" else 255)
    key = next((key for key in IMAGES if key in arrays), None)
    if key is None:
        raise InputError(f"{path} has no array of images, but {', '.join(arrays) or 'nothing'}", hint=HINT)
    images = arrays[key]
    check_images(path, key, images)
    labels = {
        name: array
        for name, array in arrays.items()
        if name != key and array.shape == (len(images),) and array.dtype.kind in "biuf"
    }
    check_count(path, len(images) * max(1, len(labels)))
    for name, array in labels.items():
        check_stored(path, name, array)
    numbers = {name: np.asarray(array[:], dtype=np.float64) for name, array in labels.items()}
    found = [parse_numbers(name, array) or parse_measures(name, array) for name, array in numbers.items()]
    return Arrays(images, [column for column in found if column is not None], path.stem)


def check_images(path: Path, key: str, images: Any) -> None:
    """InputError: an array is not one of images in bytes, or of images that are too large."""
    plain = images.dtype == np.uint8 and images.ndim in (3, 4) and min(images.shape) > 0
    if not plain or (*images.shape, 1)[3] not in (1, 3):
        raise InputError(f"{path}: {key} is {images.dtype} {images.shape}, not images in bytes", hint=HINT)
    if math.prod(images.shape[1:]) > LARGEST_IMAGE:
        height, width = images.shape[1:3]
        message = f"{path}: {key} holds images of {width} x {height} pixels, too large to train on"
        raise InputError(message, hint="shrink them to 256 x 256 pixels or fewer")
    check_stored(path, key, images)
