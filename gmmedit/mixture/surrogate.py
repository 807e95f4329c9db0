"""A small network that stands in for f(G(x)) where backpropagation through G is too dear, or G is a black box."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gmmedit.mixture import Layout
from gmmedit.mixture.adam import Fit, Terms, generator_for
from gmmedit.mixture.objectives import log_labels

SEED_SHIFT = 7_919  # its steps draw other rows than those of the fit that uses it


class Surrogate(nn.Module):
    """x (N, L, D), of which it sees the layers' mean, to logits (N, K) and no pictures (N, 0)."""

    def __init__(self, dim: int, categories: int, hidden: int = 512) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dim, hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, categories),
        )

    def forward(self, x: Tensor, disturbance: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        return self.layers(x.mean(1)), x.new_zeros(len(x), 0)


def fit_surrogate(
    x: Tensor, logits: Tensor, layout: Layout, seed: int, steps: int = 1_500, batch: int = 512
) -> Surrogate:
    """The surrogate of labelled samples x (N, D), logits (N, K): least KL divergence from their labels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Surrogate(x.shape[1], logits.shape[1])
    wanted = log_labels(logits, layout, "log")

    def loss(step: int) -> Terms:
        rows = torch.randint(len(x), (batch,), generator=generator_for(seed + SEED_SHIFT, step))
        got = log_labels(network(x[rows, None])[0], layout, "log")
        return {"divergence": (wanted[rows].exp() * (wanted[rows] - got)).sum(1).mean()}

    for _ in Fit(network.parameters(), loss, steps, lr=1e-3, decayed=network.parameters(), weight_decay=0.5):
        pass
    return network.requires_grad_(False)
