"""Sampling fidelity (claim 5): draws from a component, classified, compared with the mixture's responsibilities."""

import numpy as np
import torch

from gmmedit.editors.base import Material
from gmmedit.evaluation.judge import EvaluationSamples, Judge
from gmmedit.mixture.adam import generator_for

DRAWS = 64  # per component


@torch.no_grad()
def measure_fidelity(judge: Judge, samples: EvaluationSamples, material: Material) -> dict[str, np.ndarray]:
    """Redraw the coordinates of one attribute from each of its components, and classify the images.

    fidelity/coefficients (K, n): the responsibility of the drawn component for each draw; fidelity/labels (K, n): the
    evaluation classifier's probability of that value; fidelity/hits (K, n): whether it is the most probable.
    """
    model, layout = material.model, material.layout
    latent = samples.latent[:DRAWS]
    x = material.chart.to_x(latent)
    coefficients, labels, hits = [], [], []
    for category in range(layout.categories):
        attribute, value = layout.locate(category)
        columns, goal = layout.columns[attribute], torch.full((len(x),), category)
        y = model.coordinates(x.mean(1))
        drawn = y + model.control_change(y, goal, "sample", generator_for(material.seed, category))
        offset = model.offset(x.mean(1), goal, "sample", generator_for(material.seed, category))
        logits, _, _ = judge.observe(material.chart.carry(latent, x + offset))
        observed = logits[:, columns].softmax(1)
        coefficients.append(model.gaussians.responsibilities(drawn)[:, category])
        labels.append(observed[:, value])
        hits.append((observed.argmax(1) == value).float())
    names = ("coefficients", "labels", "hits")
    parts = zip(names, (coefficients, labels, hits), strict=True)
    return {f"fidelity/{name}": torch.stack(rows).numpy() for name, rows in parts}
