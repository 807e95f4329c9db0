"""What an artifact contains, finished or not, as plain data; and which parts of it are damaged."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gmmedit.artifacts.checksums import Damage, compare_checksums, read_checksums
from gmmedit.artifacts.header import (
    CHECKPOINT,
    ROWS,
    Header,
    check_datasets,
    dataset_names,
    open_file,
    read_header,
    read_marks,
    translate_read_errors,
)
from gmmedit.artifacts.kinds import Kind
from gmmedit.artifacts.provenance import file_fingerprint
from gmmedit.errors import InputError

HINT = "give an HDF5 file that a stage of gmmedit wrote"
EITHER = "give an artifact of a run, such as samples.h5, or a generator's file or name"
SMALL = 1 << 22  # numbers in an array that is still read whole for its statistics


def describe(path: str | Path) -> dict[str, Any]:
    """JSON-ready description of a finished, partial or checkpoint file.

    state: "complete", "partial" or "checkpoint". Arrays of at most SMALL numbers in complete files come with
    min, max and mean (None where no number is finite) and the count of NaN. InputError: not an artifact.
    """
    path = Path(path)
    if path.is_dir():
        found = ", ".join(sorted(file.name for file in path.glob("*.h5*")))
        raise InputError(f"{path} is a folder", hint=f"give a file in it: {found}" if found else EITHER)
    if not path.exists():
        raise InputError(f"{path} does not exist", hint=EITHER)
    with translate_read_errors(path, hint=EITHER), open_file(path) as file:
        header = read_header(file)
        marks = read_marks(file, header)
        state = _state(path, header, marks)
        kind = header.spec.table
        sizes = header.spec.all_sizes if state == CHECKPOINT else check_datasets(file, header.spec)[1]
        return {
            "path": str(path),
            "state": state,
            "bytes": path.stat().st_size,
            "fingerprint": file_fingerprint(path) if state == "complete" else None,
            "kind": kind.name,
            "summary": kind.summary,
            "command": kind.command,
            "schema_version": kind.version,
            "gmmedit_version": header.version,
            **_spec_facts(header),
            "sizes": {name: size if isinstance(size, int) else list(size) for name, size in sizes.items()},
            "attrs": dict(header.extra),
            "chunks": {"done": int(marks.sum()), "total": header.chunk_count, "rows": header.chunk},
            "fields": [_describe_field(file[name], kind, state) for name in dataset_names(file)],
        }


def find_damages(path: str | Path) -> list[Damage]:
    """The chunks that differ from their checksums, in a finished file or in the finished part of a partial one.

    InputError: not an artifact.
    """
    path = Path(path)
    with translate_read_errors(path, hint=HINT), open_file(path) as file:
        header = read_header(file)
        done = read_marks(file, header).astype(bool).tolist() if header.form == ROWS else [True]
        kept = read_checksums(file, dataset_names(file), header.chunks.count)
        return list(compare_checksums(file, header.chunks, kept, done))


def _state(path: Path, header: Header, marks: np.ndarray) -> str:
    if header.form == CHECKPOINT:
        return CHECKPOINT
    return "complete" if marks.all() and path.suffix != ".partial" else "partial"


def _spec_facts(header: Header) -> dict[str, Any]:
    spec = header.spec
    return {
        "n": spec.n,
        "seed": spec.seed,
        "attributes": [[name, list(values)] for name, values in spec.attributes],
        "config": dict(spec.config),
        "resolved": dict(spec.resolved),
        "parents": dict(spec.parents),
        "generator": spec.generator,
        "classifier": spec.classifier,
    }


def _describe_field(dataset: h5py.Dataset, kind: Kind, state: str) -> dict[str, Any]:
    name = dataset.name.lstrip("/")
    field = kind.field(name)
    facts = {
        "name": name,
        "dtype": dataset.dtype.str.lstrip("<|"),
        "shape": list(dataset.shape),
        "meaning": field.meaning if field else "",
    }
    small = state == "complete" and dataset.size <= SMALL and dataset.dtype.kind in "fiu"
    return facts | (_statistics(dataset[()]) if small else {})


def _statistics(values: np.ndarray) -> dict[str, Any]:
    finite = values[np.isfinite(values)].astype(np.float64)
    ranges = {"min": finite.min(), "max": finite.max(), "mean": finite.mean()} if finite.size else {}
    return {name: float(ranges[name]) if ranges else None for name in ("min", "max", "mean")} | {
        "nan": int(np.isnan(values).sum())
    }
