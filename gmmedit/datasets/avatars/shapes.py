"""Soft shapes from signed distance functions, blended over a batch of images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SIZE = 64
MARGIN = 4
"""Pixels by which a shape may be displaced from its place in a centred face of average width."""


@dataclass
class Canvas:
    """A batch of images, or a rectangle of them.

    `pixels` (n, 3, h, w) in [0, 1]; head coordinates `u` (n, 1, w) and `v` (n, h, 1); `face` (n, h, w) the
    signed distance to the outline of the face.
    """

    pixels: Tensor
    u: Tensor
    v: Tensor
    face: Tensor

    def window(self, half_width: int, top: int, bottom: int) -> Canvas:
        """The rectangle that contains |u| <= half_width, top <= v <= bottom for every position of the head.

        It shares the pixels with this canvas.
        """
        middle = SIZE // 2
        columns = slice(max(0, middle - half_width - MARGIN - 1), middle + half_width + MARGIN + 1)
        rows = slice(max(0, middle + top - MARGIN), middle + bottom + MARGIN)
        pixels = self.pixels[:, :, rows, columns]
        return Canvas(pixels, self.u[:, :, columns], self.v[:, rows], self.face[:, rows, columns])

    def blend(self, colour: Tensor, alpha: Tensor) -> None:
        """Blend a colour, (n, 3, 1, 1) or (n, 3, h, w) in [0, 1], over the pixels in place, by alpha (n, h, w)."""
        self.pixels.lerp_(colour, alpha[:, None])


def coverage(distance: Tensor, softness: float = 1.0) -> Tensor:
    """Coverage in [0, 1] of pixels by a shape, from its signed distance in pixels, negative inside."""
    return (0.5 - distance / softness).clamp_(0, 1)


def ellipse(u: Tensor, v: Tensor, a: Tensor | float, b: Tensor | float) -> Tensor:
    """Signed distance (first order) to the ellipse with semi-axes a, b around the origin."""
    p, q = u / a, v / b
    level = (p * p + q * q).add_(1e-6).sqrt_()
    slope = ((p / a) ** 2 + (q / b) ** 2).add_(1e-6).sqrt_()
    return (level - 1).mul_(level).div_(slope)


def glow(u: Tensor, v: Tensor, a: float, b: float) -> Tensor:
    """A soft spot: 1 in the middle, 0 at the ellipse's edge and beyond."""
    return (1 - (u / a) ** 2 - (v / b) ** 2).clamp_(0, 1)


def stroke(u: Tensor, v: Tensor, half: Tensor | float, bow: Tensor | float, thick: Tensor | float) -> Tensor:
    """Distance to a tapering stroke through the origin whose ends lie `bow` below it (above it where < 0)."""
    x = u / half
    slope = 2 * bow * x / half
    return (v - bow * x * x).abs_().div_((1 + slope * slope).sqrt()).sub_(thick * (1 - x * x))


def segment(u: Tensor, v: Tensor, start: tuple[float, float], end: tuple[float, float], thick: float) -> Tensor:
    """Signed distance to a line segment with round ends, `thick` pixels from it."""
    du, dv = end[0] - start[0], end[1] - start[1]
    pu, pv = u - start[0], v - start[1]
    along = ((pu * du + pv * dv) / (du * du + dv * dv)).clamp_(0, 1)
    return ((pu - along * du) ** 2).add_((pv - along * dv) ** 2).sqrt_().sub_(thick)


def box(u: Tensor, v: Tensor, a: Tensor | float, b: Tensor | float, radius: float) -> Tensor:
    """Signed distance to a box around the origin with half sides a, b and corners of the given radius."""
    p, q = u.abs() - a + radius, v.abs() - b + radius
    return (p.clamp(min=0) ** 2 + q.clamp(min=0) ** 2).sqrt_().sub_(radius)


def palette(colours: tuple[tuple[float, float, float], ...], place: Tensor) -> Tensor:
    """The colour (n, 3, 1, 1) at a place (n, 1, 1) in [-1, 1] along a row of colours, interpolated linearly."""
    table = torch.tensor(colours)
    at = (place[:, 0, 0] + 1) / 2 * (len(colours) - 1)
    low = at.long().clamp(0, len(colours) - 2)
    return torch.lerp(table[low], table[low + 1], (at - low)[:, None])[:, :, None, None]


def mix(first: Tensor, second: Tensor, share: Tensor | float) -> Tensor:
    """Per-image blend of two colours; the share of the second is a number or (n, 1, 1)."""
    return first + (second - first) * (share[:, None] if isinstance(share, Tensor) else share)


def rgb(red: float, green: float, blue: float) -> Tensor:
    """A colour (1, 3, 1, 1), of channels in [0, 1], or factors of a colour's channels."""
    return torch.tensor([red, green, blue], dtype=torch.float32).view(1, 3, 1, 1)
