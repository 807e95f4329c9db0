"""Read a table of labels from a file: CSV, a list in CelebA's format, or HDF5."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

import h5py
import numpy as np

from gmmedit.errors import InputError
from gmmedit.runtime.regular_files import check_regular

LARGEST_COUNT = 1 << 26
LARGEST_TEXT = 1 << 28  # bytes
KNOWN_FILTERS = (1, 2, 3, 32000)  # gzip, shuffle, checksums, LZF: h5py has them itself
MARKS = (-1.0, 1.0)  # no and yes in CelebA's lists
INDEX, FILE = "index", "file names"  # names for the unnamed key columns of pandas and CelebA
WORDS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
NOTHING = ("na", "n/a", "null", "none")  # float() knows nan
DELIMITERS = {";": ";", "\t": "tabs", "|": "|", " ": "spaces"}  # of other programs, and their names in errors
CSV_HINT = "write a line of column names, then a line for each sample, separated by commas"


@dataclass(frozen=True)
class Sheet:
    """Columns by name, float64 (N,), NaN for empty cells and for texts, which `texts[column][place]` holds.

    `lines` are the line numbers in the file, for errors; `scale` the numbers for no and yes where the format defines
    them; `skipped` the names of what else the file holds.
    """

    path: Path
    columns: dict[str, np.ndarray]
    texts: dict[str, dict[int, str]]
    lines: list[int] = field(default_factory=list)
    scale: tuple[float, float] | None = None
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def numbers(self, column: str) -> np.ndarray:
        """A column (N,) as numbers, NaN if missing; true and yes are 1. InputError: a cell is another text."""
        values = self.columns[column].copy()
        for place, text in self.texts.get(column, {}).items():
            word = text.lower()
            if word not in WORDS and word not in NOTHING:
                raise InputError(
                    f"{self.where(place, column)}: {text!r} is not a number", hint=self.hint_for_text(column, text)
                )
            values[place] = WORDS.get(word, np.nan)
        return values

    def hint_for_text(self, column: str, text: str) -> str:
        """What to do about a cell that is not a number."""
        if text.endswith("%") and is_number(text[:-1]):
            return f"remove the %, and write a YAML file beside the table: {{file: {self.path.name}, scale: 100}}"
        return f"remove the column, or map its texts in a YAML file: {column}: {{values: {{{text}: NAME, ...}}}}"

    def cell(self, column: str, place: int) -> str:
        """A cell as text."""
        return self.texts.get(column, {}).get(place) or f"{self.columns[column][place]:g}"

    def where(self, place: int, column: str) -> str:
        """The cell's place, for errors."""
        line = f"line {self.lines[place]}" if self.lines else f"element {place}"
        return f"{self.path}: {line}, {column}"


