"""How far along its way an edit of a strength between 0 and 1 is.

Half of the way is not half of the edit: labels change late and abruptly, and between two of several values the way may
lead through a third one (from black hair to blond through brown). So the way is measured, at PLACES places, and gone
through at the speed at which target and image change; the parts in which another value shows are skipped.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gmmedit.mixture import Layout
from gmmedit.mixture.objectives import band_change, log_labels
from gmmedit.mixture.score import Score

PLACES = 21  # on the way, both ends included; close together at the ends, as many edits only just arrive
ODDS = 2 / 3  # weight of the target's log-odds; the rest is that of the image
SURE = 8.0  # nats; log-odds beyond are no progress
LEAST = 1.0  # nats; less than that does not count fully: an image that has the value already


@torch.no_grad()
def measure_path(score: Score, x: Tensor, offset: Tensor, category: Tensor, layout: Layout, contrast: Tensor) -> Tensor:
    """The strength (PLACES, N) at which each place between x and x + offset is reached, rising from 0 to 1.

    The mean of two rises, from 0 to 1 each: that of the log-odds of the target, and that of the change of the image.
    It does not rise where a value shows that is neither the image's own nor the edit's: no strength leads there.

    Args:
        score: coordinates x to logits and images.
        x: (N, L, D).
        offset: (N, L, D) or (N, 1, D), to the edit at strength 1.
        category: (N,) the target, or (N, G) several of different attributes.
        contrast: see ``band_change``.
    """
    odds, values, changes, unedited = [], [], [], None
    for share in places().tolist():
        logits, images = score(x + share * offset)
        unedited = images if unedited is None else unedited
        part_odds, part_values = read_targets(logits, category, layout)
        odds.append(part_odds)
        values.append(part_values)
        changes.append(band_change(unedited, images, contrast))
    found = torch.stack(values)  # (PLACES, N, G)
    others = ((found != found[0]) & (found != found[-1])).any(2)
    rise = ODDS * share_of_rise(torch.stack(odds), LEAST) + (1 - ODDS) * share_of_rise(torch.stack(changes), 0.0)
    return skip(rise, others)


def places() -> Tensor:
    """The shares (PLACES,) of the way at which it is measured, from 0 to 1."""
    return (1 - torch.linspace(0, math.pi, PLACES).cos()) / 2


def read_targets(logits: Tensor, category: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """From logits (N, K): the sum of the targets' log-odds (N,), each within SURE, and the predicted values (N, G)."""
    labels, goals = log_labels(logits, layout, "log"), category.view(len(category), -1)
    own = labels.gather(1, goals)
    rest = torch.log1p(-own.exp().clamp_max(1 - 1e-6))
    values = torch.empty_like(goals)
    for g, column in enumerate(goals.unbind(1)):
        for goal in column.unique().tolist():
            rows, columns = column == goal, layout.columns[layout.locate(goal)[0]]
            values[rows, g] = columns.start + labels[rows][:, columns].argmax(1)
    return (own - rest).clamp(-SURE, SURE).sum(1), values


def share_of_rise(heights: Tensor, least: float) -> Tensor:
    """Heights (P, N), made never to fall, from 0 to 1 at the last; less than 1 where they rise by less than `least`."""
    risen = heights.cummax(0).values - heights[0]
    return risen / risen[-1].clamp_min(max(least, 1e-6))


def skip(rise: Tensor, others: Tensor) -> Tensor:
    """The rise (P, N) without the steps that touch places where `others` (P, N) show, from 0 to 1.

    Where nothing is left, the straight way: the rise of the places (`places`) themselves.
    """
    steps = rise.diff(dim=0).clamp_min(0).masked_fill(others[1:] | others[:-1], 0)
    steps = torch.where(steps.sum(0) > 1e-6, steps, places().diff()[:, None])
    reached = torch.cat([torch.zeros_like(rise[:1]), steps.cumsum(0)])
    return reached / reached[-1]


def find_shares(path: Tensor, strength: Tensor) -> Tensor:
    """The shares (N,) of the way at strengths (N,) within (0, 1), linear between the PLACES of a path (PLACES, N)."""
    after = (path >= strength).int().argmax(0, keepdim=True).clamp_min(1)
    low, high = path.gather(0, after - 1)[0], path.gather(0, after)[0]
    shares = places()
    return shares[after[0] - 1].lerp(shares[after[0]], (strength - low) / (high - low))
