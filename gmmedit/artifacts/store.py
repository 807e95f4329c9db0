"""Write artifacts: rows in chunks that survive a kill at any instant, or whole files and checkpoints.

A partial file of rows gets its structure, complete and synced, before it gets its name. From then on only raw
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
from gmmedit.artifacts.building import Arrays, build_rows, cast, matched, whole_file
from gmmedit.artifacts.checksums import CHECKSUMS, checksums, damages, read_checksums
from gmmedit.artifacts.header import (
    CHECKPOINT,
    ROWS,
    WHOLE,
    Header,
    check_datasets,
    dataset_names,
    explained,
    open_file,
    partial_path,
    read_header,
    read_marks,
)
from gmmedit.artifacts.reading import summary
from gmmedit.artifacts.schema import DONE, Shape
from gmmedit.artifacts.spec import RunSpec, differences
from gmmedit.errors import InputError, RunError, writing
from gmmedit.runtime.storage import lock, publish, write_at, write_file

CHUNK = 256
RESTART = "--restart discards it and begins anew"
# Linux's NFS client sends whole pages where it may, with what it last knew of the bytes that others write; not so here.
TOGETHER = os.O_DSYNC


@dataclass(frozen=True)
class Place:
    """Where the bytes of a contiguous dataset begin in the file."""

    offset: int
    shape: Shape


class RowWriter:
    """A partial file that is being filled: by this process alone (`create_rows`), or with others (`join_rows`)."""

    def __init__(self, path: Path, handle: int, header: Header, places: Mapping[str, Place], fixed: Arrays) -> None:
        self.path = path
        self._cut = header.cut
        self._table = header.spec.table
        self._handle = handle
        self._places = places
        self._fixed = fixed

    def pending(self) -> list[tuple[int, int]]:
        """(start, stop) of every chunk that is not yet done, in order."""
        return [self._cut.span(number) for number, mark in enumerate(self._marks()) if not mark]

    def write(self, start: int, stop: int, rows: Arrays) -> None:
        """Store every field of one chunk's rows, as `pending` gave it, and mark it done.

        rows: field name -> array with stop - start rows along the axis of the kind's rows.
        ValueError or TypeError: no such chunk, or fields, shapes or dtypes other than the schema's.
        """
        number = start // self._cut.size
        if (start, stop) != self._cut.span(number) or not 0 <= start < self._cut.total:
            raise ValueError(f"rows {start} to {stop} are not a chunk")
        arrays = matched(rows, self._row_shapes(stop - start), self._table)
        with writing(self.path):
            os.stat(partial_path(self.path))  # a file that was removed would take everything and keep nothing
            for name, array in arrays.items():
                self._write_field(name, start, array)
            sums = checksums({**arrays, **self._fixed})
            write_at(self._handle, sums.view(np.uint8).data, self._places[CHECKSUMS].offset + number * sums.nbytes)
            os.fsync(self._handle)
            self._mark(number, True)

    def discard(self, numbers: Iterable[int]) -> None:
        """Make these chunks pending again: what they hold is damaged."""
        with writing(self.path):
            for number in numbers:
                self._mark(number, False)

    def finish(self) -> None:
        """Give the file its name. RunError: chunks are missing."""
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
            first_row = number * self._cut.total + start
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
    """Begin `path`, or continue its partial file where that was begun for the same settings; damaged chunks of it
    are made again.

    constants: the fields without rows (`alphas`). chunk: rows per done-mark, a constant of the stage and not
    the batch size. attrs: further facts to keep, plain data, that follow from the spec. shared: others will
    `join_rows`. held: the caller is in `lock(path)` already, and stays there. force: a partial file that cannot be
    continued is discarded, as `restart` discards any. Leaving the context without `finish` keeps the partial file.
    InputError: the partial file belongs to other settings or is damaged, or the folder cannot be written. RunError:
    full disk, or another process is writing it.
    """
    path = Path(path)
    header, fixed = _planned(spec, constants, chunk, attrs)
    partial = partial_path(path)
    with nullcontext() if held else lock(path):
        with writing(path):
            if restart or (force and not _continues(partial, header, fixed)):
                partial.unlink(missing_ok=True)
            if not partial.exists():
                publish(partial, lambda draft: build_rows(draft, header, fixed))
            handle = os.open(partial, os.O_RDWR | (TOGETHER if shared else 0))
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
    """Help to fill the partial file of a process that is in `create_rows(..., shared=True)` with the same arguments.

    Whoever writes must know from that process which chunks are pending, and that process alone calls `finish`.
    Errors as in `create_rows`.
    """
    path = Path(path)
    header, fixed = _planned(spec, constants, chunk, attrs)
    with writing(path):
        handle = os.open(partial_path(path), os.O_RDWR | TOGETHER)
    try:
        places, _ = _examine(partial_path(path), header, fixed, contents=False)
        yield RowWriter(path, handle, header, places, fixed)
    finally:
        os.close(handle)


def _planned(
    spec: RunSpec, constants: Arrays | None, chunk: int, attrs: Mapping[str, Any] | None
) -> tuple[Header, Arrays]:
    """What a partial file says of itself, and its fields without rows."""
    layout = {field.name: shape for field, shape in spec.table.layout(spec.all_sizes)}
    free = {name: shape for name, shape in layout.items() if spec.table.row_axis(name) is None}
    return Header(spec, ROWS, __version__, chunk, attrs or {}), matched(constants or {}, free, spec.table)


def write_whole(path: str | Path, spec: RunSpec, arrays: Arrays, attrs: Mapping[str, Any] | None = None) -> None:
    """Write a finished artifact in one go; its checkpoint, if there is one, goes.

    arrays: dataset names as in the kind's table -> arrays. attrs: further facts to keep, plain data.
    ValueError or TypeError: names, shapes or dtypes other than the schema's. InputError and RunError as in
    `create_rows`.
    """
    path = Path(path)
    table = spec.table
    stored = {name: cast(table.field(name), name, array) for name, array in arrays.items()}
    table.check({name: (array.shape, array.dtype) for name, array in stored.items()}, spec.all_sizes)
    _write_partial(path, Header(spec, WHOLE, __version__, 0, attrs or {}), stored)
    with writing(path):
        os.replace(partial_path(path), path)


def save_checkpoint(path: str | Path, spec: RunSpec, arrays: Arrays) -> None:
    """Replace the checkpoint of the unfinished `path`. arrays: all that the stage continues from."""
    _write_partial(Path(path), Header(spec, CHECKPOINT, __version__, 0, {}), arrays)


def load_checkpoint(
    path: str | Path, spec: RunSpec, restart: bool = False, force: bool = False
) -> dict[str, np.ndarray] | None:
    """The arrays last saved for the unfinished `path`; None: there are none, or `restart` discarded them, or `force`
    because they cannot be continued.

    The stage holds `lock(path)` from here on until it has written the whole.

    InputError: the checkpoint belongs to other settings or is damaged.
    """
    partial = partial_path(Path(path))
    with writing(Path(path)):
        if restart:
            partial.unlink(missing_ok=True)
    if not partial.exists():
        return None
    try:
        return _saved(partial, spec)
    except InputError:
        if not force:
            raise
    with writing(Path(path)):
        partial.unlink(missing_ok=True)
    return None


def _saved(partial: Path, spec: RunSpec) -> dict[str, np.ndarray] | None:
    with _resuming(partial), open_file(partial) as file:
        header = read_header(file)
        _check_same_question(partial, header, Header(spec, CHECKPOINT, __version__, 0, {}))
        if header.form == WHOLE:  # stopped between its last two steps
            return None
        names = dataset_names(file)
        for damage in damages(file, header.cut, read_checksums(file, names, header.cut.count), [True]):
            raise ValueError(f"the checksum of {damage} is wrong")
        return {name: file[name][()] for name in names}


def _examine(partial: Path, header: Header, fixed: Arrays, contents: bool = True) -> tuple[dict[str, Place], set[int]]:
    """Where the datasets of the partial file are, once it is known to be sound and to have the same settings; and which
    of its finished chunks are damaged, if the contents are to be looked at."""
    with _resuming(partial), open_file(partial) as file:
        there = read_header(file)
        _check_same_question(partial, there, header)
        check_datasets(file, there.spec)
        done = read_marks(file, there)
        for name, array in fixed.items():
            if not np.array_equal(file[name][()], array):
                raise InputError(f"{partial} was begun with another {name}: {file[name][()]}, now {array}")
        names = dataset_names(file)
        kept = read_checksums(file, names, there.cut.count)
        places = {name: Place(file[name].id.get_offset(), file[name].shape) for name in [*names, DONE, CHECKSUMS]}
        looked_at = done.astype(bool) & contents
        return places, {damage.chunk for damage in damages(file, there.cut, kept, looked_at.tolist())}


def _continues(partial: Path, header: Header, fixed: Arrays) -> bool:
    """Whether there is a sound partial file that has the same settings."""
    try:
        _examine(partial, header, fixed, contents=False)
    except InputError:
        return False
    return True


@contextmanager
def _resuming(partial: Path) -> Iterator[None]:
    """Whatever is wrong with a partial file, the user decides whether it goes."""
    try:
        with explained(partial):
            yield
    except InputError as error:
        raise InputError(error.message, hint=RESTART) from error


def _check_same_question(partial: Path, there: Header, now: Header) -> None:
    found = differences(there.facts(), now.facts())
    if found:
        raise InputError(f"{partial} was begun with different settings: {summary(found)}")


def _write_partial(path: Path, header: Header, arrays: Arrays) -> None:
    content = whole_file(path, header, arrays)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(partial_path(path), content)
