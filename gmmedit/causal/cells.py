"""Labels as the different rows that occur and their counts: a few hundred numbers, however many samples there are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Cells:
    """The different rows (U, A) of values, how often each occurs (U,), float64, and the numbers of values (A,)."""

    rows: np.ndarray
    counts: np.ndarray
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, values: np.ndarray, sizes: Sequence[int]) -> Cells:
        """The cells of values (N, A). ValueError: a value is not in 0 .. size - 1."""
        if len(values) and ((values < 0) | (values >= np.array(sizes))).any():
            raise ValueError("a value is not one of its attribute's")
        rows, counts = np.unique(values, axis=0, return_counts=True)
        return cls(rows.astype(np.int64), counts.astype(np.float64), tuple(sizes))

    @property
    def total(self) -> float:
        """N, the number of samples."""
        return float(self.counts.sum())

    def table(self, columns: Sequence[int]) -> np.ndarray:
        """Counts of the combinations of the attributes' values, an axis for each of the columns."""
        shape = tuple(self.sizes[column] for column in columns)
        if not shape:
            return np.array(self.total)
        place = np.ravel_multi_index(tuple(self.rows[:, column] for column in columns), shape)
        return np.bincount(place, self.counts, math.prod(shape)).reshape(shape)

    def draw_half(self, random: np.random.Generator) -> Cells:
        """Half of the samples, drawn without replacement.

        A bootstrap repeats samples, which tests of independence take for dependence (Meinshausen & Buehlmann 2010).
        """
        whole = self.counts.astype(np.int64)
        drawn = random.multivariate_hypergeometric(whole, int(whole.sum()) // 2, method="marginals")
        kept = drawn > 0
        return replace(self, rows=self.rows[kept], counts=drawn[kept].astype(np.float64))


def association(cells: Cells, first: int, second: int) -> float:
    """Cramer's V of two attributes, in [0, 1]: 0 where they are independent."""
    counts = cells.table((first, second))
    expected = np.outer(counts.sum(1), counts.sum(0)) / counts.sum()
    known = expected > 0
    chi2 = float((((counts - expected) ** 2)[known] / expected[known]).sum())
    least = min((counts.sum(1) > 0).sum(), (counts.sum(0) > 0).sum()) - 1
    return math.sqrt(chi2 / (counts.sum() * least)) if least else 0.0
