"""Sampling fidelity (claim 5): what a component draws, seen by the judge, against what the mixture says it is."""

import numpy as np
import torch

from gmmedit.editors.base import Material
from gmmedit.evaluation.judge import Judge, Subjects
from gmmedit.mixture.adam import generator_for

DRAWN = 64  # samples for each component


@torch.no_grad()
def fidelity(judge: Judge, it: Subjects, material: Material) -> dict[str, np.ndarray]:
    """Samples whose coordinates of one attribute are drawn anew from a component, independently of where they were.

    fidelity/coefficients (K, n): the drawn component's responsibility for each draw; fidelity/labels (K, n): the
    judge's label of that value; fidelity/hits (K, n): whether it is the likeliest.
    """
    model, layout = material.model, material.layout
    latent = it.latent[:DRAWN]
    x = material.chart.to_x(latent)
    coefficients, labels, hits = [], [], []
    for category in range(layout.categories):
        attribute, value = layout.locate(category)
        columns, goal = layout.columns[attribute], torch.full((len(x),), category)
        y = model.coordinates(x.mean(1))
        drawn = y + model.control_change(y, goal, "sample", generator_for(material.seed, category))
        offset = model.offset(x.mean(1), goal, "sample", generator_for(material.seed, category))
        logits, _, _ = judge.observe(material.chart.carry(latent, x + offset))
        seen = logits[:, columns].softmax(1)
        coefficients.append(model.gaussians.responsibilities(drawn)[:, category])
        labels.append(seen[:, value])
        hits.append((seen.argmax(1) == value).float())
    names = ("coefficients", "labels", "hits")
    parts = zip(names, (coefficients, labels, hits), strict=True)
    return {f"fidelity/{name}": torch.stack(rows).numpy() for name, rows in parts}
