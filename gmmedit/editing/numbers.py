"""Strengths, sweeps and lists of numbers as options write them."""

import math
import re
from collections import Counter

from gmmedit.errors import InputError

MAX_ALPHAS = 201
MAX_STRENGTH = 1000  # images degenerate at far smaller ones
ROUNDING = 1e-9  # tolerance of the number of steps in FROM:TO:STEP
MAX_ROWS, SEEDS = 100_000, 2**32


def check_exclusive(names: str, *options: object) -> None:
    """InputError: more than one of the options is given."""
    if sum(option is not None for option in options) > 1:
        raise InputError(f"{names} cannot be combined", hint="use one of them")


def is_number(text: str) -> bool:
    """Whether the text is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def parse_strength(text: str, option: str) -> float:
    """A strength. InputError: not a number, or out of range."""
    if not is_number(text):
        raise InputError(f"{option}: {text!r} is not a number", hint="e.g. 0.6")
    return check_strength(float(text), option)


def check_strength(strength: float, option: str) -> float:
    """The strength. InputError: beyond MAX_STRENGTH, where float32 would overflow."""
    if not abs(strength) <= MAX_STRENGTH:
        raise InputError(f"{option} {strength:g} is not between -{MAX_STRENGTH} and {MAX_STRENGTH}", hint="e.g. 0.6")
    return strength


def parse_grid(text: str) -> tuple[float, ...]:
    """Strengths `0:1:0.1` (0, 0.1, ... up to 1) or `0,0.5,1`.

    InputError: another syntax, a step away from the end, or more than MAX_ALPHAS.
    """
    listed = ":" not in text
    parts = [parse_strength(part, "--alphas") for part in text.split("," if listed else ":")]
    if not listed and (len(parts) != 3 or parts[2] == 0):
        raise InputError(f"--alphas {text!r} is not FROM:TO:STEP", hint="--alphas 0:1:0.1")
    if not listed and (parts[1] - parts[0]) / parts[2] < 0:
        first, last, step = parts
        hint = f"--alphas {first:g}:{last:g}:{-step:g}"
        raise InputError(f"--alphas {text!r}: the step {step:g} leads away from {last:g}", hint=hint)
    count = len(parts) if listed else (parts[1] - parts[0]) / parts[2] + ROUNDING + 1
    if count >= MAX_ALPHAS + 1:
        raise InputError(f"--alphas has more than {MAX_ALPHAS} strengths", hint="--alphas 0:1:0.1")
    return tuple(parts) if listed else tuple(round(parts[0] + i * parts[2], 10) for i in range(int(count)))


def parse_numbers(text: str, option: str) -> tuple[int, ...]:
    """The numbers that `85,100-110` lists. InputError: another syntax, 2**32 or above, too many, or one twice."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,10})(?:-(\d{1,10}))?\s*", part)
        if not match:
            raise InputError(f"{option} {text!r} is not a list of numbers", hint=f"{option} 0-7,20")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise InputError(f"{option}: {part!r} runs backwards", hint=f"{option} {last}-{first}")
        if not last < min(first + MAX_ROWS, SEEDS):
            raise InputError(f"{option}: {part!r} is not a range of numbers below 2**32", hint=f"{option} 0-7,20")
        found.extend(range(first, last + 1))
    (number, count), *_ = Counter(found).most_common(1)
    if count > 1:
        raise InputError(f"{option} {text!r} lists {number} twice", hint="list every image once")
    return tuple(found)
