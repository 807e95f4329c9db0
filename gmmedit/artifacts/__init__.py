"""The files between the stages: one HDF5 artifact each, described by `schema.py` and docs/artifacts.md.

A stage that fills rows:

    if artifacts.up_to_date(path, spec, execution):
        return path
    with artifacts.open_rows(path, spec, execution) as out:
        artifacts.fill(out, lambda start, stop: {"labels": ..., "logits": ...})

A stage that fits: `storage.lock`, `load_checkpoint`, now and then `save_checkpoint`, in the end `write_whole`.
"""

from gmmedit.artifacts.inspect import damages, describe
from gmmedit.artifacts.provenance import (
    check_parents,
    file_fingerprint,
    network_record,
    network_source,
    tensors_fingerprint,
)
from gmmedit.artifacts.reading import Artifact, begun, finished
from gmmedit.artifacts.reading import open_artifact as open
from gmmedit.artifacts.rows import SharedRows, fill, open_rows, up_to_date
from gmmedit.artifacts.schema import Size
from gmmedit.artifacts.spec import RunSpec
from gmmedit.artifacts.store import RowWriter, create_rows, join_rows, load_checkpoint, save_checkpoint, write_whole

__all__ = [
    "Artifact",
    "RowWriter",
    "RunSpec",
    "SharedRows",
    "Size",
    "begun",
    "check_parents",
    "create_rows",
    "damages",
    "describe",
    "file_fingerprint",
    "fill",
    "finished",
    "join_rows",
    "load_checkpoint",
    "network_record",
    "network_source",
    "open",
    "open_rows",
    "save_checkpoint",
    "tensors_fingerprint",
    "up_to_date",
    "write_whole",
]
