"""Edits of an attribute and of what follows from it: abduction, action and prediction by a causal model, then one edit.

The model predicts a value for every descendant of what is acted on; the mixture moves all that are to change at once,
and holds everything else, so that non-descendants stay.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gmmedit.causal.model import Acts, CausalModel
from gmmedit.editors.base import Coordinates, Editor, Material, Unsuitable
from gmmedit.editors.mixture import MixtureEditor
from gmmedit.mixture import Layout

Read = Callable[[Tensor], Tensor]  # coordinates (N, L, D) to labels or logits (N, K)


@dataclass(frozen=True)
class CounterfactualEditor(Editor):
    """Moves samples to what they would be if an attribute had another value.

    Attributes:
        mixture: moves them.
        causes: predicts which values follow.
        read: of which the values before are the largest of each attribute.
        seed: with the sample's coordinates it determines what its values leave open of its noise.
    """

    mixture: MixtureEditor
    causes: CausalModel
    read: Read
    seed: int = 0

    @property
    def chart(self) -> Coordinates:  # type: ignore[override]
        """That of the mixture."""
        return self.mixture.chart

    @property
    def layout(self) -> Layout:
        """The attributes."""
        return self.mixture.model.layout

    @property
    def held(self) -> Tensor:
        """(A, A) bool: row a marks what an edit of a must keep, its non-descendants."""
        return held_by_causes(self.causes)

    @torch.no_grad()
    def offset(self, x: Tensor, category: int, away: bool = False) -> Tensor:
        """See `Editor.offset`. Away: towards the nearest other value, as the mixture does."""
        values = values_of(self.read(x), self.layout)
        goals = torch.full((len(x),), category)
        if away:
            goals = self.mixture.find_goals(self.mixture.model.coordinates(x.mean(1)), category, True)
        wanted = values.copy()
        for place, (row, goal) in enumerate(zip(x.split(1), goals.tolist(), strict=True)):
            node, value = self.layout.locate(goal)
            number = int.from_bytes(hashlib.sha256(row.numpy().tobytes()).digest()[:8], "little")
            wanted[place] = self.predict(values[place : place + 1], {node: value}, [number])[0]
        kinds = [tuple(list_goals(self.layout, *pair)) for pair in zip(values, wanted, strict=True)]
        moved = torch.zeros_like(x)
        for kind in sorted({kind for kind in kinds if kind}):  # those that change the same are moved together
            places = [place for place, other in enumerate(kinds) if other == kind]
            moved[places] = self.mixture.joint_offset(x[places], list(kind))
        return moved

    def predict(self, values: np.ndarray, acts: Acts, images: Sequence[int]) -> np.ndarray:
        """The values (N, A) under the acts, of samples of values (N, A) whose numbers determine their noise."""
        return self.causes.counterfactual(values, acts, images, self.seed)


def list_goals(layout: Layout, values: np.ndarray, targets: np.ndarray) -> list[int]:
    """The categories of the targets (A,) that differ from the values (A,)."""
    return [layout.columns[node].start + int(targets[node]) for node in np.flatnonzero(targets != values)]


def held_by_causes(causes: CausalModel) -> Tensor:
    """held (A, A), see `gmmedit.mixture.held`, where what follows from an edit may change with it."""
    held = ~torch.eye(len(causes.sizes), dtype=torch.bool)
    for node in range(len(held)):
        held[node, causes.descendants({node: 0})] = False
    return held


def values_of(labels: Tensor, layout: Layout) -> np.ndarray:
    """The most probable value (N, A) of each attribute, from labels or logits (N, K)."""
    return torch.stack([labels[:, columns].argmax(1) for columns in layout.columns], 1).cpu().numpy()


def fit_counterfactual(material: Material) -> CounterfactualEditor:
    """The editor of `gmmedit edit --do`. Unsuitable: the run has no graph, or edits are not found image by image."""
    if material.causes is None:
        raise Unsuitable("counterfactual needs a graph of the attributes", hint="gmmedit graph")
    optimisation = material.optimisation
    if optimisation is None:
        raise Unsuitable("counterfactual needs a generator and a classifier with gradients", hint="--editors mixture")
    score, mixture = optimisation.score, MixtureEditor(material.model, material.chart, optimisation=optimisation)
    return CounterfactualEditor(mixture, material.causes, lambda x: score(x)[0], material.seed)
