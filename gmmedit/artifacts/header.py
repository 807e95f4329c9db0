"""Reading an artifact's structure: root attributes, datasets, done-marks. Files that are no artifacts are refused."""

import json
import math
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml

from gmmedit.artifacts.checksums import CHECKSUMS, Chunks
from gmmedit.artifacts.kinds import DONE, Size
from gmmedit.artifacts.schema import KINDS
from gmmedit.artifacts.spec import RunSpec
from gmmedit.errors import GmmeditError, InputError
from gmmedit.runtime.regular_files import check_regular

ROWS, WHOLE, CHECKPOINT = "rows", "whole", "checkpoint"
ATTRIBUTES_CHECKSUM = "attributes_checksum"
NO_SIGNATURE = "file signature not found"  # HDF5's words
ODD_BYTES = "surrogateescape"  # as in names of files that are not UTF-8
# What h5py and the parsers raise on damaged or foreign files.
DAMAGE = (
    OSError, RuntimeError, SystemError, KeyError, ValueError, TypeError, AttributeError, ArithmeticError, MemoryError,
    yaml.YAMLError,
)  # fmt: skip


@dataclass(frozen=True)
class Header:
    """The root attributes: `form` is ROWS, WHOLE or CHECKPOINT; `chunk` the rows per chunk, 0 except for ROWS."""

    spec: RunSpec
    form: str
    version: str
    chunk: int
    extra: Mapping[str, Any]

    @property
    def chunk_count(self) -> int:
        """The number of done-marks: 0 except for ROWS."""
        return math.ceil(self.spec.n / self.chunk) if self.chunk else 0

    @property
    def chunks(self) -> Chunks:
        """How the file is divided."""
        return Chunks(self.spec.table, self.chunk, self.spec.n)

    def facts(self) -> dict[str, str]:
        """What must be equal for a stage to resume this file, as text by dotted key."""
        return self.spec.facts() | {"gmmedit_version": self.version, "chunk": str(self.chunk)}


def partial_path(path: Path) -> Path:
    """The path of the unfinished `path`."""
    return path.with_name(path.name + ".partial")


def find_datasets(file: h5py.File) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """The shape and dtype of every dataset but done-marks and checksums, by name.

    ValueError: a link, or a dataset that is not plain (see `check_plain`). A file of evaluations has thousands of
    datasets, so each is opened once, by HDF5's own calls: h5py's objects take four times as long.
    """
    links: list[tuple[bytes, int]] = []
    file.id.links.visit(lambda name, link: links.append((name, link.type)), info=True)
    found = {}
    for encoded, kind in links:
        name = encoded.decode(errors=ODD_BYTES)
        if kind != h5py.h5l.TYPE_HARD:
            raise ValueError(f"/{name} is a link")
        node = h5py.h5o.open(file.id, encoded)
        if isinstance(node, h5py.h5d.DatasetID):
            shape_and_dtype = check_plain(f"/{name}", node)
            if name not in (DONE, CHECKSUMS):
                found[name] = shape_and_dtype
    return found


def dataset_names(file: h5py.File) -> list[str]:
    """Every dataset but done-marks and checksums. ValueError: as `find_datasets`."""
    return list(find_datasets(file))


def check_plain(name: str, dataset: h5py.h5d.DatasetID) -> tuple[tuple[int, ...], np.dtype]:
    """The shape and dtype of a dataset.

    ValueError: the data are external, filtered, not numeric, or not as many as the shape says.
    """
    created = dataset.get_create_plist()
    if created.get_external_count() or created.get_layout() == h5py.h5d.VIRTUAL:
        raise ValueError(f"{name} keeps its data in another file")
    if created.get_nfilters():
        raise ValueError(f"{name} is compressed or filtered, which is not supported")
    dtype, empty = dataset.dtype, dataset.get_space().get_simple_extent_type() == h5py.h5s.NULL
    if dtype.kind not in "fiu" or empty:
        raise ValueError(f"{name} holds {dtype} instead of numbers")
    shape, stored = dataset.shape, dataset.get_storage_size()
    if math.prod(shape) * dtype.itemsize != stored:
        raise ValueError(f"{name} should hold {math.prod(shape)} numbers and has {stored} bytes")
    return shape, dtype


