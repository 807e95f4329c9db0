"""Directions from plain regressions, the simplest baselines."""

import torch.nn.functional as F
from torch import Tensor

from gmmedit.editors.base import Material
from gmmedit.editors.baselines.linear import LinearEditor, make_linear_editor
from gmmedit.mixture.lbfgs import minimise
from gmmedit.spaces import fit_affine_chart

RIDGE = 1.0  # of the coefficients, against the likelihood's sum over samples: scikit-learn's default


def fit_logistic(material: Material) -> LinearEditor:
    """Logistic regression on soft labels, one category against the rest."""
    return make_linear_editor(fit_coefficients(material.latents, material.labels), material.latents)


def fit_coefficients(latents: Tensor, labels: Tensor) -> Tensor:
    """Coefficients (K, D) of the regressions of labels (N, K) in [0, 1] on latents (N, D), with a ridge.

    Solved in white coordinates, as W is too ill-conditioned; the ridge is on the latent's own coefficients.
    """
    chart = fit_affine_chart(latents.double())
    x, labels = chart.to_x(latents), labels.double()
    weights, bias = x.new_zeros(x.shape[1], labels.shape[1]), x.new_zeros(labels.shape[1])

    def loss() -> Tensor:
        misfit = F.binary_cross_entropy_with_logits(x @ weights + bias, labels, reduction="sum")
        return (misfit + RIDGE / 2 * (weights / chart.scale[:, None]).square().sum()) / len(x)

    minimise([weights.requires_grad_(), bias.requires_grad_()], loss, 500)
    return (chart.axes @ (weights.detach() / chart.scale[:, None])).T.to(latents)


def fit_mean_difference(material: Material) -> LinearEditor:
    """The difference of the means of samples with and without the value, weighted by the labels."""
    return make_linear_editor(
        weighted_means(material.latents, material.labels) - weighted_means(material.latents, 1 - material.labels),
        material.latents,
    )


def weighted_means(latents: Tensor, weights: Tensor) -> Tensor:
    """Means (K, D) of latents (N, D), weighted by each column of weights (N, K)."""
    return (weights / weights.sum(0).clamp_min(1e-6)).T @ latents
