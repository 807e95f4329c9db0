"""The fit of fit-single: reads and single Gaussians."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gmmedit.mixture import Layout
from gmmedit.mixture.adam import Chain, Fit, Terms, generator_for, has_converged
from gmmedit.mixture.coordinates import ROWS, Coordinates, FullSpace, read_batched
from gmmedit.mixture.gaussians import Form, Gaussians
from gmmedit.mixture.objectives import label_loss, likelihood_term

Read = Literal["linear", "network", "auto"]

CLEARLY_BETTER = 0.01  # held-out accuracy by which a network must exceed the linear read to be chosen
LIKELIHOOD_WEIGHT = 0.3  # the label loss places the components, the likelihood term keeps them densities
DECAY_ROWS = 20_000  # weight decay is this over the rows: a prior weighs less the more data there are
MOST_DECAY = 5.0


def mixture_terms(gaussians: Gaussians, y: Tensor, labels: Tensor, form: Form = "group") -> Terms:
    """The label loss and the weighted likelihood term of y (N, r) and labels (N, K)."""
    density = gaussians.log_joint(y.detach())
    return {
        "label": label_loss(gaussians.likelihood(y, form), labels),
        "likelihood": LIKELIHOOD_WEIGHT * likelihood_term(density, labels),
    }


@dataclass(frozen=True)
class ReadResult:
    """What a ``ReadFit`` came to.

    Attributes:
        read: "linear", "network" or "full".
        coordinates, gaussians: the read, standardised over all rows, and its components.
        accuracy: for each read that was fitted, the share (A,) of held-out rows whose likeliest value is the
            label's.
        converged: see ``has_converged``.
    """

    read: str
    coordinates: Coordinates | FullSpace
    gaussians: Gaussians
    accuracy: dict[str, Tensor]
    converged: bool


class ReadFit(Chain):
    """The fit of fit-single: reads and single Gaussians, by Adam on claim 4's loss.

    The loss is MSE(normalised likelihood, labels) plus the likelihood term that keeps components densities
    of y. Reads start at the labels' directions, components at their moments. ``auto`` fits a linear and a
    network read, and chooses the network if its held-out accuracy is clearly higher.

    Args:
        x: (N, D) coordinates in a chart, N >= 4.
        labels: (N, K) in [0, 1].
        layout: values and ranks; in the full scope its ranks do not count.
        scope: "subspace", or "full" for the patent read literally: Gaussians over all of x and no read.
        likelihood: the normalised likelihood, "group" or "peak".
        covariance: "tied" within an attribute or "free".
        diagonal: no correlation between coordinates.
        hidden: width of the network read.
        steps: Adam steps for each read.
        batch: rows a step.
        lr: the highest learning rate.
        held_out: share of the rows that are only scored.
        seed: of the initial values, the held-out rows and the batches.

    Raises:
        ValueError: too few rows, wrong shapes, NaN, labels outside [0, 1], a category without samples.
        FloatingPointError: on iteration, when the fit diverges.
    """

    def __init__(
        self,
        x: Tensor,
        labels: Tensor,
        layout: Layout,
        scope: Literal["subspace", "full"] = "subspace",
        read: Read = "auto",
        likelihood: Form = "group",
        covariance: Literal["tied", "free"] = "tied",
        diagonal: bool = False,
        hidden: int = 128,
        steps: int = 2500,
        batch: int = 512,
        lr: float = 2e-3,
        held_out: float = 0.1,
        seed: int = 0,
    ) -> None:
        _check(x, labels, layout)
        order = torch.randperm(len(x), generator=generator_for(seed, -1)).to(x.device)
        held = min(max(1, round(held_out * len(x))), len(x) - 2)
        self.held, self.rows = order[:held], order[held:]
        self.x, self.labels, self.form, self.seed = x, labels, likelihood, seed
        self.batch = min(batch, len(self.rows))
        self.models: dict[str, tuple[Coordinates | FullSpace, Gaussians]] = {}
        fits = {}
        for name in ("full",) if scope == "full" else ("linear", "network") if read == "auto" else (read,):
            coordinates = self._start(name, layout, hidden)
            gaussians = Gaussians(coordinates.layout, covariance == "tied", diagonal).to(x)
            with torch.no_grad():
                gaussians.fit_moments_(read_batched(coordinates, x), labels.index_fill(0, self.held, 0))
            self.models[name] = coordinates, gaussians
            fits[name] = self._fit(coordinates, gaussians, steps, lr)
        super().__init__(fits)

    def _start(self, read: str, layout: Layout, hidden: int) -> Coordinates | FullSpace:
        dim = self.x.shape[1]
        if read == "full":
            return FullSpace(dim, layout.values)
        width = hidden if read == "network" else 0
        coordinates = Coordinates(dim, layout, width, generator_for(self.seed, -2)).to(self.x)
        known = self.labels.clone()
        known[self.held] = known[self.rows].mean(0)  # the mean contributes no direction
        coordinates.initialise_(self.x, known)
        coordinates.standardise_(self.x)
        return coordinates

    def _fit(self, coordinates: Coordinates | FullSpace, gaussians: Gaussians, steps: int, lr: float) -> Fit:
        def terms(step: int) -> Terms:
            drawn = torch.randint(len(self.rows), (self.batch,), generator=generator_for(self.seed, step))
            rows = self.rows[drawn.to(self.rows.device)]
            y = coordinates.standardised(coordinates(self.x[rows]))
            return mixture_terms(gaussians, y, self.labels[rows], self.form)

        weights = [p for name, p in coordinates.named_parameters() if name.startswith("network")]
        decay = min(MOST_DECAY, DECAY_ROWS / len(self.rows))
        parameters = [*coordinates.parameters(), *gaussians.parameters()]
        return Fit(parameters, terms, steps, lr, decayed=weights, weight_decay=decay)

    @torch.no_grad()
    def result(self) -> ReadResult:
        """The read that was chosen by name, or the better one, with its current parameters."""
        labels = self.labels[self.held]
        scores = {}
        for name, (coordinates, gaussians) in self.models.items():
            coordinates.standardise_(self.x)
            likely = gaussians.likelihood(coordinates(self.x[self.held]), self.form)
            hits = [likely[:, c].argmax(1) == labels[:, c].argmax(1) for c in coordinates.layout.columns]
            scores[name] = torch.stack(hits).float().mean(1)
        best, *others = scores
        for name in others:
            if scores[name].mean() > scores[best].mean() + CLEARLY_BETTER:
                best = name
        return ReadResult(best, *self.models[best], scores, has_converged(self.fits[best].history))


def _check(x: Tensor, labels: Tensor, layout: Layout) -> None:
    if x.ndim != 2 or len(x) < 4 or labels.shape != (len(x), layout.categories):
        shapes = f"latents {tuple(x.shape)} and labels {tuple(labels.shape)}"
        raise ValueError(f"{shapes} should be (N, D) and (N, {layout.categories}), with N of 4 or more")
    if not all(part.isfinite().all() for part in x.split(ROWS)):
        raise ValueError("latents hold NaN or infinite values")
    if not ((labels >= 0) & (labels <= 1)).all():
        raise ValueError("labels must lie between 0 and 1")
