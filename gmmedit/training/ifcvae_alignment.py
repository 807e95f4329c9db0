"""Closed-form end of an IFcVAE-GAN training: z gets the same mean and covariance for both values of each attribute.

A Gaussian optimal transport (Knott and Smith 1984) from the draws of each value to those of all images, in the
coordinates in which the latter are N(0, I), for one attribute after the other. Encoding and decoding an image gives the
same as before; setting a unit moves z from one value's distribution to the other's.
"""

import copy

import numpy as np
import torch
from torch import Tensor

from gmmedit.datasets import DataSet
from gmmedit.errors import RunError
from gmmedit.networks.alignment import Alignment
from gmmedit.networks.ifcvae import IFcVAE
from gmmedit.training.labelled import Labels, spread

ALIGNED = 16_384  # training images, at most
BATCH = 128
DIVERGED = "train with another --seed in another --out, or check the data"


@torch.no_grad()
def align_identity(network: IFcVAE, data: DataSet, labels: Labels, images: int = ALIGNED) -> IFcVAE:
    """A copy whose alignment is that of `images` training images at most. RunError: the training has diverged."""
    rows, device = spread(labels.train, images), network.rates.device
    parts = [network.encoder(data.images(part).to(device)) for part in np.array_split(rows, -(-len(rows) // BATCH))]
    mean, log_variance = (torch.cat([part[i] for part in parts]) for i in (0, 1))
    aligned = copy.deepcopy(network)
    fit_alignment(aligned.alignment, mean, log_variance, labels.values[rows].to(device))
    return aligned


def fit_alignment(alignment: Alignment, mean: Tensor, log_variance: Tensor, y: Tensor) -> None:
    """Set a new alignment to that of images with these means (n, nz), log-variances and attributes (n, K) of 0 and 1.

    RunError: their covariance is singular or not finite.
    """
    random = torch.Generator().manual_seed(0)
    noise = torch.randn(mean.shape, generator=random).to(mean) * (0.5 * log_variance).exp()
    draws = torch.cat([mean + noise, mean - noise]).double()
    factor, failed = torch.linalg.cholesky_ex(torch.cov(draws.T))
    if failed or not factor.isfinite().all():
        raise RunError("ifcvae-gan: its codes of the training images stopped being finite", hint=DIVERGED)
    alignment.double()
    alignment.centre.copy_(draws.mean(0))
    alignment.factor.copy_(factor)
    v = torch.linalg.solve_triangular(factor, (draws - draws.mean(0)).T, upper=False).T
    for unit, column in enumerate(y.T):
        values = column.repeat(2)
        for value in (0, 1):
            chosen = v[values == value]
            if len(chosen):
                shift, scale = describe(chosen, len(chosen) // 2)
                alignment.shifts[unit, value], alignment.scales[unit, value] = shift, scale
        v = alignment.align(v, unit, values.double())
    alignment.float()


def describe(v: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Mean (nz,) and symmetric root of the covariance (nz, nz) of one value's v (m, nz), which are of n images.

    Both are shrunk towards 0 and I, those of all images, by the share that the sampling error has in the difference
    (James and Stein 1961; Ledoit and Wolf 2004, with the error that normal rows have).
    """
    centred, whole = v - v.mean(0), torch.eye(v.shape[1]).to(v)
    covariance = centred.T @ centred / len(v)
    squares = covariance.square().sum()
    shift = v.mean(0) * (1 - share(covariance.trace() / n, v.mean(0).square().sum()))
    kept = 1 - share((covariance.trace().square() + squares) / n, (covariance - whole).square().sum())
    sizes, directions = torch.linalg.eigh(torch.lerp(whole, covariance, kept))
    return shift, (directions * sizes.clamp_min(0).sqrt()) @ directions.T


def share(error: Tensor, difference: Tensor) -> Tensor:
    """The part of a squared difference that is a squared error, at most 1."""
    return (error / difference.clamp_min(torch.finfo(difference.dtype).tiny)).clamp(max=1)
