"""Edit requests, parsed from the options of `gmmedit edit`: attributes with strengths, and the images to edit."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from gmmedit.artifacts import Artifact
from gmmedit.editing.numbers import (
    check_exclusive,
    check_strength,
    is_number,
    parse_grid,
    parse_numbers,
    parse_strength,
)
from gmmedit.editing.steps import Amounts, describe_directions, parse_directions
from gmmedit.errors import InputError, nearest
from gmmedit.networks.scales import class_of

DEFAULT_ROWS = "0-7"
LatentSpace = Literal["z", "w", "w+"]  # of a file; W+ has one latent per layer
LATENT_SPACES: tuple[LatentSpace, ...] = get_args(LatentSpace)
Attributes = Sequence[tuple[str, Sequence[str]]]  # names and values, in the order of the K categories
SYNTAX = "NAME[=VALUE][:STRENGTH], e.g. smile, hair_color=blond, glasses:-1"
SYNTAX_OF_ACTS = "NAME[=VALUE], e.g. smile, hair_color=blond"
Option = Literal["--attr", "--do"]  # that names an attribute


@dataclass(frozen=True)
class Aim:
    """An attribute, its target value (None: the second of two), and a strength (None: that of --alpha)."""

    attribute: str
    value: str | None
    strength: float | None

    @classmethod
    def parse(cls, text: str, attributes: Attributes = (), option: Option = "--attr") -> "Aim":
        """Parse `smile`, `smile:0.6`, `smile=0.6`, `hair_color=blond` or `hair_color=blond:0.6`.

        A number after "=" is a strength, unless the attribute has a value of that name (`digit=7`). InputError: another
        syntax, or a strength that is not a number in range, or of an act (--do).
        """
        match = re.fullmatch(r"([^=:]+)(?:=([^=:]+))?(?::([^=:]+))?", text.strip())
        if not match:
            hint = SYNTAX if option == "--attr" else SYNTAX_OF_ACTS
            raise InputError(f"{option} {text!r} cannot be parsed", hint=hint)
        name, value, strength = match.groups()
        values = dict(attributes).get(name.strip(), ())
        named = value is not None and value.strip() in values
        if option == "--do" and value is not None and is_number(value) and class_of(values, float(value)) is not None:
            named = True  # a number itself, of an attribute whose values are classes of numbers
        if strength is None and value is not None and is_number(value) and not named:
            value, strength = None, value
        if strength is not None and option == "--do":
            if match[3] is not None:
                message = f"--do {text}: an act has no strength of its own"
                raise InputError(message, hint="--alpha scales the whole edit")
            value, strength = match[2], None  # which `category` refuses, as it is no value of the attribute
        parsed = None if strength is None else parse_strength(strength, f"{option} {text}")
        return cls(name.strip(), value and value.strip(), parsed)

    def category(self, attributes: Attributes) -> int:
        """The column among the K categories; without a value, the second one of a two-valued attribute.

        InputError: unknown attribute or value, or an attribute of several values without one.
        """
        start = 0
        for name, values in attributes:
            if name == self.attribute:
                if self.value in values:
                    return start + values.index(self.value)
                if self.value is not None and is_number(self.value):
                    place = class_of(values, float(self.value))
                    if place is not None:
                        return start + place
                if self.value is None and len(values) == 2:
                    return start + 1
                if self.value is None:
                    hint = f"name one: {', '.join(f'{name}={value}' for value in values)}"
                    raise InputError(f"{name} has {len(values)} values", hint=hint)
                raise InputError(f"{name} has no value {self.value!r}", hint=nearest(self.value, values))
            start += len(values)
        names = [name for name, _ in attributes]
        raise InputError(f"unknown attribute {self.attribute!r}", hint=nearest(self.attribute, names))

    def title(self) -> str:
        """As in --attr: `smile`, `hair_color=blond`, `glasses:-1`."""
        return str(self) + ("" if self.strength in (None, 1) else f":{self.strength:g}")

    def __str__(self) -> str:
        return self.attribute + (f"={self.value}" if self.value else "")


@dataclass(frozen=True)
class Request:
    """Aims, the strengths that scale them or the label to reach, and the images to edit.

    Each alpha is a column of the result; with `each`, each aim is one. `target`: the probability that the label of the
    first aim is to reach. `rows`: rows of samples.h5 (source index) or of inversions.h5 (inverted), or seeds.
    """

    aims: tuple[Aim, ...]
    alphas: tuple[float, ...]
    each: bool
    target: float | None
    source: Literal["index", "seeds", "latents", "inverted"]
    rows: tuple[int, ...]  # of "inverted": none for all
    latents: Path | None  # FILE or FILE:KEY
    latents_space: LatentSpace | None = None  # None: detected
    directions: Amounts = ()  # steps along discovered directions, scaled by each alpha
    do: bool = False  # whether what follows from the aims changes too, see `gmmedit.editing.do`

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
        inverted: bool = False,
        direction: Sequence[str] = (),
        option: Option = "--attr",
    ) -> "Request":
        """The request that the options of `gmmedit edit` make; attributes: those of the run; option: the one
        that `attr` is of.

        InputError: nothing to edit, options that exclude each other, or an option that cannot be parsed.
        """
        directions = parse_directions(direction)
        if not attr and not directions:
            raise InputError("nothing to edit", hint=f"--attr {SYNTAX}")
        if directions and (each or target is not None):
            raise InputError("--direction cannot be combined with --each or --target", hint="--direction 3:2 --alpha 1")
        check_exclusive("--alpha, --alphas and --target", alpha, alphas, target)
        check_exclusive("--index, --seeds and --latents", index, seeds, latents)
        check_exclusive("--inverted, --seeds and --latents", inverted or None, seeds, latents)
        if each and (alphas is not None or target is not None):
            message = "--each cannot be combined with --alphas or --target"
            hint = "a strength for each: --each --attr smile:0.6 --attr age:1.5"
            raise InputError(message, hint=hint if option == "--attr" else "--each --do smile --do age --alpha 0.6")
        if latents_space is not None and latents is None:
            raise InputError("--latents-space needs --latents", hint="--latents FILE")
        if target is not None and not 0 < target < 1:
            raise InputError(f"--target {target:g} is not between 0 and 1", hint="--target 0.9")
        if alpha is not None:
            check_strength(alpha, "--alpha")
        aims, grid = scale_aims([Aim.parse(text, attributes, option) for text in attr], alpha, alphas, each, option)
        if target is not None and option == "--attr" and (aims[0].strength or 0.0) <= 0:
            message = f"--target {target:g}: --attr {aims[0].title()} moves away from that label"
            raise InputError(message, hint=f"aim at the value itself: --attr {aims[0].attribute}=VALUE")
        make = partial(cls, aims, grid, each, target, directions=directions)
        if inverted:
            return make("inverted", () if index is None else parse_numbers(index, "--index"), None)
        if latents is not None:
            return make("latents", (), latents, latents_space)
        if seeds is not None:
            return make("seeds", parse_numbers(seeds, "--seeds"), None)
        return make("index", parse_numbers(DEFAULT_ROWS if index is None else index, "--index"), None)

    def title(self) -> str:
        """The aims in one line: `hair_color=blond, glasses:-1`; with `each`, do-edits are interventions apart."""
        if self.do and self.each:
            return ", ".join(self.headings())
        moved = [describe_directions(self.directions)] if self.directions else []
        text = ", ".join([*(aim.title() for aim in self.aims), *moved])
        return f"do({text})" if self.do else text

    def headings(self) -> list[str]:
        """The heading of each column."""
        if self.each:
            return [f"do({aim.title()})" if self.do else aim.title() for aim in self.aims]
        if self.target is not None:
            return [f"target {self.target:g}"]
        own = self.do or bool(self.directions) or (len(self.aims) == 1 and self.aims[0].strength != 1)
        if self.alphas == (1,) and own:
            return [self.title()]
        return [f"alpha {alpha:g}" for alpha in self.alphas]


def scale_aims(
    aims: Sequence[Aim], alpha: float | None, alphas: str | None, each: bool, option: Option = "--attr"
) -> tuple[tuple[Aim, ...], tuple[float, ...]]:
    """The aims with a strength each, and the strengths of the columns: --alphas, else --alpha, else 1.

    If an aim has a strength of its own, --alpha is that of the others. InputError: an attribute occurs twice, without
    `each`.
    """
    twice = [name for name, count in Counter(aim.attribute for aim in aims).items() if count > 1]
    if twice and not each:
        raise InputError(f"{option} {twice[0]} is given twice", hint="--each edits one at a time")
    own = any(aim.strength is not None for aim in aims)
    single = 1.0 if own or alpha is None else alpha
    grid = (single,) if alphas is None else parse_grid(alphas)
    default = 1.0 if not own or alpha is None else alpha
    scaled = tuple(replace(aim, strength=default if aim.strength is None else aim.strength) for aim in aims)
    if each:
        scaled = tuple(replace(aim, strength=(aim.strength or 0.0) * grid[0]) for aim in scaled)
        grid = tuple(aim.strength or 0.0 for aim in scaled)
    return scaled, grid


def edited_columns(edits: Artifact) -> list[int]:
    """The columns among the K categories that an edits.h5 aims at, in the order of its aims."""
    attributes, config = edits.attributes, edits.spec.config
    option: Option = "--do" if config.get("do") else "--attr"
    return [Aim.parse(text, attributes, option).category(attributes) for text, _ in config["attr"]]
