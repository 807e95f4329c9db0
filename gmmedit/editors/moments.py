"""Class-conditional Gaussians over the whole latent space, in closed form: the patent read literally.

With independent draws of zs it is the patent's words, x' = (1 - alpha) x + alpha zs; with the coupled draw,
optimal transport between the same Gaussians.
"""

import torch
from torch import Tensor

from gmmedit.editors.mixture import MixtureEditor
from gmmedit.mixture.coordinates import FullSpace
from gmmedit.mixture.gaussians import Draw, Gaussians
from gmmedit.mixture.model import AttributeMixture


@torch.no_grad()
def fit_moments(x: Tensor, labels: Tensor, values: tuple[int, ...], draw: Draw, seed: int) -> MixtureEditor:
    """From coordinates x (N, D) and labels (N, K): one full covariance per category."""
    space = FullSpace(x.shape[1], values)
    gaussians = Gaussians(space.layout, tied=False)
    gaussians.moments_(space(x), labels)
    return MixtureEditor(AttributeMixture(space, gaussians), draw, seed)
