"""What a fit has written: its tensors and its model."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from gmmedit.artifacts import Artifact
from gmmedit.mixture.model import AttributeMixture
from gmmedit.spaces import Chart


def to_tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Arrays as tensors, under the same names."""
    return {name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()}


def read_model(fit: Artifact) -> AttributeMixture:
    """The model of a single.h5 or mixture.h5."""
    layout = tuple(len(values) for _, values in fit.attributes)
    return AttributeMixture.from_state(layout, to_tensors(fit.group("parameters")))


def read_chart(fit: Artifact) -> Chart:
    """The chart of a single.h5 or mixture.h5."""
    return Chart.from_arrays(to_tensors(fit.group("chart")))
