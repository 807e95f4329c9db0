"""Write artifacts of rows in chunks, so that a kill at any instant loses at most the chunks that were being written.

A partial file gets its structure, complete and synced, before it gets its name. From then on only raw
bytes are written into it, rows before their chunk's done-mark, so that no instant leaves it unreadable.
"""

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gmmedit import __version__
from gmmedit.artifacts.checksums import CHECKSUMS, checksum_row, compare_checksums, read_checksums
from gmmedit.artifacts.file_structure import Arrays, build_rows, match_fields
from gmmedit.artifacts.header import (
    ROWS,
    Header,
    check_datasets,
    dataset_names,
    open_file,
    partial_path,
    read_header,
    read_marks,
)
from gmmedit.artifacts.kinds import DONE, Shape
from gmmedit.artifacts.resuming import check_same_settings, resuming
from gmmedit.artifacts.spec import RunSpec
from gmmedit.errors import InputError, RunError, writing
from gmmedit.runtime.storage import lock, publish, write_at

CHUNK = 256  # rows
# Without O_DSYNC Linux's NFS client may send whole pages, with stale copies of the bytes that other processes write.
SHARED_FLAGS = os.O_DSYNC


@dataclass(frozen=True)
class Place:
    """Where the bytes of a contiguous dataset begin in the file."""

    offset: int
    shape: Shape


class RowWriter:
    """A partial file that is being filled, by this process alone (`create_rows`) or by several (`join_rows`)."""

    def __init__(self, path: Path, handle: int, header: Header, places: Mapping[str, Place], fixed: Arrays) -> None:
        self.path = path
        self._chunks = header.chunks
        self._table = header.spec.table
        self._handle = handle
        self._places = places
        self._fixed = fixed

    def pending(self) -> list[tuple[int, int]]:
        """(start, stop) of every chunk that is not yet done, in order."""
        return [self._chunks.span(number) for number, mark in enumerate(self._marks()) if not mark]

    def write(self, start: int, stop: int, rows: Arrays) -> None:
        """Store every field of one chunk's rows and mark the chunk done; start and stop are those of `pending`.

        rows: field name -> array with stop - start rows along the axis of the kind's rows.
        ValueError or TypeError: no such chunk, or fields, shapes or dtypes other than the schema's.
        """
        number = start // self._chunks.size
        if (start, stop) != self._chunks.span(number) or not 0 <= start < self._chunks.total:
            raise ValueError(f"rows {start} to {stop} are not a chunk")
        arrays = match_fields(rows, self._row_shapes(stop - start), self._table)
        with writing(self.path):
            os.stat(partial_path(self.path))  # a removed file would accept every write and keep nothing
            for name, array in arrays.items():
                self._write_field(name, start, array)
            sums = checksum_row({**arrays, **self._fixed})
            write_at(self._handle, sums.view(np.uint8).data, self._places[CHECKSUMS].offset + number * sums.nbytes)
            os.fsync(self._handle)
            self._mark(number, True)

    def discard(self, numbers: Iterable[int]) -> None:
        """Make these chunks, given by number, pending again."""
        with writing(self.path):
            for number in numbers:
                self._mark(number, False)

    def finish(self) -> None:
        """Rename the partial file to its final name. RunError: chunks are missing."""
        missing = len(self.pending())
        if missing:
            raise RunError(f"{self.path} lacks {missing} of {len(self._marks())} chunks", hint="run it again")
        with writing(self.path):
            # A file resumed after its last chunk must still look newer than its inputs, or Make redoes it.
            os.utime(self._handle)
            os.fsync(self._handle)
            os.replace(partial_path(self.path), self.path)

    def _marks(self) -> bytes:
        """Opened anew: a network file system shows what other nodes have written to those who open a file after."""
        marks = self._places[DONE]
        with writing(self.path), partial_path(self.path).open("rb") as file:
            return os.pread(file.fileno(), marks.shape[0], marks.offset)

    def _mark(self, number: int, done: bool) -> None:
        write_at(self._handle, memoryview(bytes([done])), self._places[DONE].offset + number)

    def _row_shapes(self, count: int) -> dict[str, Shape]:
        axes = {name: self._table.row_axis(name) for name in self._places}
        rows = {name: (self._places[name].shape, axis) for name, axis in axes.items() if axis is not None}
        return {name: (*shape[:axis], count, *shape[axis + 1 :]) for name, (shape, axis) in rows.items()}

    def _write_field(self, name: str, start: int, array: np.ndarray) -> None:
        """Each index of the axes before the rows has its rows in one stretch of the file."""
        axis = self._table.row_axis(name) or 0
        row_bytes = array.itemsize * math.prod(array.shape[axis + 1 :])
        for number, stretch in enumerate(array.reshape(-1, *array.shape[axis:])):
            first_row = number * self._chunks.total + start
            data = stretch.reshape(-1).view(np.uint8).data
            write_at(self._handle, data, self._places[name].offset + first_row * row_bytes)


