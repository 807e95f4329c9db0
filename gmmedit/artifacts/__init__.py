"""The files between the stages: one HDF5 artifact each, described by `schema.py` and docs/artifacts.md.

A stage that fills rows:

    if artifacts.is_up_to_date(path, spec, execution):
        return path
    with artifacts.open_rows(path, spec, execution) as out:
        artifacts.fill_rows(out, lambda start, stop: {"labels": ..., "logits": ...})

A stage that fits: `storage.lock`, `load_checkpoint`, `save_checkpoint` at intervals, and `write_whole` at the end.
"""

from gmmedit.artifacts.description import describe, find_damages
from gmmedit.artifacts.kinds import Size
from gmmedit.artifacts.parents import check_parents
from gmmedit.artifacts.provenance import file_fingerprint, network_record, network_source, tensors_fingerprint
from gmmedit.artifacts.reading import Artifact, is_finished, read_partial_spec
from gmmedit.artifacts.reading import open_artifact as open
from gmmedit.artifacts.row_writer import RowWriter, create_rows, join_rows
from gmmedit.artifacts.rows import SharedRows, fill_rows, is_up_to_date, open_rows
from gmmedit.artifacts.spec import RunSpec
from gmmedit.artifacts.stale import STEPS, commands_to_redo
from gmmedit.artifacts.whole_files import load_checkpoint, save_checkpoint, write_whole

__all__ = [
    "STEPS",
    "Artifact",
    "RowWriter",
    "RunSpec",
    "SharedRows",
    "Size",
    "check_parents",
    "commands_to_redo",
    "create_rows",
    "describe",
    "file_fingerprint",
    "fill_rows",
    "find_damages",
    "is_finished",
    "is_up_to_date",
    "join_rows",
    "load_checkpoint",
    "network_record",
    "network_source",
    "open",
    "open_rows",
    "read_partial_spec",
    "save_checkpoint",
    "tensors_fingerprint",
    "write_whole",
]
