"""The editor of generators whose latent holds causes: an attribute is set, and what follows from it comes along."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gmmedit.editors.base import Editor, Material, RawLatent, Structure, Unsuitable


@dataclass(frozen=True)
class StructuralEditor(Editor):
    """Strength 1 is the counterfactual of the generator's structural equations: one solution, one image."""

    structure: Structure
    chart = RawLatent()
    strengths = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

    def offset(self, x: Tensor, category: int, away: bool = False) -> Tensor:
        """See `Editor.offset`: away from a value is towards the next one of its attribute."""
        node, value, count = self.structure.places[category]
        wanted = torch.full((len(x),), (value + 1) % count if away else value, device=x.device)
        return self.structure.counterfactual(x[:, 0], {node: wanted})[:, None] - x


def fit_structural(material: Material) -> StructuralEditor:
    """The editor, which needs no fit. Unsuitable: a labelled attribute is not among the causes in the latent."""
    structure = material.structure
    if structure is None or set(structure.places) != set(range(material.layout.categories)):
        hint = "of a trained bigan, in W: label --classifier FILE with the generator's own file"
        raise Unsuitable("structural needs a latent that holds every labelled attribute", hint=hint)
    return StructuralEditor(structure)
