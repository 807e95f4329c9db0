"""A small network in place of f(G(x)) where backpropagation through G is too slow or not possible."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gmmedit.mixture import Layout
from gmmedit.mixture.adam import Fit, Terms, generator_for
from gmmedit.mixture.objectives import log_labels

SEED_SHIFT = 7_919  # so that its steps draw other rows than those of the fit that uses it


class Surrogate(nn.Module):
    """The mean over the layers of x (N, L, D) to logits (N, K), and no images (N, 0)."""

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
        """See ``Score``; the disturbance has no effect."""
        return self.layers(x.mean(1)), x.new_zeros(len(x), 0)


def fit_surrogate(
    x: Tensor, logits: Tensor, layout: Layout, seed: int, steps: int = 1_500, batch: int = 512
) -> Surrogate:
    """A surrogate fitted to samples x (N, D) with logits (N, K): the least KL divergence from their labels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Surrogate(x.shape[1], logits.shape[1])
    targets = log_labels(logits, layout, "log")

    def loss(step: int) -> Terms:
        rows = torch.randint(len(x), (batch,), generator=generator_for(seed + SEED_SHIFT, step))
        predicted = log_labels(network(x[rows, None])[0], layout, "log")
        return {"divergence": (targets[rows].exp() * (targets[rows] - predicted)).sum(1).mean()}

    for _ in Fit(network.parameters(), loss, steps, lr=1e-3, decayed=network.parameters(), weight_decay=0.5):
        pass
    return network.requires_grad_(False)
