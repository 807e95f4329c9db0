"""Open artifacts, finished or not, and refuse what is not one. Nothing here ever writes to a file."""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml

from gmmedit.artifacts.provenance import file_fingerprint
from gmmedit.artifacts.question import Question, differences
from gmmedit.artifacts.schema import DONE, KINDS, Size
from gmmedit.errors import GmmeditError, InputError
from gmmedit.files import check_regular

ROWS, WHOLE, CHECKPOINT = "rows", "whole", "checkpoint"
# What h5py and the parsers raise on damaged or foreign files.
DAMAGE = (
    OSError, RuntimeError, SystemError, KeyError, ValueError, TypeError, AttributeError, ArithmeticError, MemoryError,
    yaml.YAMLError,
)  # fmt: skip


@dataclass(frozen=True)
class Header:
    """What the root attributes say: `form` is ROWS, WHOLE or CHECKPOINT, `chunk` 0 except for ROWS."""

    question: Question
    form: str
    version: str
    chunk: int
    extra: Mapping[str, Any]

    @property
    def chunks(self) -> int:
        return math.ceil(self.question.n / self.chunk) if self.chunk else 0

    def facts(self) -> dict[str, str]:
        """What a stage that continues this file must agree with."""
        return self.question.facts() | {"gmmedit_version": self.version, "chunk": str(self.chunk)}


def partial_path(path: Path) -> Path:
    """Where the unfinished `path` is."""
    return path.with_name(path.name + ".partial")


def dataset_names(file: h5py.File) -> list[str]:
    """Every dataset, the done-marks left out. ValueError: a link or a dataset that leads out of the file."""
    links: list[tuple[str, object]] = []
    file.visititems_links(lambda name, link: links.append((name, link)))
    for name, link in links:
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"/{name} is a link")
        node = file[name]
        if isinstance(node, h5py.Dataset):
            check_plain(node)
    return [name for name, _ in links if name != DONE and isinstance(file[name], h5py.Dataset)]


def check_plain(dataset: h5py.Dataset) -> None:
    """ValueError: its numbers lie elsewhere, go through a filter, are no numbers, or fewer than it says."""
    name = dataset.name
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{name} keeps its data in another file")
    if dataset.id.get_create_plist().get_nfilters():
        raise ValueError(f"{name} is compressed or filtered, which no artifact is")
    if dataset.dtype.kind not in "fiu" or dataset.shape is None:
        raise ValueError(f"{name} holds {dataset.dtype} instead of numbers")
    stored = dataset.id.get_storage_size()
    if dataset.size * dataset.dtype.itemsize != stored:
        raise ValueError(f"{name} says that it holds {dataset.size} numbers and has {stored} bytes")


def read_attrs(file: h5py.File) -> dict[str, Any]:
    """The root attributes that are numbers or texts of fixed length, the only ones that an artifact has.

    HDF5 crashes on damaged ones of variable length, and an array may be of any size.
    """
    entries = {name: file.attrs.get_id(name) for name in file.attrs}
    plain = [name for name, entry in entries.items() if entry.shape == () and entry.dtype.kind in "Siu"]
    return {name: _plain(file.attrs[name]) for name in plain}


def read_header(file: h5py.File) -> Header:
    """The root attributes. InputError: no gmmedit artifact, or of a schema that this version cannot read."""
    attrs = read_attrs(file)
    if "gmmedit_version" not in attrs or attrs.get("kind") not in KINDS:
        raise InputError(f"{file.filename} is HDF5, but not an artifact of gmmedit")
    kind, version = KINDS[attrs["kind"]], int(attrs["schema_version"])
    if version != kind.version:
        message = f"{file.filename} has schema {kind.name} {version}, this gmmedit reads {kind.version}"
        hint = f"use gmmedit {attrs['gmmedit_version']}, or make it again: {kind.command} --force"
        raise InputError(message, hint=hint)
    header = Header(
        question=Question.from_record(attrs),
        form=str(attrs["form"]),
        version=str(attrs["gmmedit_version"]),
        chunk=int(attrs["chunk"]),
        extra=dict(json.loads(attrs["extra"])),
    )
    if (header.form == ROWS) != bool(kind.rows) or (header.form == ROWS) != (header.chunk > 0):
        raise ValueError(f"form {header.form!r} with chunks of {header.chunk} rows")
    return header


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def check_datasets(file: h5py.File, question: Question) -> dict[str, Size]:
    """The sizes of all dims. ValueError: a dataset is missing, or its shape or dtype is not the schema's."""
    arrays = {name: (file[name].shape, file[name].dtype) for name in dataset_names(file)}
    return question.table.check(arrays, question.all_sizes)


def read_marks(file: h5py.File, header: Header) -> np.ndarray:
    """Done-marks (chunks,) u1, empty unless the form is ROWS. ValueError: they do not fit the header."""
    if header.form == ROWS:
        dataset_names(file)  # refuses what leads out of the file
        check_plain(file[DONE])
    marks = file[DONE][:] if header.form == ROWS else np.zeros(0, np.uint8)
    if marks.shape != (header.chunks,) or marks.dtype != np.uint8:
        raise ValueError(f"/{DONE} has shape {marks.shape}, {header.chunks} chunks were expected")
    return marks


