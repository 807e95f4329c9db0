"""CRC-32 of every chunk of every dataset, beside the data in the dataset `checksums`.

The columns are the datasets in the order of their names, the rows the chunks. A dataset without rows has its one
checksum in every chunk, and a file that is written whole has one chunk. CRC-32 finds every error of up to 32
neighbouring bits. It does not protect against deliberate changes; fingerprints do.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import h5py
import numpy as np

from gmmedit.artifacts.kinds import Kind

CHECKSUMS = "checksums"
STORED = np.dtype("<u4")


@dataclass(frozen=True)
class Damage:
    """A chunk of a dataset whose bytes are not those that were written: rows start to stop, None without rows."""

    chunk: int
    name: str
    start: int
    stop: int | None

    def __str__(self) -> str:
        return f"/{self.name}" if self.stop is None else f"rows {self.start} to {self.stop} of /{self.name}"


@dataclass(frozen=True)
class Chunks:
    """How a file is divided: `size` rows each, `total` rows in all; a size of 0 is one chunk of everything."""

    table: Kind
    size: int
    total: int

    @property
    def count(self) -> int:
        """The number of chunks, at least 1 for a file without rows."""
        return -(-self.total // self.size) if self.size else 1

    def span(self, number: int) -> tuple[int, int]:
        """The rows (start, stop) of a chunk."""
        return number * self.size, min((number + 1) * self.size, self.total)

    def row_index(self, name: str, start: int, stop: int) -> tuple[slice, ...] | None:
        """The index that selects rows start to stop of a dataset; None: it has no rows."""
        axis = self.table.row_axis(name) if self.size else None
        return None if axis is None else (slice(None),) * axis + (slice(start, stop),)


def checksum(array: np.ndarray) -> int:
    """CRC-32 of an array's bytes in C order."""
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def checksum_row(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """One chunk's row of the dataset `checksums`: u4 (datasets,), in the order of their names."""
    return np.array([checksum(arrays[name]) for name in sorted(arrays)], STORED)


def read_checksums(file: h5py.File, names: Sequence[str], chunks: int) -> dict[str, np.ndarray]:
    """Dataset name -> its checksum in each chunk, (chunks,). ValueError: they are missing or of another shape."""
    if CHECKSUMS not in file:
        raise ValueError(f"/{CHECKSUMS} is missing")
    kept = file[CHECKSUMS]
    if kept.shape != (chunks, len(names)) or kept.dtype != STORED:
        raise ValueError(f"/{CHECKSUMS} has shape {kept.shape}, ({chunks}, {len(names)}) was expected")
    return dict(zip(sorted(names), kept[()].T, strict=True))


def compare_checksums(
    file: h5py.File, chunks: Chunks, kept: Mapping[str, np.ndarray], done: Sequence[bool]
) -> Iterator[Damage]:
    """The damage in the chunks that are done, found one after the other: one chunk at a time is in memory."""
    for number in range(chunks.count):
        start, stop = chunks.span(number)
        for name, sums in kept.items() if done[number] else ():
            where = chunks.row_index(name, start, stop)
            if where is None and number > 0 and sums[number] == sums[0]:
                continue
            if checksum(file[name][where or ()]) != sums[number]:
                yield Damage(number, name, start, None if where is None else stop)
