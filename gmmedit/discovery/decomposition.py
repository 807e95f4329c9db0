"""Stage 2: the directions along which the generator itself changes most, without data or training.

For styles this is the closed form of SeFa (Shen and Zhou 2021): the eigenvectors of A'A, A the style matrices of all
layers with every channel of length 1. Here A acts on chart coordinates, in which the prior is N(0, I): a direction's
eigenvalue is what one standard deviation of the prior changes. For generators without styles, A is the first layer's
matrix where there is one, else the Jacobian of the images.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gmmedit.discovery.latents import Latents, step_random
from gmmedit.editors.baselines.unsupervised import unit_channels
from gmmedit.run.rendering import shrink
from gmmedit.runtime.execution import Execution

MEASURED_ON = 16  # samples whose Jacobians are averaged
NUDGE = 0.25  # of a coordinate, each way: large enough for images of 8 bits
SIDE = 32  # pixels along the longer side of the images whose Jacobian is measured
COMPONENTS_FROM, COMPONENTS_SIDE = 2000, 16  # samples, and size of their images, of GANSpace in Z


@dataclass(frozen=True)
class Basis:
    """Orthonormal rows (D', D'), by falling eigenvalue (D',), and where they come from."""

    rows: Tensor
    values: Tensor
    source: Literal["styles", "first layer", "jacobian"]


def decompose(latents: Latents, execution: Execution) -> Basis:
    """The basis of a generator's space."""
    generator = latents.renderer.generator
    styles = generator.styles() if latents.space.name == "w" else []
    if styles:
        return factorise(unit_channels(styles).cpu() @ style_slopes(latents), "styles")
    first = generator.first_layer() if latents.space.name == "z" else None
    if first is not None:
        return factorise(torch.nn.functional.normalize(first.cpu().double(), dim=1), "first layer")
    return factorise_gram(measure_gram(latents, execution), "jacobian")


def style_slopes(latents: Latents) -> Tensor:
    """The mean derivative dw/dx (D, D') of latents by chart coordinates, over the samples."""
    chart = latents.chart.to(torch.float64)
    u = chart.mean + (latents.x.double() * chart.scale) @ chart.axes.T
    slopes = torch.where(u < 0, 1 / chart.slope, 1.0).mean(0)
    return slopes[:, None] * chart.axes * chart.scale


def factorise(matrix: Tensor, source: Literal["styles", "first layer"]) -> Basis:
    """The basis of a matrix (M, D')."""
    return factorise_gram(matrix.T @ matrix, source)


def factorise_gram(gram: Tensor, source: Literal["styles", "first layer", "jacobian"]) -> Basis:
    """The basis of a matrix A'A (D', D'); the largest entry of each row is positive."""
    values, vectors = torch.linalg.eigh(gram)
    rows = vectors.T.flip(0)
    signs = rows.gather(1, rows.abs().argmax(1, keepdim=True)).sign()
    return Basis((rows * signs).float().contiguous(), values.flip(0).float(), source)


def measure_gram(latents: Latents, execution: Execution) -> Tensor:
    """J'J (D', D') of the images by the coordinates, averaged over samples."""
    dim = latents.x.shape[1]
    gram = torch.zeros(dim, dim, dtype=torch.float64)
    for slopes in measure_slopes(latents, torch.eye(dim), MEASURED_ON, execution):
        gram += slopes @ slopes.T / slopes.shape[1]
    return gram / MEASURED_ON


def measure_slopes(latents: Latents, rows: Tensor, samples: int, execution: Execution) -> Iterator[Tensor]:
    """Of each sample the change (k, P) of its pixels by a unit along directions (k, D'); needs no gradients."""
    for x in latents.draw(samples, step_random(0, 2)):
        execution.stop.check()
        moved = torch.cat([x + NUDGE * rows, x - NUDGE * rows])
        images = shrink(latents.render(moved, execution), SIDE).flatten(1).double()
        yield (images[: len(rows)] - images[len(rows) :]) / (2 * NUDGE)


def principal_directions(latents: Latents, k: int, execution: Execution) -> Tensor:
    """GANSpace (Härkönen et al. 2020): the first k principal components (k, D').

    Of W those of the latents, which are axes of the chart. Z has none; there, as the original does with activations,
    the components of the (small) images, each with the direction that predicts it best.
    """
    dim = latents.x.shape[1]
    if not latents.space.normal:
        return torch.eye(dim)[latents.chart.scale.argsort(descending=True)[:k]]
    x = latents.draw(COMPONENTS_FROM, step_random(0, 3)).double()
    parts = [shrink(latents.render(rows, execution), COMPONENTS_SIDE) for rows in x.float().split(256)]
    images = torch.cat(parts).flatten(1).double()
    centred = images - images.mean(0)
    _, _, components = torch.linalg.svd(centred, full_matrices=False)
    scores = torch.nn.functional.normalize(centred @ components[:k].T, dim=0)
    found = torch.linalg.lstsq(x, scores).solution.T  # (k or fewer, D')
    spare = torch.eye(dim, dtype=torch.float64)[: k - len(found)]  # fewer components than k: small grey images
    return orthonormal(torch.cat([found, spare])).float()


def orthonormal(rows: Tensor) -> Tensor:
    """Orthonormal rows (k, D'), the nearest to the given ones."""
    u, _, vh = torch.linalg.svd(torch.nn.functional.normalize(rows, dim=1), full_matrices=False)
    return u @ vh
