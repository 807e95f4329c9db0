"""Labels alone, without images: of a table, or of a data set."""

from pathlib import Path

import numpy as np

from gmmedit.classifiers.attributes import Attribute
from gmmedit.classifiers.table_files import INDEX, read_table
from gmmedit.datasets.folder import FILE_COLUMNS
from gmmedit.datasets.table_columns import read_columns


def read_labels_table(path: Path) -> tuple[np.ndarray, tuple[Attribute, ...]]:
    """Values int64 (N, A) of the lines of a CSV or HDF5 file, -1 where not known, and the attributes.

    Columns of row numbers, file names and measures are left out. InputError: it cannot be read, or is no table.
    """
    sheet = read_table(path)
    named = [name for name in sheet.columns if name == INDEX or name.lower() in FILE_COLUMNS]
    columns = read_columns(sheet, np.arange(len(sheet)), named)
    values = [column.values for column in columns]
    stacked = np.stack(values, 1) if values else np.zeros((len(sheet), 0), np.int64)
    return stacked, tuple(column.attribute for column in columns)
