"""The images that a request edits: rows of samples.h5 or inversions.h5, seeds, or a file of latents."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gmmedit.artifacts import Artifact
from gmmedit.editing.inverted import read_inverted
from gmmedit.editing.request import Request
from gmmedit.editing.session import EditSession
from gmmedit.errors import InputError
from gmmedit.run.folder import RunFolder


def select_latents(request: Request, run_folder: RunFolder, session: EditSession) -> tuple[np.ndarray, Tensor]:
    """Row numbers or seeds (N,), and latents (N, L, D) of the images to edit."""
    if request.source == "inverted":
        index, latent = read_inverted(run_folder.artifact("inversions"), request.rows, session.space)
    else:
        index, latent = read_latents_of(request, run_folder.samples, session)
    return index, session.to_layers(latent)


def read_latents_of(request: Request, samples: Artifact, session: EditSession) -> tuple[np.ndarray, Tensor]:
    """Row numbers or seeds (N,), and their latents, (N, D) or W+ (N, L, D).

    InputError: a row is not in samples.h5; a file of latents cannot be used.
    """
    if request.latents is not None:
        latent = session.read_latents(request.latents, request.latents_space, samples.path.parent)
        return np.arange(len(latent)), latent
    if request.source == "index":
        return read_rows(samples, request.rows, session.space)
    return np.array(request.rows, dtype=np.int64), session.draw_latents(request.rows)


def read_rows(samples: Artifact, rows: Sequence[int], space: str) -> tuple[np.ndarray, Tensor]:
    """Row numbers (N,) of samples.h5 and their latents (N, D). InputError: there is no such row."""
    index = np.array(rows, dtype=np.int64)
    if index.max() >= samples.spec.n:
        message = f"row {index.max()} is not in {samples.path}, which has {samples.spec.n} rows"
        raise InputError(message, hint="--seeds edits latents of other seeds")
    return index, torch.from_numpy(samples[space][index])
