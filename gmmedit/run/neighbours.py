"""The fitted samples of a run as neighbours, from which optimised edits start."""

import torch
from torch import Tensor

from gmmedit.mixture.held import all_others_held
from gmmedit.mixture.model import AttributeMixture
from gmmedit.mixture.neighbours import Neighbours
from gmmedit.run.folder import RunFolder
from gmmedit.run.hold_out import fitted_rows, read_rows
from gmmedit.spaces import Chart, fit_chart

MAX_SAMPLES = 50_000  # every edited image is compared with all of them
MAX_COORDINATES = 1 << 27  # of all samples together; with FullSpace each attribute has all D of them
RATES = {"z": 0.01, "w": 0.04}


@torch.no_grad()
def find_neighbours(
    run: RunFolder, space: str, chart: Chart, model: AttributeMixture, held_out: float, held: Tensor | None = None
) -> Neighbours:
    """The fitted samples with their coordinates, logits and places; distances are in W if the generator has W.

    held: (A, A) bool, the attributes that edits must keep (`gmmedit.mixture.held`); None: all others.
    """
    rows = fitted_rows(run.labels, held_out)[: min(MAX_SAMPLES, MAX_COORDINATES // model.layout.width)]
    latents, logits = read_rows(run.samples, space, rows), read_rows(run.labels, "logits", rows)
    x = chart.to_x_(latents)
    positions, place = x, lambda rows: rows
    if space == "z" and "w" in run.samples:
        w, renderer = read_rows(run.samples, "w", rows), run.renderer
        near = fit_chart(run.space("w"), w)

        def place(rows: Tensor) -> Tensor:
            return near.to_x(renderer.map(rows.to(renderer.generator.device)).cpu())

        positions = near.to_x_(w)
    held = all_others_held(len(model.layout.values)) if held is None else held
    return Neighbours(x, model.coordinates(x), logits, positions, place, model.layout, held, RATES[space])
