"""The contract of an editor, and what editors are made from."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from gmmedit.causal.model import CausalModel
from gmmedit.errors import InputError
from gmmedit.mixture import Layout
from gmmedit.mixture.model import AttributeMixture
from gmmedit.mixture.optimisation import Optimisation


class Coordinates(Protocol):
    """The coordinates in which an editor's trajectories are straight: a chart's, the latent's own, a flow's base."""

    def to_x(self, latent: Tensor) -> Tensor:
        """Latents (N, L, D) to coordinates (N, L, D')."""
        ...

    def carry(self, latent: Tensor, x: Tensor) -> Tensor:
        """Latents (N, L, D) moved so that their coordinates become x (N, L, D'); unmoved ones keep their bits."""
        ...


class RawLatent:
    """`Coordinates` that are the latent itself."""

    def to_x(self, latent: Tensor) -> Tensor:
        """The latents unchanged."""
        return latent

    def carry(self, latent: Tensor, x: Tensor) -> Tensor:
        """The coordinates unchanged."""
        return x


class Editor(ABC):
    """Moves samples towards a category, further with greater strength.

    x (N, L, D) are coordinates in the editor's chart, with one row for each of the L layers of the generator that
    take a latent of their own (W+), L = 1 where there is but one latent.
    """

    chart: Coordinates
    # Swept by an evaluation. 1 is meant to reach the target; some images need more.
    strengths: ClassVar[tuple[float, ...]] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.6, 2.1, 3.0)
    aims: ClassVar[bool] = True  # whether strength 1 aims at the target; False: it is but the end of the sweep

    @abstractmethod
    def offset(self, x: Tensor, category: int, away: bool = False) -> Tensor:
        """The change of x (N, L, D) that strength 1 makes towards one of the K categories, or away from it.

        (N, L, D), or (N, 1, D) where it is the same for every layer.
        """

    def shares(self, x: Tensor, category: int, strength: Tensor, away: bool = False) -> Tensor:
        """The shares (N,) of the offset that strengths (N,) >= 0 make: the strengths, unless the editor says other."""
        return strength

    def edit(self, x: Tensor, category: int, strength: Tensor) -> Tensor:
        """x + share * offset for strengths (N,): 0 keeps x, 1 reaches the category, below 0 moves away from it."""
        moved = x
        for away in (False, True):
            chosen = strength < 0 if away else strength > 0
            if chosen.any():
                share = self.shares(x, category, strength.abs(), away)
                change = share[:, None, None] * self.offset(x, category, away)
                moved = torch.where(chosen[:, None, None], x + change, moved)
        return moved

    def trajectory(self, latent: Tensor, category: int) -> Callable[[float], Tensor]:
        """A function from the strength of an edit of latents (N, L, D) to the edited latents (N, L, D)."""
        x = self.chart.to_x(latent)
        offset = self.offset(x, category)

        def move(strength: float) -> Tensor:
            share = self.shares(x, category, torch.full((len(x),), strength))
            return self.chart.carry(latent, x + share[:, None, None] * offset)

        return move


@dataclass(frozen=True)
class Discovered:
    """Directions that were found without labels: steps (M, D') of one each, in the coordinates of a chart."""

    chart: Coordinates
    steps: Tensor


@dataclass(frozen=True)
class Structure:
    """Causes in a generator's latents: `Generator.counterfactual`, and for each category the attribute's place among
    the causes, the value, and how many values it has."""

    counterfactual: Callable[[Tensor, Mapping[int, Tensor]], Tensor]
    places: Mapping[int, tuple[int, int, int]]


@dataclass(frozen=True)
class Material:
    """What editors are made from; all get the same samples and labels.

    Attributes:
        space: name of the latent space: "z", "w".
        latents: (N, D) of the fitted samples.
        labels, logits: (N, K) of the labelling classifier.
        layout: the attributes.
        styles: `Generator.styles`; empty where there are none.
        layers: L, the layers of the generator with latents of their own.
        chart, model: of mixture.h5.
        optimisation: how edits are found for each image; None where gradients do not pass.
        seed: of random numbers.
        discovered: of directions.h5; None: the run has none.
        causes: which attribute follows from which; None: the run has no graph, or it is not asked.
        codes: for categories that are units of the latent, the unit and its value; empty for most generators.
        structure: of a generator whose latents of this space hold causes; None: of others.
    """

    space: str
    latents: Tensor
    labels: Tensor
    logits: Tensor
    layout: Layout
    styles: list[tuple[int, Tensor, bool]]
    layers: int
    chart: Coordinates
    model: AttributeMixture
    optimisation: Optimisation | None
    seed: int
    discovered: Discovered | None = None
    causes: CausalModel | None = None
    codes: Mapping[int, tuple[int, float]] = field(default_factory=dict)
    structure: Structure | None = None


class Unsuitable(InputError):
    """An editor that cannot work on this generator or in this space."""
