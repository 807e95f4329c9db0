"""What an edit asks for, as the user writes it: attributes with strengths, and whose images."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from gmmedit.artifacts import Artifact
from gmmedit.classifiers import Attribute
from gmmedit.errors import InputError, nearest

DEFAULT_ROWS = "0-7"
MOST_ALPHAS = 201
FARTHEST = 1000  # strength; pictures end long before
ROUNDING = 1e-9  # steps that FROM:TO:STEP may lack of a whole number
MOST_ROWS, SEEDS = 100_000, 2**32
LatentSpace = Literal["z", "w", "w+"]  # of a file; W+ has a latent for each layer
LATENT_SPACES: tuple[LatentSpace, ...] = get_args(LatentSpace)
Attributes = Sequence[tuple[str, Sequence[str]]]  # names and values, in the order of the K categories
SYNTAX = "NAME[=VALUE][:STRENGTH], e.g. smile, hair_color=blond, glasses:-1"


@dataclass(frozen=True)
class Aim:
    """One attribute's wish; strength None: that of --alpha."""

    attribute: str
    value: str | None
    strength: float | None

    @classmethod
    def parse(cls, text: str, attributes: Attributes = ()) -> "Aim":
        """`smile`, `smile:0.6`, `smile=0.6`, `hair_color=blond`, `hair_color=blond:0.6`.

        A number after "=" is a strength, unless the attribute has a value of that name: `digit=7`.
        """
        match = re.fullmatch(r"([^=:]+)(?:=([^=:]+))?(?::([^=:]+))?", text.strip())
        if not match:
            raise InputError(f"--attr {text!r} is not understood", hint=SYNTAX)
        name, value, strength = match.groups()
        named = value is not None and value.strip() in dict(attributes).get(name.strip(), ())
        if strength is None and value is not None and is_number(value) and not named:
            value, strength = None, value
        number_ = None if strength is None else number(strength, f"--attr {text}")
        return cls(name.strip(), value and value.strip(), number_)

    def category(self, attributes: Attributes) -> int:
        """Column of the K categories; without a value, the last one of a two-valued attribute.

        InputError: no such attribute or value, or a many-valued attribute without one.
        """
        start = 0
        for name, values in attributes:
            if name == self.attribute:
                if self.value in values:
                    return start + values.index(self.value)
                if self.value is None and len(values) == 2:
                    return start + 1
                if self.value is None:
                    hint = f"say which: {', '.join(f'{name}={value}' for value in values)}"
                    raise InputError(f"{name} has {len(values)} values", hint=hint)
                raise InputError(f"{name} has no value {self.value!r}", hint=nearest(self.value, values))
            start += len(values)
        names = [name for name, _ in attributes]
        raise InputError(f"there is no attribute {self.attribute!r}", hint=nearest(self.attribute, names))

    def title(self) -> str:
        """`smile`, `hair_color=blond`, `glasses:-1`."""
        return str(self) + ("" if self.strength in (None, 1) else f":{self.strength:g}")

    def __str__(self) -> str:
        return self.attribute + (f"={self.value}" if self.value else "")


@dataclass(frozen=True)
class Request:
    """Aims, the grid of strengths that scales them, or the label to reach, and whose images.

    Each alpha is a column of the result; with `each`, the columns are the aims, one at a time.
    """

    aims: tuple[Aim, ...]
    alphas: tuple[float, ...]
    each: bool
    target: float | None
    source: Literal["index", "seeds", "latents"]
    rows: tuple[int, ...]
    latents: Path | None  # FILE or FILE:KEY
    latents_space: LatentSpace | None = None  # None: as the file tells

    @classmethod
    def parse(
        cls,
        attr: list[str],
        alpha: float | None = None,
        alphas: str | None = None,
        target: float | None = None,
        index: str | None = None,
        seeds: str | None = None,
        latents: Path | None = None,
        each: bool = False,
        attributes: Attributes = (),
        latents_space: LatentSpace | None = None,
    ) -> "Request":
        """InputError: nothing to edit, options that exclude each other, or numbers that are none."""
        if not attr:
            raise InputError("nothing to edit", hint=f"--attr {SYNTAX}")
        exclusive("--alpha, --alphas and --target", alpha, alphas, target)
        if each and (alphas is not None or target is not None):
            raise InputError("--each goes with neither --alphas nor --target", hint="leave one of them out")
        exclusive("--index, --seeds and --latents", index, seeds, latents)
        if latents_space is not None and latents is None:
            raise InputError("--latents-space says what --latents holds", hint="--latents FILE")
        if target is not None and not 0 < target < 1:
            raise InputError(f"--target {target:g} is not between 0 and 1", hint="--target 0.9")
        if alpha is not None:
            moderate(alpha, "--alpha")
        aims = [Aim.parse(text, attributes) for text in attr]
        twice = [name for name, count in Counter(aim.attribute for aim in aims).items() if count > 1]
        if twice and not each:
            raise InputError(
                f"--attr {twice[0]} is given twice, and one undoes the other", hint="--each edits one at a time"
            )
        own = any(aim.strength is not None for aim in aims)
        grid: tuple[float, ...] = (1.0,) if own or alpha is None else (alpha,)
        if alphas is not None:
            grid = grid_of(alphas)
        default = 1.0 if not own or alpha is None else alpha
        scaled = tuple(Aim(aim.attribute, aim.value, default if aim.strength is None else aim.strength) for aim in aims)
        if target is not None and (scaled[0].strength or 0.0) <= 0:
            message = f"--target {target:g}: --attr {scaled[0].title()} does not move towards that label"
            raise InputError(message, hint=f"aim at the value itself: --attr {scaled[0].attribute}=VALUE")
        if each:
            scaled = tuple(replace(aim, strength=(aim.strength or 0.0) * grid[0]) for aim in scaled)
            grid = tuple(aim.strength or 0.0 for aim in scaled)
        source: Literal["index", "seeds", "latents"] = "index"
        text = DEFAULT_ROWS if index is None else index
        if seeds is not None:
            source, text = "seeds", seeds
        elif latents is not None:
            source = "latents"
        rows = () if source == "latents" else numbers(text, f"--{source}")
        return cls(scaled, grid, each, target, source, rows, latents, latents_space)

    def title(self) -> str:
        """`smile`, `hair_color=blond, glasses:-1`."""
        return ", ".join(aim.title() for aim in self.aims)

    def headings(self) -> list[str]:
        """What each column shows."""
        if self.each:
            return [aim.title() for aim in self.aims]
        if self.target is not None:
            return [f"label {self.target:g}"]
        return [f"alpha {alpha:g}" for alpha in self.alphas]


