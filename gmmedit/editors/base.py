"""The contract of an editor, and what editors are made from."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from gmmedit.errors import InputError
from gmmedit.mixture import Layout
from gmmedit.mixture.model import AttributeMixture
from gmmedit.mixture.neighbours import Neighbours
from gmmedit.mixture.refining import Score


class Coordinates(Protocol):
    """Where an editor's ways are straight: a `gmmedit.spaces.Chart`, the latent itself, the base of a flow."""

    def to_x(self, latent: Tensor) -> Tensor:
        """Latents (N, L, D) to coordinates (N, L, D')."""
        ...

    def carry(self, latent: Tensor, x: Tensor) -> Tensor:
        """Latents (N, L, D) moved to where their coordinates are x (N, L, D'); those that stay keep their bits."""
        ...


class RawLatent:
    """The latent as it is."""

    def to_x(self, latent: Tensor) -> Tensor:
        return latent

    def carry(self, latent: Tensor, x: Tensor) -> Tensor:
        return x


class Editor(ABC):
    """Moves samples towards a category, further with greater strength.

    x (N, L, D) are coordinates in the editor's chart, with one row for each of the L layers of the generator that
    take a latent of their own (W+), L = 1 where there is but one latent.
    """

    chart: Coordinates
    # What an evaluation sweeps: 1 is meant to arrive, some images need more.
    strengths: ClassVar[tuple[float, ...]] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.6, 2.1, 3.0)

    @abstractmethod
    def offset(self, x: Tensor, category: int, away: bool = False) -> Tensor:
        """The change of x (N, L, D) that is meant to arrive at one of the K categories, or to leave it.

        (N, L, D), or (N, 1, D) where it is the same for every layer.
        """

    def edit(self, x: Tensor, category: int, strength: Tensor) -> Tensor:
        """x + |strength| * offset for strengths (N,): 0 leaves x alone, 1 arrives, negative ones move away."""
        moved = x
        for away in (False, True):
            chosen = strength < 0 if away else strength > 0
            if chosen.any():
                change = strength[:, None, None].abs() * self.offset(x, category, away)
                moved = torch.where(chosen[:, None, None], x + change, moved)
        return moved

    def trajectory(self, latent: Tensor, category: int) -> Callable[[float], Tensor]:
        """Latents (N, L, D) as a function of the strength of their edit."""
        x = self.chart.to_x(latent)
        offset = self.offset(x, category)
        return lambda strength: self.chart.carry(latent, x + strength * offset)


@dataclass(frozen=True)
class Material:
    """What editors are made from: every one gets the same samples and labels.

    Attributes:
        space: name of the latent space: "z", "w".
        latents: (N, D) of the fitted samples, labels and logits: (N, K), what the labelling classifier says.
        layout: the attributes.
        styles: `Generator.styles`; empty where there are none.
        layers: L of the generator that take a latent of their own.
        chart, model: of mixture.h5.
        score: f(G(x)) of the labeller; None where gradients do not pass.
        neighbours: of the components, from which polishing starts.
        polish: steps of `mixture-polished`; picture: what it weighs a change of the pixels with, as the fit did.
        seed: of random numbers.
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
    score: Score | None
    neighbours: Neighbours
    polish: int
    image_weight: float
    seed: int


class Unsuitable(InputError):
    """An editor that cannot work on this generator or in this space."""


def import_extra(module: str, editor: str) -> Any:
    """A module of a package that `pip install gmmedit` leaves out. InputError: it is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        package = error.name or module
        raise InputError(f"{editor} needs the package {package}", hint="pip install 'gmmedit[baselines]'") from error