def is_number(text: str) -> bool:
    """Whether the text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_table(path: Path) -> Sheet:
    """The table in a file. InputError: it cannot be read, or is not a table."""
    check_regular(path, CSV_HINT)
    with path.open("rb") as file:
        start = file.read(8)
    sheet = read_hdf5(path) if start == b"\x89HDF\r\n\x1a\n" else read_text(path)
    lengths = {len(values) for values in sheet.columns.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise InputError(f"{path} has no columns of equal length", hint="write one line for each sample")
    return sheet


def read_text(path: Path) -> Sheet:
    """A CSV file, or a list in CelebA's format. InputError: as `read_table`."""
    check_regular(path, CSV_HINT, LARGEST_TEXT)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            count, header, first = (file.readline() for _ in range(3))
            file.seek(0)
            if count.strip().isdecimal() and len(first.split()) == len(header.split()) + 1:
                return read_celeba(path, file)
            return read_csv(path, file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read: {error}", hint=CSV_HINT) from error


def read_csv(path: Path, file: Iterable[str]) -> Sheet:
    """A CSV file with a header; an unnamed first column is called INDEX. InputError: as `read_table`."""
    rows = ((number, row) for number, row in enumerate(csv.reader(file), 1) if row)
    names, first = [name.strip() for name in next(rows, (0, []))[1]], list(islice(rows, 1))
    check_delimiter(path, names, [cell for _, row in first for cell in row])
    if names and not names[0]:
        names[0] = INDEX
    return parse_rows(path, names, chain(first, rows))


def check_delimiter(path: Path, names: list[str], first: list[str]) -> None:
    """InputError: the header is a single name in which something other than commas separates columns.

    first: the cells of the first line below, in which spaces must separate as many, as a name may hold some.
    """
    for delimiter, what in DELIMITERS.items():
        if len(names) != 1 or delimiter not in names[0]:
            continue
        if delimiter != " " or len(names[0].split()) == len(" ".join(first).split()):
            message = f"{path}: columns are separated by {what}, expected commas"
            raise InputError(message, hint="save it with commas between columns, and with points in numbers")


def read_celeba(path: Path, file: Iterator[str]) -> Sheet:
    """A list like CelebA's list_attr_celeba.txt: the count, the names, then a file name and -1 or 1 for each name.

    InputError: the count is not that of the lines.
    """
    count, names = int(next(file)), next(file).split()
    rows = ((number, line.split()) for number, line in enumerate(file, 3) if line.strip())
    sheet = parse_rows(path, [FILE, *names], rows, MARKS)
    if len(sheet) != count:
        message = f"{path} has {len(sheet)} lines, but its first line says {count}"
        raise InputError(message, hint="the file may be truncated; if not, correct its first line")
    return sheet


def parse_rows(
    path: Path, names: list[str], rows: Iterable[tuple[int, list[str]]], scale: tuple[float, float] | None = None
) -> Sheet:
    """A sheet of rows of cells with their line numbers. InputError: names are missing or repeated, or a row is cut."""
    if len(set(names)) < len(names) or not all(names):
        raise InputError(f"{path} has unnamed columns or two of the same name", hint=CSV_HINT)
    texts: dict[str, dict[int, str]] = {}
    parsed: list[np.ndarray] = []
    lines: list[int] = []
    for number, row in rows:
        if len(row) != len(names):
            message = f"{path}: line {number} has {len(row)} cells, its header {len(names)}"
            raise InputError(message, hint=CSV_HINT)
        parsed.append(np.empty(len(names)))
        for column, cell in enumerate(row):
            parsed[-1][column], text = parse_cell(cell)
            if text:
                texts.setdefault(names[column], {})[len(lines)] = text
        lines.append(number)
    table = np.stack(parsed) if parsed else np.empty((0, len(names)))
    return Sheet(path, dict(zip(names, table.T, strict=True)), texts, lines, scale)


def parse_cell(cell: str) -> tuple[float, str]:
    """The number in a cell, NaN for an empty cell or a text, and the text, "" for an empty cell or a number."""
    try:
        return float(cell), ""
    except ValueError:
        return float("nan"), cell.strip()


def read_hdf5(path: Path) -> Sheet:
    """An HDF5 file with one dataset (N,) of numbers or fixed-length texts per column. InputError: as `read_table`."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            check_not_artifact(path, file)
            names = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
            found = {name: file[name] for name in names if isinstance(file[name], h5py.Dataset)}
            columns = {name: dataset for name, dataset in found.items() if is_column(dataset)}
            check_count(path, sum(dataset.size * max(dataset.dtype.itemsize // 8, 1) for dataset in columns.values()))
            arrays = {name: dataset[()] for name, dataset in columns.items()}
            skipped = tuple(name for name in file if name not in columns)
    except InputError:
        raise
    except Exception as error:  # h5py may raise anything on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path} cannot be read: {reason}", hint="write one dataset of numbers (N,) per column"
        ) from error
    numbers: dict[str, np.ndarray] = {}
    texts: dict[str, dict[int, str]] = {}
    for name, array in arrays.items():
        if array.dtype.kind != "S":
            numbers[name] = array.astype(np.float64)
            continue
        cells = [parse_cell(text) for text in decode_texts(array)]
        numbers[name] = np.array([number for number, _ in cells])
        found_texts = {place: text for place, (_, text) in enumerate(cells) if text}
        if found_texts:
            texts[name] = found_texts
    return Sheet(path, numbers, texts, skipped=skipped)


def check_not_artifact(path: Path, file: h5py.File) -> None:
    """InputError: a stage of gmmedit wrote the file."""
    if not {"gmmedit_version", "kind"} <= set(file.attrs):
        return
    kind = file.attrs.get_id("kind")
    if kind.shape == () and kind.dtype.kind == "S":  # HDF5 crashes on damaged texts of variable length
        name = file.attrs["kind"].decode(errors="backslashreplace")
        message = f"{path} is a gmmedit artifact ({name}), not a table of labels"
        raise InputError(message, hint="give a classifier, or a CSV or HDF5 file with a column for each attribute")


def decode_texts(texts: np.ndarray) -> list[str]:
    """Texts of fixed length as str, undecodable bytes escaped."""
    return [text.decode(errors="backslashreplace").strip() for text in texts.tolist()]


def is_column(dataset: h5py.Dataset) -> bool:
    """Whether it is a column stored in this file; others are not read, as an unknown filter would load a library."""
    filters = dataset.id.get_create_plist()
    known = all(filters.get_filter(place)[0] in KNOWN_FILTERS for place in range(filters.get_nfilters()))
    plain = known and not dataset.external and not dataset.is_virtual
    return dataset.ndim == 1 and dataset.dtype.kind in "fiubS" and plain


def check_count(path: Path, numbers: int) -> None:
    """InputError: there are more than LARGEST_COUNT numbers, as a file of a few bytes may claim."""
    if numbers > LARGEST_COUNT:
        raise InputError(f"{path} holds {numbers} numbers, the limit is {LARGEST_COUNT}", hint="remove columns")
