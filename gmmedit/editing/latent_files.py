"""One array of an npz file, whose sizes are looked at before anything is unpacked."""

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from gmmedit.errors import InputError
from gmmedit.runtime.regular_files import check_regular

LARGEST = 1 << 28  # bytes of an array: W+ of 7,000 images of the largest StyleGAN2
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_array(path: Path, key: str, hint: str) -> np.ndarray:
    """The array of that name. InputError: no such file or key, damaged, not of numbers, or larger than LARGEST."""
    check_regular(path, hint)
    try:
        with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if key not in entries:
                message = f"{path} has no {key!r}, it holds {', '.join(entries) or 'nothing'}"
                raise InputError(message, hint=hint)
            check_size(archive, entries[key], path, hint)
            with archive.open(entries[key]) as member:
                return npy.read_array(member, allow_pickle=False)
    except InputError:
        raise
    except Exception as error:  # numpy and zipfile raise whatever the damage leads to
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} cannot be read as npz: {reason}", hint=hint) from error


def check_size(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, hint: str) -> None:
    """InputError: the array is larger than LARGEST. ValueError: its numbers are not as many as it says."""
    with archive.open(entry) as member:
        shape, _, dtype = header_of(member)
        size = math.prod(shape) * dtype.itemsize
        if size > LARGEST or entry.file_size > 2 * LARGEST:
            raise InputError(f"{path} holds {max(size, entry.file_size)} bytes, {LARGEST} are read at most", hint=hint)
        if size + member.tell() != entry.file_size:
            raise ValueError(f"{entry.filename} says that it has {size} bytes, and has others")


def header_of(member: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and dtype. ValueError: an unknown version, objects instead of numbers."""
    found = HEADERS[npy.read_magic(member)](member)
    if found[2].hasobject:
        raise ValueError("it holds objects instead of numbers")
    return found