def check_addressable(attributes: Sequence[Attribute], where: str) -> None:
    """InputError: a name that `--attr NAME=VALUE:STRENGTH` could not name, or that is there twice."""
    names = [attribute.name for attribute in attributes]
    for attribute in attributes:
        for name in (attribute.name, *attribute.values):
            if not name or name != name.strip() or not name.isprintable() or set(name) & set("=:"):
                whose = "an attribute" if name == attribute.name else f"a value of {attribute.name!r}"
                message = f"{where} has {whose} called {name!r}, which --attr NAME=VALUE:STRENGTH cannot name"
                hint = f"a YAML file gives other names: attributes: {{NAME: {{outputs: {name!r}, values: [A, B]}}}}"
                raise InputError(message, hint=hint)
        if names.count(attribute.name) > 1 or len(set(attribute.values)) < len(attribute.values):
            hint = "a YAML file chooses and names them: attributes: {NAME: {outputs: COLUMN}}"
            raise InputError(f"{where} has the attribute {attribute.name!r} twice, or a value of it", hint=hint)


def exclusive(what: str, *options: object) -> None:
    if sum(option is not None for option in options) > 1:
        raise InputError(f"{what} exclude each other", hint="give one of them")


def is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def number(text: str, where: str) -> float:
    if not is_number(text):
        raise InputError(f"{where}: {text!r} is not a number", hint="e.g. 0.6")
    return moderate(float(text), where)


def moderate(strength: float, where: str) -> float:
    """InputError: so far from any picture that float32 would overflow."""
    if not abs(strength) <= FARTHEST:
        raise InputError(f"{where} {strength:g} is not a strength between -{FARTHEST} and {FARTHEST}", hint="e.g. 0.6")
    return strength


def grid_of(text: str) -> tuple[float, ...]:
    """`0:1:0.1` to 0, 0.1, ... 1, never past TO; `0,0.5,1` as it stands."""
    listed = ":" not in text
    parts = [number(part, "--alphas") for part in text.split("," if listed else ":")]
    if not listed and (len(parts) != 3 or parts[2] == 0 or (parts[1] - parts[0]) / parts[2] < 0):
        raise InputError(f"--alphas {text!r} is not FROM:TO:STEP", hint="--alphas 0:1:0.1")
    count = len(parts) if listed else (parts[1] - parts[0]) / parts[2] + ROUNDING + 1
    if count >= MOST_ALPHAS + 1:
        raise InputError(f"--alphas asks for more than {MOST_ALPHAS} strengths", hint="--alphas 0:1:0.1")
    return tuple(parts) if listed else tuple(round(parts[0] + i * parts[2], 10) for i in range(int(count)))


def numbers(text: str, where: str) -> tuple[int, ...]:
    """`85,100-110` to the numbers it lists, each of them once."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,10})(?:-(\d{1,10}))?\s*", part)
        if not match:
            raise InputError(f"{where} {text!r} is not a list of numbers", hint=f"{where} 0-7,20")
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < min(first + MOST_ROWS, SEEDS):
            raise InputError(f"{where}: {part!r} is no range of numbers below 2**32", hint=f"{where} 0-7,20")
        found.extend(range(first, last + 1))
    (most, times), *_ = Counter(found).most_common(1)
    if times > 1:
        raise InputError(f"{where} {text!r} lists {most} twice", hint="every image once")
    return tuple(found)


def edited_columns(edits: Artifact) -> list[int]:
    """Columns of the K categories that the edit aims at."""
    attributes = edits.attributes
    return [Aim.parse(text, attributes).category(attributes) for text, _ in edits.spec.config["attr"]]
