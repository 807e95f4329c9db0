"""Metrics of realism and identity: distances of edited images from samples and from their originals, in features."""

import math

import torch
from torch import Tensor

CHUNK = 64  # rows whose products with all others are in memory at once


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


def kernel_distance(first: Tensor, second: Tensor) -> float:
    """KID: the unbiased squared maximum mean discrepancy of features (N, F), (M, F) (Binkowski et al. 2018, section 2).

    Its kernel is (xᵀy / F + 1)^3. The expectation is 0 for samples of one distribution, whatever N and M, so values may
    be negative. NaN if N or M is 1. One estimate from all rows, not the mean over subsets.
    """
    if min(len(first), len(second)) < 2:
        return math.nan
    within = sum(kernel_sum(rows, rows, apart=True) / (len(rows) * (len(rows) - 1)) for rows in (first, second))
    return float(within - 2 * kernel_sum(first, second) / (len(first) * len(second)))


def kernel_sum(first: Tensor, second: Tensor, apart: bool = False) -> float:
    """Sum of (xᵀy / F + 1)^3 over the pairs of rows of (N, F), (M, F), CHUNK rows at a time.

    apart: without the pairs of a row with itself, where both are the same.
    """
    first, second = first.double(), second.double()
    size = first.shape[1]
    total = sum(float((rows @ second.T / size + 1).pow(3).sum()) for rows in first.split(CHUNK))
    return total - float((first.square().sum(1) / size + 1).pow(3).sum()) if apart else total
