"""Convert the cells of a table to logits: probabilities, log-odds, marks, measures, names of values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gmmedit.classifiers.attributes import Attribute
from gmmedit.classifiers.columns import Activation, Columns, assign_by_name
from gmmedit.classifiers.description import Readout
from gmmedit.classifiers.table_files import MARKS, NOTHING, WORDS, Sheet, is_number
from gmmedit.errors import InputError

SHOWN_VALUES = 20  # in a hint
PLAIN_IN_YAML = {*WORDS, *NOTHING, "on", "off", "y", "n"}  # words that YAML reads as something else than a text
MOST_VALUES = 256  # of an attribute; a column of more is no attribute


@dataclass(frozen=True)
class Reading:
    """How a table's columns are read by default."""

    activation: Activation
    scale: tuple[float, float]


def is_listable(values: int, lines: int) -> bool:
    """Whether so many different values in so many lines are those of an attribute."""
    return 2 <= values <= min(MOST_VALUES, max(2, lines // 2))


def read_texts(sheet: Sheet, names: Sequence[str]) -> dict[str, Readout]:
    """How the columns among `names` are read that hold a few texts, in any case, and no numbers: each text is a value.

    Texts that mean yes and no are no names, nor are those in columns NAME=VALUE.
    """
    found = {}
    for name in names:
        texts = sheet.texts.get(name, {})
        nothing: dict[str, str | None] = {text: None for text in texts.values() if text.lower() in NOTHING}
        spellings = {text.lower(): text for text in sorted(set(texts.values()) - set(nothing), reverse=True)}
        numbers = np.isfinite(sheet.columns[name]).any()
        if "=" in name or numbers or set(spellings) <= set(WORDS) or not is_listable(len(spellings), len(texts)):
            continue
        values: dict[str, str | None] = {text: text for text in sorted(spellings.values())}
        found[name] = Readout(values=values | nothing)
    return found


def find_columns(sheet: Sheet, attribute: Attribute, readout: Readout, names: Sequence[str]) -> list[str]:
    """The columns of an attribute: those of the description, its own name, or one for each value.

    InputError: there is no such column, or not one per value.
    """
    single = readout.cells is not None or readout.threshold is not None
    wanted = tuple(readout.outputs or ())
    if not wanted and attribute.name not in names and not single:
        wanted = tuple(f"{attribute.name}={value}" for value in attribute.values)
    read_as = (
        Attribute(attribute.name, attribute.values[:2]) if single else attribute
    )  # one column for any number of values
    (places,) = assign_by_name([read_as], {attribute.name: wanted}, names, "probabilities", str(sheet.path)).chosen
    return [names[place] for place in places]


def read_cells(
    sheet: Sheet, columns: Sequence[str], attribute: Attribute, readout: Readout, reading: Reading
) -> Tensor:
    """Logits (lines, C) of an attribute, NaN where it has no label.

    InputError: a cell does not match the description, or a column holds neither probabilities nor what it says.
    """
    activation: Activation = "probabilities"
    if readout.cells is not None:
        part = map_cells(sheet, columns[0], readout.cells, attribute.values)
    elif readout.threshold is not None:
        numbers = sheet.numbers(columns[0])[:, None]
        part = np.where(np.isnan(numbers), np.nan, numbers >= readout.threshold)
    else:
        activation = reading.activation
        part = np.stack([finite_numbers(sheet, column) for column in columns], axis=1)
        if activation == "probabilities":
            part = to_probabilities(sheet, columns, part, readout.scale or reading.scale)
        elif activation == "sigmoid" and len(columns) == 1:
            check_log_odds(sheet, columns[0], part[:, 0])
    width = part.shape[1]
    return Columns((tuple(range(width)),), activation, width)(torch.from_numpy(part).float())


def finite_numbers(sheet: Sheet, column: str) -> np.ndarray:
    """As `Sheet.numbers`. InputError: one is infinite, as 1e999 is, or a text that says so."""
    numbers = sheet.numbers(column)
    infinite = np.isinf(numbers)
    if infinite.any():
        place = int(infinite.argmax())
        message = f"{sheet.where(place, column)}: {numbers[place]:g} is no label"
        raise InputError(message, hint="correct the number, or leave the cell empty for no label")
    return numbers


def hint_to_rename(sheet: Sheet, attribute: Attribute, cells: Mapping[str, str | None]) -> str:
    """How a YAML file gives values that are texts of a column, `cells`, names that can be addressed: A, B, ..."""
    known = [f"{quote(text)}: {chr(ord('A') + place)}" for place, text in enumerate(attribute.values[:SHOWN_VALUES])]
    rest = ["..."] if len(attribute.values) > SHOWN_VALUES else []
    missing = [f"{quote(text)}: null" for text, value in cells.items() if value is None]
    values = f"{quote(attribute.name)}: {{values: {{{', '.join([*known, *rest, *missing])}}}}}"
    return f"rename them in a YAML file beside the table: {{file: {quote(sheet.path.name)}, attributes: {{{values}}}}}"


def quote(text: str) -> str:
    """The text as YAML, in quotes where it is not a plain word."""
    return text if text.isidentifier() and text.lower() not in PLAIN_IN_YAML else "'" + text.replace("'", "''") + "'"


def map_cells(sheet: Sheet, column: str, cells: dict[str, str | None], values: Sequence[str]) -> np.ndarray:
    """One-hot values (lines, C) of the cells, NaN for empty cells and those without a label.

    InputError: a cell is not listed.
    """
    known: dict[str | float, str | None] = {}
    for text, value in cells.items():
        known |= {text.lower(): value} | ({float(text): value} if is_number(text) else {})
    numbers, texts = sheet.columns[column], sheet.texts.get(column, {})
    part = np.full((len(sheet), len(values)), np.nan)
    for place in range(len(sheet)):
        cell: str | float = texts[place].lower() if place in texts else float(numbers[place])
        if cell != cell:  # empty
            continue
        if cell not in known:
            shown = sheet.cell(column, place)
            message = f"{sheet.where(place, column)}: {shown!r} is not one of {', '.join(cells)}"
            raise InputError(message, hint=f"values: {{..., {shown}: NAME}}, or {shown}: null for no label")
        value = known[cell]
        if value is not None:
            part[place] = [value == other for other in values]
    return part


def to_probabilities(sheet: Sheet, columns: Sequence[str], part: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    """Numbers (lines, C) to probabilities. InputError: they are outside the scale; the hint says what they may be."""
    low, high = scale
    for column, numbers in zip(columns, part.T, strict=True):
        known = numbers[~np.isnan(numbers)]
        if len(known) and not min(scale) <= known.min() <= known.max() <= max(scale):
            what, hint = describe_numbers(column, known) if scale == (0, 1) else ("", "correct the scale, or the table")
            span = f"has values from {known.min():g} to {known.max():g}"
            problem = "not probabilities" if scale == (0, 1) else f"outside its scale from {low:g} to {high:g}"
            raise InputError(f"{sheet.path}: {column} {span}, {problem}{what}", hint=hint)
    return part if scale == (0, 1) else (part - low) / (high - low)


def describe_numbers(column: str, known: np.ndarray) -> tuple[str, str]:
    """What numbers other than probabilities may be, and how to say so in a YAML file."""
    whole = bool((known == np.floor(known)).all())
    if set(known.tolist()) <= {*MARKS, 0.0}:
        return (
            "; these look like CelebA labels (-1 no, 1 yes)",
            f"in a YAML file scale: [-1, 1] for all columns, or {column}: {{values: {{-1: no, 1: yes}}}}",
        )
    if known.min() < 0:
        return (
            ": log-odds, or scores of some unit",
            f"in a YAML file activation: sigmoid for log-odds, or {column}: {{threshold: 0}} for scores",
        )
    kinds = {"a measurement such as age": "{threshold: 40}"}
    if known.max() <= 100:
        kinds = {"percentages": "{scale: 100}"} | kinds
    if whole and known.max() - known.min() < len(np.unique(known)):  # no gaps
        kinds = {"class indices": f"{{values: {{{known.min():g}: NAME, {known.min() + 1:g}: NAME, ...}}}}"} | kinds
    settings = ", ".join(f"{setting} for {kind}" for kind, setting in kinds.items())
    return f": {' or '.join(kinds)}", f"in a YAML file {column}: {settings}"


def check_log_odds(sheet: Sheet, column: str, numbers: np.ndarray) -> None:
    """InputError: all numbers are whole, so they are marks or counts, which as log-odds give wrong labels."""
    known = numbers[~np.isnan(numbers)]
    if len(known) and bool((known == np.floor(known)).all()):
        message = f"{sheet.path}: {column} has whole numbers from {known.min():g} to {known.max():g}, not log-odds"
        inside = known.min() >= 0 and known.max() <= 1
        raise InputError(
            message, hint="leave activation: sigmoid out" if inside else describe_numbers(column, known)[1]
        )
