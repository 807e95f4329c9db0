"""Labels from a CSV or HDF5 table with one line per sample, in place of a classifier."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor

from gmmedit.classifiers.attributes import Attribute, check_addressable
from gmmedit.classifiers.base import Classifier
from gmmedit.classifiers.columns import Activation
from gmmedit.classifiers.described import make_calibration
from gmmedit.classifiers.description import Description, Readout
from gmmedit.classifiers.image_networks import combine_fingerprint
from gmmedit.classifiers.table_cells import Reading, find_columns, hint_to_rename, read_cells, read_texts
from gmmedit.classifiers.table_files import Sheet, read_table
from gmmedit.classifiers.table_keys import (
    Key,
    find_key,
    find_key_column,
    find_photograph,
    holds_files,
    is_key_column,
    join_files,
)
from gmmedit.errors import InputError
from gmmedit.networks import fingerprint_files


class Table(Classifier):
    """Columns by name, one line for each row of samples.h5, for each seed or, after `join_files`, each photograph.

    A line with a missing label is ignored: a sample has all labels or is left out.
    """

    converts = True
    differentiable = False
    sees_images = False
    input_size = (0, 0)

    def __init__(self, path: Path, description: Description) -> None:
        """InputError: the table cannot be read, lacks a column, or has invalid cells."""
        super().__init__()
        self.path = path
        sheet = read_table(path)
        readouts = description.attributes or {}
        check_readouts(path, readouts, description.activation)
        used = {column for readout in readouts.values() for column in readout.outputs or ()}
        self.sheet, self.description = sheet, description
        self.keys = [name for name in sheet.columns if name not in used]  # columns that may be the key
        self.column = find_key_column(sheet, description.by, self.keys)
        if not holds_files(sheet, self.column):
            _ = self.key  # refused at once; file names may be those of photographs
        names = [name for name in sheet.columns if name in used or not is_key_column(sheet, name)]
        self.named = {} if readouts else read_texts(sheet, names)
        self.attributes = description.stated() or attributes_of_names(path, names, self.named)
        for attribute in self.attributes:
            if attribute.name in self.named and "=" not in attribute.name:
                cells = self.named[attribute.name].cells or {}
                check_addressable([attribute], str(path), hint_to_rename(sheet, attribute, cells))
        if not self.attributes:
            raise InputError(f"{path} has no column of labels", hint="add a column of probabilities for each attribute")
        self.skipped = () if readouts else (*sheet.skipped, *unread_columns(sheet, names, self.column))
        reading = choose_reading(sheet, description)
        parts = []
        for attribute in self.attributes:
            plain = Readout(values=list(attribute.values))
            readout = {**readouts, **self.named}.get(attribute.name, plain)
            parts.append(read_cells(sheet, find_columns(sheet, attribute, readout, names), attribute, readout, reading))
        self.lines = mask_incomplete_rows(torch.cat(parts, dim=1))  # logits (lines, K)
        self.calibration = make_calibration(description, self.attributes, str(path))
        self.fingerprint = combine_fingerprint(fingerprint_files(path), description)

    @cached_property
    def key(self) -> Key:
        """What joins the lines to samples. InputError: keys are missing, repeated or not numbers."""
        return find_key(self.sheet, self.description, self.column)

    def join_files(self, files: Sequence[str]) -> None:
        """The rows are the photographs of these names from now on. InputError: as `table_keys.join_files`."""
        self.key = join_files(self.sheet, self.keys, files)

    def find_photographs(self, files: Sequence[str]) -> str | None:
        """See `Classifier.find_photographs`."""
        columns = () if self.description.by else self.keys
        found = (find_photograph(self.sheet, column, files) for column in columns)
        return next((name for name in found if name is not None), None)

    def logits(self, images: Tensor) -> NoReturn:
        """InputError, always: a table has no answer for images."""
        message = f"{self.path} is a table of labels and cannot label images"
        raise InputError(message, hint="use fit-mixture --consistency surrogate or off")

    def rows(self, start: int, stop: int, first_seed: int) -> Tensor:
        """Logits (stop - start, K) of rows of samples.h5, which has the seeds `first_seed` + row.

        A row without all labels is NaN.
        """
        places = torch.from_numpy(self.key.places(start, stop, first_seed))
        logits = self.lines[places].masked_fill((places < 0)[:, None], float("nan"))
        return self.calibration(logits) if self.calibration else logits

    def left_out(self, n: int, first_seed: int) -> tuple[int, list[str]]:
        """How many of n samples have no label, and notes on what is left out or assumed.

        InputError: no sample has a label, or it is ambiguous which line belongs to which sample.
        """
        notes = self.key.check(n, first_seed)
        places = torch.from_numpy(self.key.places(0, n, first_seed))
        absent = places < 0
        empty = self.lines[places].isnan().any(1) & ~absent
        missing = int(absent.sum() + empty.sum())
        if missing == n:
            message = f"{self.path} has no label for any of the {n} {self.key.what}, {self.key.span(n, first_seed)}"
            raise InputError(message, hint=self.key.hint())
        reasons = [
            f"{int(which.sum())} {reason} (first: {self.key.name(int(which.int().argmax()), first_seed)})"
            for which, reason in ((absent, "not in the table"), (empty, "with an empty cell"))
            if which.any()
        ]
        if reasons:
            left = f"{missing} of {n} {self.key.what} have no label and are left out of fits"
            notes.append(f"{left}: {', '.join(reasons)}")
        others = len(self.lines) - int((~absent).sum())
        if others:
            notes.append(f"{others} of {len(self.lines)} lines of {self.path.name} belong to {self.key.nobody}")
        if self.named:
            read = "; ".join(f"{name}: {', '.join(readout.names)}" for name, readout in self.named.items())
            notes.append(f"texts of {self.path.name} read as values: {read}")
        if self.skipped:
            notes.append(f"ignored in {self.path.name}, as not labels: {', '.join(self.skipped)}")
        return missing, notes


def check_readouts(path: Path, readouts: Mapping[str, Readout], activation: Activation | None) -> None:
    """InputError: settings that exclude each other in a table, though a network's output may have both."""
    for name, readout in readouts.items():
        if readout.scale and readout.threshold is not None:
            message = f"{path}: {name}: threshold and scale exclude each other in a table"
            raise InputError(message, hint="threshold for a measure such as age, scale for percentages and marks")
        if readout.scale and activation not in (None, "probabilities"):
            message = f"{path}: {name}: a scale is one of probabilities, activation: {activation} reads logits"
            raise InputError(message, hint="remove the scale, or the activation")


