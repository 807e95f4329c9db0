"""This project's editor: control vectors from the fitted mixture, written into the latent."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gmmedit.editors.base import Editor
from gmmedit.mixture.adam import generator_for
from gmmedit.mixture.gaussians import Draw
from gmmedit.mixture.model import AttributeMixture


@dataclass(frozen=True)
class MixtureEditor(Editor):
    """x' = x + alpha (zs - x) (claim 6); negative alpha aims at the nearest other value of the attribute.

    `draw` says how zs is drawn; with "sample" equal seeds and equally many rows give equal draws.
    """

    model: AttributeMixture
    draw: Draw = "coupled"
    seed: int = 0

    @torch.no_grad()
    def edit(self, x: Tensor, category: int, strength: Tensor) -> Tensor:
        moved = x.clone()
        for away in (False, True):
            chosen = (strength < 0) == away
            if chosen.any():
                offset = self.offset(x[chosen], category, away)
                moved[chosen] = x[chosen] + strength[chosen, None].abs() * offset
        return moved

    def offset(self, x: Tensor, category: int, away: bool) -> Tensor:
        """zs - x (N, D). Moving away is moving towards the most responsible other value, row by row."""
        goal = torch.full((len(x),), category)
        if away:
            columns = self.model.layout.columns[self.model.layout.locate(category)[0]]
            others = self.model.responsibilities(x)[:, columns].clone()
            others[:, category - columns.start] = -1
            goal = columns.start + others.argmax(1)
        return self.model.offset(x, goal, self.draw, generator_for(self.seed, category))
