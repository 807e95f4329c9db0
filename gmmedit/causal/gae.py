"""The graph autoencoder: every attribute is rebuilt from messages along a weighted adjacency that is driven to be
acyclic (Ng et al. 2019, "A graph autoencoder approach to causal structure learning"; the causal part of CCIG 2024).

X̂_i = f2(Σ_j W_ji f1(X_j)) with shared networks f1, f2, over one-hot values. The loss is 1/(2n) |X - X̂|² + λ |W|₁ + α h
+ ρ/2 h² with h(W) = tr exp(W ∘ W) - A (augmented Lagrangian). It orients by what is easier to rebuild, so by scale:
its directions are no evidence (Reisach et al. 2021), and only its class is reported.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

SLOPE = 0.05
PROGRESS, TOLERANCE = 0.25, 1e-8  # a smaller fall of h doubles ρ; an h below it is acyclic
MOST = 1e16  # ρ


@dataclass(frozen=True)
class GaeSettings:
    """λ, steps of Adam in each of at most `rounds` rounds, width of the networks, seed of the initial values."""

    penalty: float = 0.005
    steps: int = 300
    rounds: int = 10
    rate: float = 3e-3
    hidden: int = 4
    seed: int = 0


class GraphAutoencoder(nn.Module):
    """W (A, A) and the two networks, which all attributes share."""

    def __init__(self, attributes: int, width: int, settings: GaeSettings) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            hidden = settings.hidden
            self.encode = nn.Sequential(nn.Linear(width, hidden), nn.LeakyReLU(SLOPE), nn.Linear(hidden, hidden))
            self.decode = nn.Sequential(nn.Linear(hidden, hidden), nn.LeakyReLU(SLOPE), nn.Linear(hidden, width))
            self.weights = nn.Parameter(torch.empty(attributes, attributes).uniform_(-0.1, 0.1))

    def forward(self, x: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, A, C) rebuilt, and W with zeros where no edge is allowed (A, A)."""
        weights = self.weights * allowed
        return self.decode(torch.einsum("ji,njh->nih", weights, self.encode(x))), weights


def learn_weights(x: np.ndarray, counts: np.ndarray, allowed: np.ndarray, settings: GaeSettings) -> np.ndarray:
    """|W| (A, A), row -> column, from different rows of inputs x (U, A, C) that occur `counts` (U,) times.

    allowed: (A, A) bool, edges that may be.
    """
    inputs = torch.as_tensor(x, dtype=torch.float32)
    share = torch.as_tensor(counts / counts.sum(), dtype=torch.float32)
    mask = torch.as_tensor(allowed & ~np.eye(len(allowed), dtype=bool), dtype=torch.float32)
    model = GraphAutoencoder(inputs.shape[1], inputs.shape[2], settings)
    alpha, rho, last = 0.0, 1.0, float("inf")
    for _ in range(settings.rounds):
        adam = torch.optim.Adam(model.parameters(), settings.rate)
        with torch.enable_grad():
            for _ in range(settings.steps):
                adam.zero_grad()
                rebuilt, weights = model(inputs, mask)
                h = torch.trace(torch.matrix_exp(weights * weights)) - len(weights)
                loss = 0.5 * ((inputs - rebuilt).square().sum((1, 2)) * share).sum()
                loss = loss + settings.penalty * weights.abs().sum() + alpha * h + rho / 2 * h * h
                loss.backward()
                adam.step()
        cycle = float(h.detach())
        alpha += rho * cycle
        if cycle <= TOLERANCE or rho > MOST:
            break
        if cycle > PROGRESS * last:
            rho *= 10
        last = cycle
    return (model.weights * mask).detach().abs().double().numpy()
