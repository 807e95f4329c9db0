"""The labelled samples of a run as members of the components: where polished edits begin."""

import torch
from torch import Tensor

from gmmedit.artifacts import Artifact
from gmmedit.generators import Generator
from gmmedit.mixture.members import Members
from gmmedit.mixture.model import AttributeMixture
from gmmedit.run.hold_out import fitted_rows, read_rows
from gmmedit.run.prior import mapped, sample_settings, space_of
from gmmedit.spaces import Chart, fit_chart

MOST = 50_000  # samples; each edited image is compared with all of them
MOST_NUMBERS = 1 << 27  # of their coordinates: where the patent is read literally, each attribute has all of x
RATES = {"z": 0.01, "w": 0.04}


@torch.no_grad()
def members_of(
    space: str, chart: Chart, model: AttributeMixture,
    samples: Artifact, labels: Artifact, generator: Generator, held_out: float, held: Tensor,
) -> Members:  # fmt: skip
    """The samples that the fit has seen. Near means near in W, where the generator has one."""
    rows = fitted_rows(labels, held_out)[: min(MOST, MOST_NUMBERS // model.layout.width)]
    latents, logits = read_rows(samples, space, rows), read_rows(labels, "logits", rows)
    x = chart.to_x_(latents)
    places, place = x, lambda rows: rows
    if space == "z" and "w" in samples:
        w, drawn = read_rows(samples, "w", rows), sample_settings(samples)
        near = fit_chart(space_of(samples, "w"), w)

        def place(rows: Tensor) -> Tensor:
            return near.to_x(mapped(generator, rows.to(generator.device), drawn).cpu())

        places = near.to_x_(w)
    return Members(x, model.coordinates(x), logits, places, place, model.layout, held, RATES[space])
