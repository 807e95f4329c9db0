"""Writes: the change of x that an edit of y asks for.

Reading an attribute and moving it are dual: the least change of x that moves y by dy is J'(JJ')^-1 dy with
J = dy/dx.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gmmedit.mixture import Layout
from gmmedit.mixture.coordinates import Coordinates, FullSpace, dense

STEPS = 8
DAMPING = 0.02


def least_change_write(
    coordinates: Coordinates | FullSpace,
    x: Tensor,
    rows: slice,
    delta: Tensor,
    steps: int = STEPS,
    damping: float = DAMPING,
) -> Tensor:
    """Moves the coordinates y[rows] by delta, holds all others, and changes x as little as that allows.

    x' = x + J'(JJ' + lambda I)^-1 dy in Euler steps along a straight path of y. Each step aims anew, from
    where x is, so errors do not add up. A linear read has one J and one step is exact, up to the damping:
    W = R(R'R + lambda I)^-1. In a full space (``FullSpace``) nothing is held and x' = x + delta.

    Args:
        x: (N, D).
        rows: the edited attribute's slice of y, or all of y where the attribute differs from row to row.
        delta: (N, r_a), alpha (y_s - y); or (N, r), zero where y is held.
        steps: Euler steps, for a network read.
        damping: lambda in units of the mean diagonal of JJ'. Nearly collinear reads (age and grey hair) pull
            an undamped write far away along the difference of their directions.

    Returns:
        x' (N, D), differentiable in x, delta and the coordinates' parameters.
    """
    if coordinates.shared:
        return x + delta @ coordinates.jacobian(x[:1], rows)[0]
    start = coordinates(x)
    wanted = torch.zeros_like(start)
    wanted[:, rows] = delta
    steps = 1 if coordinates.linear else steps
    for step in range(1, steps + 1):
        missing = wanted * (step / steps) - (coordinates(x) - start)
        x = x + _least_change(coordinates.jacobian(x[:1] if coordinates.linear else x), missing, damping)
    return x


def _least_change(jacobian: Tensor, change: Tensor, damping: float) -> Tensor:
    """J'(JJ' + lambda I)^-1 dy (N, D) for J (N or 1, r, D), dy (N, r)."""
    gram = jacobian @ jacobian.mT
    ridge = damping * gram.diagonal(dim1=1, dim2=2).mean(1)
    eye = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    multipliers = torch.linalg.solve(gram + ridge[:, None, None] * eye, change.unsqueeze(2))
    return (jacobian.mT @ multipliers).squeeze(2)


class Correction(nn.Module):
    """What the consistency terms teach the write: offset_l = gain_c * exact offset + network(...)_l for each layer l.

    The gain starts at one and the network at zero, so the first corrected write is the exact one, in every layer
    of the generator alike. From there each learns its own share: hair colour needs no coarse layer.

    Args:
        dim: D.
        layout: r and K.
        layers: L of the generator that take a latent of their own, 1 for a latent that all share.
        hidden, depth: width and number of the gated residual blocks.
        generator: draws the start.
    """

    def __init__(
        self,
        dim: int,
        layout: Layout,
        layers: int = 1,
        hidden: int = 384,
        depth: int = 2,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(layout.categories))
        self.codes = nn.Parameter(torch.randn(layout.categories, 32, generator=generator))
        self.entry = dense(2 * dim + 2 * layout.width + 32, hidden, generator)
        self.blocks = nn.ModuleList(dense(hidden, 2 * hidden, generator) for _ in range(depth))
        self.exit = dense(hidden, layers * dim, generator)
        nn.init.zeros_(self.exit.weight)

    def forward(self, x: Tensor, y: Tensor, wanted: Tensor, exact: Tensor, category: Tensor) -> Tensor:
        """x, exact (N, D), y, wanted (N, r), category (N,) to the corrected offsets (N, L, D)."""
        hidden = self.entry(torch.cat([x, exact, y, wanted, self.codes[category]], 1))
        for block in self.blocks:
            value, gate = block(F.silu(hidden)).chunk(2, 1)
            hidden = hidden + value * gate.sigmoid()
        learned = self.exit(F.silu(hidden)).unflatten(1, (-1, x.shape[1]))
        return (self.gain[category, None] * exact)[:, None] + learned
