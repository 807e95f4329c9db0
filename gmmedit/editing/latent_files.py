"""Arrays of files (.npy, .npz, torch.save), read as data; their sizes are looked at before anything is unpacked."""

import math
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib import format as npy

from gmmedit.errors import InputError
from gmmedit.generators.formats.detect import container_of
from gmmedit.networks.lazy_tensors import LazyTensor
from gmmedit.networks.unpickling import read_pickle, read_torch
from gmmedit.runtime.regular_files import check_regular

LARGEST = 1 << 28  # bytes of an array: W+ of 7,000 images of the largest StyleGAN2
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # how a zip begins, and an empty one

Arrays = dict[str, Callable[[], np.ndarray]]


def list_arrays(path: Path, hint: str) -> Arrays:
    """Names of the arrays in a file and, for each, the function that reads it. What the file is, its content tells.

    A file of one array without a name (.npy, a lone tensor) names it by its own name: `w.npy` holds `w`. Nested
    dictionaries give `outer/inner`. InputError, also when an array is read: no such file, of another kind, damaged,
    not of numbers, or larger than LARGEST.
    """
    check_regular(path, hint)
    with path.open("rb") as stream:
        head = stream.read(len(npy.MAGIC_PREFIX))
    if head == npy.MAGIC_PREFIX:
        return {path.stem: partial(read_npy, path, hint)}
    if head.startswith(ZIP):
        with explained(path, "npz", hint), zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if not any(name.endswith("data.pkl") for name in names):
            return {name.removesuffix(".npy"): partial(read_npz, path, name, hint) for name in names}
    with explained(path, "latents", hint):
        kind = "torch" if head.startswith(ZIP) else container_of(path)
        if kind not in ("torch", "pickle"):
            raise InputError(f"{path} is neither npy nor npz nor what torch.save wrote")
        found = tensors_in(read_torch(path) if kind == "torch" else read_pickle(path), path.stem, set())
        return {name: partial(read_tensor, path, tensor, hint) for name, tensor in found}


@contextmanager
def explained(path: Path, kind: str, hint: str) -> Iterator[None]:
    """Whatever reading a damaged file can raise, as an InputError of one line."""
    try:
        yield
    except InputError as error:
        raise InputError(error.message, hint=hint) from error
    except Exception as error:  # numpy and zipfile raise whatever the damage leads to
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} cannot be read as {kind}: {reason}", hint=hint) from error


def tensors_in(content: object, name: str, seen: set[int]) -> Iterator[tuple[str, LazyTensor]]:
    """The tensors and arrays in nested dictionaries, by name. A dictionary that is there twice has its first name."""
    if isinstance(content, LazyTensor):
        yield name, content
    elif isinstance(content, dict) and id(content) not in seen:
        outer = f"{name}/" if seen else ""
        seen.add(id(content))
        for key, value in content.items():
            yield from tensors_in(value, f"{outer}{key}", seen)


def read_npy(path: Path, hint: str) -> np.ndarray:
    with explained(path, "npy", hint), path.open("rb") as stream:
        check_size(stream, path.stat().st_size, path)
        stream.seek(0)
        return npy.read_array(stream, allow_pickle=False)


def read_npz(path: Path, name: str, hint: str) -> np.ndarray:
    with explained(path, "npz", hint), zipfile.ZipFile(path) as archive:
        with archive.open(name) as member:
            check_size(member, archive.getinfo(name).file_size, path)
        with archive.open(name) as member:
            return npy.read_array(member, allow_pickle=False)


def read_tensor(path: Path, tensor: LazyTensor, hint: str) -> np.ndarray:
    with explained(path, "latents", hint):
        check_bytes(4 * tensor.numel, path)
        found = tensor.read()
        return (found.float() if found.dtype == torch.bfloat16 else found).numpy()


def check_size(member: Any, stored: int, path: Path) -> None:
    """InputError: the array is larger than LARGEST. ValueError: objects, or not as many numbers as it says."""
    shape, _, dtype = HEADERS[npy.read_magic(member)](member)
    if dtype.hasobject:
        raise ValueError("it holds objects instead of numbers")
    size = math.prod(shape) * dtype.itemsize
    check_bytes(max(size, stored // 2), path)
    if size + member.tell() != stored:
        raise ValueError(f"it says that it has {size} bytes, and has others")


def check_bytes(size: int, path: Path) -> None:
    if size > LARGEST:
        raise InputError(f"{path} holds {size} bytes, {LARGEST} are read at most")
