"""Labels made elsewhere: a CSV or HDF5 table with a row per sample. It labels no picture."""

import csv
from pathlib import Path
from typing import NoReturn

import h5py
import numpy as np
import torch
from torch import Tensor

from gmmedit.classifiers.base import Attribute, Classifier
from gmmedit.classifiers.columns import Columns, by_name
from gmmedit.classifiers.described import calibration_of
from gmmedit.classifiers.description import Description
from gmmedit.classifiers.opened import combined
from gmmedit.errors import InputError
from gmmedit.networks import file_fingerprint
from gmmedit.runtime.regular_files import check_regular

KEYS: tuple[str, ...] = ("row", "seed")
MOST_NUMBERS = 1 << 26
LARGEST_CSV = 1 << 28  # bytes
KNOWN_FILTERS = (1, 2, 3, 32000)  # gzip, shuffle, checksums, LZF: h5py has them itself


class Table(Classifier):
    """Columns of numbers by their names, one row for each row of samples.h5, or for each seed."""

    converts = True
    differentiable = False
    sees_images = False
    input_size = (0, 0)

    def __init__(self, path: Path, description: Description) -> None:
        """InputError: the table cannot be read, lacks a column, or a number in it is none."""
        super().__init__()
        self.path = path
        columns = read_columns(path)
        self.by: str = description.by or next((key for key in KEYS if key in columns), "row")
        self.places = places_of(path, columns, self.by)
        self.columns = {name: values for name, values in columns.items() if name not in KEYS}
        self.attributes, self.reading = meaning(path, self.columns, description)
        self.calibration = calibration_of(description, self.attributes, str(path))
        self.fingerprint = combined(file_fingerprint(path), description)
        self.used = used_columns(self.columns, self.reading)

    def logits(self, images: Tensor) -> NoReturn:
        message = f"{self.path} is a table of labels and cannot look at pictures"
        raise InputError(message, hint="fit-mixture --consistency surrogate, or off")

    def rows(self, start: int, stop: int, first_seed: int) -> Tensor:
        """Logits (stop - start, K) of rows of samples.h5, which has the seeds `first_seed` + row.

        InputError: the table lacks one of them, or holds NaN there.
        """
        wanted = range(start, stop) if self.by == "row" else range(first_seed + start, first_seed + stop)
        missing = [key for key in wanted if key not in self.places]
        if missing:
            message = f"{self.path} has no {self.by} {missing[0]}"
            more = f", nor {len(missing) - 1} others" if missing[1:] else ""
            raise InputError(message + more, hint=f"it needs one {self.by} for every sample, or sample fewer")
        places = [self.places[key] for key in wanted]
        for name in self.used:
            bad = ~np.isfinite(self.columns[name][places])
            if bad.any():
                message = f"{self.path}: {name} is empty or NaN for {self.by} {wanted[int(bad.argmax())]}"
                raise InputError(message, hint="a label for every sample, or leave the column out")
        table = np.stack([values[places] for values in self.columns.values()], axis=1)
        logits = self.reading(torch.from_numpy(np.nan_to_num(table)).float())
        return self.calibration(logits) if self.calibration else logits


def places_of(path: Path, columns: dict[str, np.ndarray], by: str) -> dict[int, int]:
    """Where in the table each row or seed is. InputError: not said, not whole numbers, or said twice."""
    n = len(next(iter(columns.values())))
    if by not in columns:
        if by == "seed":
            raise InputError(f"{path} has no column 'seed'", hint="by: row")
        return {row: row for row in range(n)}
    keys = columns[by]
    if not (np.isfinite(keys).all() and (keys == np.floor(keys)).all() and len(set(keys)) == n):
        raise InputError(f"{path}: {by} needs whole numbers, each once", hint="one row for each sample")
    return {int(key): place for place, key in enumerate(keys)}


