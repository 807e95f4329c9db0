"""The mixtures of all attributes: one Gaussian a category over its attribute's coordinates."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from gmmedit.mixture import Layout
from gmmedit.mixture.components import Components, Draw, Mixture, StackedComponents

Form = Literal["group", "peak"]


class Gaussians(nn.Module):
    """The mixtures of all attributes, over y (N, r) in the layout's order.

    Args:
        layout: values and ranks of the attributes.
        tied, diagonal: see ``Mixture``.
    """

    def __init__(self, layout: Layout, tied: bool = True, diagonal: bool = False) -> None:
        super().__init__()
        self.layout = layout
        sizes = list(zip(layout.values, layout.ranks, strict=True))
        self.mixtures = nn.ModuleList(Mixture(values, rank, tied, diagonal) for values, rank in sizes)
        self._alike = [[a for a, own in enumerate(sizes) if own == size] for size in dict.fromkeys(sizes)]
        self._own = [_numbers(layout.rows, alike) for alike in self._alike]
        self._order = torch.cat([_numbers(layout.columns, alike) for alike in self._alike]).argsort()

    def _parts(self, y: Tensor) -> list[tuple[Mixture, Tensor]]:
        return [(self.mixture(a), y[:, rows]) for a, rows in enumerate(self.layout.rows)]

    def _each(self, y: Tensor, function: Callable[[Components, Tensor], Tensor]) -> Tensor:
        """The function of every mixture and its coordinates, (N, K), computed at once for those of one size."""
        found = []
        for alike, rows in zip(self._alike, self._own, strict=True):
            mixtures = StackedComponents([self.mixture(a) for a in alike])
            own = y.index_select(1, rows.to(y.device)).unflatten(1, (len(alike), -1))  # (N, A, r)
            found.append(function(mixtures, own).flatten(1))
        return torch.cat(found, 1).index_select(1, self._order.to(y.device))

    def mixture(self, attribute: int) -> Mixture:
        """The mixture of one attribute."""
        mixture = self.mixtures[attribute]
        assert isinstance(mixture, Mixture)  # ModuleList's items are typed as Module
        return mixture

    def log_density(self, y: Tensor) -> Tensor:
        """log N(y_a; m_c, S_c) (N, K), each category over its attribute's coordinates."""
        return self._each(y, Components.log_density)

    def log_joint(self, y: Tensor) -> Tensor:
        """log of pi_c N_c (N, K), the weights of an attribute's values adding up to one."""
        return self._each(y, Components.log_joint)

    def log_responsibilities(self, y: Tensor) -> Tensor:
        """log of the responsibilities (N, K)."""
        return self._each(y, Components.log_responsibilities)

    def responsibilities(self, y: Tensor) -> Tensor:
        """pi_c N_c / sum over the attribute's values (N, K), adding up to one over each attribute."""
        return self.log_responsibilities(y).exp()

    def peak(self, y: Tensor) -> Tensor:
        """exp(-1/2 Mahalanobis^2) (N, K) in (0, 1] (claim 4's normalised likelihood of a single Gaussian)."""
        return torch.exp(-0.5 * self._each(y, Components.squared_distance))

    def likelihood(self, y: Tensor, form: Form = "group") -> Tensor:
        """The normalised likelihood (N, K) in [0, 1]: "group" (responsibilities) or "peak"."""
        return self.responsibilities(y) if form == "group" else self.peak(y)

    def fit_moments_(self, y: Tensor, labels: Tensor) -> None:
        """Sets every component to the moments of y (N, r) weighted by its column of labels (N, K) in [0, 1].

        Raises:
            ValueError: a category to which no sample belongs.
        """
        empty = (labels.sum(0) <= 0).nonzero().flatten().tolist()
        if empty:
            attribute, value = self.layout.locate(empty[0])
            raise ValueError(f"no sample has value {value} of attribute {attribute}: take more samples")
        for (mixture, part), columns in zip(self._parts(y), self.layout.columns, strict=True):
            mixture.fit_moments_(part, labels[:, columns])

    def draw(self, category: int, n: int, generator: torch.Generator) -> Tensor:
        """n reparameterised samples (n, r_a) of a category's component."""
        attribute, value = self.layout.locate(category)
        return self.mixture(attribute).draw(value, n, generator)

    def transport(self, y: Tensor, category: int) -> Tensor:
        """y (N, r) transported onto the category's component (N, r_a): see ``Mixture.transport``."""
        attribute, value = self.layout.locate(category)
        return self.mixture(attribute).transport(y[:, self.layout.rows[attribute]], value)

    def control(
        self,
        y: Tensor,
        category: int,
        draw: Draw = "coupled",
        generator: torch.Generator | None = None,
        away: bool = False,
    ) -> Tensor:
        """The control vectors y_s (N, r_a) that move samples y (N, r) to a category (claim 6: zs).

        Args:
            draw: "coupled" (optimal transport, deterministic), "mean", or "sample" (independent draws, as in the
                patent; needs a generator).
            away: move each sample to the most responsible *other* value of the attribute instead.

        Raises:
            ValueError: an unknown draw, or "sample" without a generator.
        """
        attribute, value = self.layout.locate(category)
        mixture, y = self._parts(y)[attribute]
        if not away:
            return mixture.control(y, value, draw, generator)
        other = mixture.log_responsibilities(y).detach().clone()
        other[:, value] = -math.inf
        targets = [mixture.control(y, c, draw, generator) for c in range(len(mixture.means))]
        return torch.stack(targets, 1)[torch.arange(len(y), device=y.device), other.argmax(1)]


def _numbers(slices: Sequence[slice], chosen: Sequence[int]) -> Tensor:
    """The numbers in the chosen slices, one after the other."""
    return torch.cat([torch.arange(slices[i].start, slices[i].stop) for i in chosen])
