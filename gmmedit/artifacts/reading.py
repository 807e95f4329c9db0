"""Open finished artifacts, and read their rows. Nothing here writes to a file."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from gmmedit.artifacts.checksums import Damage, checksum, compare_checksums, read_checksums
from gmmedit.artifacts.header import (
    CHECKPOINT,
    Header,
    check_datasets,
    open_file,
    partial_path,
    read_header,
    read_marks,
    translate_read_errors,
)
from gmmedit.artifacts.kinds import Kind, Size
from gmmedit.artifacts.provenance import descriptor_fingerprint
from gmmedit.artifacts.schema import KINDS
from gmmedit.artifacts.spec import RunSpec, differences
from gmmedit.errors import InputError, summarise_differences


class Artifact:
    """A finished artifact, open for reading. `artifact["z"]` reads a dataset; usable in `with`.

    Everything read is compared with its checksums. InputError: it is damaged (the message names the rows), or there is
    no such dataset.

    Attributes:
        path, spec, kind: the file, its RunSpec and the table of its kind.
        sizes: dim -> size.
        names: of the datasets.
        attrs: further facts that the stage recorded.
    """

    def __init__(self, path: Path, file: h5py.File, header: Header, names: list[str], sizes: dict[str, Size]) -> None:
        self.path = path
        self.spec = header.spec
        self.kind = header.spec.table
        self.sizes = sizes
        self.attrs = dict(header.extra)
        self.names = names
        self._file = file
        self._chunks = header.chunks
        self._checksums = read_checksums(file, self.names, self._chunks.count)

    @property
    def attributes(self) -> list[tuple[str, list[str]]]:
        """(name, values) of each attribute, in the order of the labels' columns."""
        return [(name, list(values)) for name, values in self.spec.attributes]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the file's bytes, hexadecimal: of the file that is open, which another may have replaced since.

        InputError: it is damaged, so that nothing may be made from it.
        """
        for damage in self.find_damages():
            raise self.damage_error(damage)
        with translate_read_errors(self.path, hint=self.again):
            return descriptor_fingerprint(self._file.id.get_vfd_handle())

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> np.ndarray:
        return self._read(name, 0, self._chunks.total)

    def rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows start..stop of a dataset, along the axis of the kind's rows. ValueError: it has no rows."""
        if self.kind.row_axis(name) is None:
            raise ValueError(f"/{name} has no rows")
        return self._read(name, start, min(stop, self._chunks.total))

    def find_damages(self) -> Iterator[Damage]:
        """Every part of the file that differs from its checksum, chunk by chunk."""
        with translate_read_errors(self.path, hint=self.again):
            yield from compare_checksums(self._file, self._chunks, self._checksums, [True] * self._chunks.count)

    def damage_error(self, damage: Damage) -> InputError:
        """The error that reports this damage."""
        return InputError(f"{self.path} is damaged: the checksum of {damage} is wrong", hint=self.again)

    @property
    def again(self) -> str:
        """The hint to make it again, with the same classifier."""
        return f"run: {self.spec.command_on(self.path.parent)}"

    def group(self, name: str) -> dict[str, np.ndarray]:
        """All arrays below a group, under their names within it."""
        prefix = f"{name}/"
        return {full.removeprefix(prefix): self[full] for full in self.names if full.startswith(prefix)}

    def close(self) -> None:
        """Close the file; what has been read stays valid."""
        self._file.close()

    def __enter__(self) -> "Artifact":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows start..stop, or everything where there are no rows, read in whole chunks to check them."""
        if name not in self.names:
            raise InputError(f"{self.path} has no {name!r}", hint=f"there are: {', '.join(self.names)}")
        chunks = self._chunks
        size = chunks.size
        first, last = (start // size * size, min(-(-stop // size) * size, chunks.total)) if size else (0, 0)
        where = chunks.row_index(name, first, last)
        with translate_read_errors(self.path, hint=self.again):
            array = self._file[name][where or ()]
        self._check(name, array, first)
        return array[chunks.row_index(name, start - first, stop - first) or ()]

    def _check(self, name: str, array: np.ndarray, first: int) -> None:
        """InputError: whole chunks read from row `first` on differ from their checksums."""
        chunks, sums = self._chunks, self._checksums[name]
        if chunks.row_index(name, 0, 0) is None:
            if checksum(array) != sums[0]:
                raise self.damage_error(Damage(0, name, 0, None))
            return
        count = array.shape[self.kind.row_axis(name) or 0]
        for at in range(0, count, chunks.size):
            number = (first + at) // chunks.size
            if checksum(array[chunks.row_index(name, at, at + chunks.size) or ()]) != sums[number]:
                raise self.damage_error(Damage(number, name, *chunks.span(number)))


def open_artifact(path: str | Path, kind: str | None = None) -> Artifact:
    """The finished artifact at `path`, checked against its schema; of `kind` where one is given.

    InputError: missing, unfinished, damaged, foreign, of another kind or schema version, with links.
    """
    path = Path(path)
    maker = KINDS.get(kind or path.name.removesuffix(".h5"))
    if not path.is_file():
        _refuse_missing(path, maker)
    with translate_read_errors(path, hint=maker.hint(path.parent) if maker else ""):
        file = open_file(path)
        try:
            header = read_header(file)
            if kind not in (None, header.spec.kind):
                message = f"{path} is a {header.spec.kind!r} artifact, {kind!r} was expected"
                raise InputError(message, hint=maker.hint(path.parent) if maker else "")
            if header.form == CHECKPOINT or not read_marks(file, header).all():
                raise InputError(f"{path} is not finished", hint="it was renamed by hand: remove it")
            return Artifact(path, file, header, *check_datasets(file, header.spec))
        except BaseException:
            file.close()
            raise


def read_partial_spec(path: str | Path) -> RunSpec | None:
    """The RunSpec of the partial file or checkpoint of `path`.

    None: there is none, or it cannot be read; resuming it will say why.
    """
    partial = partial_path(Path(path))
    if not partial.is_file():
        return None
    try:
        with translate_read_errors(partial), open_file(partial) as file:
            return read_header(file).spec
    except InputError:
        return None


def _refuse_missing(path: Path, maker: Kind | None) -> None:
    hint = maker.hint(path.parent, force=False) if maker else ""
    if path.is_dir():
        raise InputError(f"{path} is a folder, an HDF5 file was expected", hint="give the file, or another --run")
    if partial_path(path).is_file():
        raise InputError(f"{path} is not finished", hint=hint)
    if path.exists():
        raise InputError(f"{path} is not a regular file", hint="give an HDF5 file that gmmedit wrote")
    raise InputError(f"{path} does not exist", hint=hint)


def is_finished(path: str | Path, spec: RunSpec, force: bool = False) -> bool:
    """Whether `path` is an intact artifact of this spec, so that the stage is up to date.

    InputError: a folder is in its place, or, unless `force`, a file that is damaged or has other settings.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(
            f"{path} is a folder, and a file is to be written there", hint="remove it, or choose another place"
        )
    if not path.exists():
        return False
    hint = "--force overwrites it"
    try:
        with open_artifact(path, spec.kind) as artifact:
            found = differences(artifact.spec.facts(), spec.facts())
            damage = None if found else next(artifact.find_damages(), None)
            if damage is not None:
                raise artifact.damage_error(damage)
    except InputError as error:
        if force:
            return False
        raise InputError(error.message, hint=hint) from error
    if found and not force:
        raise InputError(f"{path} was created with different settings: {summarise_differences(found)}", hint=hint)
    return not found
