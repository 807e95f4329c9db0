"""Writes: the change of x that makes a given change of y.

Reading an attribute and moving it are dual: the least change of x that moves y by dy is J'(JJ')^-1 dy with
J = dy/dx.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gmmedit.mixture import Layout
from gmmedit.mixture.coordinates import Coordinates, FullSpace, make_dense

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

    x' = x + J'(JJ' + lambda I)^-1 dy in Euler steps along a straight path of y. Each step's dy is computed from the
    current x, so that errors do not add up. A linear read has one J, and one step is exact up to the damping:
    W = R(R'R + lambda I)^-1. In a full space (``FullSpace``) nothing is held and x' = x + delta.

    Args:
        x: (N, D).
        rows: the edited attribute's slice of y, or all of y where the attribute differs from row to row.
        delta: (N, r_a), alpha (y_s - y); or (N, r), zero where y is held.
        steps: Euler steps, for a network read.
        damping: lambda in units of the mean diagonal of JJ'. Without it, nearly collinear reads (age and grey hair)
            move x far along the difference of their directions.

    Returns:
        x' (N, D), differentiable in x, delta and the coordinates' parameters.
    """
    if coordinates.shared:
        return x + delta @ coordinates.jacobian(x[:1], rows)[0]
    start = coordinates(x)
    change = torch.zeros_like(start)
    change[:, rows] = delta
    steps = 1 if coordinates.linear else steps
    for step in range(1, steps + 1):
        missing = change * (step / steps) - (coordinates(x) - start)
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
    """A learned correction of the write: offset_l = gain_c * exact offset + network(...)_l for each layer l.

    The gain starts at one and the network at zero, so that the write is at first exact and the same in every layer of
    the generator. The consistency terms then fit a share for each layer: hair colour needs no coarse layer.

    Args:
        dim: D.
        layout: r and K.
        layers: L, the layers of the generator with latents of their own; 1 for a latent that all share.
        hidden, depth: width and number of the gated residual blocks.
        generator: draws the initial parameters.
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
        self.entry = make_dense(2 * dim + 2 * layout.width + 32, hidden, generator)
        self.blocks = nn.ModuleList(make_dense(hidden, 2 * hidden, generator) for _ in range(depth))
        self.exit = make_dense(hidden, layers * dim, generator)
        nn.init.zeros_(self.exit.weight)

    def forward(self, x: Tensor, y: Tensor, change: Tensor, exact: Tensor, category: Tensor) -> Tensor:
        """x, exact (N, D), y and its change (N, r), category (N,) to the corrected offsets (N, L, D)."""
        hidden = self.entry(torch.cat([x, exact, y, change, self.codes[category]], 1))
        for block in self.blocks:
            value, gate = block(F.silu(hidden)).chunk(2, 1)
            hidden = hidden + value * gate.sigmoid()
        learned = self.exit(F.silu(hidden)).unflatten(1, (-1, x.shape[1]))
        return (self.gain[category, None] * exact)[:, None] + learned