@contextmanager
def explained(path: Path, hint: str = "") -> Iterator[None]:
    """Whatever h5py and the parsers find wrong with `path` becomes an InputError; `hint` where it has none."""
    try:
        yield
    except InputError as error:
        raise InputError(error.message, hint=error.hint or hint) from error
    except GmmeditError:
        raise
    except PermissionError as error:
        raise InputError(f"{path} cannot be read: permission denied") from error
    except DAMAGE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path} is damaged or not an artifact: {reason}", hint=hint) from error


def open_file(path: Path) -> h5py.File:
    """The HDF5 file, read-only. No lock: finished files never change, partial ones may be inspected.

    InputError: a pipe or a device.
    """
    check_regular(path, hint="")
    return h5py.File(path, "r", locking=False)


class Artifact:
    """A finished artifact, open for reading. `artifact["z"]` reads a dataset; usable in `with`.

    path, question, sizes (dim -> size), names (datasets), attributes ((name, values), ...), attrs (the
    stage's further facts) and fingerprint (SHA-256 of the file's bytes, hexadecimal).
    """

    def __init__(self, path: Path, file: h5py.File, header: Header, sizes: dict[str, Size]) -> None:
        self.path = path
        self.question = header.question
        self.kind = header.question.table
        self.sizes = sizes
        self.attrs = dict(header.extra)
        self.names = dataset_names(file)
        self._file = file

    @property
    def attributes(self) -> list[tuple[str, list[str]]]:
        return [(name, list(values)) for name, values in self.question.attributes]

    @cached_property
    def fingerprint(self) -> str:
        return file_fingerprint(self.path)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> np.ndarray:
        return self._read(name, ())

    def rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows start..stop of a dataset, along the axis of the kind's rows."""
        axis = self.kind.row_axis(name)
        if axis is None:
            raise ValueError(f"/{name} has no rows")
        return self._read(name, (slice(None),) * axis + (slice(start, stop),))

    def group(self, name: str) -> dict[str, np.ndarray]:
        """All arrays below a group, under their names within it."""
        prefix = f"{name}/"
        return {full.removeprefix(prefix): self[full] for full in self.names if full.startswith(prefix)}

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "Artifact":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, name: str, where: tuple[slice, ...]) -> np.ndarray:
        if name not in self.names:
            raise InputError(f"{self.path} has no {name!r}", hint=f"there are: {', '.join(self.names)}")
        with explained(self.path):
            return self._file[name][where]


def open_artifact(path: str | Path, kind: str | None = None) -> Artifact:
    """The finished artifact at `path`, checked against its schema; of `kind` where one is given.

    InputError: missing, unfinished, damaged, foreign, of another kind or schema version, with links.
    """
    path = Path(path)
    maker = KINDS.get(kind or path.name.removesuffix(".h5"))
    command = maker.command if maker else ""
    if not path.is_file():
        _refuse_missing(path, command)
    with explained(path, hint=f"make it again: {command} --force" if command else ""):
        file = open_file(path)
        try:
            header = read_header(file)
            if kind not in (None, header.question.kind):
                message = f"{path} is a {header.question.kind!r} artifact, {kind!r} was expected"
                raise InputError(message, hint=f"{command} makes one")
            if header.form == CHECKPOINT or not read_marks(file, header).all():
                raise InputError(f"{path} is not finished", hint="it was renamed by hand: remove it")
            return Artifact(path, file, header, check_datasets(file, header.question))
        except BaseException:
            file.close()
            raise


def _refuse_missing(path: Path, command: str) -> None:
    if path.is_dir():
        raise InputError(f"{path} is a folder, an HDF5 file was expected", hint="give the file, or another --run")
    if partial_path(path).is_file():
        raise InputError(f"{path} is not finished", hint=f"{command} continues it" if command else "")
    raise InputError(f"{path} does not exist", hint=f"{command} makes it" if command else "")


def finished(path: str | Path, question: Question, force: bool = False) -> bool:
    """Whether `path` is there and answers `question`: then the stage is up to date and has nothing to do.

    With `force` any other file may be overwritten, so the answer is False; without it, InputError.
    InputError: a folder is in its place.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(
            f"{path} is a folder, a file is to be written there", hint="remove it, or choose another place"
        )
    if not path.exists():
        return False
    hint = "--force overwrites it"
    try:
        with open_artifact(path, question.kind) as artifact:
            found = differences(artifact.question.facts(), question.facts())
    except InputError as error:
        if force:
            return False
        raise InputError(error.message, hint=hint) from error
    if found and not force:
        raise InputError(f"{path} answers another question: {summary(found)}", hint=hint)
    return not found


def summary(found: list[str]) -> str:
    """The first difference in words, and how many more there are."""
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return found[0] + more
