"""Arrays of npz and HDF5 files, read row by row: no file is held in memory as a whole."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.lib import format as npy

from gmmedit.classifiers.table_files import KNOWN_FILTERS
from gmmedit.errors import InputError, writing
from gmmedit.runtime.regular_files import check_regular
from gmmedit.runtime.storage import publish

HELD = 1 << 28  # bytes of a compressed array that is held in memory; larger ones are unpacked beside the file
PIECE = 1 << 22  # bytes
HINT = "give an .npz or HDF5 file of arrays"


def open_arrays(path: Path) -> Mapping[str, Any]:
    """The arrays of a file by name; large ones stay on disk. InputError: it cannot be read, or is of another kind."""
    check_regular(path, HINT)
    with path.open("rb") as file:
        start = file.read(8)
    try:
        return open_hdf5(path) if start == b"\x89HDF\r\n\x1a\n" else open_npz(path)
    except InputError:
        raise
    except Exception as error:  # h5py, zipfile and NumPy may raise anything on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} cannot be read: {reason}", hint=HINT) from error


def open_hdf5(path: Path) -> dict[str, Any]:
    """The datasets of an HDF5 file that are stored in it, and compressed by what h5py has itself."""
    file = h5py.File(path, "r", locking=False)
    names = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
    return {name: file[name] for name in names if isinstance(file[name], h5py.Dataset) and is_plain(file[name])}


def is_plain(dataset: h5py.Dataset) -> bool:
    """Whether its numbers are in this file; an unknown filter would load a library."""
    filters = dataset.id.get_create_plist()
    known = all(filters.get_filter(place)[0] in KNOWN_FILTERS for place in range(filters.get_nfilters()))
    return known and not dataset.external and not dataset.is_virtual and dataset.dtype.kind in "biuf"


def open_npz(path: Path) -> dict[str, Any]:
    """The arrays of an npz file. Those of objects are left out: they are pickled."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename.endswith(".npy"):
                array = open_member(path, archive, member)
                if array is not None:
                    found[member.filename.removesuffix(".npy")] = array
    return found


def open_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray | None:
    """One array: in memory if it is small, else mapped from the disk; None: it is one of objects."""
    with archive.open(member) as stream:
        shape, _, dtype = read_header(stream)
        if dtype.hasobject:
            return None
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if size != member.file_size - stream.tell():
            raise ValueError(f"{member.filename} is not of the shape {shape}")
        if size <= HELD:
            return np.frombuffer(stream.read(), dtype).reshape(shape)
    return unpack(path, archive, member)


def read_header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran's order, and type of an npy stream. ValueError: Fortran's order, or a new version."""
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if fortran and len(shape) > 1:
        raise ValueError("an array in Fortran's order")
    return shape, fortran, dtype


def unpack(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """A large array, decompressed once into a file beside the archive and mapped from there. InputError: no place."""
    name = Path(member.filename).stem
    target = path.with_name(f"{path.name}.{name}-{member.CRC:08x}.npy")

    def build(draft: Path) -> None:
        crc = 0
        with archive.open(member) as source, draft.open("xb") as out:
            while piece := source.read(PIECE):
                crc = zlib.crc32(piece, crc)
                out.write(piece)
        if crc != member.CRC:
            raise ValueError(f"{member.filename} is damaged")

    if not target.exists():
        with writing(target):
            publish(target, build)
    return np.load(target, mmap_mode="r", allow_pickle=False)
