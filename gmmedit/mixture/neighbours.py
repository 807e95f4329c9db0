"""Neighbours: the members of a component that look most like an image, of which its edits are made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from gmmedit.mixture import Layout
from gmmedit.mixture.objectives import edit_divergences, log_labels

CONTROL_WEIGHT = 0.1  # of the squared distance from the control vector's coordinates
LACKING = 1e3  # of a value that a sample lacks: samples that have it come first
MOST_CERTAIN = 0.999


BLOCK = 1024  # thumbnails that are compared at once, to bound memory


def from_levels(images: Tensor) -> Tensor:
    """uint8 images of any shape to [-1, 1]."""
    return images / 127.5 - 1


@dataclass(frozen=True)
class PriceWeights:
    """What an edit costs besides the change of held labels, in nats.

    Attributes:
        picture: of the change of the image, in units of the change between two samples.
        arrival: of the target label's distance from where it should be, in nats.
    """

    picture: float = 12.0
    arrival: float = 5.0


@dataclass(frozen=True)
class Candidates:
    """For each of N images, M samples that are edits of it, the cheapest first.

    Attributes:
        x: (N, M, D) coordinates in the chart.
        facts: (N, M, FACTS + K + r) what distinguishes each from the image: the parts of its price and its place in
            the order of prices, the difference of labels, and that of coordinates y; each of the size of 1.
    """

    x: Tensor
    facts: Tensor


FACTS = 5  # columns of `Candidates.facts` before labels and coordinates
LARGEST = 3.0  # larger facts are clamped
UNIT = 10.0  # nats, of differences of prices


@dataclass(frozen=True)
class Neighbours:
    """Labelled samples of the prior, among which edits look for neighbours.

    Attributes:
        x: (M, D) coordinates in the chart.
        y: (M, r) the mixture's read of x.
        logits: (M, K) of the labelling classifier.
        thumbnails: (M, C, h, w) uint8, small images.
        contrast: mean absolute difference of two thumbnails.
        layout: the attributes.
        held: (A, A) which of them must stay (``gmmedit.mixture.held``).
    """

    x: Tensor
    y: Tensor
    logits: Tensor
    thumbnails: Tensor
    contrast: float
    layout: Layout
    held: Tensor

    @cached_property
    def log_labels(self) -> Tensor:
        """(M, K) log-probabilities over each attribute's values."""
        return log_labels(self.logits, self.layout, "log")

    @cached_property
    def has(self) -> Tensor:
        """(M, K) which values the samples have: the most probable one of each attribute."""
        labels = self.log_labels
        found = [labels[:, c].argmax(1, keepdim=True) == torch.arange(c.stop - c.start, device=labels.device)
                 for c in self.layout.columns]  # fmt: skip
        return torch.cat(found, 1)

    @cached_property
    def certain(self) -> Tensor:
        """(K,) the probability at which a value has been reached: the median of the samples that have it, at most .999.

        How sure a classifier is of a value differs between classifiers and values; a component's members know.
        """
        labels, found = self.log_labels.exp(), []
        for columns in self.layout.columns:
            part = labels[:, columns]
            value = part.argmax(1)
            for c in range(part.shape[1]):
                members = part[value == c, c]
                found.append(members.median() if len(members) else part.new_tensor(MOST_CERTAIN))
        return torch.stack(found).clamp_max(MOST_CERTAIN)

    @cached_property
    def means(self) -> Tensor:
        """(K, D) the means of x over the samples, weighted by their labels."""
        labels = self.log_labels.exp()
        return labels.T @ self.x / labels.sum(0)[:, None]

    def to(self, device: torch.device) -> Neighbours:
        """The same samples on another device."""
        x, y, logits, thumbnails, held = (
            part.to(device) for part in (self.x, self.y, self.logits, self.thumbnails, self.held)
        )
        return replace(self, x=x, y=y, logits=logits, thumbnails=thumbnails, held=held)

    def find_nearest(
        self,
        y: Tensor,
        control: Tensor,
        logits: Tensor,
        thumbnails: Tensor,
        category: Tensor,
        weights: PriceWeights,
        count: int,
    ) -> Candidates:
        """The samples that are the cheapest edits of each image, `count` of them.

        They have its category (N,), or all of its categories (N, G), as far as such samples exist; they are similar in
        the labels of the held attributes and in thumbnails, and have coordinates y near the control vector's.

        Args:
            y, control: (N, r) coordinates of the images and of their control vectors.
            logits: (N, K) of the images.
            thumbnails: (N, C, h, w) of the images.
            weights: of an edit's price.
            count: fewer are returned if there are fewer samples.
        """
        before, labels = log_labels(logits, self.layout, "log"), self.log_labels
        chosen, facts = [], []
        rows = zip(before, thumbnails, y, control, category.view(len(before), -1), strict=True)
        for row, thumbnail, start, wanted, goals in rows:
            targets = goals.expand(len(labels), -1)
            missed, broken = edit_divergences(
                row.expand_as(labels), labels, targets, self.layout, self.held, self.certain
            )
            change = self.compare_thumbnails(thumbnail) / self.contrast
            distance = CONTROL_WEIGHT * (self.y - wanted).square().sum(1)
            cost = weights.arrival * missed + broken + LACKING * (~self.has[:, goals]).sum(1)
            cost += distance + weights.picture * change
            prices, best = cost.topk(min(count, len(cost)), largest=False)
            chosen.append(self.x[best])
            parts = [part[best] for part in (missed, broken, change, distance)]
            parts += [(prices - prices[0]) / UNIT, labels[best].exp() - row.exp(), self.y[best] - start]
            facts.append(torch.cat([part.view(len(best), -1) for part in parts], 1).clamp(-LARGEST, LARGEST))
        return Candidates(torch.stack(chosen), torch.stack(facts))

    def compare_thumbnails(self, thumbnail: Tensor) -> Tensor:
        """(M,) mean absolute difference of the samples' thumbnails from one (C, h, w) in [-1, 1]; block by block."""
        blocks = self.thumbnails.split(BLOCK)
        return torch.cat([(from_levels(block) - thumbnail).abs().mean((1, 2, 3)) for block in blocks])

    def shrink(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) averaged down to the size of the thumbnails, clamped as those are."""
        return F.adaptive_avg_pool2d(images.clamp(-1, 1), (self.thumbnails.shape[-2], self.thumbnails.shape[-1]))
