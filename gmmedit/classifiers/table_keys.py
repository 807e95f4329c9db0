"""Find the sample of each line of a table."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from os.path import isfile
from pathlib import Path

import numpy as np

from gmmedit.classifiers.description import Description
from gmmedit.classifiers.table_files import Sheet
from gmmedit.errors import InputError

ROW, SEED = "row", "seed"
# Names, in lower case without separators, of columns that identify the sample of a line.
IDENTIFIERS = (
    "id", "index", "idx", "unnamed:0", "sample", "sampleid", "image", "imageid", "imagename", "imagefile", "img",
    "file", "filename", "filenames", "fileid", "filepath", "path", "name",
)  # fmt: skip
IMAGE_FILE = re.compile(r".*\.(png|jpe?g|webp|bmp|tiff?|gif)", re.IGNORECASE | re.DOTALL)
NUMBERED = re.compile(r"(.*?)(\d{1,15})", re.DOTALL)
HINT = "name the column row or seed, or give by: row or by: seed in a YAML file"
HINT_OF_FILES = f"{HINT}; names of photographs: label --inverted"
SHOWN_FILES = 3  # names in an error
HINT_TO_NUMBER = "write one line for each sample, each with a number of its own"
HINT_TO_NAME = "write one line for each photograph, each with the name of its file"


@dataclass(frozen=True)
class Key:
    """The unique number of each line of the table, int64 (lines,), and what the numbers are.

    `column` None: the order of the lines. `by` None: rows, unless something contradicts it (see `check`). `first` is
    the number of row 0.
    """

    path: Path
    column: str | None
    by: str | None
    numbers: np.ndarray
    first: int = 0
    what = "samples"  # that the lines are of
    nobody = "no sample of this run"

    @cached_property
    def order(self) -> np.ndarray:
        """The order (lines,) that sorts the numbers."""
        return self.numbers.argsort()

    def places(self, start: int, stop: int, first_seed: int) -> np.ndarray:
        """The lines (stop - start,) of these rows of samples.h5, -1 where there is none."""
        wanted = np.arange(start, stop) + (first_seed if self.by == SEED else self.first)
        places = self.order[np.searchsorted(self.numbers, wanted, sorter=self.order).clip(max=len(self.numbers) - 1)]
        return np.where(self.numbers[places] == wanted, places, -1)

    def name(self, row: int, first_seed: int) -> str:
        """The table's name for a row of samples.h5, e.g. "seed 12"."""
        by = self.by or ROW
        return f"{by} {row + (first_seed if by == SEED else self.first)}"

    def span(self, n: int, first_seed: int) -> str:
        """The table's names for n samples, from the first to the last."""
        return f"{self.name(0, first_seed)} to {self.name(n - 1, first_seed)}"

    def hint(self) -> str:
        """What the table names instead of samples that it does not name."""
        return f"its {self.by or ROW}s are {self.numbers.min()} to {self.numbers.max()}"

    def check(self, n: int, first_seed: int) -> list[str]:
        """Notes on how the numbers are understood, if the table does not tell.

        InputError: they are ambiguous, or there are fewer lines than samples and no key column.
        """
        if self.column is None and len(self.numbers) < n:
            message = f"{self.path} has {len(self.numbers)} lines for {n} samples, and no key column"
            raise InputError(message, hint="add a column row or seed, or a line for every sample")
        if self.column is None or self.by is not None:
            return []
        column = f"{self.path}: {self.column}"
        if first_seed:
            message = f"{column} may hold rows of samples.h5 or seeds, which start at {first_seed}"
            raise InputError(message, hint=HINT)
        if self.numbers.min() == 1:
            message = f"{self.path}: numbers in {self.column} start at 1, but rows of samples.h5 start at 0"
            settings = f"{{file: {self.path.name}, by: row, first: 1}}"
            raise InputError(message, hint=f"if 1 is row 0, write a YAML file beside the table: {settings}")
        return [f"numbers in {self.column} are read as rows of samples.h5"]


@dataclass(frozen=True)
class FileKey(Key):
    """The photograph of each line, by its name: `numbers` are places in `files`, below 0 for lines of no photograph."""

    files: tuple[str, ...] = ()
    first_name: str = ""  # in the table
    what = "photographs"
    nobody = "no photograph of inversions.h5"

    def name(self, row: int, first_seed: int) -> str:
        """The photograph's name."""
        return self.files[row]

    def span(self, n: int, first_seed: int) -> str:
        """The names of the first photographs."""
        return ", ".join([*self.files[:SHOWN_FILES], *(["..."] if n > SHOWN_FILES else [])])

    def hint(self) -> str:
        """Which names the table holds."""
        return f"name the files as inversions.h5 does; the first in column {self.column} is {self.first_name}"


def find_key(sheet: Sheet, description: Description, column: str | None) -> Key:
    """What joins the table to the samples, by the numbers in its key column. InputError: as `read_numbers`."""
    if column is None:
        return Key(sheet.path, None, ROW, np.arange(len(sheet)))
    word, numbers = read_numbers(sheet, column)
    if normalise_name(column) in (ROW, SEED):
        word = normalise_name(column)
    if description.by and word and word != description.by:
        raise InputError(f"{sheet.path}: {column} holds the {word}, not the {description.by}", hint=f"by: {word}")
    return Key(sheet.path, column, description.by or word, numbers, description.first or 0)


def find_key_column(sheet: Sheet, by: str | None, names: list[str]) -> str | None:
    """The key column; None: no column looks like one. InputError: `by` is seed, and there is none."""
    known = {normalise_name(name): name for name in reversed(names)}
    asked = (by,) if by else (ROW, SEED)
    found = next((known[word] for word in asked if word in known), None)
    others = (name for name in names if is_key_column(sheet, name))
    found = found or next(others, None)
    if found is None and by == SEED:
        raise InputError(f"{sheet.path} has no column 'seed'", hint="give by: row")
    return found


