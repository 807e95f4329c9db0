"""A decomposition of the generator's images: their principal components, turned so that each changes few pixels.

Components say by what images vary, not how to part it: any rotation of them explains as much. The rotation is that of
simplest structure (varimax, Kaiser 1958), in which the floor and the wall, or the hair and the shirt, come apart. The
components are of the images themselves, not of their slopes at single samples (`gmmedit.discovery.varimax`): what an
attribute changes counts whether it changes slowly or at once. Each has the direction of the latent space that predicts
it best. No labels, no gradients, no training.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from gmmedit.discovery.decomposition import SIDE, orthonormal
from gmmedit.discovery.latents import Bank, step_random
from gmmedit.discovery.varimax import varimax
from gmmedit.errors import InputError
from gmmedit.run.rendering import shrink

LEAST_SHARE = 0.01  # of the variance of all pixels, from which a principal component gets a direction
LEAST_DIFFERENCE = 1e-6  # of a pixel of two images, for pixels in [-1, 1]: below, images are the same
MOST = 32  # directions by rule
SPARE, PASSES = 8, 8  # further vectors, and passes, of the iteration that finds principal components


@dataclass(frozen=True)
class Components:
    """What the images of a bank vary by.

    Attributes:
        scores: (B, k) of each image, in float64, uncorrelated, with mean 0 and variance 1.
        places: (k, P) mean squared change of each place, summed over channels, by a standard deviation of each.
        directions: (k, D') orthonormal rows in chart coordinates: those that predict the scores best.
    """

    scores: Tensor
    places: Tensor
    directions: Tensor


def count_directions(bank: Bank) -> int:
    """How many principal components of the bank's images hold at least LEAST_SHARE of their variance.

    At least 2, and at most MOST, the images' pixels, or the dimensions.
    """
    images = centred_images(bank)
    bound = min(MOST, bank.x.shape[1], *images.shape)
    values, _ = principal_axes(images, bound)
    return max(2, int((values >= LEAST_SHARE * images.square().sum()).sum()))


def find_components(bank: Bank, k: int, turn: bool = True) -> Components:
    """The first k principal components of the bank's images, and the directions behind them.

    turn: by varimax.

    InputError: there are fewer than k.
    """
    images = centred_images(bank)
    if k > min(images.shape):
        message = f"{k} directions are more than {len(images)} images of {images.shape[1]} numbers have components"
        raise InputError(message, hint=f"-k {min(images.shape)}, or more samples")
    values, axes = principal_axes(images, k)
    loadings = axes.T * (values / len(images)).sqrt()  # (P, k)
    rotation = varimax(loadings) if turn else torch.eye(k, dtype=torch.float64)
    scores = (images @ axes.T / (values / len(images)).sqrt().clamp_min(1e-12)) @ rotation
    places = (loadings @ rotation).square().T.unflatten(1, (bank.images.shape[1], -1)).sum(1)
    x = bank.x.cpu().double()
    found = torch.linalg.lstsq(x - x.mean(0), scores).solution.T
    return Components(scores, places, orthonormal(found).float())


def centred_images(bank: Bank) -> Tensor:
    """The images (B, P) of a bank, at most SIDE pixels long, in float64, without their mean."""
    images = shrink(bank.images.cpu(), SIDE).flatten(1).double()
    return images - images.mean(0)


def check_variety(bank: Bank) -> None:
    """InputError: the images of a bank are all the same."""
    if (bank.images - bank.images[0]).abs().max() < LEAST_DIFFERENCE:
        message = f"the images of {len(bank.images)} samples are all the same: no direction changes them"
        raise InputError(message, hint="sample from a generator of different images, or with a --psi above 0")


def principal_axes(centred: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest eigenvalues (count,) of C'C, C (B, P) being centred rows, and their eigenvectors (count, P).

    By subspace iteration (Halko et al. 2011) from vectors that depend on P alone.
    """
    width = min(count + SPARE, *centred.shape)
    q = torch.randn(centred.shape[1], width, dtype=torch.float64, generator=step_random(0, 8))
    for _ in range(PASSES):
        q, _ = torch.linalg.qr(centred.T @ (centred @ q))
    _, singular, vh = torch.linalg.svd(centred @ q, full_matrices=False)
    axes = (vh @ q.T)[:count]
    signs = axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
    return singular[:count].square(), axes * signs
