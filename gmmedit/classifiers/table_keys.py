"""Which sample each line of a table is about."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from gmmedit.classifiers.description import Description
from gmmedit.classifiers.table_files import Sheet
from gmmedit.errors import InputError

ROW, SEED = "row", "seed"
# Names, in small letters without separators, of columns that say which sample a line is about, not what it looks like.
IDENTIFIERS = (
    "id", "index", "idx", "unnamed:0", "sample", "sampleid", "image", "imageid", "imagename", "imagefile", "img",
    "file", "filename", "fileid", "filepath", "path", "name",
)  # fmt: skip
IMAGE_FILE = re.compile(r".*\.(png|jpe?g|webp|bmp|tiff?|gif)", re.IGNORECASE | re.DOTALL)
NUMBERED = re.compile(r"(.*?)(\d{1,15})", re.DOTALL)
HINT = "a column row or seed; or by: row or by: seed in a YAML file, where its numbers are that"


@dataclass(frozen=True)
class Key:
    """The number that each line of the table has, int64 (lines,), each once, and what the numbers are.

    `column` None: the order of the lines. `by` None: rows, if nothing contradicts it (see `check`). `first` is the
    number of row 0.
    """

    path: Path
    column: str | None
    by: str | None
    numbers: np.ndarray
    first: int = 0

    @cached_property
    def order(self) -> np.ndarray:
        return self.numbers.argsort()

    def places(self, start: int, stop: int, first_seed: int) -> np.ndarray:
        """The line (stop - start,) of each of these rows of samples.h5, -1 where there is none."""
        wanted = np.arange(start, stop) + (first_seed if self.by == SEED else self.first)
        places = self.order[np.searchsorted(self.numbers, wanted, sorter=self.order).clip(max=len(self.numbers) - 1)]
        return np.where(self.numbers[places] == wanted, places, -1)

    def name(self, row: int, first_seed: int) -> str:
        """What the table should call a row of samples.h5."""
        by = self.by or ROW
        return f"{by} {row + (first_seed if by == SEED else self.first)}"

    def check(self, n: int, first_seed: int) -> list[str]:
        """How it was understood, where it does not say itself what its numbers are.

        InputError: that would be a guess, or there are fewer lines than samples and nothing says whose they are.
        """
        if self.column is None and len(self.numbers) < n:
            message = f"{self.path} has {len(self.numbers)} lines for {n} samples, and no column that says whose"
            raise InputError(message, hint="a column row or seed, or a line for every sample")
        if self.column is None or self.by is not None:
            return []
        column = f"{self.path}: {self.column}"
        if first_seed:
            message = f"{column} does not say whether its numbers are rows of samples.h5 or seeds, from {first_seed} on"
            raise InputError(message, hint=HINT)
        if self.numbers.min() == 1:
            hint = "by: row in a YAML file, with first: 1 if 1 is row 0"
            raise InputError(f"{column} may count from 1, and rows of samples.h5 count from 0", hint=hint)
        return [f"the numbers in {self.column} are taken for rows of samples.h5"]


def find_key(sheet: Sheet, description: Description, labels: Collection[str]) -> Key:
    """What joins the table to the samples; `labels` are columns that the description uses otherwise.

    InputError: the description asks for a column that is not there, or a key is missing, twice, or no number.
    """
    column = find_key_column(sheet, description.by, [name for name in sheet.columns if name not in labels])
    if column is None:
        return Key(sheet.path, None, ROW, np.arange(len(sheet)))
    word, numbers = read_numbers(sheet, column)
    if normalise_name(column) in (ROW, SEED):
        word = normalise_name(column)
    if description.by and word and word != description.by:
        raise InputError(f"{sheet.path}: {column} holds the {word}, not the {description.by}", hint=f"by: {word}")
    return Key(sheet.path, column, description.by or word, numbers, description.first or 0)


def find_key_column(sheet: Sheet, by: str | None, names: list[str]) -> str | None:
    """None: no column looks like a key."""
    known = {normalise_name(name): name for name in reversed(names)}
    asked = (by,) if by else (ROW, SEED)
    found = next((known[word] for word in asked if word in known), None)
    others = (name for name in names if is_key_column(sheet, name))
    found = found or next(others, None)
    if found is None and by == SEED:
        raise InputError(f"{sheet.path} has no column 'seed'", hint="by: row")
    return found


def is_key_column(sheet: Sheet, column: str) -> bool:
    """Whether a column says which sample a line is about: by its name, or because it names image files."""
    texts = sheet.texts.get(column, {})
    files = len(texts) == len(sheet) and all(map(IMAGE_FILE.fullmatch, texts.values()))
    return normalise_name(column) in (ROW, SEED, *IDENTIFIERS) or files


def normalise_name(column: str) -> str:
    return re.sub(r"[ _-]", "", column).lower()


def read_numbers(sheet: Sheet, column: str) -> tuple[str | None, np.ndarray]:
    """What the cells of a key column call their numbers (row, seed, None: they do not say), and these (lines,)."""
    texts = sheet.texts.get(column, {})
    if len(texts) == len(sheet):
        return parse_file_names(sheet, column)
    numbers = sheet.columns[column]
    whole = not texts and bool((np.isfinite(numbers) & (numbers == np.floor(numbers)) & (abs(numbers) < 2**53)).all())
    if not whole or len(np.unique(numbers)) < len(numbers):
        raise InputError(f"{sheet.path}: {column} needs whole numbers, each once", hint="one line for each sample")
    return None, numbers.astype(np.int64)


def parse_file_names(sheet: Sheet, column: str) -> tuple[str | None, np.ndarray]:
    """Of file names like seed0012.png, image_12.png: one word before the number, the same in all of them."""
    found = [NUMBERED.fullmatch(file_stem(sheet.texts[column][place])) for place in range(len(sheet))]
    words = [match[1] if match else None for match in found]
    odd = next((place for place, word in enumerate(words) if word is None or word != words[0]), None)
    if odd is not None:
        message = f"{sheet.where(odd, column)}: {sheet.cell(column, odd)!r} names no sample as the other lines do"
        raise InputError(message, hint=HINT)
    numbers = np.array([int(match[2]) for match in found if match])
    if len(np.unique(numbers)) < len(numbers):
        raise InputError(f"{sheet.path}: {column} names a sample twice", hint="one line for each sample")
    word = normalise_name(words[0] or "")
    return word if word in (ROW, SEED) else None, numbers


def file_stem(name: str) -> str:
    """A file's name without folder and ending."""
    name = name.replace("\\", "/").rpartition("/")[2]
    return name.rpartition(".")[0] or name
