"""Directions of `gmmedit discover` as an editor: the labels only choose one of them for each category."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gmmedit.editors.base import Coordinates, Editor, Material, Unsuitable
from gmmedit.editors.baselines.linear import target_scores
from gmmedit.editors.baselines.unsupervised import standardise

REACH = 6.0  # steps that strength 1 goes; a step changes what a direction changes by one standard deviation


@dataclass(frozen=True)
class DirectionEditor(Editor):
    """x + strength * offset in the chart of the directions. offsets: (K, D')."""

    chart: Coordinates
    offsets: Tensor
    aims = False

    def offset(self, x: Tensor, category: int, away: bool = False) -> Tensor:
        """See `Editor.offset`; the same for every row of x."""
        step = self.offsets[category].expand(len(x), 1, -1)
        return -step if away else step


def fit_direction(material: Material) -> DirectionEditor:
    """For each category the direction of greatest label affinity, with its sign, as `ganspace` and `sefa` choose.

    Unsuitable: the run has no directions in the space of its mixture.
    """
    if material.discovered is None:
        message = f"direction needs a directions.h5 in {material.space.upper()}"
        raise Unsuitable(message, hint=f"run: gmmedit discover --space {material.space}")
    steps = material.discovered.steps
    x = material.discovered.chart.to_x(material.latents[:, None])[:, 0]
    coordinates = x @ torch.nn.functional.normalize(steps, dim=1).T
    scores = target_scores(material.logits, material.layout)
    affinity = standardise(scores).T @ standardise(coordinates)  # (K, M)
    best = affinity.abs().argmax(1, keepdim=True)
    return DirectionEditor(material.discovered.chart, REACH * steps[best[:, 0]] * affinity.gather(1, best).sign())
