"""What the page's controls mean: their values as aims of an edit, and the command that makes the same edit."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gmmedit.discovery.reading import Directions
from gmmedit.editing.pasting import PastedColumn, amount_of
from gmmedit.editing.request import Aim, Attributes
from gmmedit.runtime.commands import on_run

LEAST, GREATEST, STEP = -1.0, 1.5, 0.05  # strengths of a slider
FARTHEST, PACE = 2.0, 0.1  # steps along a direction, each way
DIGITS = 3  # of a strength, on the page and in the command

Value = float | str | None  # of one control: a strength, or the name of a value
Values = Sequence[Value]


@dataclass(frozen=True)
class Control:
    """The controls of one attribute: a slider of two values, or a choice among several and a slider of its strength."""

    attribute: str
    values: tuple[str, ...]

    @property
    def chosen(self) -> bool:
        """Whether the value is chosen from a list."""
        return len(self.values) != 2

    @property
    def neutral(self) -> tuple[Value, ...]:
        """The values of its controls that edit nothing."""
        return ("", 0.0) if self.chosen else (0.0,)

    def aim(self, given: Values) -> Aim | None:
        """The aim that the values of its controls express; None: no edit."""
        value = str(given[0]) if self.chosen and given[0] else None
        strength = round(float(given[-1] or 0), DIGITS)
        if not strength or (self.chosen and not value):
            return None
        return Aim(self.attribute, value, strength)

    def show(self, aim: Aim | None) -> tuple[Value, ...]:
        """The values of its controls that express the aim, the inverse of `aim`."""
        if aim is None:
            return self.neutral
        return (aim.value, aim.strength) if self.chosen else (aim.strength,)


@dataclass(frozen=True)
class Along:
    """Steps along a discovered direction: an aim beside those of attributes."""

    number: int
    steps: float

    @property
    def attribute(self) -> str:
        """The name of its control."""
        return f"direction {self.number}"

    def title(self) -> str:
        """As in --direction: `3:2`."""
        return f"{self.number}:{self.steps:g}"


@dataclass(frozen=True)
class DirectionControl:
    """The slider of a discovered direction. label: its number, and the label that it goes with."""

    number: int
    label: str
    neutral: tuple[Value, ...] = (0.0,)

    @property
    def attribute(self) -> str:
        """See `Along.attribute`."""
        return f"direction {self.number}"

    def aim(self, given: Values) -> Along | None:
        """See `Control.aim`."""
        steps = round(float(given[0] or 0), DIGITS)
        return Along(self.number, steps) if steps else None

    def show(self, aim: Along | None) -> tuple[Value, ...]:
        """See `Control.show`."""
        return self.neutral if aim is None else (aim.steps,)


@dataclass(frozen=True)
class Act:
    """A value that an attribute is given together with what follows from it, in place of all other aims."""

    name: str
    value: str

    @property
    def attribute(self) -> str:
        """The name of its control."""
        return f"do {self.name}"

    def title(self) -> str:
        """As in --do: `age=old`."""
        return f"{self.name}={self.value}"


@dataclass(frozen=True)
class ActControl:
    """The choice of an attribute's value, from which others follow."""

    name: str
    values: tuple[str, ...]
    neutral: tuple[Value, ...] = ("",)

    @property
    def attribute(self) -> str:
        """See `Act.attribute`."""
        return f"do {self.name}"

    def aim(self, given: Values) -> Act | None:
        """See `Control.aim`."""
        return Act(self.name, str(given[0])) if given[0] else None

    def show(self, aim: Act | None) -> tuple[Value, ...]:
        """See `Control.show`."""
        return self.neutral if aim is None else (aim.value,)


AnyAim = Aim | Along | Act
AnyControl = Control | DirectionControl | ActControl
OPTIONS = {Aim: "--attr", Along: "--direction", Act: "--do"}


def list_acts(attributes: Attributes, known: bool) -> list[ActControl]:
    """The controls of acts; none where the run has no graph."""
    return [ActControl(name, tuple(values)) for name, values in attributes if known and len(values) > 1]


def list_directions(directions: Directions | None) -> list[DirectionControl]:
    """The controls of the directions; none without any."""
    count = len(directions.steps) if directions else 0
    return [DirectionControl(i, f"direction {directions.title(i)}") for i in range(count) if directions]


def list_controls(attributes: Attributes) -> list[Control]:
    """The controls of the attributes; one with a single value cannot be edited and has none."""
    return [Control(name, tuple(values)) for name, values in attributes if len(values) > 1]


def to_aims(controls: Sequence[AnyControl], values: Values) -> tuple[AnyAim, ...]:
    """The aims that the values of all controls express, in the order of the controls; with acts these alone."""
    aims = tuple(aim for control, own in _shares(controls, values) if (aim := control.aim(own)))
    return tuple(aim for aim in aims if isinstance(aim, Act)) or aims


def to_values(controls: Sequence[AnyControl], aims: Sequence[AnyAim]) -> list[Value]:
    """The values of all controls that express the aims."""
    known: dict[str, Any] = {aim.attribute: aim for aim in aims}
    return [value for control in controls for value in control.show(known.get(control.attribute))]


def _shares(controls: Sequence[AnyControl], values: Values) -> Iterator[tuple[AnyControl, Values]]:
    """Each control with its own of all values."""
    start = 0
    for control in controls:
        stop = start + len(control.neutral)
        yield control, values[start:stop]
        start = stop


def edit_command(
    run: Path, source: Sequence[str], aims: Sequence[AnyAim], config: Path | None = None, first: Sequence[str] = ()
) -> str:
    """The line of `gmmedit edit` that makes this edit of the images `source` (`--seeds 7`); empty without aims.

    config: the file of settings that the page was started with. first: words of a command that must have run before.
    """
    if not aims:
        return ""
    words = ["gmmedit", "edit", *source]
    for aim in aims:
        words += [OPTIONS[type(aim)], aim.title()]
    given = ["--config", str(config)] if config else []
    commands = [[*command, *given] for command in (first, words) if command]
    return " && ".join(on_run(shlex.join(command), run) for command in commands)


def to_pasted(aims: Sequence[AnyAim], attributes: Attributes, alpha: float) -> PastedColumn:
    """How an edit by the aims at alpha times their strengths is pasted into a photograph: as `gmmedit edit` does."""
    scale = torch.full((1,), alpha)
    moves = [
        (Aim(aim.name, aim.value, None).category(attributes), scale)
        if isinstance(aim, Act)
        else (aim.category(attributes), (aim.strength or 0.0) * scale)
        for aim in aims
        if not isinstance(aim, Along)
    ]
    return amount_of(moves, scale, along=any(isinstance(aim, Along) for aim in aims)), moves
