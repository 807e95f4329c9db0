"""How an artifact's datasets are described: the same tables create, validate, print and document the files.

Dims are names, bound to sizes when a file is made. A size is an int, or a tuple where one name stands for
several axes (`w_dim` of a W+ generator is (layers, dims)). An optional field exists exactly where all its
dims have sizes. A field named "group/*" stands for any float or integer arrays below that group.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gmmedit.runtime.commands import on_run

Size = int | tuple[int, ...]
Sizes = Mapping[str, Size]
Shape = tuple[int, ...]

DONE = "done"
OPEN_DTYPES = "fiu"


@dataclass(frozen=True)
class Field:
    """One dataset of a kind: `dims` names its axes, `dtype` is NumPy's short name ("f4", "i8", "u1")."""

    name: str
    dims: tuple[str, ...]
    dtype: str
    meaning: str
    optional: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it stands for all datasets below a group."""
        return self.name.endswith("/*")

    @property
    def stored_dtype(self) -> np.dtype:
        """The dtype in the file, little-endian."""
        return np.dtype(self.dtype).newbyteorder("<")

    def shape(self, sizes: Sizes) -> Shape | None:
        """The shape for these sizes; None if a dim has no size, or the field is an open group."""
        if self.is_open or any(dim not in sizes for dim in self.dims):
            return None
        return tuple(axis for dim in self.dims for axis in as_tuple(sizes[dim]))


@dataclass(frozen=True)
class Kind:
    """One kind of artifact.

    Attributes:
        command: the command that makes it.
        replaced: whether that command replaces a finished file without `--force`.
        rows: the dim that a stage fills in chunks; None: it is written whole.
        own_classifier: whether its classifier is another one than that of its parents.
        options: of the command that decide what it makes, where a file can no longer tell which they were.
    """

    name: str
    version: int
    command: str
    summary: str
    rows: str | None
    fields: tuple[Field, ...]
    own_classifier: bool = False
    replaced: bool = False
    options: str = ""

    def hint(self, run: Path, force: bool = True) -> str:
        """The hint to run the command on a run; `force`: over a finished file, which cannot be read."""
        before = "with the options it was made with, " if force and self.options else ""
        return f"{before}run: {self.command_on(run, force)}"

    def command_on(self, run: Path, force: bool = True, options: str = "") -> str:
        """The command line for a run; `force`: over a finished file, with its options, `self.options` if unknown."""
        command = on_run(f"{self.command} --force" if force and not self.replaced else self.command, run)
        return " ".join(filter(None, (command, (options or self.options) if force else "")))

    def field(self, name: str) -> Field | None:
        """The field of dataset `name`: that of the exact name, else an open group, else None."""
        exact = (field for field in self.fields if field.name == name)
        groups = (field for field in self.fields if field.is_open and name.startswith(field.name[:-1]))
        return next(exact, None) or next(groups, None)

    def row_axis(self, name: str) -> int | None:
        """The axis of dataset `name` along which rows are filled; None: it has no rows."""
        field = self.field(name)
        return field.dims.index(self.rows) if field and self.rows in field.dims else None

    def layout(self, sizes: Sizes) -> Iterator[tuple[Field, Shape]]:
        """The fields and shapes of a file of these sizes, without open groups.

        ValueError: a size is missing, or (in a kind with rows) no field has such a dim.
        """
        unknown = set(sizes).difference(*(field.dims for field in self.fields))
        if self.rows and unknown:
            raise ValueError(f"{self.name} artifacts have no dim called {', '.join(sorted(unknown))}")
        for field in self.fields:
            shape = field.shape(sizes)
            if shape is not None:
                yield field, shape
            elif not field.optional and not field.is_open:
                raise ValueError(f"/{field.name} needs sizes for {', '.join(field.dims)}")

    def check(self, arrays: Mapping[str, tuple[Shape, np.dtype]], sizes: Sizes) -> dict[str, Size]:
        """Compare shapes and dtypes with the table; returns the sizes, completed from the arrays' shapes.

        ValueError: a dataset is missing or differs. Datasets that are not in the table are ignored.
        """
        bound = dict(sizes)
        for name, (shape, dtype) in arrays.items():
            field = self.field(name)
            if field is None:
                continue
            if not field.is_open:
                _bind(field, shape, bound)
            if not _fits(field, dtype):
                raise ValueError(f"/{name} is {dtype}, {field.dtype} was expected")
        for field, _ in self.layout(bound):
            if field.name not in arrays:
                raise ValueError(f"/{field.name} is missing")
        return bound


def as_tuple(size: Size) -> Shape:
    """The axes that a size stands for."""
    return (size,) if isinstance(size, int) else tuple(size)


def _fits(field: Field, dtype: np.dtype) -> bool:
    return dtype.kind in OPEN_DTYPES if field.is_open else dtype == field.stored_dtype


def _bind(field: Field, shape: Shape, sizes: dict[str, Size]) -> None:
    if field.shape(sizes) is None and len(shape) == len(field.dims):
        for dim, axis in zip(field.dims, shape, strict=True):
            sizes.setdefault(dim, axis)
    if shape != field.shape(sizes):
        raise ValueError(f"/{field.name} has shape {shape}, ({', '.join(field.dims)}) was expected")
