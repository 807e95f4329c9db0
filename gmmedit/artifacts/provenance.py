"""Fingerprints of files and tensors, and what an artifact records of a network."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

BLOCK = 1 << 20  # bytes


def file_fingerprint(path: str | Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def descriptor_fingerprint(handle: int) -> str:
    """`file_fingerprint` of an open file, also when another has taken its path since it was opened."""
    digest, offset = hashlib.sha256(), 0
    while block := os.pread(handle, BLOCK, offset):
        digest.update(block)
        offset += len(block)
    return digest.hexdigest()


def tensors_fingerprint(tensors: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over name, dtype, shape and little-endian bytes of each array, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = np.asarray(tensors[name])
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()


def network_source(text: str) -> str:
    """What an artifact records of `--gan` and `--classifier` to find the network again: a name, or a file's path.

    Every spelling of a path gives the same text, so that an unchanged stage does not run again. Below the working
    directory the path is relative: a project that is copied to another machine can be resumed there.
    """
    if not Path(text).is_file():
        return text
    relative = os.path.relpath(text)
    return os.path.abspath(text) if relative.startswith(os.pardir) else relative


def network_record(name: str, fingerprint: str) -> dict[str, str]:
    """What an artifact records to identify a network: a file's name without its folder, and the fingerprint."""
    return {"name": Path(name).name, "fingerprint": fingerprint}