def mask_incomplete_rows(logits: Tensor) -> Tensor:
    """Logits (N, K), with rows that contain NaN set to NaN."""
    return logits.masked_fill(logits.isnan().any(1, keepdim=True), float("nan"))


def choose_reading(sheet: Sheet, description: Description) -> Reading:
    """How columns are read. InputError: an activation that tables do not have."""
    if description.activation == "pairs":
        raise InputError(
            f"{sheet.path}: tables have no pairs of logits", hint="use activation: sigmoid or probabilities"
        )
    scale = description.scale or (None if description.activation else sheet.scale) or (0, 1)
    return Reading(description.activation or "probabilities", scale)


def unread_columns(sheet: Sheet, names: list[str], key: str | None) -> list[str]:
    """Columns that identify samples, as the key does, and are not needed."""
    return [name for name in sheet.columns if name not in names and name != key]


def attributes_of_names(path: Path, names: list[str], named: Mapping[str, Readout]) -> list[Attribute]:
    """Attributes of the columns `smile` (no, yes) and `hair=black`, `hair=red`, ..., and of those of named values.

    InputError: a single value.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        if name in named:
            found[name] = named[name].names
            continue
        attribute, _, value = name.partition("=")
        found.setdefault(attribute, []).extend([value] if value else [])
    for attribute, values in found.items():
        if len(values) == 1:
            raise InputError(
                f"{path}: {attribute} has one value", hint=f"name the column {attribute}, or add one for each value"
            )
    return [Attribute(name, tuple(values) or ("no", "yes")) for name, values in found.items()]
