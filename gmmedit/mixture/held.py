"""Which attributes must stay while another is edited.

*held* (A, A) bool: row a marks the attributes that must stay while attribute a is edited. By default every other one;
an edit of a cause would leave out its effects. Losses, metrics and evaluation all take it from here.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from gmmedit.mixture import Layout


def all_others_held(attributes: int) -> Tensor:
    """held (A, A) where only the edited attribute may change."""
    return ~torch.eye(attributes, dtype=torch.bool)


def held_by_all(held: Tensor, edited: Iterable[int]) -> list[int]:
    """The attributes that must stay while all of the edited ones change, in ascending order."""
    found: list[int] = held[list(edited)].all(0).nonzero().flatten().tolist()
    return found


def attribute_of(layout: Layout) -> Tensor:
    """The attribute (K,) of each category."""
    return torch.tensor([attribute for attribute, count in enumerate(layout.values) for _ in range(count)])


def held_categories(held: Tensor, layout: Layout) -> Tensor:
    """held (A, A) by category, (K, K): row c marks the categories whose labels must stay while c is the target."""
    owner = attribute_of(layout).to(held.device)
    return held[owner][:, owner]
