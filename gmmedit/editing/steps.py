"""The option --direction, parsed: which discovered directions to go along, and how many steps."""

import re
from collections.abc import Sequence

from gmmedit.editing.numbers import parse_strength
from gmmedit.errors import InputError

Amounts = tuple[tuple[int, float], ...]  # directions and the steps along each
SYNTAX = "NUMBER[:STEPS], e.g. 3, 3:2, 0:-1.5"


def parse_directions(texts: Sequence[str]) -> Amounts:
    """The values of --direction: `3` is one step along direction 3, `3:-1.5` one and a half back.

    InputError: another syntax, steps that are no number in range, or a direction twice.
    """
    found: dict[int, float] = {}
    for text in texts:
        match = re.fullmatch(r"([0-9]{1,6})(?::([^:]+))?", text.strip())
        if not match:
            raise InputError(f"--direction {text!r} cannot be parsed", hint=SYNTAX)
        number = int(match[1])
        if number in found:
            raise InputError(f"--direction {number} is given twice", hint=f"--direction {number}:2 goes two steps")
        found[number] = 1.0 if match[2] is None else parse_strength(match[2], f"--direction {text}")
    return tuple(found.items())


def describe_directions(amounts: Amounts) -> str:
    """As in a title: `direction 3:2, direction 0:-1.5`."""
    return ", ".join(f"direction {number}" + ("" if steps == 1 else f":{steps:g}") for number, steps in amounts)
