"""What the rows of labels.h5 are: samples of samples.h5 or, after `label --inverted`, photographs of inversions.h5."""

import numpy as np
import torch
from torch import Tensor

from gmmedit.artifacts import Artifact
from gmmedit.errors import InputError
from gmmedit.run.folder import RunFolder
from gmmedit.run.hold_out import labels_photographs, read_rows
from gmmedit.spaces import Chart


def labelled_latents(run: RunFolder, space: str, rows: np.ndarray, chart: Chart) -> Tensor:
    """The latents (M, D) of rows (M,), ascending, of labels.h5; of a photograph in W+, the mean of its layers.

    The mean is one of chart coordinates: that of latents would lie where a mapping network maps nothing to.

    InputError: inversions.h5 is missing, another one, or of another space.
    """
    if not labels_photographs(run.labels):
        return read_rows(run.samples, space, rows)
    layers = inverted_latents(run.artifact("inversions"), space)[rows]
    return chart.from_x(chart.to_x(layers).mean(1))


def inverted_latents(inversions: Artifact, space: str) -> Tensor:
    """All latents (N, L, D) of inversions.h5. InputError: they are of another space than "z" or "w"."""
    there = "z" if inversions.spec.config["space"] == "z" else "w"
    if there != space:
        message = f"{inversions.path} holds latents of {there.upper()}, the run edits in {space.upper()}"
        raise InputError(message, hint=f"invert again with --space {'z' if space == 'z' else 'w+'} --force")
    return torch.from_numpy(inversions["latents"])
