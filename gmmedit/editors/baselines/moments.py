"""Class-conditional Gaussians over the whole latent space, in closed form: one mean and covariance per category."""

import torch
from torch import Tensor

from gmmedit.editors.base import Material
from gmmedit.editors.mixture import MixtureEditor
from gmmedit.mixture import Layout
from gmmedit.mixture.coordinates import FullSpace
from gmmedit.mixture.gaussians import Gaussians
from gmmedit.mixture.model import AttributeMixture
from gmmedit.spaces import fit_affine_chart


def fit_moments(material: Material) -> MixtureEditor:
    """Optimal transport between the Gaussians (the coupled draw), in the mixture's chart."""
    return MixtureEditor(
        fit_full_space(material.chart.to_x(material.latents), material.labels, material.layout), material.chart
    )


def fit_patent(material: Material) -> MixtureEditor:
    """The patent read literally: independent draws of zs from the latent's own Gaussians, x' = (1 - a) x + a zs.

    Whitening is for numerical stability: an affine chart changes neither the Gaussians nor the interpolation.
    """
    chart = fit_affine_chart(material.latents)
    return MixtureEditor(
        fit_full_space(chart.to_x(material.latents), material.labels, material.layout),
        chart,
        draw="sample",
        seed=material.seed,
    )


@torch.no_grad()
def fit_full_space(x: Tensor, labels: Tensor, layout: Layout) -> AttributeMixture:
    """Gaussians over all of x (N, D) with the moments weighted by labels (N, K) in [0, 1].

    ValueError: no sample has one of the values.
    """
    space = FullSpace(x.shape[1], layout.values)
    gaussians = Gaussians(space.layout, tied=False)
    gaussians.fit_moments_(space(x), labels)
    return AttributeMixture(space, gaussians)
