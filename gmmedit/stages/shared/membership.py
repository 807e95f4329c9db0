"""The labelled samples of a run as members of the components: where edits in Z begin."""

import torch
from torch import Tensor

from gmmedit.artifacts import Artifact
from gmmedit.generators import Generator
from gmmedit.mixture import Layout
from gmmedit.mixture.members import Members
from gmmedit.spaces import Space, fit_chart
from gmmedit.stages.shared.sampling import mapped, sample_settings

MOST = 50_000  # samples; each edited image is compared with all of them


def members_of(
    space: Space, samples: Artifact, labels: Artifact, generator: Generator, held_out: float
) -> Members | None:
    """The samples that the fit has seen; None in W, where the write arrives without them.

    Where the generator has a mapping, near means near in W.
    """
    if space == "w":
        return None
    n = min(samples.question.n - max(1, round(held_out * samples.question.n)), MOST)
    z, logits = torch.from_numpy(samples.rows("z", 0, n)), torch.from_numpy(labels.rows("logits", 0, n))
    layout = Layout(tuple(len(values) for _, values in labels.attributes))
    if "w" not in samples:
        return Members(z, logits, z, lambda x: x, layout)
    w, drawn = torch.from_numpy(samples.rows("w", 0, n)), sample_settings(samples)
    chart = fit_chart("w", w)

    @torch.no_grad()
    def place(x: Tensor) -> Tensor:
        return chart.to_x(mapped(generator, x.to(generator.device), drawn).cpu())

    return Members(z, logits, chart.to_x(w), place, layout)
