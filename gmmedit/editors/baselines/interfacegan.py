"""InterFaceGAN (Shen et al. 2020): the normal of a linear SVM between the extremes of a label, in the latent itself."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gmmedit.editors.base import Material
from gmmedit.editors.baselines.linear import LinearEditor, make_linear_editor, target_scores
from gmmedit.runtime.extras import import_extra

EXTREMES = 0.02  # share of the samples on either side that the SVM is fitted to
FEWEST = 50  # of them, where there are as many
SAME = 0.01  # share of the largest singular value below which normals count as the same


def fit_interfacegan(material: Material) -> LinearEditor:
    """One normal per category. InputError: scikit-learn is not installed."""
    return make_linear_editor(fit_normals(material), material.latents)


def fit_conditional(material: Material) -> LinearEditor:
    """Each normal projected off those of all other attributes. InputError: scikit-learn is not installed."""
    return make_linear_editor(project_normals(fit_normals(material), material.layout.columns), material.latents)


def fit_normals(material: Material) -> Tensor:
    """Unit normals (K, D), each towards its category."""
    return torch.stack(
        [fit_svm_normal(material.latents, score) for score in target_scores(material.logits, material.layout).T]
    )


def fit_svm_normal(latents: Tensor, score: Tensor) -> Tensor:
    """Unit normal (D,) of a linear SVM between the latents (N, D) of the lowest and the highest scores (N,).

    InputError: scikit-learn is not installed.
    """
    svm = import_extra("sklearn.svm", "interfacegan")
    count = min(max(FEWEST, int(EXTREMES * len(score))), len(score) // 2)
    order = score.argsort(descending=True, stable=True)  # as in the original: libsvm's result depends on the order
    rows = torch.cat([order[:count], order[-count:]])
    machine = svm.SVC(kernel="linear").fit(latents[rows].double().numpy(), np.repeat([1, 0], count))
    return F.normalize(latents.new_tensor(machine.coef_[0]), dim=0)


def project_normals(rows: Tensor, columns: list[slice]) -> Tensor:
    """Unit normals (K, D) projected off the span of the other attributes' normals; 0 where nothing is left.

    columns: each attribute's slice of the rows.
    """
    found = rows.clone()
    for attribute, own in enumerate(columns):
        rest = [rows[c] for a, c in enumerate(columns) if a != attribute]
        if rest:
            basis = span_basis(torch.cat(rest))
            left = rows[own] - rows[own] @ basis.T @ basis
            found[own] = torch.where(left.norm(dim=1, keepdim=True) > SAME, F.normalize(left, dim=1), 0)
    return found


def span_basis(rows: Tensor) -> Tensor:
    """Orthonormal rows (R, D), R <= M, with the span of rows (M, D), of which several may be parallel."""
    _, values, basis = torch.linalg.svd(rows, full_matrices=False)
    return basis[values > SAME * values[0]]
