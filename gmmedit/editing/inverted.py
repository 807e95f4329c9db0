"""Photographs of inversions.h5 as images to edit: their latents, the generator tuned around them, and warnings."""

import numpy as np
import torch
from torch import Tensor

from gmmedit.artifacts import Artifact
from gmmedit.errors import InputError
from gmmedit.run.folder import RunFolder
from gmmedit.run.labelled import inverted_latents
from gmmedit.run.tuned import find_tuned

SHOWN_FILES = 3  # photographs that a note names


def find_tuned_source(run_folder: RunFolder) -> str | None:
    """The generator that was tuned around the inversions of a run, as `--gan` names it; None: there is none."""
    tuned = find_tuned(run_folder.artifact("inversions"))
    return str(tuned) if tuned else None


def read_inverted(inversions: Artifact, rows: tuple[int, ...], space: str) -> tuple[np.ndarray, Tensor]:
    """Rows of inversions.h5 (N,), all if none are named, and their latents (N, L, D) of that space, "z" or "w".

    InputError: there is no such row, or the latents are of another space.
    """
    index = np.array(rows or range(inversions.spec.n), dtype=np.int64)
    if index.max() >= inversions.spec.n:
        message = f"row {index.max()} is not in {inversions.path}, which has {inversions.spec.n} rows"
        raise InputError(message, hint=f"--index 0-{inversions.spec.n - 1}")
    return index, inverted_latents(inversions, space)[torch.from_numpy(index)]


def describe_unlike(inversions: Artifact, index: np.ndarray) -> list[str]:
    """A note on rows (N,) of inversions.h5 that do not look like the generator's images; none if all do."""
    files, percentiles = inversions.spec.config["files"], inversions["percentile"]
    unlike = [files[row] for row in index if percentiles[row] == 1]
    if not unlike:
        return []
    named = ", ".join([*unlike[:SHOWN_FILES], *(["..."] if len(unlike) > SHOWN_FILES else [])])
    words = "has a larger error" if len(unlike) == 1 else "have larger errors"
    return [f"{len(unlike)} of {len(index)} photographs {words} than any own sample, expect less of edits: {named}"]
