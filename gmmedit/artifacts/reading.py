"""Open artifacts, finished or not, and read their rows. Nothing here ever writes to a file."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from gmmedit.artifacts.checksums import Damage, checksum, damages, read_checksums
from gmmedit.artifacts.header import (
    CHECKPOINT,
    Header,
    check_datasets,
    dataset_names,
    explained,
    open_file,
    partial_path,
    read_header,
    read_marks,
)
from gmmedit.artifacts.provenance import file_fingerprint
from gmmedit.artifacts.schema import KINDS, Size
from gmmedit.artifacts.spec import RunSpec, differences
from gmmedit.errors import InputError


class Artifact:
    """A finished artifact, open for reading. `artifact["z"]` reads a dataset; usable in `with`.

    What is read is checked against its checksums; InputError names the rows that are damaged.
    path, spec, sizes (dim -> size), names (datasets), attributes ((name, values), ...), attrs (the
    stage's further facts) and fingerprint (SHA-256 of the file's bytes, hexadecimal).
    """

    def __init__(self, path: Path, file: h5py.File, header: Header, sizes: dict[str, Size]) -> None:
        self.path = path
        self.spec = header.spec
        self.kind = header.spec.table
        self.sizes = sizes
        self.attrs = dict(header.extra)
        self.names = dataset_names(file)
        self._file = file
        self._cut = header.cut
        self._checksums = read_checksums(file, self.names, self._cut.count)

    @property
    def attributes(self) -> list[tuple[str, list[str]]]:
        return [(name, list(values)) for name, values in self.spec.attributes]

    @cached_property
    def fingerprint(self) -> str:
        """InputError: the file is damaged. No other file may say that it was made from such a one."""
        for damage in self.damages():
            raise self.damaged(damage)
        return file_fingerprint(self.path)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> np.ndarray:
        return self._read(name, 0, self._cut.total)

    def rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows start..stop of a dataset, along the axis of the kind's rows."""
        if self.kind.row_axis(name) is None:
            raise ValueError(f"/{name} has no rows")
        return self._read(name, start, min(stop, self._cut.total))

    def damages(self) -> Iterator[Damage]:
        """Everything in the file that is not as it was written, found chunk by chunk."""
        with explained(self.path, hint=self._again):
            yield from damages(self._file, self._cut, self._checksums, [True] * self._cut.count)

    def damaged(self, damage: Damage) -> InputError:
        return InputError(f"{self.path} is damaged: the checksum of {damage} is wrong", hint=self._again)

    @property
    def _again(self) -> str:
        return f"make it again: {self.kind.command} --force"

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

    def _read(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows start..stop, or everything where there are no rows, read with the whole chunks that they lie in."""
        if name not in self.names:
            raise InputError(f"{self.path} has no {name!r}", hint=f"there are: {', '.join(self.names)}")
        cut = self._cut
        first = start // cut.size * cut.size if cut.size else 0
        where = cut.where(name, first, min(-(-stop // cut.size) * cut.size, cut.total) if cut.size else 0)
        with explained(self.path, hint=self._again):
            array = self._file[name][where or ()]
        self._check(name, array, first)
        return array[cut.where(name, start - first, stop - first) or ()]

    def _check(self, name: str, array: np.ndarray, first: int) -> None:
        """InputError: what was read from row `first` on, whole chunks, is not what was written."""
        cut, sums = self._cut, self._checksums[name]
        if cut.where(name, 0, 0) is None:
            if checksum(array) != sums[0]:
                raise self.damaged(Damage(0, name, 0, None))
            return
        count = array.shape[self.kind.row_axis(name) or 0]
        for at in range(0, count, cut.size):
            number = (first + at) // cut.size
            if checksum(array[cut.where(name, at, at + cut.size) or ()]) != sums[number]:
                raise self.damaged(Damage(number, name, *cut.span(number)))


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
            if kind not in (None, header.spec.kind):
                message = f"{path} is a {header.spec.kind!r} artifact, {kind!r} was expected"
                raise InputError(message, hint=f"{command} makes one")
            if header.form == CHECKPOINT or not read_marks(file, header).all():
                raise InputError(f"{path} is not finished", hint="it was renamed by hand: remove it")
            return Artifact(path, file, header, check_datasets(file, header.spec))
        except BaseException:
            file.close()
            raise


def begun(path: str | Path) -> RunSpec | None:
    """What the partial file or checkpoint of `path` was begun for.

    None: there is none, or it cannot be read; whoever continues it is told why.
    """
    partial = partial_path(Path(path))
    if not partial.is_file():
        return None
    try:
        with explained(partial), open_file(partial) as file:
            return read_header(file).spec
    except InputError:
        return None


def _refuse_missing(path: Path, command: str) -> None:
    if path.is_dir():
        raise InputError(f"{path} is a folder, an HDF5 file was expected", hint="give the file, or another --run")
    if partial_path(path).is_file():
        raise InputError(f"{path} is not finished", hint=f"{command} continues it" if command else "")
    if path.exists():
        raise InputError(f"{path} is not a regular file", hint="give an HDF5 file that gmmedit wrote")
    raise InputError(f"{path} does not exist", hint=f"{command} makes it" if command else "")


def finished(path: str | Path, spec: RunSpec, force: bool = False) -> bool:
    """Whether `path` is there and has this spec: then the stage is up to date and has nothing to do.

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
        with open_artifact(path, spec.kind) as artifact:
            found = differences(artifact.spec.facts(), spec.facts())
            damage = None if found else next(artifact.damages(), None)
            if damage is not None:
                raise artifact.damaged(damage)
    except InputError as error:
        if force:
            return False
        raise InputError(error.message, hint=hint) from error
    if found and not force:
        raise InputError(f"{path} was created with different settings: {summary(found)}", hint=hint)
    return not found


def summary(found: list[str]) -> str:
    """The first difference in words, and how many more there are."""
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return found[0] + more