def is_key_column(sheet: Sheet, column: str) -> bool:
    """Whether a column identifies samples: by its name, or because it holds names of image files."""
    texts = sheet.texts.get(column, {})
    files = len(texts) == len(sheet) and all(map(IMAGE_FILE.fullmatch, texts.values()))
    return normalise_name(column) in (ROW, SEED, *IDENTIFIERS) or files


def holds_files(sheet: Sheet, column: str | None) -> bool:
    """Whether a key column names image files."""
    return any(map(IMAGE_FILE.fullmatch, sheet.texts.get(column or "", {}).values()))


def normalise_name(column: str) -> str:
    """The name in lower case, without separators."""
    return re.sub(r"[ _-]", "", column).lower()


def read_numbers(sheet: Sheet, column: str) -> tuple[str | None, np.ndarray]:
    """What the numbers of a key column are (row, seed, None: unknown), and the numbers (lines,).

    InputError: they are not whole numbers, or one is repeated.
    """
    texts = sheet.texts.get(column, {})
    if len(texts) == len(sheet):
        return parse_file_names(sheet, column)
    numbers = sheet.columns[column]
    odd = ~(np.isfinite(numbers) & (numbers == np.floor(numbers)) & (abs(numbers) < 2**53))
    if odd.any():
        place = int(odd.argmax())
        shown = "an empty cell" if place not in texts and np.isnan(numbers[place]) else sheet.cell(column, place)
        raise InputError(f"{sheet.where(place, column)}: {shown} is not a whole number", hint=HINT_TO_NUMBER)
    check_unique(sheet, column, numbers)
    return None, numbers.astype(np.int64)


def check_unique(sheet: Sheet, column: str, numbers: np.ndarray) -> None:
    """InputError: two lines have the same number, so they would be of the same sample."""
    first = np.unique(numbers, return_index=True)[1]
    if len(first) < len(numbers):
        place = int(np.setdiff1d(np.arange(len(numbers)), first)[0])
        message = f"{sheet.where(place, column)}: {numbers[place]:.0f} occurs a second time"
        raise InputError(message, hint=HINT_TO_NUMBER)


def parse_file_names(sheet: Sheet, column: str) -> tuple[str | None, np.ndarray]:
    """As `read_numbers`, of file names like seed0012.png or image_12.png, with the same word before the number."""
    found = [NUMBERED.fullmatch(file_stem(sheet.texts[column][place])) for place in range(len(sheet))]
    words = [match[1] if match else None for match in found]
    odd = next((place for place, word in enumerate(words) if word is None or word != words[0]), None)
    if odd is not None:
        message = f"{sheet.where(odd, column)}: {sheet.cell(column, odd)!r} does not match the other names"
        raise InputError(message, hint=HINT_OF_FILES)
    numbers = np.array([int(match[2]) for match in found if match])
    check_unique(sheet, column, numbers)
    word = normalise_name(words[0] or "")
    return word if word in (ROW, SEED) else None, numbers


def join_files(sheet: Sheet, names: list[str], files: Sequence[str]) -> FileKey:
    """What joins the table to photographs of these names: the first of the columns `names` that holds file names.

    A name is that of `files`; one with a folder may also be that of the file alone. InputError: there is no such
    column, a cell of it is empty, or two lines name the same photograph.
    """
    column = next((name for name in names if name in sheet.texts and is_key_column(sheet, name)), None)
    if column is None:
        message = f"{sheet.path} has no column of file names"
        raise InputError(message, hint="add a column file with the name of each photograph")
    texts = sheet.texts[column]
    places = {name: place for place, name in enumerate(files)}
    numbers = np.empty(len(sheet), np.int64)
    for line in range(len(sheet)):
        if line not in texts:
            shown = "an empty cell" if np.isnan(sheet.columns[column][line]) else sheet.cell(column, line)
            raise InputError(f"{sheet.where(line, column)}: {shown} is not a file name", hint=HINT_TO_NAME)
        name = texts[line]
        numbers[line] = places.get(name, places.get(base_name(name), -1 - line))
    first = np.unique(numbers, return_index=True)[1]
    if len(first) < len(numbers):
        line = int(np.setdiff1d(np.arange(len(numbers)), first)[0])
        message = f"{sheet.where(line, column)}: {texts[line]} occurs a second time"
        raise InputError(message, hint=HINT_TO_NAME)
    return FileKey(sheet.path, column, ROW, numbers, files=tuple(files), first_name=texts[0])


def find_photograph(sheet: Sheet, column: str, files: Sequence[str]) -> str | None:
    """The first name in a column that is one of these files, or of a file beside the table; None: there is none.

    Names of `files` may be in another case, or without extension in a column that names no value twice. Names that say
    row or seed, as seed0012.png, are of samples.
    """
    names = [name.lower() for name in sheet.texts.get(column, {}).values()]
    if not is_key_column(sheet, column) and len(set(names)) < len(names):
        return None
    known = {short for name in files for short in (base_name(name).lower(), file_stem(name).lower())}
    for name in sheet.texts.get(column, {}).values():
        match = NUMBERED.fullmatch(file_stem(name))
        if match and normalise_name(match[1]) in (ROW, SEED):
            continue
        if base_name(name).lower() in known or (IMAGE_FILE.fullmatch(name) and isfile(sheet.path.parent / name)):
            return name
    return None


def base_name(name: str) -> str:
    """A file's name without folder."""
    return name.replace("\\", "/").rpartition("/")[2]


def file_stem(name: str) -> str:
    """A file's name without folder and extension."""
    name = base_name(name)
    return name.rpartition(".")[0] or name
