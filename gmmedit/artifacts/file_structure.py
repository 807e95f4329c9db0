"""How a file is laid out: root attributes, datasets at full size, arrays in the form in which they are stored."""

import json
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from gmmedit.artifacts.checksums import CHECKSUMS, STORED, checksum_row
from gmmedit.artifacts.header import ATTRIBUTES_CHECKSUM, ODD_BYTES, Header, checksum_attributes
from gmmedit.artifacts.kinds import DONE, Field, Kind, Shape
from gmmedit.errors import InputError

LONGEST_TEXT = 64_000  # HDF5 keeps less than 64 KiB in one attribute

Arrays = Mapping[str, np.ndarray]


def build_rows(draft: Path, header: Header, fixed: Arrays) -> None:
    """Write the structure of a partial file: every dataset at full size, rows not yet allocated to data.

    fixed: the datasets without rows, which are written at once. The file must not exist.
    """
    table = header.spec.table
    with h5py.File(draft, "x", locking=False) as file:
        write_header(file, header)
        _create_early(file, DONE, (header.chunk_count,), np.dtype(np.uint8))
        layout = list(table.layout(header.spec.all_sizes))
        _create_early(file, CHECKSUMS, (header.chunk_count, len(layout)), STORED)
        for field, shape in layout:
            _create_early(file, field.name, shape, field.stored_dtype)
        for name, array in fixed.items():
            file[name][...] = array


def build_whole(path: Path, header: Header, arrays: Arrays) -> bytes:
    """The bytes of a file that is written in one go, made in memory: on a full disk HDF5 fails in many ways."""
    with h5py.File(path, "w", driver="core", backing_store=False) as file:
        write_header(file, header)
        groups: dict[str, h5py.Group] = {"": file}  # looked up once: a file may have thousands of datasets
        for name in sorted(arrays):
            inside, _, own = name.rpartition("/")
            if inside not in groups:
                groups[inside] = file.require_group(inside)
            groups[inside].create_dataset(own, data=arrays[name], track_times=False)
        file.create_dataset(CHECKSUMS, data=checksum_row(arrays)[None], track_times=False)
        file.flush()
        return file.id.get_file_image()


def _create_early(file: h5py.File, name: str, shape: Shape, dtype: np.dtype) -> None:
    """A contiguous dataset that gets its place in the file now; h5py's own calls wait for the first write."""
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.CONTIGUOUS)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    layout.set_obj_track_times(False)
    space = h5py.h5s.create_simple(shape)
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(dtype), space, dcpl=layout)


def write_header(file: h5py.File, header: Header) -> None:
    """Write the root attributes, which `header.read_header` reads.

    Strings have a fixed length: HDF5 crashes on damaged ones of variable length. InputError: one is too long.
    """
    extra = json.dumps(header.extra, sort_keys=True)
    facts: dict[str, str | int] = {"form": header.form, "gmmedit_version": header.version}
    facts |= {"extra": extra, "chunk": header.chunk}
    facts |= header.spec.record()
    for name, value in {**facts, ATTRIBUTES_CHECKSUM: checksum_attributes(facts)}.items():
        stored = np.bytes_(value.encode(errors=ODD_BYTES)) if isinstance(value, str) else value
        if isinstance(stored, bytes) and len(stored) > LONGEST_TEXT:
            raise InputError(f"{file.filename}: {name!r} takes {len(stored)} bytes, at most {LONGEST_TEXT} fit")
        file.attrs[name] = stored


def match_fields(arrays: Arrays, shapes: Mapping[str, Shape], table: Kind) -> dict[str, np.ndarray]:
    """The arrays in their fields' dtypes. ValueError, TypeError: names, shapes or dtypes other than the table's."""
    unmatched = sorted(arrays.keys() ^ shapes.keys())
    if unmatched:
        raise ValueError(f"{table.name}: {', '.join(unmatched)} missing or not expected")
    stored = {name: cast_array(table.field(name), name, array) for name, array in arrays.items()}
    for name, array in stored.items():
        if array.shape != shapes[name]:
            raise ValueError(f"/{name} has shape {array.shape}, {shapes[name]} was expected")
    return stored


def cast_array(field: Field | None, name: str, array: np.ndarray) -> np.ndarray:
    """`array` in C order and the field's dtype, little-endian.

    TypeError: its dtype is of another kind. ValueError: there is no such field.
    """
    if field is None:
        raise ValueError(f"/{name} is not in the schema")
    array = np.asarray(array, order="C")
    dtype = array.dtype.newbyteorder("<") if field.is_open else field.stored_dtype
    return array.astype(dtype, casting="same_kind", copy=False)
