"""Latent spaces, and charts: coordinates of a space in which the prior is close to N(0, I).

Everything is fitted and edited in a chart's coordinates x. For Z the chart is the identity. For W it undoes
the mapping's last activation, u = LeakyReLU(w, slope 5), then centres and whitens u (Wulff & Torralba 2020,
"Improving inversion and generation diversity in StyleGAN using a Gaussianized latent space"). A W that no such
activation has made, as that of BigGAN, is whitened only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

UNDO_SLOPE = 5.0  # the inverse of the mapping's leaky ReLU of slope 0.2
ROWS = 256  # converted at once: no copy of all latents, and the working set stays in the caches
NULL_VARIANCE = 1e-9  # directions with less than this share of the largest variance are rounding, not latent


@dataclass(frozen=True)
class Space:
    """One latent space of a generator.

    Attributes:
        name: "z", "w", or what a trained model calls it.
        dim: D, the size of a latent.
        layers: L, the number of latents of this space that an image takes: those of W+, else 1.
        normal: whether the prior is N(0, I); coordinates are then the latents themselves.
        blocks: named parts of a latent, e.g. attribute and identity; one of the space's own name where none are given.
    """

    name: str
    dim: int
    layers: int = 1
    normal: bool = False
    blocks: Mapping[str, slice] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.blocks:
            object.__setattr__(self, "blocks", {self.name: slice(0, self.dim)})

    def __str__(self) -> str:
        return f"{self.name} of {self.dim} dims" + (f" for each of {self.layers} layers" if self.layers > 1 else "")

    def record(self) -> dict[str, Any]:
        """The space as plain data, for an artifact."""
        blocks = {name: [part.start, part.stop] for name, part in self.blocks.items()}
        return {"name": self.name, "dim": self.dim, "layers": self.layers, "normal": self.normal, "blocks": blocks}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Space:
        """The inverse of ``record``. Raises KeyError for a missing entry."""
        blocks = {name: slice(*ends) for name, ends in record["blocks"].items()}
        return cls(record["name"], record["dim"], record["layers"], record["normal"], blocks)


@dataclass(frozen=True)
class Chart:
    """An invertible map between latents (N, D) and coordinates x (N, D'), D' <= D.

    u = LeakyReLU(latent, slope), x = (u - mean) axes / scale.

    Attributes:
        slope: () slope of the leaky ReLU for negative latents, 1 for none.
        mean: (D,) mean of u; carries the constant part of the dropped null directions.
        axes: (D, D') orthonormal columns, the principal directions of u that vary.
        scale: (D',) standard deviations of u along the axes.
    """

    slope: Tensor
    mean: Tensor
    axes: Tensor
    scale: Tensor

    @property
    def dim(self) -> int:
        """D', the number of coordinates."""
        return self.axes.shape[1]

    def to_x(self, latent: Tensor) -> Tensor:
        """Latents (..., D) to coordinates (..., D'), in the chart's precision and on its device."""
        latent = latent.to(self.mean)
        u = torch.where(latent < 0, latent * self.slope, latent)
        return (u - self.mean) @ self.axes / self.scale

    def to_x_(self, latents: Tensor) -> Tensor:
        """``to_x`` in place: the coordinates overwrite the latents (N, D), of which a view (N, D') is returned."""
        for part in latents.split(ROWS):
            part[:, : self.dim] = self.to_x(part)
        return latents[:, : self.dim]

    def from_x(self, x: Tensor) -> Tensor:
        """Coordinates (..., D') to latents (..., D)."""
        u = self.mean + (x.to(self.mean) * self.scale) @ self.axes.T
        return torch.where(u < 0, u / self.slope, u)

    def carry(self, latent: Tensor, x: Tensor) -> Tensor:
        """Latents (..., D) moved so that their coordinates become x (..., D').

        What the chart does not represent stays, so that a latent whose coordinates do not change keeps its bits.
        """
        latent = latent.to(self.mean)
        return latent + (self.from_x(x) - self.from_x(self.to_x(latent)))

    def to(self, target: torch.device | torch.dtype | str) -> Chart:
        """The same chart on another device or in another precision."""
        return Chart(**{name: torch.Tensor.to(value, target) for name, value in self.arrays().items()})

    def arrays(self) -> dict[str, Tensor]:
        """The chart as named tensors, for an artifact."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Tensor]) -> Chart:
        """The inverse of ``arrays``; other names are ignored. Raises KeyError for a missing one."""
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})


def fit_chart(space: Space, latents: Tensor) -> Chart:
    """The chart of a space, from samples of its prior.

    Args:
        space: where the latents are from; the identity where its prior is N(0, I), else Gaussianised.
        latents: (N, D), N >= 2, finite.

    Raises:
        ValueError: wrong shape, fewer than two latents, NaN or infinity, or all latents the same.
    """
    if latents.ndim != 2 or latents.shape[1] != space.dim:
        raise ValueError(f"latents must have the shape (N, {space.dim}), not {tuple(latents.shape)}")
    if len(latents) < 2:
        raise ValueError(f"a chart needs at least two latents, not {len(latents)}")
    if first_non_finite(latents) is not None:
        raise ValueError("latents hold NaN or infinite values")
    if space.normal:
        zeros = latents.new_zeros(latents.shape[1])
        return Chart(latents.new_ones(()), zeros, torch.diag(zeros + 1), zeros + 1)
    return _gaussianising(latents)


def fit_affine_chart(latents: Tensor) -> Chart:
    """The chart that centres and whitens the latents (N, D) without undoing an activation.

    Raises:
        ValueError: all latents are the same.
    """
    return _whitening(latents, 1.0)


def fit_block_chart(space: Space, latents: Tensor, block: str) -> Chart:
    """The chart of one block of a space: what is outside of it is no coordinate, and ``carry`` keeps it.

    ``from_x`` gives the rest of the first latent there, which is a possible one; the mean of all may not be.

    Raises:
        KeyError: the space has no such block. ValueError: as ``fit_chart``.
    """
    part = space.blocks[block]
    own = fit_chart(Space(block, part.stop - part.start, normal=space.normal), latents[:, part])
    axes, mean = own.axes.new_zeros(space.dim, own.dim), latents[0].to(own.mean).clone()
    outside = torch.ones(space.dim, dtype=torch.bool)
    outside[part] = False
    mean[outside] = torch.where(mean[outside] < 0, mean[outside] * own.slope, mean[outside])
    axes[part], mean[part] = own.axes, own.mean
    return Chart(own.slope, mean, axes, own.scale)


def first_non_finite(latents: Tensor) -> int | None:
    """The row of the first of the latents (N, D) with NaN or infinity; None: there is none."""
    for start in range(0, len(latents), ROWS):
        finite = latents[start : start + ROWS].isfinite().all(1)
        if not finite.all():
            return start + int(finite.logical_not().nonzero()[0])
    return None


def _gaussianising(latents: Tensor) -> Chart:
    return _whitening(latents, min((UNDO_SLOPE, 1.0), key=lambda slope: _skewness(latents, slope)))


def _whitening(latents: Tensor, slope: float) -> Chart:
    mean = _mean(latents, slope)
    scatter = torch.zeros_like(torch.diag(mean))
    for u in _undone(latents, slope):
        scatter.addmm_((u - mean).T, u - mean)
    variance, axes = torch.linalg.eigh(scatter / (len(latents) - 1))
    if variance[-1] <= 0:
        raise ValueError("all latents are the same: there is nothing to whiten")
    varies = variance > NULL_VARIANCE * variance[-1]
    return Chart(mean.new_tensor(slope), mean, axes[:, varies], variance[varies].sqrt()).to(latents.dtype)


def _skewness(latents: Tensor, slope: float) -> float:
    """How far the columns of u are from symmetric, on average; constant ones count as symmetric."""
    mean = _mean(latents, slope)
    variance, third = torch.zeros_like(mean), torch.zeros_like(mean)
    for u in _undone(latents, slope):
        square = (u - mean).square()
        variance += square.sum(0) / len(latents)
        third += (square * (u - mean)).sum(0) / len(latents)
    varies = variance > NULL_VARIANCE * variance.max()
    return float(torch.where(varies, third.abs() / variance.pow(1.5), 0).mean())


def _mean(latents: Tensor, slope: float) -> Tensor:
    """The mean (D,) of u."""
    total = latents.new_zeros(latents.shape[1], dtype=torch.float64)
    for u in _undone(latents, slope):
        total += u.sum(0)
    return total / len(latents)


def _undone(latents: Tensor, slope: float) -> Iterator[Tensor]:
    """u = LeakyReLU(latents, slope) in double precision, some rows at a time."""
    for part in latents.split(ROWS):
        w = part.double()
        yield torch.where(w < 0, w * slope, w)
