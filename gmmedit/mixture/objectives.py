"""Losses: what the fits minimise, each a mean over the batch, ready to be weighted and added up."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from gmmedit.mixture import Layout
from gmmedit.mixture.held import attribute_of, held_categories

Scale = Literal["probability", "log"]

CERTAIN = 0.95  # a target of 1 would increase logits without bound
SMALLEST = 1e-6  # smaller probabilities are raised to it
BANDS = 3  # of an image: details, and two halvings of the side


def label_loss(likelihood: Tensor, labels: Tensor) -> Tensor:
    """MSE of the normalised likelihood (N, K) and the labels (N, K), both in [0, 1] (claim 4)."""
    return F.mse_loss(likelihood, labels)


def likelihood_term(log_density: Tensor, labels: Tensor) -> Tensor:
    """Mean negative log-density (N, K) weighted by labels (N, K) in [0, 1], which makes components densities of y.

    Use the density of y.detach(): with a gradient to y, the loss is least when y collapses to a point.
    """
    return -(labels * log_density).sum() / labels.sum()


def sampling_term(coefficients: Tensor, labels: Tensor) -> Tensor:
    """MSE of sampled coefficients and the labels of the samples' images, both (N, C) (claim 5).

    A coefficient is the one-hot drawn category, or the responsibilities at the draw.
    """
    return F.mse_loss(labels, coefficients)


def log_labels(labels: Tensor, layout: Layout, scale: Scale = "probability") -> Tensor:
    """log-probabilities (N, K) over each attribute's values.

    Args:
        labels: (N, K) probabilities in [0, 1], which are clamped, or their logarithms up to a constant over each
            attribute (log-probabilities, logits of a softmax).
        scale: which of the two.
    """
    logs = labels.clamp_min(SMALLEST).log() if scale == "probability" else labels
    return torch.cat([logs[:, columns].log_softmax(1) for columns in layout.columns], 1)


def same_attribute(layout: Layout) -> Tensor:
    """(K, K) bool: whether two categories are values of one attribute."""
    owner = attribute_of(layout)
    return owner[:, None] == owner[None]


def edit_divergences(
    before: Tensor, after: Tensor, category: Tensor, layout: Layout, held: Tensor, certain: float | Tensor = CERTAIN
) -> tuple[Tensor, Tensor]:
    """How far edits missed their targets, and how far they changed held attributes: two (N,), >= 0.

    From log-labels (N, K) before and after. Missed: log(certain) - log(probability of the category), at least 0, summed
    over the targets. Changed: KL divergence of the labels before from those after, summed over the attributes that
    ``held`` (A, A) marks for all targets.

    Args:
        category: (N,) the target, or (N, G) several of different attributes.
        certain: the probability at which a target is reached; (K,): of each category.
    """
    goals = category.view(len(category), -1)
    wanted = torch.as_tensor(certain).log().to(after)
    wanted = wanted[goals] if wanted.ndim else wanted
    missed = (wanted - after.gather(1, goals)).clamp_min(0).sum(1)
    divergence = before.exp() * (before - after)
    must_stay = held_categories(held.to(divergence.device), layout)[goals].all(1)
    return missed, divergence.masked_fill(~must_stay, 0).sum(1)


def image_change(before: Tensor, after: Tensor) -> Tensor:
    """Mean absolute change (N,) of images (N, ...) in [-1, 1]; 0 where there are none, (N, 0).

    The absolute value favours changes of few pixels, so that what is unrelated to the label stays.
    """
    return (after - before).abs().flatten(1).sum(1) / max(before[0].numel(), 1)


def split_bands(images: Tensor) -> list[Tensor]:
    """Images (N, C, H, W) as BANDS images whose sum they are, the finest details first, the means of squares last."""
    bands = []
    for _ in range(BANDS - 1):
        coarse = F.avg_pool2d(images, 2, ceil_mode=True, count_include_pad=False)
        bands.append(images - F.interpolate(coarse, scale_factor=2.0)[..., : images.shape[-2], : images.shape[-1]])
        images = coarse
    return [*bands, images]


def band_change(before: Tensor, after: Tensor, contrast: Tensor) -> Tensor:
    """Change (N,) of images (N, C, H, W) in units of that between two samples: the mean over their bands.

    Divided by the contrast (BANDS,) of two samples in each band, so that the moved edge of an eye counts as much as the
    colour of a background. 0 where there are no images, (N, 0).
    """
    if before.ndim < 4:
        return image_change(before, after)
    changes = split_bands(after - before)
    return torch.stack([band.abs().flatten(1).mean(1) for band in changes], 1) @ (1 / contrast).to(after) / BANDS


def least_change(change: Tensor) -> Tensor:
    """Mean square of a change of the coordinates x, of any shape."""
    return change.square().mean()