def meaning(path: Path, columns: dict[str, np.ndarray], description: Description) -> tuple[list[Attribute], Columns]:
    """The attributes, and how the columns speak of them."""
    attributes = description.stated() or named_attributes(path, list(columns))
    if not attributes:
        raise InputError(f"{path} has no column of labels", hint="a column for each attribute, of probabilities")
    activation = description.activation or "probabilities"
    given = description.attributes or {}
    outputs = {
        it.name: tuple(f"{it.name}={value}" for value in it.values) for it in attributes if it.name not in columns
    }
    outputs |= {name: tuple(readout.outputs) for name, readout in given.items() if readout.outputs}
    reading = by_name(attributes, outputs, list(columns), activation, str(path))
    for name in used_columns(columns, reading) if activation == "probabilities" else ():
        known = columns[name][np.isfinite(columns[name])]
        if len(known) and not 0 <= known.min() <= known.max() <= 1:
            message = f"{path}: {name} goes from {known.min():g} to {known.max():g}, no probabilities"
            raise InputError(message, hint="a YAML file with activation: sigmoid reads log-odds")
    return attributes, reading


def used_columns(columns: dict[str, np.ndarray], reading: Columns) -> list[str]:
    return [list(columns)[column] for chosen in reading.chosen for column in chosen]


def named_attributes(path: Path, names: list[str]) -> list[Attribute]:
    """The columns `smile` (no, yes) and `hair=black`, `hair=red` ... (the values of one attribute)."""
    found: dict[str, list[str]] = {}
    for name in names:
        attribute, _, value = name.partition("=")
        found.setdefault(attribute, []).extend([value] if value else [])
    for attribute, values in found.items():
        if len(values) == 1:
            raise InputError(f"{path}: {attribute} has one value", hint=f"a column {attribute}, or one for each value")
    return [Attribute(name, tuple(values) or ("no", "yes")) for name, values in found.items()]


def read_columns(path: Path) -> dict[str, np.ndarray]:
    """Every column as float64 (N,), an empty cell as NaN."""
    with path.open("rb") as file:
        start = file.read(8)
    columns = read_hdf5(path) if start == b"\x89HDF\r\n\x1a\n" else read_csv(path)
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise InputError(f"{path} has no columns of equal length", hint="one row for each sample")
    return columns


def read_hdf5(path: Path) -> dict[str, np.ndarray]:
    try:
        with h5py.File(path, "r", locking=False) as file:
            names = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
            found = {name: file[name] for name in names if isinstance(file[name], h5py.Dataset)}
            columns = {name: it for name, it in found.items() if plain(it)}
            check_count(path, sum(it.size for it in columns.values()))
            return {name: np.asarray(it[()], dtype=np.float64) for name, it in columns.items()}
    except InputError:
        raise
    except Exception as error:  # h5py raises whatever the damage leads to
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} cannot be read: {reason}", hint="one dataset of numbers (N,) per column") from error


def plain(dataset: h5py.Dataset) -> bool:
    """Whether it is a column, in this file. Others are not looked at; a foreign filter would load a library."""
    filters = dataset.id.get_create_plist()
    known = all(filters.get_filter(place)[0] in KNOWN_FILTERS for place in range(filters.get_nfilters()))
    return dataset.ndim == 1 and known and not dataset.external and not dataset.is_virtual


def check_count(path: Path, numbers: int) -> None:
    """InputError: more than anybody has labels; a file of a few bytes may claim so."""
    if numbers > MOST_NUMBERS:
        raise InputError(f"{path} holds {numbers} numbers, {MOST_NUMBERS} are read at most", hint="fewer columns")


def read_csv(path: Path) -> dict[str, np.ndarray]:
    hint = "a line of column names, then numbers, separated by commas"
    check_regular(path, hint, LARGEST_CSV)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = ((number, line) for number, line in enumerate(csv.reader(file), 1) if line)
            names = [name.strip() for name in next(lines, (0, []))[1]]
            if len(set(names)) < len(names) or not all(names):
                raise InputError(f"{path} has columns without a name or of the same", hint=hint)
            rows = [row_of(row, names, f"{path}: line {number}", hint) for number, row in lines]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read: {error}", hint=hint) from error
    table = np.stack(rows) if rows else np.empty((0, len(names)))
    return dict(zip(names, table.T, strict=True))


def row_of(row: list[str], names: list[str], where: str, hint: str) -> np.ndarray:
    if len(row) != len(names):
        raise InputError(f"{where} has {len(row)} cells, its header {len(names)}", hint=hint)
    return np.array([number_of(cell, f"{where}, {name}") for name, cell in zip(names, row, strict=True)])


def number_of(cell: str, where: str) -> float:
    try:
        return float(cell) if cell.strip() else float("nan")
    except ValueError:
        raise InputError(f"{where}: {cell!r} is not a number", hint="a column for each value, of numbers") from None