def read_attrs(file: h5py.File) -> dict[str, Any]:
    """The root attributes that are numbers or strings of fixed length, the only ones that an artifact has.

    HDF5 crashes on damaged ones of variable length, and an array may be of any size.
    """
    entries = {name: file.attrs.get_id(name) for name in file.attrs}
    plain = [name for name, entry in entries.items() if entry.shape == () and entry.dtype.kind in "Siu"]
    return {name: _plain(file.attrs[name]) for name in plain}


def read_header(file: h5py.File) -> Header:
    """The root attributes. InputError: not a gmmedit artifact, or of a schema that this version cannot read.

    ValueError or KeyError: the attributes are damaged.
    """
    attrs = read_attrs(file)
    if "gmmedit_version" not in attrs or attrs.get("kind") not in KINDS:
        raise InputError(f"{file.filename} is HDF5, but not an artifact of gmmedit")
    kind, version = KINDS[attrs["kind"]], int(attrs["schema_version"])
    if version != kind.version:
        message = f"{file.filename} has schema {kind.name} {version}, this gmmedit reads {kind.version}"
        hint = f"use gmmedit {attrs['gmmedit_version']}, or {kind.hint(Path(file.filename).parent)}"
        raise InputError(message, hint=hint)
    if attrs.pop(ATTRIBUTES_CHECKSUM, None) != checksum_attributes(attrs):
        raise ValueError("its root attributes are not those that were written")
    header = Header(
        spec=RunSpec.from_record(attrs),
        form=str(attrs["form"]),
        version=str(attrs["gmmedit_version"]),
        chunk=int(attrs["chunk"]),
        extra=dict(json.loads(attrs["extra"])),
    )
    if (header.form == ROWS) != bool(kind.rows) or (header.form == ROWS) != (header.chunk > 0):
        raise ValueError(f"form {header.form!r} with chunks of {header.chunk} rows")
    return header


def _plain(value: Any) -> Any:
    return value.decode(errors=ODD_BYTES) if isinstance(value, bytes) else value


def checksum_attributes(attrs: Mapping[str, Any]) -> int:
    """CRC-32 of the root attributes as JSON with sorted keys; the one that stores it must be left out."""
    plain = {name: value if isinstance(value, str) else int(value) for name, value in attrs.items()}
    return zlib.crc32(json.dumps(plain, sort_keys=True).encode())


def check_datasets(file: h5py.File, spec: RunSpec) -> tuple[list[str], dict[str, Size]]:
    """Names of the datasets, and sizes of all dims. ValueError: one is missing, or of another shape or dtype."""
    arrays = find_datasets(file)
    return list(arrays), spec.table.check(arrays, spec.all_sizes)


def read_marks(file: h5py.File, header: Header) -> np.ndarray:
    """Done-marks (chunks,) u1, empty unless the form is ROWS. ValueError: they do not fit the header."""
    if header.form == ROWS:
        dataset_names(file)  # refuses links and external data
        check_plain(f"/{DONE}", file[DONE].id)
    marks = file[DONE][:] if header.form == ROWS else np.zeros(0, np.uint8)
    if marks.shape != (header.chunk_count,) or marks.dtype != np.uint8:
        raise ValueError(f"/{DONE} has shape {marks.shape}, {header.chunk_count} chunks were expected")
    return marks


@contextmanager
def translate_read_errors(path: Path, hint: str = "") -> Iterator[None]:
    """Turn what h5py and the parsers raise on `path` into an InputError, with `hint` where it has none."""
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
        if NO_SIGNATURE in reason:
            raise InputError(f"{path} is not an HDF5 file", hint=hint) from error
        raise InputError(f"{path} is damaged or not an artifact: {reason}", hint=hint) from error


def open_file(path: Path) -> h5py.File:
    """The HDF5 file, read-only. No lock: finished files never change, partial ones may be inspected.

    InputError: a pipe or a device.
    """
    check_regular(path, hint="")
    return h5py.File(path, "r", locking=False)
