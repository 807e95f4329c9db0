"""Coordinates of an identity in which images of every value of an attribute have the same mean and covariance."""

import torch
from torch import Tensor, nn


class Alignment(nn.Module):
    """An affine map of z for each value of each attribute, then one that makes the covariance of all images I.

    z becomes centre + B_k^-1 (z - centre - b_k) for one attribute k after the other, where b_k and B_k are those of the
    attribute's two values, weighted by its unit; the identity is factor^-1 (z - centre). New, it changes nothing.
    """

    centre: Tensor
    factor: Tensor
    shifts: Tensor
    scales: Tensor

    def __init__(self, units: int, identity: int):
        super().__init__()
        self.register_buffer("centre", torch.zeros(identity))
        self.register_buffer("factor", torch.eye(identity))  # lower triangular
        self.register_buffer("shifts", torch.zeros(units, 2, identity))
        self.register_buffer("scales", torch.eye(identity).repeat(units, 2, 1, 1))  # symmetric, positive definite

    def forward(self, z: Tensor, attributes: Tensor) -> Tensor:
        """z (N, nz) of images with attributes (N, K), in [0, 1], to identities (N, nz)."""
        v = z - self.centre
        for unit, value in enumerate(attributes.clamp(0, 1).T):
            v = self.align(v, unit, value)
        return torch.linalg.solve_triangular(self.factor, v.T, upper=False).T

    def align(self, v: Tensor, unit: int, value: Tensor) -> Tensor:
        """The step of one attribute: centred z (N, nz), where the attribute is `value` (N,)."""
        scale = torch.lerp(self.scales[unit, 0], self.scales[unit, 1], value[:, None, None])
        return torch.linalg.solve_ex(scale, v - self.shift(unit, value))[0]

    def shift(self, unit: int, value: Tensor) -> Tensor:
        """b of that attribute where it is `value` (N,), (N, nz)."""
        return torch.lerp(self.shifts[unit, 0], self.shifts[unit, 1], value[:, None])

    def restore(self, identity: Tensor, attributes: Tensor) -> Tensor:
        """The inverse: identities (N, nz), for images with attributes (N, K), to z (N, nz)."""
        v = identity @ self.factor.T
        for unit, value in reversed(list(enumerate(attributes.clamp(0, 1).T))):
            scaled = torch.lerp(v @ self.scales[unit, 0], v @ self.scales[unit, 1], value[:, None])
            v = self.shift(unit, value) + scaled
        return self.centre + v
