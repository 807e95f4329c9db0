"""Optimal transport between two Gaussians (Knott and Smith 1984, "On the optimal mapping of distributions")."""

from __future__ import annotations

import torch
from torch import Tensor


def transport_matrix(first: Tensor, second: Tensor) -> Tensor:
    """The symmetric B (..., r, r) that makes N(0, second) of N(0, first) with the least squared displacement.

    B first B = second: B = first^-1/2 (first^1/2 second first^1/2)^1/2 first^-1/2. Covariances (..., r, r), positive
    definite; eigenvalues near 0 lose digits, so in double precision.
    """
    root, inverse = power_of(first, 0.5), power_of(first, -0.5)
    return inverse @ power_of(root @ second @ root, 0.5) @ inverse


def power_of(matrix: Tensor, exponent: float) -> Tensor:
    """A power of symmetric, positive definite matrices (..., r, r)."""
    values, vectors = torch.linalg.eigh(matrix)
    powers = values.clamp_min(torch.finfo(values.dtype).tiny).pow(exponent)
    return (vectors * powers.unsqueeze(-2)) @ vectors.mT
