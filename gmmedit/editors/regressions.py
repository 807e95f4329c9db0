"""Directions without a paper of their own: what anyone would try first."""

import numpy as np
import torch
from torch import Tensor

from gmmedit.editors.base import Material, extra
from gmmedit.editors.linear import LinearEditor, along


def fit_logistic(it: Material) -> LinearEditor:
    """Logistic regression on soft labels, one category against the rest. InputError: no scikit-learn."""
    return along(torch.stack([logistic(it.latents, label) for label in it.labels.T]), it.latents)


def logistic(latents: Tensor, label: Tensor) -> Tensor:
    """Coefficients (D,) of the regression of a label (N,) in [0, 1] on latents (N, D), with scikit-learn's ridge.

    A label p is p of a sample that has the value and 1 - p of one that has not.
    """
    model = extra("sklearn.linear_model", "logistic").LogisticRegression(solver="newton-cholesky")
    x, p = latents.double().numpy(), label.double().numpy()
    model.fit(np.concatenate([x, x]), np.repeat([1, 0], len(x)), sample_weight=np.concatenate([p, 1 - p]))
    return latents.new_tensor(model.coef_[0])


def fit_mean_difference(it: Material) -> LinearEditor:
    """From the mean of those without the value to that of those with it, weighted by the labels."""
    return along(weighted_means(it.latents, it.labels) - weighted_means(it.latents, 1 - it.labels), it.latents)


def weighted_means(latents: Tensor, weights: Tensor) -> Tensor:
    """Means (K, D) of latents (N, D) with each column of weights (N, K)."""
    return (weights / weights.sum(0).clamp_min(1e-6)).T @ latents
