"""The factors of an avatar, and the two distributions from which they are sampled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "smile": ("no", "yes"),
    "gender": ("female", "male"),
    "bangs": ("no", "yes"),
    "age": ("young", "old"),
    "glasses": ("no", "yes"),
    "beard": ("no", "yes"),
    "hair_color": ("black", "blond", "red", "brown", "grey"),
}

DETAILS: tuple[str, ...] = (
    "smile_width",
    "jaw",
    "bangs_length",
    "wrinkles",
    "frame_size",
    "frame_color",
    "beard_fullness",
    "hair_shade",
    "hair_tint",
    "parting",
)
"""How an attribute's value looks, without changing the value; each in [-1, 1]."""

SHOWN_WITH: dict[str, tuple[str, str]] = {
    "smile_width": ("smile", "yes"),
    "bangs_length": ("bangs", "yes"),
    "wrinkles": ("age", "old"),
    "frame_size": ("glasses", "yes"),
    "frame_color": ("glasses", "yes"),
    "beard_fullness": ("beard", "yes"),
    "parting": ("bangs", "no"),
}
"""Details that are seen only where an attribute has a value; the others always are."""

NUISANCES: tuple[str, ...] = (
    "skin",
    "background_r",
    "background_g",
    "background_b",
    "eye_color",
    "face_width",
    "x",
    "y",
    "hair_length",
)
"""Factors that belong to no attribute; each in [-1, 1], colours included."""

CAUSAL_MODEL: dict[str, tuple[tuple[str, ...], list[Any]]] = {
    "gender": ((), [0.55, 0.45]),
    "age": (("gender",), [[0.69, 0.31], [0.44, 0.56]]),
    "smile": (("gender",), [[0.44, 0.56], [0.58, 0.42]]),
    "bangs": (("gender",), [[0.52, 0.48], [0.80, 0.20]]),
    "beard": (("gender",), [[0.965, 0.035], [0.38, 0.62]]),
    "glasses": (("age", "gender"), [[[0.82, 0.18], [0.70, 0.30]], [[0.58, 0.42], [0.44, 0.56]]]),
    "hair_color": (
        ("age", "gender"),
        [
            [[0.24, 0.32, 0.17, 0.24, 0.03], [0.37, 0.14, 0.15, 0.31, 0.03]],
            [[0.11, 0.17, 0.09, 0.13, 0.50], [0.14, 0.07, 0.07, 0.14, 0.58]],
        ],
    ),
}
"""Attribute -> (parents, P(value | parents)), causes first. The table is indexed by the parents' values in
the order of `parents`, then by the attribute's own value, both as in `ATTRIBUTES`:

gender -> age, smile, bangs, beard;  age and gender -> glasses, hair_color (age -> grey is the strongest).

Correlations are about those of CelebA; every pair of values of two attributes has a probability >= 0.015.
"""

HAIR_LENGTH_POWER = (0.6, 1.8)
"""hair_length = 2 u^power - 1 with u uniform, per gender: mostly long for females, short for males."""

BLOCK = 1024


@dataclass
class Factors:
    """N avatars: `attributes` (N, 7) value indices, `details` (N, 10) and `nuisances` (N, 9) in [-1, 1].

    The columns are named by `ATTRIBUTES`, `DETAILS` and `NUISANCES`.
    """

    attributes: Tensor
    details: Tensor
    nuisances: Tensor

    def __len__(self) -> int:
        return len(self.attributes)

    def __getitem__(self, rows: slice | Tensor) -> Factors:
        return Factors(self.attributes[rows], self.details[rows], self.nuisances[rows])

    def numbers(self, names: Sequence[str]) -> Tensor:
        """The details and nuisances of these names, (N, len(names)) in [-1, 1]. KeyError: there is no such factor."""
        columns = dict(zip(DETAILS, self.details.T, strict=True)) | dict(zip(NUISANCES, self.nuisances.T, strict=True))
        return torch.stack([columns[name] for name in names], dim=1) if names else self.details[:, :0]


def shown(attributes: Tensor, names: Sequence[str]) -> Tensor:
    """Which details and nuisances are seen in avatars of these attributes (N, 7), bool (N, len(names))."""
    seen = torch.ones(len(attributes), len(names), dtype=torch.bool)
    for column, name in enumerate(names):
        if name in SHOWN_WITH:
            attribute, value = SHOWN_WITH[name]
            wanted = ATTRIBUTES[attribute].index(value)
            seen[:, column] = attributes[:, list(ATTRIBUTES).index(attribute)] == wanted
    return seen


def counterfactual(factors: Factors, attribute: str, value: str) -> Factors:
    """The same avatars with another value of one attribute: its details, and all other factors, stay as they are.

    What the attribute would cause (`CAUSAL_MODEL`) stays too: an edit that changes only the target is compared with it.
    KeyError: there is no such attribute. ValueError: it has no such value.
    """
    number, changed = ATTRIBUTES[attribute].index(value), factors.attributes.clone()
    changed[:, list(ATTRIBUTES).index(attribute)] = number
    return Factors(changed, factors.details, factors.nuisances)


def sample_causal(n: int, seed: int, acts: Mapping[str, str] | None = None) -> Factors:
    """Sample n avatars from `CAUSAL_MODEL`, with attributes about as correlated as in photographs.

    Row i depends on the seed (>= 0) and i only, not on n. With `acts` (attribute -> value), row i is what row i of the
    same seed would have been under the intervention: the same noise, whatever follows from the acts changed.
    KeyError: there is no such attribute. ValueError: it has no such value.
    """
    fixed = {name: ATTRIBUTES[name].index(value) for name, value in (acts or {}).items()}
    return _sample(n, seed, lambda uniform: _causal(uniform, fixed))


def sample_independent(n: int, seed: int) -> Factors:
    """Sample n avatars with all attributes, details and nuisances independent and uniform.

    Row i depends on the seed (>= 0) and i only, not on n.
    """
    return _sample(n, seed, _independent)


def _sample(n: int, seed: int, from_uniform: Callable[[Tensor], Factors]) -> Factors:
    columns = len(ATTRIBUTES) + len(DETAILS) + len(NUISANCES)
    blocks = [torch.empty(0, columns)]
    for block in range(-(-n // BLOCK)):
        # torch's CPU generator uses only 32 bits of a seed, so both numbers are hashed into those.
        state = np.random.SeedSequence([seed, block]).generate_state(1)
        generator = torch.Generator().manual_seed(int(state[0]))
        blocks.append(torch.rand(BLOCK, columns, generator=generator))
    return from_uniform(torch.cat(blocks)[:n])


def _split(uniform: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    first, last = len(ATTRIBUTES), len(ATTRIBUTES) + len(DETAILS)
    return uniform[:, :first], 2 * uniform[:, first:last] - 1, 2 * uniform[:, last:] - 1


def _independent(uniform: Tensor) -> Factors:
    choices, details, nuisances = _split(uniform)
    sizes = torch.tensor([len(values) for values in ATTRIBUTES.values()])
    return Factors((choices * sizes).long(), details, nuisances)


def _causal(uniform: Tensor, fixed: Mapping[str, int]) -> Factors:
    choices, details, nuisances = _split(uniform)
    names = list(ATTRIBUTES)
    attributes = torch.zeros(choices.shape, dtype=torch.long)
    for name, (parents, table) in CAUSAL_MODEL.items():
        given = tuple(attributes[:, names.index(parent)] for parent in parents)
        probabilities = torch.tensor(table)[given] if given else torch.tensor(table).expand(len(choices), -1)
        thresholds = probabilities.cumsum(1)[:, :-1]
        column = names.index(name)
        attributes[:, column] = fixed.get(name, (choices[:, column, None] > thresholds).sum(1))
    power = torch.tensor(HAIR_LENGTH_POWER)[attributes[:, names.index("gender")]]
    length = NUISANCES.index("hair_length")
    nuisances[:, length] = 2 * ((nuisances[:, length] + 1) / 2) ** power - 1
    return Factors(attributes, details, nuisances)
