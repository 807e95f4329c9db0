"""The losses of fit-mixture: the label loss of fit-single, plus two terms that run through real edits.

Sampling (claim 5): draw a category and a point of its component, write it into a sample, generate, label,
and compare the labels with the sampled coefficient. Decoupling: write the coupled draw into samples and penalise
changes of the held attributes' labels. Both differentiate through generator and classifier.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gmmedit.mixture import Layout
from gmmedit.mixture.adam import Terms, generator_for
from gmmedit.mixture.coordinates import read_batched
from gmmedit.mixture.fitting import mixture_terms
from gmmedit.mixture.gaussians import Form
from gmmedit.mixture.held import all_others_held
from gmmedit.mixture.model import AttributeMixture
from gmmedit.mixture.objectives import (
    BANDS,
    band_change,
    edit_divergences,
    least_change,
    log_labels,
    same_attribute,
    sampling_term,
)
from gmmedit.mixture.score import Score, Show

SKIPPED = 0.9  # share of the edits that start from samples without the target value
WEAKEST, STRONGEST = 0.25, 1.5  # range of the edits' strengths


@dataclass(frozen=True)
class Weights:
    """The weight of each term; ``picture`` is that of the image's change in units of the change between two samples."""

    sampling: float = 1.0
    decoupling: float = 1.0
    least_change: float = 1e-2
    picture: float = 3.0


class Refinement:
    """The loss of one fit-mixture step, a function of (seed, step) and the parameters.

    Args:
        model: with a correction unless `score` is None.
        x, labels, logits: (N, D), (N, K), (N, K) of the samples. They are read once, as the read is not trained.
        score: None leaves out the terms that need it.
        weights: of the terms.
        seed: of the random numbers of all steps.
        rows, edits: samples a step for the label loss, and for the other terms, edits >= 2.
        form: of the normalised likelihood.
        held: (A, A) the attributes that must stay (`gmmedit.mixture.held`); None: every other one.
        contrast: (BANDS,) change between two samples, see ``band_change``; None: 1, in units of the images.
        show: the images of `score` alone, which are cheaper; None: `score` is asked for both.
    """

    def __init__(
        self,
        model: AttributeMixture,
        x: Tensor,
        labels: Tensor,
        logits: Tensor,
        score: Score | None,
        weights: Weights,
        seed: int,
        rows: int = 512,
        edits: int = 32,
        form: Form = "group",
        held: Tensor | None = None,
        contrast: Tensor | None = None,
        show: Show | None = None,
    ) -> None:
        self.model, self.x, self.labels, self.logits = model, x, labels, logits
        self.score, self.weights, self.seed, self.rows, self.edits = score, weights, seed, rows, edits
        self.form, self.show = form, show
        self.contrast = torch.ones(BANDS) if contrast is None else contrast
        self.held = all_others_held(len(model.layout.values)) if held is None else held
        self.y = None if model.coordinates.shared else read_batched(model.coordinates, x)

    def __call__(self, step: int) -> Terms:
        generator = generator_for(self.seed, step)
        rows = torch.randint(len(self.x), (self.rows,), generator=generator)
        y = self.model.coordinates(self.x[rows]) if self.y is None else self.y[rows]
        terms = mixture_terms(self.model.gaussians, y, self.labels[rows], self.form)
        return terms if self.score is None else terms | self.edit_terms(self.score, generator)

    def edit_terms(self, score: Score, generator: torch.Generator) -> Terms:
        """The terms of one step's edits. The first half use the coupled draw, the second sample their component."""
        layout, weights = self.model.layout, self.weights
        rows = torch.randint(len(self.x), (self.edits,), generator=generator)
        x, before = self.x[rows], log_labels(self.logits[rows], layout, "log")
        category = draw_categories(layout, self.labels[rows], generator)
        half = self.edits // 2
        y = self.model.coordinates(x)
        change = torch.cat([
            self.model.control_change(y[:half], category[:half], "coupled"),
            self.model.control_change(y[half:], category[half:], "sample", generator),
        ])  # fmt: skip
        offset = self.model.write(x, y, change, category)
        strength = torch.empty(self.edits, 1, 1).uniform_(WEAKEST, STRONGEST, generator=generator)
        strength[:half:2] = strength[half::2] = 1.0  # each half has one, of however few edits
        with torch.no_grad():
            unedited = score(x[:, None])[1] if self.show is None else self.show(x[:, None])
        logits, edited = score(x[:, None] + strength.to(x) * offset)
        after = log_labels(logits, layout, "log")
        arrived = (strength >= 1).to(x).flatten()
        missed, divergence = edit_divergences(before, after, category, layout, self.held)
        coefficient = torch.nn.functional.one_hot(category, layout.categories).to(x)
        mask = same_attribute(layout)[category].to(x)
        drawn = (mask[half:] * arrived[half:, None]).bool()
        return {
            "sampling": weights.sampling * sampling_term(coefficient[half:][drawn], after[half:][drawn].exp()),
            "target": (missed * arrived).mean(),
            "decoupling": weights.decoupling * divergence.mean(),
            "change": weights.least_change * least_change(offset) * offset.shape[2],
            "picture": weights.picture * band_change(unedited, edited, self.contrast).mean(),
        }


def draw_categories(layout: Layout, labels: Tensor, generator: torch.Generator) -> Tensor:
    """One category (N,) per row of labels (N, K); with probability 0.9 or so one that the row does not have."""
    has = torch.zeros_like(labels, dtype=torch.bool)
    for columns in layout.columns:
        has[:, columns] = labels[:, columns] == labels[:, columns].amax(1, keepdim=True)
    weights = torch.where(has.cpu(), 1 - SKIPPED, 1.0)
    return torch.multinomial(weights, 1, generator=generator).squeeze(1)
