"""DAGMA with a logistic model: attributes regressed on each other under a log-determinant constraint against cycles
(Bello, Aragam & Ravikumar 2022).

The logits of an attribute's values are linear in the one-hot values of the others, so an edge is a block of weights,
its strength the block's norm. Minimised: μ (negative log-likelihood + λ Σ norms) + h, with h = -log det(s I - W ∘ W) +
A log s, for falling μ. As `gae`, it gives one direction where data determine none: only its class is reported.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

PATH = ((1.0, 1.0), (0.1, 0.9), (0.01, 0.8), (0.001, 0.7))  # μ and s
SMALLEST = 1e-12


@dataclass(frozen=True)
class DagmaSettings:
    """λ, and steps of Adam for each μ."""

    penalty: float = 0.01
    steps: int = 500
    rate: float = 0.02


def learn_weights(
    x: np.ndarray, rows: np.ndarray, counts: np.ndarray, sizes: Sequence[int], allowed: np.ndarray,
    settings: DagmaSettings,
) -> np.ndarray:  # fmt: skip
    """Norms of the blocks (A, A), row -> column.

    Args:
        x: (U, K) the regressors, one-hot values.
        rows, counts: (U, A), (U,) see `Cells`.
        sizes: number of values of each attribute.
        allowed: (A, A) bool, edges that may be.
    """
    owner = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(list(sizes)))
    inputs, targets = torch.as_tensor(x, dtype=torch.float64), torch.as_tensor(rows)
    share = torch.as_tensor(counts / counts.sum())
    mask = torch.as_tensor(allowed & ~np.eye(len(sizes), dtype=bool), dtype=torch.float64)[owner][:, owner]
    member = torch.nn.functional.one_hot(owner, len(sizes)).double()
    weights, bias = torch.zeros_like(mask), torch.zeros(len(owner), dtype=torch.float64)
    for factor, s in PATH:
        weights, bias = descend(weights, bias, factor, s, settings, inputs, targets, share, sizes, mask, member)
    return squared_norms(weights * mask, member).sqrt().numpy()


def descend(
    weights: Tensor, bias: Tensor, factor: float, s: float, settings: DagmaSettings, inputs: Tensor, targets: Tensor,
    share: Tensor, sizes: Sequence[int], mask: Tensor, member: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Adam at one μ. Steps that leave the constraint's domain are taken back, and the rate is halved."""
    rate = settings.rate
    weights, bias = weights.clone().requires_grad_(True), bias.clone().requires_grad_(True)
    adam, kept = torch.optim.Adam([weights, bias], rate), weights.detach().clone()
    for _ in range(settings.steps):
        with torch.enable_grad():
            squares = squared_norms(weights * mask, member)
            h = barrier(squares, s)
            if h is None:
                rate /= 2
                with torch.no_grad():
                    weights.copy_(kept)
                adam = torch.optim.Adam([weights, bias], rate)
                continue
            kept = weights.detach().clone()
            fit = negative_log_likelihood(inputs @ (weights * mask) + bias, targets, share, sizes)
            loss = factor * (fit + settings.penalty * (squares + SMALLEST).sqrt().sum()) + h
            adam.zero_grad()
            loss.backward()
        adam.step()
    return kept, bias.detach()


def squared_norms(weights: Tensor, member: Tensor) -> Tensor:
    """The squared norm (A, A) of each block of weights (K, K)."""
    return member.T @ weights.square() @ member


def barrier(squares: Tensor, s: float) -> Tensor | None:
    """-log det(s I - squares) + A log s, 0 without cycles; None outside of its domain."""
    matrix = s * torch.eye(len(squares), dtype=squares.dtype) - squares
    if float(torch.linalg.eigvals(squares.detach()).abs().max()) >= s:
        return None
    return -torch.linalg.slogdet(matrix)[1] + len(squares) * math.log(s)


def negative_log_likelihood(logits: Tensor, targets: Tensor, share: Tensor, sizes: Sequence[int]) -> Tensor:
    """Mean over the samples of that of targets (U, A) under logits (U, K), summed over the attributes."""
    total = logits.new_zeros(())
    for place, part in enumerate(logits.split(list(sizes), 1)):
        own = part.log_softmax(1).gather(1, targets[:, place : place + 1]).squeeze(1)
        total = total - (own * share).sum()
    return total
