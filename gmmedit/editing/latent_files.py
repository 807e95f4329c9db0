"""Arrays in files: .npy, .npz and torch.save are read as data; sizes are checked before anything is decompressed."""

import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib import format as npy

from gmmedit import artifacts
from gmmedit.errors import InputError
from gmmedit.generators.formats.detect import container_of
from gmmedit.networks.lazy_tensors import LazyTensor
from gmmedit.networks.pickle_values import join_names
from gmmedit.networks.unpickling import read_pickle, read_torch
from gmmedit.runtime.regular_files import check_regular

LARGEST = 1 << 28  # bytes of an array: W+ of 7,000 images of the largest StyleGAN2
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
HDF5 = b"\x89HDF\r\n\x1a\n"
ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # first bytes of a zip, and of an empty one

Arrays = dict[str, Callable[[], np.ndarray]]


def list_arrays(path: Path, hint: str) -> Arrays:
    """Names of the arrays in a file and, for each, a function that reads it. The format is detected from the content.

    An array without a name (.npy, a single tensor) is named after the file: `w.npy` holds `w`. Nested dictionaries
    give `outer/inner`. InputError, also when an array is read: the file is missing, of another format, damaged, not
    numeric, or an array is larger than LARGEST bytes.
    """
    check_regular(path, hint)
    with path.open("rb") as stream:
        head = stream.read(len(HDF5))
    if head == HDF5:
        return list_inversions(path)
    if head.startswith(npy.MAGIC_PREFIX):
        return {path.stem: partial(read_npy, path, hint)}
    if head.startswith(ZIP):
        with reading(path, "npz", hint), zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if not any(name.endswith("data.pkl") for name in names):
            return {name.removesuffix(".npy"): partial(read_npz, path, name, hint) for name in names}
    with reading(path, "latents", hint):
        kind = "torch" if head.startswith(ZIP) else container_of(path)
        if kind not in ("torch", "pickle"):
            raise InputError(f"{path} is not an npy, npz or torch.save file")
        found = find_tensors(read_torch(path) if kind == "torch" else read_pickle(path), path.stem, set())
        return {name: partial(read_tensor, path, tensor, hint) for name, tensor in found}


def list_inversions(path: Path) -> Arrays:
    """The latents of an inversions.h5 under the name of their space, `z` or `w+`. InputError: of another kind."""
    with artifacts.open(path, "inversions") as found:
        latents, flat = found["latents"], found.spec.config["space"] == "z"
    return {"z": lambda: latents[:, 0]} if flat else {"w+": lambda: latents}


@contextmanager
def reading(path: Path, kind: str, hint: str) -> Iterator[None]:
    """Turn any exception raised while a damaged file is read into an InputError with the hint."""
    try:
        yield
    except InputError as error:
        raise InputError(error.message, hint=hint) from error
    except Exception as error:  # numpy and zipfile raise many kinds for damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} cannot be read as {kind}: {reason}", hint=hint) from error


def find_tensors(content: object, name: str, visited: set[int]) -> Iterator[tuple[str, LazyTensor]]:
    """Names and tensors in nested dictionaries. A dictionary that occurs twice is listed once, under its first name.

    Refused: a joined name is too long.
    """
    if isinstance(content, LazyTensor):
        yield name, content
    elif isinstance(content, dict) and id(content) not in visited:
        outer, mark = (name, "/") if visited else ("", "")
        visited.add(id(content))
        for key, value in content.items():
            yield from find_tensors(value, join_names(outer, mark, key), visited)


def read_npy(path: Path, hint: str) -> np.ndarray:
    """The array of a .npy file. InputError: damaged, not numeric, or too large."""
    with reading(path, "npy", hint), path.open("rb") as stream:
        check_size(stream, path.stat().st_size, path)
        stream.seek(0)
        return npy.read_array(stream, allow_pickle=False)


def read_npz(path: Path, name: str, hint: str) -> np.ndarray:
    """The array of one member of a .npz file. InputError: damaged, not numeric, or too large."""
    with reading(path, "npz", hint), zipfile.ZipFile(path) as archive:
        with archive.open(name) as member:
            check_size(member, archive.getinfo(name).file_size, path)
        with archive.open(name) as member:
            return npy.read_array(member, allow_pickle=False)


def read_tensor(path: Path, tensor: LazyTensor, hint: str) -> np.ndarray:
    """A tensor of a torch.save file as an array, bfloat16 as float32. InputError: damaged or too large."""
    with reading(path, "latents", hint):
        check_bytes(4 * tensor.numel, path)
        found = tensor.read()
        return (found.float() if found.dtype == torch.bfloat16 else found).numpy()


def check_size(member: Any, stored: int, path: Path) -> None:
    """Check the npy header of a member of `stored` bytes.

    InputError: the array is larger than LARGEST. ValueError: it holds objects, or its size differs from the header's.
    """
    shape, _, dtype = HEADERS[npy.read_magic(member)](member)
    if dtype.hasobject:
        raise ValueError("it holds objects instead of numbers")
    size = math.prod(shape) * dtype.itemsize
    check_bytes(max(size, stored // 2), path)
    if size + member.tell() != stored:
        raise ValueError(f"its header declares {size} bytes, it holds {stored - member.tell()}")


def check_bytes(size: int, path: Path) -> None:
    """InputError: more than LARGEST bytes."""
    if size > LARGEST:
        raise InputError(f"{path} holds an array of {size} bytes, the limit is {LARGEST}")


def save_to_bytes(save: Callable[[BytesIO], None]) -> bytes:
    """What `save` writes into a file."""
    buffer = BytesIO()
    save(buffer)
    return buffer.getvalue()


def to_npy(array: np.ndarray) -> bytes:
    """The array as a .npy file."""
    return save_to_bytes(lambda buffer: np.save(buffer, np.ascontiguousarray(array)))


def to_npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The arrays as a .npz file. numpy.savez refuses an array called `file` and stores the time."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), to_npy(array))
    return buffer.getvalue()