@contextmanager
def create_rows(
    path: str | Path,
    spec: RunSpec,
    constants: Arrays | None = None,
    chunk: int = CHUNK,
    restart: bool = False,
    attrs: Mapping[str, Any] | None = None,
    shared: bool = False,
    held: bool = False,
    force: bool = False,
) -> Iterator[RowWriter]:
    """Begin `path`, or resume its partial file if that has the same settings; its damaged chunks become pending.

    constants: the fields without rows (`alphas`). chunk: rows per done-mark, a constant of the stage and not the batch
    size. attrs: further facts to record, plain data that follow from the spec. restart: discard any partial file.
    force: discard one that cannot be resumed. shared: other processes will `join_rows`. held: the caller holds
    `lock(path)`. Leaving the context without `finish` keeps the partial file.

    InputError: the partial file has other settings or is damaged, or the folder cannot be written. RunError: the disk
    is full, or another process is writing the file.
    """
    path = Path(path)
    header, fixed = _plan_rows(spec, constants, chunk, attrs)
    partial = partial_path(path)
    with nullcontext() if held else lock(path):
        with writing(path):
            if restart or (force and not _is_resumable(partial, header, fixed)):
                partial.unlink(missing_ok=True)
            if not partial.exists():
                publish(partial, lambda draft: build_rows(draft, header, fixed))
            handle = os.open(partial, os.O_RDWR | os.O_NOFOLLOW | (SHARED_FLAGS if shared else 0))
        try:
            places, damaged = _examine(partial, header, fixed)
            writer = RowWriter(path, handle, header, places, fixed)
            writer.discard(damaged)
            yield writer
        finally:
            os.close(handle)


@contextmanager
def join_rows(
    path: str | Path,
    spec: RunSpec,
    constants: Arrays | None = None,
    chunk: int = CHUNK,
    attrs: Mapping[str, Any] | None = None,
) -> Iterator[RowWriter]:
    """Write into the partial file of a process that is in `create_rows(..., shared=True)` with the same arguments.

    That process says which chunks are pending, and it alone calls `finish`. Errors as in `create_rows`.
    """
    path = Path(path)
    header, fixed = _plan_rows(spec, constants, chunk, attrs)
    with writing(path):
        handle = os.open(partial_path(path), os.O_RDWR | os.O_NOFOLLOW | SHARED_FLAGS)
    try:
        places, _ = _examine(partial_path(path), header, fixed, contents=False)
        yield RowWriter(path, handle, header, places, fixed)
    finally:
        os.close(handle)


def _plan_rows(
    spec: RunSpec, constants: Arrays | None, chunk: int, attrs: Mapping[str, Any] | None
) -> tuple[Header, Arrays]:
    """The header of a partial file, and its fields without rows."""
    layout = {field.name: shape for field, shape in spec.table.layout(spec.all_sizes)}
    free = {name: shape for name, shape in layout.items() if spec.table.row_axis(name) is None}
    return Header(spec, ROWS, __version__, chunk, attrs or {}), match_fields(constants or {}, free, spec.table)


def _examine(partial: Path, header: Header, fixed: Arrays, contents: bool = True) -> tuple[dict[str, Place], set[int]]:
    """Check a partial file's structure and settings: the places of its datasets, and the numbers of damaged chunks.

    contents: whether the finished chunks are compared with their checksums.
    """
    with resuming(partial), open_file(partial) as file:
        there = read_header(file)
        check_same_settings(partial, there, header)
        check_datasets(file, there.spec)
        done = read_marks(file, there)
        for name, array in fixed.items():
            if not np.array_equal(file[name][()], array):
                raise InputError(f"{partial} was begun with another {name}: {file[name][()]}, now {array}")
        names = dataset_names(file)
        kept = read_checksums(file, names, there.chunks.count)
        places = {name: Place(file[name].id.get_offset(), file[name].shape) for name in [*names, DONE, CHECKSUMS]}
        compared = (done.astype(bool) & contents).tolist()
        return places, {damage.chunk for damage in compare_checksums(file, there.chunks, kept, compared)}


def _is_resumable(partial: Path, header: Header, fixed: Arrays) -> bool:
    """Whether there is an intact partial file with the same settings."""
    try:
        _examine(partial, header, fixed, contents=False)
    except InputError:
        return False
    return True
