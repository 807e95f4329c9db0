"""The components of one attribute: a Gaussian for each value over r coordinates, and maps between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from gmmedit.mixture.transport import transport_matrix

Draw = Literal["coupled", "sample", "mean"]

# Least mean variance of a component, as a share of that of all samples: fewer samples than dimensions can be separated
# without any spread, and the density would be unbounded.
NARROWEST = 1e-4
RIDGE = 1e-6  # share of the mean variance added to fitted covariances: few samples would make them singular
WEIGHT_RATE = 10.0  # log-weights must move farther than Adam's steps, all about lr, would carry them


class Components:
    """C Gaussians N(m_c, S_c) over r coordinates, with weights pi: one mixture, or several of one size side by side.

    S = F F' with a Cholesky factor F = lower + diag(exp(log_scale)). The dimensions (...) are those of the mixtures:
    none for one alone.

    Attributes:
        means: (..., C, r).
        log_scale: (..., 1 or C, r), 1 where all values have one covariance (tied).
        lower: (..., 1 or C, r, r), None without correlation between coordinates.
        logits: (..., C).
    """

    means: Tensor
    log_scale: Tensor
    lower: Tensor | None
    logits: Tensor

    def factor(self) -> Tensor:
        """F (..., 1 or C, r, r), lower triangular with a positive diagonal."""
        diagonal = torch.diag_embed(self.log_scale.exp())
        return diagonal if self.lower is None else diagonal + self.lower.tril(-1)

    def log_weights(self) -> Tensor:
        """log pi (..., C)."""
        return (WEIGHT_RATE * self.logits).log_softmax(-1)

    def squared_distance(self, y: Tensor) -> Tensor:
        """Mahalanobis^2 (N, ..., C) of y (N, ..., r) from each component."""
        offset = y.unsqueeze(-2) - self.means  # (N, ..., C, r)
        if self.lower is None:
            return (offset * (-self.log_scale).exp()).square().sum(-1)
        white = torch.linalg.solve_triangular(self.factor(), offset.movedim(0, -1), upper=False)  # (..., C, r, N)
        return white.square().sum(-2).movedim(-1, 0)

    def log_density(self, y: Tensor) -> Tensor:
        """log N(y; m_c, S_c) (N, ..., C), normalised densities."""
        volume = self.log_scale.sum(-1) + 0.5 * y.shape[-1] * math.log(2 * math.pi)
        return -0.5 * self.squared_distance(y) - volume

    def log_joint(self, y: Tensor) -> Tensor:
        """log of pi_c N_c (N, ..., C)."""
        return self.log_density(y) + self.log_weights()

    def log_responsibilities(self, y: Tensor) -> Tensor:
        """log of pi_c N_c / sum pi_c' N_c' (N, ..., C)."""
        return self.log_joint(y).log_softmax(-1)


class StackedComponents(Components):
    """Mixtures of one size, stacked so that all are evaluated by one operation instead of one each."""

    def __init__(self, mixtures: Sequence[Components]) -> None:
        self.means = torch.stack([mixture.means for mixture in mixtures])
        self.log_scale = torch.stack([mixture.log_scale for mixture in mixtures])
        lower = [mixture.lower for mixture in mixtures if mixture.lower is not None]
        self.lower = torch.stack(lower) if lower else None
        self.logits = torch.stack([mixture.logits for mixture in mixtures])


class Mixture(Components, nn.Module):
    """The mixture of one attribute.

    Args:
        values: C.
        rank: r.
        tied: one covariance for all values. Free ones may separate values by spread, which no write changes.
        diagonal: no correlation between coordinates.
    """

    def __init__(self, values: int, rank: int, tied: bool = True, diagonal: bool = False) -> None:
        super().__init__()
        factors = 1 if tied else values
        self.means = nn.Parameter(torch.zeros(values, rank))
        self.log_scale = nn.Parameter(torch.zeros(factors, rank))
        self.lower = None if diagonal or rank == 1 else nn.Parameter(torch.zeros(factors, rank, rank))
        self.logits = nn.Parameter(torch.zeros(values))

    @property
    def tied(self) -> bool:
        """Whether all values share one covariance."""
        return len(self.log_scale) < len(self.means)

    def covariance(self) -> Tensor:
        """S (C, r, r)."""
        factor = self.factor()
        return (factor @ factor.mT).expand(len(self.means), -1, -1)

    @torch.no_grad()
    def fit_moments_(self, y: Tensor, labels: Tensor) -> None:
        """Sets weights, means and covariances to the moments of y (N, r) weighted by labels (N, C).

        No column of the labels may be all zero.
        """
        mass = labels.sum(0)
        means = (labels / mass).T @ y
        offset = y.unsqueeze(1) - means  # (N, C, r)
        scatter = torch.einsum("nc,nci,ncj->cij", labels, offset, offset)
        covariance = scatter.sum(0, keepdim=True) / mass.sum() if self.tied else scatter / mass[:, None, None]
        variance = covariance.diagonal(dim1=1, dim2=2)
        within, total = variance.mean(1, keepdim=True), y.var(0, correction=0).mean()
        floor = torch.maximum(RIDGE * within, NARROWEST * total - within).clamp_min(torch.finfo(y.dtype).tiny)
        self.means.copy_(means)
        self.logits.copy_((mass / mass.sum()).log() / WEIGHT_RATE)
        if self.lower is None:
            self.log_scale.copy_(0.5 * (variance + floor).log())
        else:
            factor = torch.linalg.cholesky(covariance + torch.diag_embed(floor.expand_as(variance)))
            self.lower.copy_(factor.tril(-1))
            self.log_scale.copy_(factor.diagonal(dim1=1, dim2=2).log())

    def draw(self, value: int, n: int, generator: torch.Generator) -> Tensor:
        """n samples (n, r) of a component, m + F e with e ~ N(0, I): gradients reach m and F."""
        noise = torch.randn(n, self.means.shape[1], generator=generator, device=generator.device)
        factor = self.factor()[0 if self.tied else value]
        return self.means[value] + noise.to(self.means) @ factor.T

    def transport(self, y: Tensor, value: int) -> Tensor:
        """The mixture's optimal transport onto one component (N, r), y_s = sum_c r_c(y) T_c(y).

        T_c(y) = m + B_c (y - m_c) is the Monge map between two Gaussians, the shift m - m_c if they have one
        covariance (Delon & Desolneux 2020, "A Wasserstein-type distance in the space of Gaussian mixture
        models"), so that the order of samples within a value is kept. It is the mean of a plan that splits samples
        between components: where those overlap, y_s has a smaller spread than the component. No gradient flows
        through B, as derivatives of equal eigenvalues are singular.
        """
        responsibilities = self.log_responsibilities(y).exp()
        if self.tied:
            return y + self.means[value] - responsibilities @ self.means
        wide = self.covariance().detach().double()
        maps = transport_matrix(wide, wide[value]).to(self.means)  # (C, r, r), symmetric
        moved = torch.einsum("nci,cij->ncj", y.unsqueeze(1) - self.means, maps)
        return self.means[value] + (responsibilities.unsqueeze(2) * moved).sum(1)

    def control(self, y: Tensor, value: int, draw: Draw, generator: torch.Generator | None) -> Tensor:
        """The control vectors (N, r) of samples y (N, r) for a value: see ``Gaussians.control``.

        Raises:
            ValueError: an unknown draw, or "sample" without a generator.
        """
        if draw == "coupled":
            return self.transport(y, value)
        if draw == "mean":
            return self.means[value].expand(len(y), -1)
        if draw == "sample" and generator is not None:
            return self.draw(value, len(y), generator)
        raise ValueError(f"draw {draw!r} is none of coupled, mean, sample (sample needs a generator)")

    def separation(self) -> Tensor:
        """The smallest distance () between two means, in units of the values' common spread."""
        factor = torch.linalg.cholesky(self.covariance().mean(0))
        white = torch.linalg.solve_triangular(factor, self.means.T, upper=False).T  # (C, r)
        return torch.pdist(white).min()
