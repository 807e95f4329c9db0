"""Columns of a table of labels as attributes: marks (-1, 1), yes and no, whole numbers, names of values, measures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gmmedit.classifiers.attributes import Attribute, Scale
from gmmedit.classifiers.table_cells import is_listable
from gmmedit.classifiers.table_files import NOTHING, WORDS, Sheet

TWO = ("no", "yes")
CLASSES = 4  # of a measure, of equal frequency
FEWEST_NUMBERS = 20  # that are different, of a measure


@dataclass(frozen=True)
class Column:
    """An attribute, and the index of its value (n,) int64 in every row; -1: not known. numbers: (n,) of a measure."""

    attribute: Attribute
    values: np.ndarray
    numbers: np.ndarray | None = None


def read_columns(sheet: Sheet, places: np.ndarray, without: Sequence[str] = ()) -> list[Column]:
    """The attributes of the lines at `places`; without texts and whole numbers that differ in nearly every line."""
    found = []
    for name in sheet.columns:
        if name not in without:
            texts = sheet.texts.get(name)
            numbers = sheet.columns[name][places]
            plain = parse_texts(name, texts, numbers, places) if texts else parse_numbers(name, numbers)
            found.append(plain or (None if texts else parse_measures(name, numbers)))
    return [column for column in found if column is not None]


def parse_numbers(name: str, numbers: np.ndarray) -> Column | None:
    """Numbers (n,), NaN where not known, as an attribute: marks, or whole numbers in order. None: they are measures."""
    known = ~np.isnan(numbers)
    found = np.unique(numbers[known])
    if len(found) and set(found) <= {-1.0, 0.0, 1.0} and len(found) < 3:
        return Column(Attribute(name, TWO), np.where(known, numbers > 0, -1).astype(np.int64))
    if not is_listable(len(found), int(known.sum())) or (found != np.floor(found)).any():
        return None
    places = np.searchsorted(found, np.where(known, numbers, found[0]))
    return Column(Attribute(name, tuple(f"{value:g}" for value in found)), np.where(known, places, -1))


def parse_measures(name: str, numbers: np.ndarray) -> Column | None:
    """Numbers (n,), NaN where not known, as a measure with classes of equal frequency; None: they are none.

    Whole numbers are taken for numbers of rows or people, and few different ones for anything else.
    """
    known = np.isfinite(numbers)
    found = np.unique(numbers[known])
    if len(found) < FEWEST_NUMBERS or (found == np.floor(found)).all():
        return None
    borders = np.unique(np.quantile(numbers[known], np.arange(1, CLASSES) / CLASSES))
    borders = borders[(borders > found[0]) & (borders < found[-1])]
    values = np.where(known, np.searchsorted(borders, numbers), -1).astype(np.int64)
    middles = [
        float(np.median(numbers[values == place])) for place in range(len(borders) + 1) if (values == place).any()
    ]
    if len(middles) <= len(borders) or len(middles) < 2:
        return None
    mean, deviation = float(numbers[known].mean()), float(numbers[known].std())
    scale = Scale(float(found[0]), float(found[-1]), mean, deviation, tuple(map(float, borders)), tuple(middles))
    if len(set(scale.names())) < len(middles):  # of numbers that hardly differ
        return None
    return Column(Attribute(name, scale.names(), scale), values, np.where(known, numbers, np.nan))


def stack_measures(columns: Sequence[Column]) -> tuple[tuple[str, ...] | None, np.ndarray]:
    """Names and numbers (n, F) float32 of the measures among the columns, as a data set's factors; None: none are."""
    measured = [column for column in columns if column.numbers is not None]
    if not measured:
        return None, np.empty((0, 0), np.float32)
    numbers = np.stack([column.numbers for column in measured if column.numbers is not None], 1).astype(np.float32)
    return tuple(column.attribute.name for column in measured), numbers


def parse_texts(name: str, texts: dict[int, str], numbers: np.ndarray, places: np.ndarray) -> Column | None:
    """Texts by place, and numbers (n,) where there is none, as an attribute; None: nearly all are different."""
    cells = [clean(texts.get(int(place)), number) for place, number in zip(places, numbers, strict=True)]
    words = {cell for cell in cells if cell is not None}
    if words and words <= {*WORDS, "0", "1"}:
        return Column(Attribute(name, TWO), np.array([-1 if cell is None else int(is_yes(cell)) for cell in cells]))
    if not is_listable(len(words), len(cells)):
        return None
    order = {word: i for i, word in enumerate(sorted(words))}
    return Column(Attribute(name, tuple(order)), np.array([-1 if cell is None else order[cell] for cell in cells]))


def clean(text: str | None, number: float) -> str | None:
    """A cell's text, lower case where it means yes or no; None: it is empty."""
    if text is None:
        return None if number != number else f"{number:g}"
    word = text.lower()
    return None if word in NOTHING else word if word in WORDS else text


def is_yes(word: str) -> bool:
    """Whether a word of WORDS, or 0 or 1, means yes."""
    return word == "1" or bool(WORDS.get(word))
