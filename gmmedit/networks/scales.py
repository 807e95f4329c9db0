"""The range of an attribute that is a number, and the classes that stand for it where values are needed."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"  # as "%.4g" writes it


@dataclass(frozen=True)
class Scale:
    """Numbers in [low, high], in units of their own, with C classes.

    mean, deviation: of the numbers that were measured. borders (C - 1), ascending: between the classes. middles (C):
    the median of each class, which stands for it where a number is needed.
    """

    low: float
    high: float
    mean: float
    deviation: float
    borders: tuple[float, ...]
    middles: tuple[float, ...]

    def share(self, number: Any) -> Any:
        """A number, or an array of them, in units of the range: low is 0, high is 1."""
        return (number - self.low) / (self.high - self.low)

    def number(self, share: Any) -> Any:
        """The inverse of `share`."""
        return self.low + share * (self.high - self.low)

    def holds(self, number: float) -> bool:
        """Whether the number is within the range."""
        return self.low <= number <= self.high

    def __str__(self) -> str:
        return f"{self.low:.4g} to {self.high:.4g}"

    def names(self) -> tuple[str, ...]:
        """The classes' names, "1.5..2.25"; two of a narrow one may be equal."""
        ends = [f"{value:.4g}" for value in (self.low, *self.borders, self.high)]
        return tuple(f"{low}..{high}" for low, high in pairwise(ends))


def class_of(names: Sequence[str], number: float) -> int | None:
    """The place of the class that holds the number among names as `Scale.names` gives them; the nearest at the ends.

    None: they are not the names of classes.
    """
    ends = [re.fullmatch(rf"{NUMBER}\.\.({NUMBER})", name) for name in names]
    if not names or not all(ends):
        return None
    return sum(number > float(match.group(1)) for match in ends[:-1] if match)


def parse_scale(settings: Mapping[str, Any]) -> Scale:
    """A scale from its JSON, where tuples have become lists. ValueError, TypeError, KeyError: a wrong one."""
    borders, middles = (tuple(map(float, settings[name])) for name in ("borders", "middles"))
    low, high, mean, deviation = (float(settings[name]) for name in ("low", "high", "mean", "deviation"))
    scale = Scale(low, high, mean, deviation, borders, middles)
    ordered = (scale.low, *borders, scale.high)
    finite = all(map(math.isfinite, (*ordered, *middles, scale.mean, scale.deviation)))
    if not finite or list(ordered) != sorted(set(ordered)) or scale.deviation <= 0:
        raise ValueError("a range is empty, or its classes are not in order")
    if len(middles) != len(borders) + 1 or not borders:
        raise ValueError(f"{len(borders)} borders, {len(middles)} classes")
    return scale
