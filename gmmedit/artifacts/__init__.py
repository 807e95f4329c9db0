"""The files between the stages: one HDF5 artifact each, described by `schema.py` and docs/artifacts.md.

A stage that fills rows:

    if artifacts.finished(path, question, force=force):
        return path
    with artifacts.create_rows(path, question, restart=restart) as out:
        for start, stop in out.pending():
            out.write(start, stop, {"labels": ..., "logits": ...})
        out.finish()

A stage that fits: `disk.alone`, `load_checkpoint`, now and then `save_checkpoint`, in the end `write_whole`.
"""

from gmmedit.artifacts.inspect import damages, describe
from gmmedit.artifacts.provenance import check_parents, file_fingerprint, tensors_fingerprint
from gmmedit.artifacts.question import Question
from gmmedit.artifacts.reading import Artifact, begun, finished
from gmmedit.artifacts.reading import open_artifact as open
from gmmedit.artifacts.schema import Size
from gmmedit.artifacts.store import RowWriter, create_rows, join_rows, load_checkpoint, save_checkpoint, write_whole

__all__ = [
    "Artifact",
    "Question",
    "RowWriter",
    "Size",
    "begun",
    "check_parents",
    "create_rows",
    "damages",
    "describe",
    "file_fingerprint",
    "finished",
    "join_rows",
    "load_checkpoint",
    "open",
    "save_checkpoint",
    "tensors_fingerprint",
    "write_whole",
]
