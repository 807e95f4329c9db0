"""Closed-form end of an IFcVAE-GAN training: z gets the same mean and covariance for both values of each attribute.

A Gaussian optimal transport (Knott and Smith 1984) from the draws of each value to those of all images, for one
attribute after the other, and again as attributes may go together. Encoding and decoding an image gives the same as
before; setting a unit moves z from one value's distribution to the other's.
"""

import copy

import numpy as np
import torch
from torch import Tensor

from gmmedit.datasets import DataSet
from gmmedit.errors import RunError
from gmmedit.mixture.transport import transport_matrix
from gmmedit.networks.alignment import Alignment
from gmmedit.networks.ifcvae import IFcVAE
from gmmedit.training.labelled import Labels, spread

ALIGNED = 32_768  # training images, at most
PAIRS = 2  # draws of z of each, and their mirror images at its mean
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
    noise = torch.randn((PAIRS, *mean.shape), generator=random).to(mean) * (0.5 * log_variance).exp()
    draws = torch.cat([mean + noise, mean - noise]).flatten(0, 1).double()
    centre, covariance = draws.mean(0), torch.cov(draws.T)
    factor = decompose(covariance)
    alignment.double()
    alignment.centre.copy_(centre)
    v = draws - centre
    for step, (shifts, scales) in enumerate(zip(alignment.shifts, alignment.scales, strict=True)):
        column = y[:, step % y.shape[1]]
        for value in (0, 1):
            chosen = column.repeat(2 * PAIRS) == value
            if chosen.any():
                shift, own = describe(v[chosen], int((column == value).sum()), factor)
                scale = transport_matrix(covariance, own)
                v[chosen] = torch.linalg.solve(scale, (v[chosen] - shift).T).T
                shifts[value], scales[value] = shift, scale
    alignment.factor.copy_(decompose(torch.cov(v.T)))
    alignment.float()


def decompose(covariance: Tensor) -> Tensor:
    """Its lower Cholesky factor. RunError: there is none."""
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if failed or not factor.isfinite().all():
        raise RunError("ifcvae-gan: its codes of the training images stopped being finite", hint=DIVERGED)
    return factor


def describe(v: Tensor, n: int, factor: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (nz,) and covariance (nz, nz) of one value's centred draws v (m, nz), which are of n images.

    Both are shrunk towards those of all images, 0 and factor factor^T, by the share that the sampling error has in the
    difference (James and Stein 1961; Ledoit and Wolf 2004, with the error that normal rows have).
    """
    whitened = torch.linalg.solve_triangular(factor, v.T, upper=False).T
    mean, covariance, whole = whitened.mean(0), torch.cov(whitened.T, correction=0), torch.eye(len(factor)).to(v)
    error = (covariance.trace().square() + covariance.square().sum()) / n
    kept = 1 - share(error, (covariance - whole).square().sum())
    shift = factor @ mean * (1 - share(covariance.trace() / n, mean.square().sum()))
    return shift, factor @ torch.lerp(whole, covariance, kept) @ factor.T


def share(error: Tensor, difference: Tensor) -> Tensor:
    """The part of a squared difference that is a squared error, at most 1."""
    return (error / difference.clamp_min(torch.finfo(difference.dtype).tiny)).clamp(max=1)
