"""The labelled samples of a run as members of the components: where polished edits begin."""

import torch
from torch import Tensor

from gmmedit.mixture.held import all_others_held
from gmmedit.mixture.model import AttributeMixture
from gmmedit.mixture.neighbours import Neighbours
from gmmedit.run.folder import RunFolder
from gmmedit.run.hold_out import fitted_rows, read_rows
from gmmedit.spaces import Chart, fit_chart

MOST = 50_000  # samples; each edited image is compared with all of them
MOST_NUMBERS = 1 << 27  # of their coordinates: where the patent is read literally, each attribute has all of x
RATES = {"z": 0.01, "w": 0.04}


@torch.no_grad()
def neighbours_of(
    run: RunFolder, space: str, chart: Chart, model: AttributeMixture, held_out: float, held: Tensor | None = None
) -> Neighbours:
    """The samples that the fit has seen. Near means near in W, where the generator has one.

    held: (A, A) the attributes that edits must leave alone (`gmmedit.mixture.held`); None: every other one.
    """
    rows = fitted_rows(run.labels, held_out)[: min(MOST, MOST_NUMBERS // model.layout.width)]
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
