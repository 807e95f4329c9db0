"""Metrics of realism and identity: distances of edited images from samples and from their originals, in features."""

import math

import torch
from torch import Tensor


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """|mu1 - mu2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2) of features (N, F), (M, F) (Heusel et al. 2017).

    NaN if N or M is 1. Exact for any N and M, also below F. As an estimate of the distance between the distributions it
    is biased upwards by O(1/N) (Chong & Forsyth 2020): compare at equal N only.
    """
    if min(len(first), len(second)) < 2:
        return math.nan
    first, second = first.double(), second.double()
    mean = (first.mean(0) - second.mean(0)).square().sum()
    one, two = covariance_factor(first), covariance_factor(second)
    # The eigenvalues of S1 S2 are the squared singular values of one twoᵀ: no root is taken of what is nearly singular.
    shared = torch.linalg.svdvals(one @ two.T).sum()
    return float((mean + one.square().sum() + two.square().sum() - 2 * shared).clamp_min(0))


def covariance_factor(features: Tensor) -> Tensor:
    """R (min(N, F), F) with RᵀR the covariance of features (N, F)."""
    centred = features - features.mean(0)
    return torch.linalg.qr(centred, mode="r").R / (len(features) - 1) ** 0.5


def identity(before: Tensor, after: Tensor) -> Tensor:
    """Cosine (S, n) of the features of edits (S, n, F) with those of their originals (n, F); 0 where either is 0.

    With the features of a face recogniser (Deng et al. 2019) it is what papers on editing faces call ID.
    """
    return torch.nn.functional.cosine_similarity(before, after, dim=-1)


def path_length(features: Tensor, strengths: Tensor) -> Tensor:
    """Mean over consecutive strengths (S,) of the squared distance of features (S, n, F) over the squared step, (n,).

    The perceptual path length (Karras et al. 2019) is the expectation of |phi(t + eps) - phi(t)|^2 / eps^2 over
    interpolations of latents, with eps = 1e-4. This is its finite-difference version along an edit: every step counts
    once, and detours within a step are not seen, so halving all steps can only raise it.
    """
    steps = (strengths[1:] - strengths[:-1])[:, None]
    return ((features[1:] - features[:-1]).square().sum(-1) / steps.square()).mean(0)
