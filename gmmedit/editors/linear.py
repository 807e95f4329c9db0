"""Editors with one direction for each category, the same for every sample."""

import torch
import torch.nn.functional as F
from torch import Tensor

from gmmedit.editors.base import Editor, Material, Raw
from gmmedit.mixture import Layout

REACH = 3.0  # standard deviations of the samples along a direction that strength 1 goes (Shen et al. 2020 go 3 in Z)


class LinearEditor(Editor):
    """latent + strength * direction, as InterFaceGAN, GANSpace and SeFa edit.

    Directions of any length (K, D), or (K, L, D) where the layers of W+ move apart. Strength 1 is REACH standard
    deviations of `latents` (N, D) along the direction: the sweep of an evaluation then goes as far for all.
    """

    chart = Raw()

    def __init__(self, directions: Tensor, latents: Tensor) -> None:
        rows = directions if directions.ndim == 3 else directions[:, None]
        along = F.normalize(rows, dim=2)
        spread = torch.einsum("nd,kld->nkl", latents - latents.mean(0), along).std(0)  # (K, L)
        moves = rows.norm(dim=2) > 0
        length = (spread * moves).sum(1) / moves.sum(1).clamp_min(1)
        scale = REACH * length / rows.norm(dim=2).amax(1).clamp_min(1e-12)
        self.steps = rows * scale[:, None, None]  # (K, L or 1, D)

    def offset(self, x: Tensor, category: int, away: bool = False) -> Tensor:
        step = self.steps[category].expand(len(x), -1, -1)
        return -step if away else step


def fit_none(it: Material) -> LinearEditor:
    """No edit at all: the ceiling of preservation, the floor of everything else."""
    return LinearEditor(torch.zeros(it.layout.categories, it.latents.shape[1]), it.latents)


def fit_random(it: Material) -> LinearEditor:
    """A random direction for each category: the floor of every comparison."""
    source = torch.Generator().manual_seed(it.seed)
    return LinearEditor(torch.randn(it.layout.categories, it.latents.shape[1], generator=source), it.latents)


def target_scores(logits: Tensor, layout: Layout) -> Tensor:
    """Logits (N, K) to each category's log-odds against the other values of its attribute, (N, K)."""
    return torch.cat([logits[:, c] - others(logits[:, c]) for c in layout.columns], 1)


def others(logits: Tensor) -> Tensor:
    """For each value (N, C), the log-sum-exp of the attribute's other values."""
    columns = [logits[:, [j for j in range(logits.shape[1]) if j != i]] for i in range(logits.shape[1])]
    return torch.stack([rest.logsumexp(1) for rest in columns], 1)
