"""The optimisation of a run's edits: its labelled samples as neighbours, and the units measured on them."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from gmmedit.errors import InputError
from gmmedit.mixture.held import all_others_held
from gmmedit.mixture.model import AttributeMixture
from gmmedit.mixture.neighbours import Neighbours, PriceWeights, from_levels
from gmmedit.mixture.optimisation import Optimisation
from gmmedit.mixture.score import Score
from gmmedit.run.folder import RunFolder
from gmmedit.run.hold_out import fitted_rows, read_rows
from gmmedit.run.recorded import LEAST_CONTRAST
from gmmedit.run.rendering import Renderer
from gmmedit.runtime.batching import TILE
from gmmedit.runtime.pieces import within_memory
from gmmedit.spaces import Chart

MAX_SAMPLES = 50_000  # every edited image is compared with all of them
MAX_COORDINATES = 1 << 27  # of all samples together; with FullSpace each attribute has all D of them
COMPARED = 512  # thumbnails, in pairs, for their contrast


def make_optimisation(
    run: RunFolder,
    renderer: Renderer,
    model: AttributeMixture,
    precision: str,
    picture: float,
    steps: int,
    held_out: float,
    wrap: Callable[[Score], Score] = lambda score: score,
) -> Optimisation | None:
    """How edits of a run are found, with images of `renderer`.

    None: by the fitted displacement alone. There are no steps, gradients do not pass, or the fit is of one block, whose
    coordinates alone do not make an image; and no combination was fitted.

    Args:
        precision: of generator and classifier, "fp32" or "bf16".
        picture: weight of the change of the image, in units of the change between two samples.
        held_out: share of the samples that no fit uses, nor any edit.
        wrap: applied to the function of generator and classifier.
    """
    if steps and (run.fitted_block or not (renderer.generator.differentiable and run.classifier.differentiable)):
        steps = 0
    if not steps and model.combination is None:
        return None
    space, chart, robustness, device = run.fitted_space, run.chart(), run.robustness, renderer.generator.device
    disturbance = robustness.shift, robustness.noise
    score = renderer.make_score(space, chart.to(device), run.classifier, precision, disturbance)
    score = wrap(within_memory(score, TILE if device.type == "cpu" else 1))
    neighbours = find_neighbours(run, space, chart, model, held_out)
    weights = PriceWeights(picture)
    found = Optimisation(score, neighbours, robustness.band_contrast, weights, steps, model.combination)
    return found if device.type == "cpu" else found.to(device)


@torch.no_grad()
def find_neighbours(
    run: RunFolder, space: str, chart: Chart, model: AttributeMixture, held_out: float, held: Tensor | None = None
) -> Neighbours:
    """The fitted samples with their coordinates, logits and thumbnails.

    held: (A, A) bool, the attributes that edits must keep (`gmmedit.mixture.held`); None: all others.
    """
    rows = fitted_rows(run.labels, held_out)[: min(MAX_SAMPLES, MAX_COORDINATES // model.layout.width)]
    x, logits = chart.to_x_(read_rows(run.samples, space, rows)), read_rows(run.labels, "logits", rows)
    thumbnails = read_thumbnails(run, rows)
    held = all_others_held(len(model.layout.values)) if held is None else held
    first, second = (from_levels(thumbnails[i:COMPARED:2]) for i in range(2))
    contrast = max(float((first[: len(second)] - second).abs().mean()), LEAST_CONTRAST)
    return Neighbours(x, model.coordinates(x), logits, thumbnails, contrast, model.layout, held)


def read_thumbnails(run: RunFolder, rows: np.ndarray) -> Tensor:
    """The thumbnails (M, C, h, w), uint8, of rows of labels.h5. InputError: it has none."""
    if "thumbnails" not in run.labels:
        message = f"{run.labels.path} has no thumbnails, of which edits are made"
        raise InputError(message, hint="--polish 0, or label with a network that classifies images")
    return read_rows(run.labels, "thumbnails", rows).permute(0, 3, 1, 2)
