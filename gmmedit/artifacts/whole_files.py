"""Artifacts that are written in one go, and the checkpoints from which a stage that makes one continues."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gmmedit import __version__
from gmmedit.artifacts.checksums import compare_checksums, read_checksums
from gmmedit.artifacts.file_structure import Arrays, build_whole, cast_array
from gmmedit.artifacts.header import CHECKPOINT, WHOLE, Header, dataset_names, open_file, partial_path, read_header
from gmmedit.artifacts.resuming import check_same_settings, resuming
from gmmedit.artifacts.spec import RunSpec
from gmmedit.errors import InputError, writing
from gmmedit.runtime.storage import write_file


def write_whole(path: str | Path, spec: RunSpec, arrays: Arrays, attrs: Mapping[str, Any] | None = None) -> None:
    """Write a finished artifact in one go, in place of its checkpoint if there is one.

    arrays: dataset names as in the kind's table -> arrays. attrs: further facts to record, plain data.
    ValueError or TypeError: names, shapes or dtypes other than the schema's. InputError and RunError as in
    `create_rows`.
    """
    path = Path(path)
    table = spec.table
    stored = {name: cast_array(table.field(name), name, array) for name, array in arrays.items()}
    table.check({name: (array.shape, array.dtype) for name, array in stored.items()}, spec.all_sizes)
    _write_partial(path, Header(spec, WHOLE, __version__, 0, attrs or {}), stored)
    with writing(path):
        os.replace(partial_path(path), path)


def save_checkpoint(path: str | Path, spec: RunSpec, arrays: Arrays) -> None:
    """Replace the checkpoint of the unfinished `path`. arrays: all that the stage resumes from, by any names.

    InputError and RunError as in `create_rows`.
    """
    _write_partial(Path(path), Header(spec, CHECKPOINT, __version__, 0, {}), arrays)


def load_checkpoint(
    path: str | Path, spec: RunSpec, restart: bool = False, force: bool = False
) -> dict[str, np.ndarray] | None:
    """The arrays last saved for the unfinished `path`, or None.

    restart: discard any checkpoint. force: discard one that cannot be resumed. The caller must hold `lock(path)` until
    it has written the whole file. InputError: the checkpoint has other settings or is damaged.
    """
    partial = partial_path(Path(path))
    with writing(Path(path)):
        if restart:
            partial.unlink(missing_ok=True)
    if not partial.exists():
        return None
    try:
        return _read_checkpoint(partial, spec)
    except InputError:
        if not force:
            raise
    with writing(Path(path)):
        partial.unlink(missing_ok=True)
    return None


def _read_checkpoint(partial: Path, spec: RunSpec) -> dict[str, np.ndarray] | None:
    with resuming(partial), open_file(partial) as file:
        header = read_header(file)
        check_same_settings(partial, header, Header(spec, CHECKPOINT, __version__, 0, {}))
        if header.form == WHOLE:  # stopped between its last two steps
            return None
        names = dataset_names(file)
        for damage in compare_checksums(file, header.chunks, read_checksums(file, names, header.chunks.count), [True]):
            raise ValueError(f"the checksum of {damage} is wrong")
        return {name: file[name][()] for name in names}


def _write_partial(path: Path, header: Header, arrays: Arrays) -> None:
    content = build_whole(path, header, arrays)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(partial_path(path), content)
