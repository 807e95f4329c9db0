"""The fitted mixture as one model, which reads attributes, gives the likelihood of each value, and edits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gmmedit.mixture import Layout
from gmmedit.mixture.combination import Combination
from gmmedit.mixture.components import Draw
from gmmedit.mixture.coordinates import Coordinates, FullSpace
from gmmedit.mixture.gaussians import Gaussians
from gmmedit.mixture.writing import Correction, least_change_write


class AttributeMixture(nn.Module):
    """Reads coordinates y of x, gives the responsibilities of every attribute's values, and moves x towards a value.

    Args:
        coordinates: the read y(x).
        gaussians: the components over y.
        correction: learned by fit-mixture; None before that, and without consistency terms.
        combination: learned by fit-mixture where every layer has a latent of its own; None elsewhere.
    """

    def __init__(
        self,
        coordinates: Coordinates | FullSpace,
        gaussians: Gaussians,
        correction: Correction | None = None,
        combination: Combination | None = None,
    ) -> None:
        super().__init__()
        self.coordinates, self.gaussians, self.correction = coordinates, gaussians, correction
        self.combination = combination

    @classmethod
    def from_state(cls, values: tuple[int, ...], state: dict[str, Tensor]) -> AttributeMixture:
        """The model of a ``state_dict``; values: the number of values of each attribute.

        Raises:
            KeyError, RuntimeError: the state is not that of such a model.
        """
        means = [state[f"gaussians.mixtures.{a}.means"] for a in range(len(values))]
        layout = Layout(values, tuple(m.shape[1] for m in means))
        tied = len(state["gaussians.mixtures.0.log_scale"]) == 1
        diagonal = not any(name.endswith(".lower") for name in state)
        gaussians = Gaussians(layout, tied, diagonal)
        coordinates: Coordinates | FullSpace
        if "coordinates.directions" in state:
            hidden = state.get("coordinates.network.0.bias", torch.empty(0)).numel()
            dim = len(state["coordinates.directions"])
            coordinates = Coordinates(dim, layout, hidden)
        else:
            dim = means[0].shape[1]
            coordinates = FullSpace(dim, values)
        correction = None
        if "correction.gain" in state:
            layers = len(state["correction.exit.bias"]) // dim
            correction = Correction(dim, layout, layers, hidden=len(state["correction.entry.bias"]))
        combination = None
        if "combination.shares" in state:
            layers, hidden = state["combination.shares"].shape[1], len(state["combination.entry.bias"])
            combination = Combination(dim, layout, layers, hidden)
        model = cls(coordinates, gaussians, correction, combination)
        model.load_state_dict(state)
        return model

    @property
    def layout(self) -> Layout:
        """Values and ranks of the attributes."""
        return self.gaussians.layout

    def responsibilities(self, x: Tensor) -> Tensor:
        """x (N, D) to responsibilities (N, K), adding up to one over each attribute's values."""
        return self.gaussians.responsibilities(self.coordinates(x))

    def control_change(
        self,
        y: Tensor,
        category: Tensor,
        draw: Draw = "coupled",
        generator: torch.Generator | None = None,
        away: bool = False,
    ) -> Tensor:
        """The change (N, r) of y (N, r) from each row to the control vector of its category (N,).

        Columns of other attributes are zero. For draw, generator and away see ``Gaussians.control``.
        """
        change = torch.zeros_like(y)
        for c in category.unique().tolist():
            chosen = category == c
            rows = self.layout.rows[self.layout.locate(c)[0]]
            control = self.gaussians.control(y[chosen], c, draw, generator, away)
            mask = torch.zeros_like(y, dtype=torch.bool)
            mask[:, rows] = chosen[:, None]
            change = change.masked_scatter(mask, control - y[chosen][:, rows])
        return change

    def offset(
        self,
        x: Tensor,
        category: Tensor,
        draw: Draw = "coupled",
        generator: torch.Generator | None = None,
        away: bool = False,
    ) -> Tensor:
        """zs - x (N, L, D): from each x (N, D) to the control vector of its category (N,) (claim 6).

        An edit of strength alpha is x'_l = x + alpha * offset_l in layer l of the generator; with L = 1 the offset
        is that of every layer.
        """
        y = self.coordinates(x)
        return self.write(x, y, self.control_change(y, category, draw, generator, away), category)

    def write(self, x: Tensor, y: Tensor, change: Tensor, category: Tensor) -> Tensor:
        """The offset (N, L, D) of x (N, D) that changes its coordinates y (N, r) by change (N, r).

        category: (N,), on which the correction depends; L is 1 without a correction.
        """
        exact = least_change_write(self.coordinates, x, slice(None), change) - x
        return exact[:, None] if self.correction is None else self.correction(x, y, change, exact, category)
