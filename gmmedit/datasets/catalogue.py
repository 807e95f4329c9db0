"""Data sets by name, by folder or by file."""

from pathlib import Path

import h5py

from gmmedit.datasets.base import DataSet
from gmmedit.datasets.typefaces import SUFFIXES as TYPEFACES
from gmmedit.errors import InputError, nearest
from gmmedit.runtime.registry import Registry

REGISTRY = Registry(
    "data set",
    {
        "avatars": "gmmedit.datasets.avatars.dataset:load_causal",
        "avatars-independent": "gmmedit.datasets.avatars.dataset:load_independent",
        "shapes": "gmmedit.datasets.shapes:load",
        "glyphs": "gmmedit.datasets.glyphs:load",
        "glyphs-coloured": "gmmedit.datasets.glyphs:load_coloured",
        "fashion-mnist": "gmmedit.datasets.idx:load_fashion",
    },
    "gmmedit.datasets",
)
"""Names of functions of a size (None: the data set's own) that return a `DataSet`."""


def load(name_or_path: str, size: int | None = None) -> DataSet:
    """The data set of that name, folder or file, with square images of `size` pixels if it is given.

    A folder holds images and perhaps a table, idx files, or typefaces; a file is a table beside its images, an idx file
    of images, npz or HDF5. InputError: an unknown name, or nothing that can be used.
    """
    path = Path(name_or_path).expanduser()
    if name_or_path in REGISTRY.targets():
        data = REGISTRY.load(name_or_path)(size)
        if not isinstance(data, DataSet):
            raise InputError(f"{name_or_path} is not a data set", hint="its function must return a DataSet")
        return data
    if path.is_dir():
        return load_folder(path, size)
    if not path.exists():
        hint = nearest(name_or_path, REGISTRY.targets())
        raise InputError(f"there is no data set called {name_or_path!r}, nor a file", hint=f"{hint}, or give a folder")
    return load_file(path, size)


def load_folder(path: Path, size: int | None) -> DataSet:
    """A folder of idx files, typefaces, or images, whichever is found first. InputError: as `load`."""
    from gmmedit.datasets import folder, glyphs, idx

    if idx.find_images(path):
        return idx.load(path, size)
    if any(file.suffix.lower() in TYPEFACES and file.is_file() for file in path.rglob("*")):
        return glyphs.load(size, path)
    return folder.load(path, size)


def load_file(path: Path, size: int | None) -> DataSet:
    """A file of arrays, of images in the idx format, or a table of labels. InputError: as `load`."""
    from gmmedit.datasets import arrays, folder, idx

    if "-ubyte" in path.name:
        return idx.load(path, size)
    if path.suffix == ".npz" or h5py.is_hdf5(path):
        return arrays.load(path, size)
    if path.suffix in (".csv", ".txt"):
        return folder.load(path, size)
    raise InputError(f"{path} is not a data set", hint="give a folder of images, a table, .npz, HDF5 or idx files")
