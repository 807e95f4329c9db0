"""Arrays of npz and HDF5 files, read row by row: no file is held in memory as a whole."""

import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.lib import format as npy

from gmmedit.classifiers.table_files import KNOWN_FILTERS
from gmmedit.errors import InputError, RunError, writing
from gmmedit.runtime.regular_files import check_regular
from gmmedit.runtime.storage import publish

HELD = 1 << 28  # bytes of a compressed array that is held in memory; larger ones are unpacked beside the file
PIECE = 1 << 22  # bytes
DENSEST = 1100  # bytes that gzip can make of one, and a little more
HINT = "give an .npz or HDF5 file of arrays"


def open_arrays(path: Path) -> Mapping[str, Any]:
    """The arrays of a file by name; large ones stay on disk. InputError: it cannot be read, or is of another kind."""
    check_regular(path, HINT)
    with path.open("rb") as file:
        start = file.read(8)
    with reading(path):
        return open_hdf5(path) if start == b"\x89HDF\r\n\x1a\n" else open_npz(path)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn any exception raised while a damaged file is read into an InputError; a lack of memory stays one."""
    try:
        yield
    except (InputError, RunError, MemoryError):
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
    plain = known and not dataset.external and not dataset.is_virtual and dataset.dtype.kind in "biuf"
    return plain and dataset.shape is not None


def check_stored(path: Path, name: str, array: Any) -> None:
    """InputError: a dataset of an HDF5 file says that it is larger than what is stored can be, or has huge pieces."""
    if not isinstance(array, h5py.Dataset):
        return
    stored, piece = array.id.get_storage_size(), math.prod(array.chunks or ()) * array.dtype.itemsize
    if array.nbytes > DENSEST * stored:
        message = f"{path}: {name} {array.shape} is {array.nbytes} bytes, of which only {stored} are stored"
        raise InputError(message, hint="write all of it, or correct its shape")
    if piece > HELD:
        message = f"{path}: {name} is stored in pieces of {piece} bytes, of which each is read as a whole"
        raise InputError(message, hint=f"write it in chunks of at most {HELD} bytes, e.g. one image each")


class Member:
    """An array of an npz file, read when numbers of it are asked for: into memory if it is small, else mapped."""

    def __init__(self, path: Path, info: zipfile.ZipInfo, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.path, self.info, self.shape, self.dtype, self.ndim = path, info, shape, dtype, len(shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        return self.array[rows]

    @cached_property
    def array(self) -> np.ndarray:
        """All of it. InputError: it is damaged, or there is no place for it."""
        with reading(self.path), zipfile.ZipFile(self.path) as archive:
            if math.prod(self.shape) * self.dtype.itemsize > HELD:
                return unpack(self.path, archive, self.info)
            with archive.open(self.info) as stream:
                read_header(stream)
                return np.frombuffer(stream.read(), self.dtype).reshape(self.shape)


def open_npz(path: Path) -> dict[str, Any]:
    """The arrays of an npz file. Those of objects are left out: they are pickled."""
    with zipfile.ZipFile(path) as archive:
        members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        found = {info.filename.removesuffix(".npy"): open_member(path, archive, info) for info in members}
    return {name: member for name, member in found.items() if member is not None}


def open_member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member | None:
    """One array; None: it is one of objects. ValueError: it has another size than its shape says."""
    with archive.open(info) as stream:
        shape, _, dtype = read_header(stream)
        if dtype.hasobject:
            return None
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != info.file_size - stream.tell():
            raise ValueError(f"{info.filename} is not of the shape {shape}")
    return Member(path, info, shape, dtype)


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
