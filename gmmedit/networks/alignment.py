"""Coordinates of an identity in which images of every value of an attribute have the same mean and covariance."""

import torch
from torch import Tensor, nn

ROUNDS = 3  # over several attributes
LEAST = 1e-6  # least eigenvalue of a matrix that can be inverted, as a share of its largest


class Alignment(nn.Module):
    """An affine map of z for each value of each attribute, then one that makes the covariance of all images I.

    z becomes centre + B^-1 (z - centre - b) for one attribute after the other, several times if they are several, since
    they may go together; b and B are those of the attribute's two values, weighted by its unit. Then the identity is
    factor^-1 (z - centre). New, it changes nothing.
    """

    centre: Tensor
    factor: Tensor
    shifts: Tensor
    scales: Tensor

    def __init__(self, units: int, identity: int):
        super().__init__()
        self.register_buffer("centre", torch.zeros(identity))
        self.register_buffer("factor", torch.eye(identity))  # lower triangular
        steps = units * ROUNDS if units > 1 else 1
        self.register_buffer("shifts", torch.zeros(steps, 2, identity))
        self.register_buffer("scales", torch.eye(identity).repeat(steps, 2, 1, 1))  # symmetric, positive definite

    def forward(self, z: Tensor, attributes: Tensor) -> Tensor:
        """z (N, nz) of images with attributes (N, K), in [0, 1], to identities (N, nz)."""
        v, units = z - self.centre, attributes.clamp(0, 1)
        for step in range(len(self.shifts)):
            value = units[:, step % units.shape[1]]
            scale = torch.lerp(self.scales[step, 0], self.scales[step, 1], value[:, None, None])
            v = torch.linalg.solve_ex(scale, v - self.shift(step, value))[0]
        return torch.linalg.solve_triangular(self.factor, v.T, upper=False).T

    def shift(self, step: int, value: Tensor) -> Tensor:
        """b of a step where its attribute is `value` (N,), (N, nz)."""
        return torch.lerp(self.shifts[step, 0], self.shifts[step, 1], value[:, None])

    def restore(self, identity: Tensor, attributes: Tensor) -> Tensor:
        """The inverse: identities (N, nz), for images with attributes (N, K), to z (N, nz)."""
        v, units = identity @ self.factor.T, attributes.clamp(0, 1)
        for step in reversed(range(len(self.shifts))):
            value = units[:, step % units.shape[1]]
            first, second = v @ self.scales[step, 0], v @ self.scales[step, 1]  # in half precision within an autocast
            v = self.shift(step, value) + first + value[:, None] * (second - first)
        return self.centre + v


def check_alignment(factor: Tensor, scales: Tensor) -> None:
    """ValueError: factor (nz, nz) or scales (steps, 2, nz, nz) cannot be those of an alignment, whatever its sizes."""
    diagonal = factor.diagonal()
    if not torch.equal(factor, factor.tril()) or not (diagonal > LEAST * diagonal.max()).all():
        raise ValueError("alignment.factor is not lower triangular with a positive diagonal")
    values = torch.linalg.eigvalsh(scales.double())
    alike = torch.allclose(scales, scales.mT, atol=LEAST * float(scales.abs().max()), rtol=1e-3)
    if not alike or not (values[..., 0] > LEAST * values[..., -1]).all():
        raise ValueError("alignment.scales are not symmetric and positive definite")
