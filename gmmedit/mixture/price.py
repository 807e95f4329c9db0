"""The price of an edit: one number for how far it missed its target, and for what else it changed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gmmedit.mixture.neighbours import LACKING, Neighbours, PriceWeights
from gmmedit.mixture.objectives import band_change, edit_divergences, log_labels
from gmmedit.mixture.score import Score

LOOKS = 5  # ways of seeing an image, the same for all edits: as it is, and disturbed in four ways
SHORT = math.log(2)  # nats: an edit that misses its target by more has not arrived


@dataclass(frozen=True)
class Price:
    """The price of edits of the same images towards the same targets.

    The target's distance from the probability that members of the component have, the change of held labels, and the
    change of the image; an edit that has not arrived costs more than any that has. Labels before and after are those of
    images seen in the same one of LOOKS ways in each call, so that no label can depend on single pixels.

    Attributes:
        score: coordinates x to logits and images.
        x: (N, L, D) of the unedited images.
        category: (N,), or (N, G) several targets of different attributes.
        neighbours: labelled samples, from which its units are.
        contrast: (BANDS,) change between two samples, see ``band_change``.
        weights: of its parts.
        logits: (N, K) of the unedited images.
        images: (N, C, H, W) the unedited images.
        before: log-labels (N, K) of the unedited images seen in each of LOOKS ways.
    """

    score: Score
    x: Tensor
    category: Tensor
    neighbours: Neighbours
    contrast: Tensor
    weights: PriceWeights
    logits: Tensor
    images: Tensor
    before: tuple[Tensor, ...]

    @classmethod
    @torch.no_grad()
    def of(
        cls, score: Score, x: Tensor, category: Tensor, neighbours: Neighbours, contrast: Tensor, weights: PriceWeights
    ) -> Price:
        """The price of edits of x (N, L, D); for the arguments see the class."""
        logits, images = score(x)
        layout = neighbours.layout
        seen = [logits, *(score(x, look(step))[0] for step in range(1, LOOKS))]
        before = tuple(log_labels(part, layout, "log") for part in seen)
        return cls(score, x, category, neighbours, contrast, weights, logits, images, before)

    def __call__(self, moved: Tensor, step: int = 0) -> Tensor:
        """The prices (N,) of the images moved to x (N, L, D), seen in the way of that step."""
        missed, broken, change = self.parts(moved, step)
        return self.weights.arrival * missed + broken + self.weights.picture * change + LACKING * (missed > SHORT)

    def in_all_looks(self, moved: Tensor) -> Tensor:
        """The mean price (N,) of the images seen in all ways: an edit arrives where they agree that it does."""
        return torch.stack([self(moved, step) for step in range(LOOKS)]).mean(0)

    def parts(self, moved: Tensor, step: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """What `__call__` adds up, three (N,): how far targets were missed, the change of held labels, both in nats,
        and that of the image in units of the change between two samples."""
        logits, images = self.score(moved, look(step))
        layout, held = self.neighbours.layout, self.neighbours.held
        after, before = log_labels(logits, layout, "log"), self.before[step % LOOKS]
        missed, broken = edit_divergences(before, after, self.category, layout, held, self.neighbours.certain)
        return missed, broken, band_change(self.images, images, self.contrast)


def look(step: int) -> torch.Generator | None:
    """The random numbers of a step's disturbance; None: it sees the image as it is."""
    return torch.Generator().manual_seed(step % LOOKS) if step % LOOKS else None
