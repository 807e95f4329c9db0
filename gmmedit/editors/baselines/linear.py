"""Editors with one direction for each category, the same for every sample."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gmmedit.editors.base import Editor, Material, RawLatent
from gmmedit.mixture import Layout

REACH = 30.0  # standard deviations of the samples that strength 1 goes: in W, SVMs flip few labels before 10


@dataclass(frozen=True)
class LinearEditor(Editor):
    """latent + strength * step, as InterFaceGAN, GANSpace and SeFa edit.

    Steps are (K, 1, D), or (K, L, D) where the layers of W+ move apart.
    """

    steps: Tensor
    chart = RawLatent()
    aims = False
    strengths = (0.0, 0.02, 0.04, 0.07, 0.12, 0.2, 0.3, 0.45, 0.7, 1.0)

    def offset(self, x: Tensor, category: int, away: bool = False) -> Tensor:
        """See `Editor.offset`; the same for every row of x."""
        step = self.steps[category].expand(len(x), -1, -1)
        return -step if away else step


def make_linear_editor(directions: Tensor, latents: Tensor) -> LinearEditor:
    """The editor of directions (K, D) of any length; one of length 0 edits nothing.

    Strength 1 is REACH standard deviations of `latents` (N, D) along the direction, or over all dims where that is
    more, so that an evaluation sweeps the same range for all, also for normals along which W hardly varies.
    """
    units, centred = F.normalize(directions, dim=1), latents - latents.mean(0)
    spread = (centred @ units.T).std(0).clamp_min(float(centred.square().mean().sqrt()))
    return LinearEditor((REACH * spread[:, None] * units)[:, None])


def fit_none(material: Material) -> LinearEditor:
    """No edit at all: the upper bound of preservation, the lower bound of everything else."""
    return make_linear_editor(torch.zeros(material.layout.categories, material.latents.shape[1]), material.latents)


def fit_random(material: Material) -> LinearEditor:
    """A random direction for each category: what any method must exceed."""
    source = torch.Generator().manual_seed(material.seed)
    return make_linear_editor(
        torch.randn(material.layout.categories, material.latents.shape[1], generator=source), material.latents
    )


def target_scores(logits: Tensor, layout: Layout) -> Tensor:
    """Logits (N, K) to each category's log-odds against the other values of its attribute, (N, K)."""
    return torch.cat([logits[:, c] - logsumexp_of_others(logits[:, c]) for c in layout.columns], 1)


def logsumexp_of_others(logits: Tensor) -> Tensor:
    """For each value (N, C), the log-sum-exp of the attribute's other values."""
    columns = [logits[:, [j for j in range(logits.shape[1]) if j != i]] for i in range(logits.shape[1])]
    return torch.stack([rest.logsumexp(1) for rest in columns], 1)
