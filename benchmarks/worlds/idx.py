"""Idx files, the format of MNIST and Fashion-MNIST."""

import gzip
import math
import struct
from pathlib import Path

import numpy as np


def read_idx(path: Path) -> np.ndarray:
    """The array of bytes in an idx file, which may be gzipped. ValueError: another type, or another length."""
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    kind, dims = content[2], content[3]
    shape = struct.unpack_from(f">{dims}I", content, 4)
    start = 4 + 4 * dims
    if kind != 8 or len(content) - start != math.prod(shape):
        raise ValueError(f"{path} is not an idx file of bytes of shape {shape}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
