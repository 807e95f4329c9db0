"""Directions found without labels; the labels only choose one of them for each category.

Users of these methods look through components and layers by hand. Here the component is the one whose coordinate has
the largest absolute correlation with the category's score, with its sign, and all layers move.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from gmmedit.editors.base import Material, Unsuitable
from gmmedit.editors.baselines.linear import LinearEditor, make_linear_editor, target_scores

COMPONENTS = 80  # GANSpace's default


def fit_ganspace(material: Material) -> LinearEditor:
    """GANSpace (Härkönen et al. 2020): the principal components of W.

    Unsuitable: in Z and for generators without styles (where the original uses activations, which is not offered).
    """
    check_styles("ganspace", material)
    return make_linear_editor(
        pick_components(principal_components(material.latents)[:COMPONENTS], material), material.latents
    )


def fit_sefa(material: Material) -> LinearEditor:
    """SeFa (Shen & Zhou 2021): the eigenvectors of A'A over all style matrices A, which change the styles most.

    Unsuitable: in Z and for generators without styles (the original's form for PGGAN is not offered).
    """
    check_styles("sefa", material)
    return make_linear_editor(
        pick_components(factorise_styles(material.styles).to(material.latents), material), material.latents
    )


def check_styles(editor: str, material: Material) -> None:
    """Unsuitable: the space is Z, or the generator has no styles."""
    if material.space == "z":
        raise Unsuitable(f"{editor} works in W, not in Z", hint="fit-single --space w")
    if not material.styles:
        raise Unsuitable(f"{editor} needs a generator that makes styles of W, as StyleGANs do")


def principal_components(latents: Tensor) -> Tensor:
    """Unit rows (D, D), the principal axes of latents (N, D), that of the largest variance first."""
    _, axes = torch.linalg.eigh(latents.double().T.cov())
    return axes.T.flip(0).to(latents)


def factorise_styles(styles: list[tuple[int, Tensor, bool]]) -> Tensor:
    """Unit rows (D, D), the one that changes styles most first. Every channel has the same weight."""
    unit = unit_channels(styles)
    return torch.linalg.eigh(unit.T @ unit).eigenvectors.T.flip(0)


def unit_channels(styles: list[tuple[int, Tensor, bool]]) -> Tensor:
    """The rows (channels, D) of all style matrices in double precision, each of length 1.

    As in the original, of the layers that make the image (toRGB) only that of the last layer of W+ is included.
    """
    last = max(layer for layer, _, _ in styles)
    channels = torch.cat([matrix.double() for layer, matrix, to_image in styles if layer == last or not to_image])
    return F.normalize(channels, dim=1)


def pick_components(components: Tensor, material: Material) -> Tensor:
    """For each category the best of the components (M, D), with the sign that points towards it: (K, D)."""
    coordinates, scores = material.latents @ components.T, target_scores(material.logits, material.layout)
    correlation = standardise(scores).T @ standardise(coordinates) / len(scores)  # (K, M)
    best = correlation.abs().argmax(1, keepdim=True)
    return components[best[:, 0]] * correlation.gather(1, best).sign()


def standardise(columns: Tensor) -> Tensor:
    """Columns (N, M) with mean 0 and variance 1; 0 where they do not vary."""
    centred = columns - columns.mean(0)
    return centred / centred.square().mean(0).sqrt().clamp_min(1e-12)
