"""Reads: the attributes' coordinates y of a latent x, linear, or with a small network added."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gmmedit.mixture import Layout

ROWS = 1024  # read at once


class Coordinates(nn.Module):
    """The read y = (x R + h(x) - shift) / scale.

    R (D, r) has orthonormal columns within each attribute; attributes may be oblique to each other. h is none
    or a network D -> hidden -> hidden -> r that is zero at the start.

    Args:
        dim: D.
        layout: gives r and which coordinates belong together; no attribute may have more than D of them.
        hidden: width of h's two hidden layers, 0 for a linear read.
        generator: draws the initial parameters.

    Raises:
        ValueError: an attribute with more coordinates than D.
    """

    shared = False  # whether all attributes read the same coordinates, so that none can be held
    shift: Tensor
    scale: Tensor
    averaging: Tensor

    def __init__(self, dim: int, layout: Layout, hidden: int = 0, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if max(layout.ranks) > dim:
            raise ValueError(f"an attribute cannot have {max(layout.ranks)} coordinates in a space of {dim}")
        self.layout = layout
        self.directions = nn.Parameter(torch.randn(dim, layout.width, generator=generator))
        self.register_buffer("shift", torch.zeros(layout.width))
        self.register_buffer("scale", torch.ones(layout.width))
        means = [torch.full((rank, rank), 1 / rank) for rank in layout.ranks]
        self.register_buffer("averaging", torch.block_diag(*means), persistent=False)  # over each attribute
        sizes = (dim, hidden, hidden, layout.width) if hidden else ()
        self.network = nn.Sequential(*(make_dense(i, o, generator) for i, o in pairwise(sizes)))
        if hidden:
            nn.init.zeros_(self._layers()[-1].weight)

    @property
    def linear(self) -> bool:
        """Whether y is affine in x, so that the Jacobian is the same everywhere."""
        return len(self.network) == 0

    def read_matrix(self) -> Tensor:
        """R (D, r)."""
        read = F.normalize(self.directions, dim=0)
        for rows in self.layout.rows:
            if rows.stop - rows.start > 1:
                own = _orthonormal(self.directions[:, rows])
                read = read.slice_scatter(own, 1, rows.start, rows.stop)
        return read

    def forward(self, x: Tensor) -> Tensor:
        """x (N, D) to y (N, r)."""
        y = x @ self.read_matrix()
        if not self.linear:
            y = y + self._layers()[-1](self._hidden(x)[-1][0])
        return (y - self.shift) / self.scale

    def jacobian(self, x: Tensor, rows: slice = slice(None)) -> Tensor:
        """dy/dx (N, r, D) at x (N, D), or of some coordinates only; differentiable itself."""
        jacobian = self.read_matrix().T[rows].expand(len(x), -1, -1)
        if not self.linear:
            *inner, last = self._layers()
            chain = last.weight[rows]
            for layer, (_, slope) in zip(reversed(inner), reversed(self._hidden(x)), strict=True):
                chain = (chain * slope.unsqueeze(1)) @ layer.weight
            jacobian = jacobian + chain
        return jacobian / self.scale[rows, None]

    def _layers(self) -> list[nn.Linear]:
        return [layer for layer in self.network if isinstance(layer, nn.Linear)]

    def _hidden(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The value and the derivative (N, hidden) of each hidden layer's SiLU, from the first on."""
        layers = []
        for layer in self._layers()[:-1]:
            before = layer(x)
            gate = before.sigmoid()
            x = before * gate
            layers.append((x, gate + x * (1 - gate)))
        return layers

    @torch.no_grad()
    def initialise_(self, x: Tensor, labels: Tensor) -> None:
        """Sets R's columns to the principal directions between the values' means of x (N, D), labels (N, K) in [0, 1].

        With x white and of mean 0 these are the least-squares directions. Coordinates beyond C_a - 1 keep their
        random values.
        """
        covariance = x.T @ (labels - labels.mean(0))
        for rows, columns in zip(self.layout.rows, self.layout.columns, strict=True):
            count = min(rows.stop - rows.start, columns.stop - columns.start - 1)
            principal = torch.linalg.svd(covariance[:, columns], full_matrices=False).U[:, :count]
            self.directions[:, rows.start : rows.start + count] = principal

    @torch.no_grad()
    def standardise_(self, x: Tensor) -> None:
        """Sets shift and scale so that y of x (N, D) has mean 0 and, over each attribute, mean variance 1.

        One scale for all coordinates of an attribute, so that R's columns stay of one length.
        """
        y = read_batched(self, x) * self.scale + self.shift
        self.shift.copy_(y.mean(0))
        self.scale.copy_(self._spread(y))

    def standardised(self, y: Tensor) -> Tensor:
        """y (N, r) standardised as ``standardise_`` would from this batch alone.

        For fits: responsibilities do not depend on y's scale, so that of a network would grow without bound.
        """
        return (y - y.mean(0)) / self._spread(y)

    def _spread(self, y: Tensor) -> Tensor:
        variance = y.var(0).clamp_min(torch.finfo(y.dtype).tiny)
        return (variance @ self.averaging).sqrt()


class FullSpace(nn.Module):
    """The patent read literally: the coordinates of every attribute are all of x.

    No attribute is held while another moves: the write of alpha (y_s - y) is the interpolation of claim 6,
    x' = (1 - alpha) x + alpha zs. Its layout has ranks (D,) * A.
    """

    shared = True
    linear = True

    def __init__(self, dim: int, values: tuple[int, ...]) -> None:
        super().__init__()
        self.layout = Layout(values, (dim,) * len(values))

    def forward(self, x: Tensor) -> Tensor:
        """x (N, D) to y (N, A D)."""
        return x.repeat(1, len(self.layout.values))

    def jacobian(self, x: Tensor, rows: slice = slice(None)) -> Tensor:
        """dy/dx (N, A D, D), or of some coordinates only."""
        eye = torch.eye(x.shape[1], dtype=x.dtype, device=x.device).repeat(len(self.layout.values), 1)
        return eye[rows].expand(len(x), -1, -1)

    def initialise_(self, x: Tensor, labels: Tensor) -> None:
        """Does nothing: there are no directions."""

    def standardise_(self, x: Tensor) -> None:
        """Does nothing: the chart is white."""

    def standardised(self, y: Tensor) -> Tensor:
        """y (N, A D) as it is."""
        return y


@torch.no_grad()
def read_batched(coordinates: Coordinates | FullSpace, x: Tensor) -> Tensor:
    """y (N, r) of x (N, D), ROWS at a time: a network's hidden layers for all rows would take more memory than x."""
    y = x.new_empty(len(x), coordinates.layout.width)
    for part, place in zip(x.split(ROWS), y.split(ROWS), strict=True):
        place.copy_(coordinates(part))
    return y


def _orthonormal(directions: Tensor) -> Tensor:
    q, r = torch.linalg.qr(directions)
    return q * torch.where(r.diagonal() < 0, -1, 1)  # QR's signs are arbitrary: keep each column on its side


class UninitialisedLinear(nn.Linear):
    """A linear layer without initial values (``skip_init`` would load PyTorch's compiler)."""

    def reset_parameters(self) -> None:
        """Leaves the weights uninitialised."""


def make_dense(inputs: int, outputs: int, generator: torch.Generator | None) -> nn.Linear:
    """A linear layer with weights drawn from N(0, 1 / inputs) and zero bias."""
    layer = UninitialisedLinear(inputs, outputs)
    nn.init.normal_(layer.weight, std=inputs**-0.5, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer
