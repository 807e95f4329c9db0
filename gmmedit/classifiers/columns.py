"""Convert a network's outputs to the logits of attributes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from gmmedit.classifiers.attributes import Attribute
from gmmedit.errors import InputError, nearest

Activation = Literal["sigmoid", "softmax", "probabilities", "pairs"]
SMALLEST = 1e-6  # probabilities are clamped to [SMALLEST, 1 - SMALLEST]


@dataclass(frozen=True)
class Regressed:
    """An output that is a quantity in some unit, such as years or degrees, read as two values.

    The log-odds of the second value are (output - threshold) / scale.
    """

    threshold: float = 0.0
    scale: float = 1.0

    def odds(self, output: Tensor) -> Tensor:
        """The log-odds of outputs of any shape."""
        return (output - self.threshold) / self.scale


@dataclass(frozen=True)
class Columns:
    """Which columns of a network's outputs (N, n) belong to which attribute, and what they mean.

    `chosen` lists the columns of each attribute. One column is the log-odds of the second of two values, or with
    "probabilities" its probability. Several are one per value: logits of a softmax, or of independent sigmoids, whose
    softmax is the distribution given that exactly one of the values holds, or with "probabilities" probabilities.
    `regressed`: the attributes, by number, whose one column is a quantity, whatever the activation is.
    """

    chosen: tuple[tuple[int, ...], ...]
    activation: Activation
    n: int
    regressed: Mapping[int, Regressed] = field(default_factory=dict)

    def __call__(self, outputs: Tensor) -> Tensor:
        """Outputs (N, n) to logits (N, K), of mean 0 over each attribute's values."""
        parts = [
            self.centre_logits(outputs[:, as_index(columns)], self.regressed.get(number))
            for number, columns in enumerate(self.chosen)
        ]
        return torch.cat(parts, dim=1)

    def centre_logits(self, part: Tensor, regressed: Regressed | None = None) -> Tensor:
        """An attribute's outputs (N, 1 or C) to logits (N, C) of mean 0."""
        if regressed:
            odds = regressed.odds(part)
            return torch.cat([-odds / 2, odds / 2], dim=1)
        if self.activation == "probabilities":
            part = part.clamp(SMALLEST, 1 - SMALLEST)
        if part.shape[1] == 1:
            odds = part.logit() if self.activation == "probabilities" else part
            return torch.cat([-odds / 2, odds / 2], dim=1)
        logits = part.log() if self.activation == "probabilities" else part
        return logits - logits.mean(dim=1, keepdim=True)

    def activated(self, outputs: Tensor) -> Tensor:
        """Those of the outputs (N, n) that the activation is about, (N, m): all but the regressed ones."""
        quantities = {column for number in self.regressed for column in self.chosen[number]}
        return outputs[:, [column for column in range(self.n) if column not in quantities]]


def as_index(columns: tuple[int, ...]) -> slice | list[int]:
    """The columns as an index: of consecutive ones a slice, for which nothing is copied to the outputs' device."""
    consecutive = columns == tuple(range(columns[0], columns[0] + len(columns)))
    return slice(columns[0], columns[-1] + 1) if consecutive else list(columns)


def assign_in_order(
    attributes: Sequence[Attribute], activation: Activation, regressed: Collection[str] = ()
) -> Columns:
    """Assign the next columns to each attribute: one per value, or one for two (sigmoid, probabilities).

    regressed: names of attributes with one column, whatever the activation.
    """
    single = activation in ("sigmoid", "probabilities")
    counts = [1 if a.name in regressed or (single and len(a.values) == 2) else len(a.values) for a in attributes]
    starts = [sum(counts[:i]) for i in range(len(counts))]
    chosen = tuple(tuple(range(start, start + count)) for start, count in zip(starts, counts, strict=True))
    return Columns(chosen, activation, sum(counts))


def assign_by_name(
    attributes: Sequence[Attribute],
    outputs: dict[str, tuple[str, ...]],
    names: Sequence[str],
    activation: Activation,
    where: str,
) -> Columns:
    """Assign columns to attributes by the names in `outputs`, by default those of the attribute or its values.

    With "pairs" every name stands for two columns. InputError: there is no such name, or not one per value.
    """
    chosen = []
    for attribute in attributes:
        wanted = outputs.get(attribute.name) or guess_outputs(attribute, names)
        for name in wanted:
            if name not in names:
                raise InputError(f"{where}: {attribute.name} has no output {name!r}", hint=nearest(name, names))
        places = [names.index(name) for name in wanted]
        if activation == "pairs":
            places = [2 * place + side for place in places for side in (0, 1)]
        if len(places) != len(attribute.values) and not (len(places) == 1 and len(attribute.values) == 2):
            message = f"{where}: {attribute.name} has {len(attribute.values)} values and {len(wanted)} outputs"
            raise InputError(message, hint="give one output per value, or one for two values")
        chosen.append(tuple(places))
    return Columns(tuple(chosen), activation, len(names) * (2 if activation == "pairs" else 1))


def guess_outputs(attribute: Attribute, names: Sequence[str]) -> tuple[str, ...]:
    """The outputs named like an attribute's values, or else like the attribute."""
    by_value = all(value in names for value in attribute.values)
    return attribute.values if by_value and attribute.name not in names else (attribute.name,)
