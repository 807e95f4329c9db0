"""Data sets whose labels are columns in memory, some of them perhaps measures."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gmmedit.datasets.base import DataSet, Rows
from gmmedit.datasets.table_columns import Column, stack_measures


class ColumnDataSet(DataSet):
    """Labels from columns; the numbers of those that are measures are its factors."""

    values: Tensor  # int64 (N, A)
    numbers: Tensor  # float32 (N, F), NaN where not known; empty: there are no measures

    def set_columns(self, columns: Sequence[Column], n: int) -> None:
        """Take the attributes, labels and measures of the columns, of n rows each."""
        self.attributes = tuple(column.attribute for column in columns)
        values = [column.values for column in columns]
        self.values = torch.from_numpy(np.stack(values, axis=1) if values else np.empty((n, 0), np.int64))
        self.factors, numbers = stack_measures(columns)
        self.numbers = torch.from_numpy(numbers)

    @property
    def measures(self) -> tuple[np.ndarray, ...]:
        """What the fingerprint covers beside the labels: the numbers, if there are any."""
        return (self.numbers.numpy(),) if self.factors else ()

    def labels(self, rows: Rows | None = None) -> Tensor:
        """See `DataSet.labels`."""
        return self.values if rows is None else self.values[torch.as_tensor(rows)]

    def true_factors(self, rows: Rows) -> Tensor | None:
        """See `DataSet.true_factors`: the measures, NaN where not known."""
        return self.numbers[torch.as_tensor(rows)] if self.factors else None
