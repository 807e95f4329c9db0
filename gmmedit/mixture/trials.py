"""Trials: edits of held-out samples by the fitted write in one pass, seen through generator and classifier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gmmedit.mixture import Layout
from gmmedit.mixture.adam import generator_for
from gmmedit.mixture.held import all_others_held
from gmmedit.mixture.objectives import band_change, log_labels
from gmmedit.mixture.score import Score

Move = Callable[[Tensor, Tensor], Tensor]  # x (N, D) and categories (N,) to offsets (N, L or 1, D)

STREAM = -3  # random stream of the choice of samples


@dataclass(frozen=True)
class Outcome:
    """What trials came to for each category, three (K,); NaN: every held-out sample has the value.

    Attributes:
        arrived: share of the edits after which the category is the most probable value of its attribute.
        kept: share of the other attributes whose most probable value stayed; NaN: there is no other.
        change: of the images, in units of the change between two samples, see ``band_change``.
        quality: the mean over the categories of the target's probability, plus that of the overlap of the other
            attributes' probabilities before and after, minus that of ``change``: what `arrived` and `kept` count, but
            without their jumps. What does not exist counts 0.
    """

    arrived: Tensor
    kept: Tensor
    change: Tensor
    quality: float


class Trials:
    """The same edits whenever they are called, of held-out samples without the target value, at strength 1.

    Args:
        x, labels: (M, D), (M, K) of the held-out samples.
        score: f(G(x)), called with at most `rows` rows.
        layout: attributes and values.
        contrast: (BANDS,) change between two samples.
        seed: of the choice of samples, the same ones for all categories as far as possible.
        each: edits towards each category; fewer where fewer samples lack the value.
        rows: edits at once.
    """

    def __init__(
        self, x: Tensor, labels: Tensor, score: Score, layout: Layout, contrast: Tensor, seed: int, each: int, rows: int
    ) -> None:
        self.score, self.layout, self.contrast, self.rows = score, layout, contrast, rows
        chosen, self.category, place = choose_starts(labels, layout, seed, each)
        self.first = place < max(each // 2, 1)  # of each category, for a look in between
        used, self.start = chosen.unique(return_inverse=True)
        self.x = x[used]
        self.labels, self.images = self.see(self.x[:, None])

    @torch.no_grad()
    def see(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The probabilities (N, K) and the images (N, C, H, W) of x (N, L, D)."""
        logits, images = zip(*(self.score(rows) for rows in x.split(self.rows)), strict=True)
        return log_labels(torch.cat(logits), self.layout, "log").exp(), torch.cat(images)

    @torch.no_grad()
    def __call__(self, move: Move, brief: bool = False) -> Outcome:
        """The outcome of the edits that `move` makes; `brief`: of half of them."""
        chosen = self.first if brief else torch.ones_like(self.first)
        category = self.category[chosen]
        parts = [
            self.try_edits(move, *rows)
            for rows in zip(self.start[chosen].split(self.rows), category.split(self.rows), strict=True)
        ]
        arrived, kept, change, target, overlap = (
            mean_of_each(torch.cat(part), category, self.layout.categories) for part in zip(*parts, strict=True)
        )
        soft = [part.nanmean().nan_to_num() for part in (target, overlap, -change)]
        return Outcome(arrived, kept, change, float(sum(soft)))

    def try_edits(self, move: Move, start: Tensor, category: Tensor) -> tuple[Tensor, ...]:
        """Of edits of the samples (N,) towards categories (N,), five (N,): arrived, kept and change as in ``Outcome``,
        the target's probability, and the overlap of the others' probabilities."""
        x, before, columns = self.x[start], self.labels[start], self.layout.columns
        after, images = self.see(x[:, None] + move(x, category))
        owner = torch.tensor([self.layout.locate(c)[0] for c in category.tolist()])
        held = all_others_held(len(columns))[owner]
        target = after.gather(1, category[:, None])[:, 0]
        highest = torch.stack([after[:, c].amax(1) for c in columns], 1).gather(1, owner[:, None])[:, 0]
        same = torch.stack([after[:, c].argmax(1) == before[:, c].argmax(1) for c in columns], 1)
        overlap = torch.stack([torch.minimum(after[:, c], before[:, c]).sum(1) for c in columns], 1)
        kept, overlap = ((part * held).double().sum(1) / held.sum(1) for part in (same, overlap))
        change = band_change(self.images[start], images, self.contrast)
        return (target == highest).double(), kept, change.double(), target.double(), overlap


def choose_starts(labels: Tensor, layout: Layout, seed: int, each: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows without the target value, their category, and their place within it, three (T,), T at most K * each.

    labels: (M, K). Every category takes the first rows without it of one random order.
    """
    order = torch.randperm(len(labels), generator=generator_for(seed, STREAM))
    rows, categories, places = [], [], []
    for category in range(layout.categories):
        attribute, value = layout.locate(category)
        lacking = order[labels[order][:, layout.columns[attribute]].argmax(1) != value][:each]
        rows.append(lacking)
        categories.append(torch.full_like(lacking, category))
        places.append(torch.arange(len(lacking)))
    return torch.cat(rows), torch.cat(categories), torch.cat(places)


def mean_of_each(values: Tensor, category: Tensor, categories: int) -> Tensor:
    """The mean (K,) of the values (T,) of each category (T,); NaN where it has none."""
    sums = values.new_zeros(categories).index_add(0, category, values)
    return sums / category.bincount(minlength=categories)
