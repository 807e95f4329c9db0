"""The editor of generators whose latent has attributes as units of their own: one unit is set, nothing else changes."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gmmedit.editors.base import Editor, Material, RawLatent, Unsuitable


@dataclass(frozen=True)
class CodeEditor(Editor):
    """Strength 1 sets a category's unit to the value that stands for it: one decoding, one unit that differs.

    codes: for each of the K categories the unit's place in the latent, and that value.
    """

    codes: tuple[tuple[int, float], ...]
    chart = RawLatent()
    strengths = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

    def offset(self, x: Tensor, category: int, away: bool = False) -> Tensor:
        """See `Editor.offset`: away from the category is towards the other value of its attribute."""
        unit, value = self.codes[category]
        change = torch.zeros_like(x)
        change[..., unit] = (1 - value if away else value) - x[..., unit]
        return change


def fit_code(material: Material) -> CodeEditor:
    """The editor, which needs no fit. Unsuitable: a labelled attribute has no unit in the latent."""
    lacking = set(range(material.layout.categories)) - material.codes.keys()
    if lacking:
        hint = "of a trained ifcvae-gan: label --classifier FILE with the generator's own file"
        raise Unsuitable("code needs a unit of the latent for every labelled attribute", hint=hint)
    return CodeEditor(tuple(material.codes[category] for category in range(material.layout.categories)))
