"""Whether two attributes are independent given others, by two tests of contingency tables.

The likelihood-ratio test (G²) sees any dependence, but loses power with every value of the attributes that are held
fixed; the generalised Cochran-Mantel-Haenszel test (Landis, Heyman & Koch 1978) adds up what is alike in all of them.
The smaller p-value counts, twice, as two were looked at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from gmmedit.causal.cells import Cells
from gmmedit.causal.confusion import apply, log_likelihood, unfold

SAMPLES_PER_PARAMETER = 5  # with fewer, a table says nothing


@dataclass(frozen=True)
class IndependenceTest:
    """Tests on the same cells, remembered.

    With `confusions`, one (C, C) for each attribute, both hypotheses are about true values of which the labels are
    noisy readings, and are fitted by expectation-maximisation: labels of two effects of one cause stay dependent given
    the label of the cause, although the true values do not. `alpha` is the level of the tests; a dependence weaker than
    `least` counts as none, see `strength`: with enough samples even one without any importance is significant.
    """

    cells: Cells
    alpha: float
    confusions: Sequence[np.ndarray] | None = None
    least: float = 0.0
    known: dict[tuple[int, int, frozenset[int]], float | None] = field(default_factory=dict)

    def separates(self, first: int, second: int, given: Sequence[int]) -> bool:
        """Whether the two attributes are taken for independent given the others; False where samples are too few."""
        p = self.p_value(first, second, given)
        return p is not None and p > self.alpha

    def p_value(self, first: int, second: int, given: Sequence[int]) -> float | None:
        """The p-value of independence, in [0, 1]; 1 if the dependence is weaker than `least`; None: too few samples."""
        low, high = sorted((first, second))
        key = (low, high, frozenset(given))
        if key not in self.known:
            self.known[key] = self.compute(low, high, sorted(given))
        return self.known[key]

    def compute(self, first: int, second: int, given: Sequence[int]) -> float | None:
        """`p_value` without the memory."""
        columns = (first, second, *given)
        counts = self.cells.table(columns)
        flat = counts.reshape(*counts.shape[:2], -1)
        degrees = degrees_of_freedom(flat)
        if not degrees:
            return 1.0
        if counts.sum() < SAMPLES_PER_PARAMETER * degrees:
            return None
        expected = independent(flat)
        ratio = compare(flat, expected)
        p = combine(chi2_survival(2 * ratio, degrees), pooled_p_value(flat, expected))
        if self.confusions is None or not given or p > self.alpha:  # errors hide dependence, and never make one alone
            return 1.0 if strength(ratio, degrees, counts.sum()) < self.least else p
        confusions = [self.confusions[column] for column in columns]
        free = log_likelihood(counts, confusions, unfold(counts, confusions))
        bound = unfold(counts, confusions, independent_given)
        likelihood_ratio = max(free - log_likelihood(counts, confusions, bound), 0.0)
        read = apply(confusions, bound).reshape(flat.shape)
        if strength(likelihood_ratio, degrees, counts.sum()) < self.least:
            return 1.0
        return combine(chi2_survival(2 * likelihood_ratio, degrees), pooled_p_value(flat, read))


def strength(ratio: float, degrees: int, samples: float) -> float:
    """The strength of a dependence, >= 0: of two two-valued attributes about their correlation.

    sqrt(2 I) of the conditional mutual information I in nats, from the log-likelihood ratio without its expectation.
    """
    return math.sqrt(max(2 * ratio - degrees, 0.0) / samples)


def degrees_of_freedom(counts: np.ndarray) -> int:
    """Those of counts (X, Y, Z): (X - 1)(Y - 1) for each z, of the values that occur with it."""
    rows, columns = (counts.sum(1) > 0).sum(0), (counts.sum(0) > 0).sum(0)
    return int(((rows - 1).clip(0) * (columns - 1).clip(0)).sum())


def independent(counts: np.ndarray) -> np.ndarray:
    """The counts (X, Y, Z) that X and Y would have if they were independent given Z."""
    total = counts.sum((0, 1))
    product = counts.sum(1)[:, None] * counts.sum(0)[None]
    return product / np.where(total > 0, total, 1.0)


def independent_given(counts: np.ndarray) -> np.ndarray:
    """`independent` for a table with an axis for each attribute, the first two of which are to be independent."""
    return independent(counts.reshape(*counts.shape[:2], -1)).reshape(counts.shape)


def pooled_p_value(counts: np.ndarray, expected: np.ndarray) -> float:
    """Cochran, Mantel and Haenszel's p-value for counts (X, Y, Z), given what independence lets expect (X, Y, Z).

    The deviations are summed over z, with the covariance that they have for fixed margins.
    """
    rows, columns = (np.flatnonzero(counts.sum(axis) > 0)[:-1] for axis in ((1, 2), (0, 2)))
    deviation = (counts - expected).sum(2)[np.ix_(rows, columns)].ravel()
    total = counts.sum((0, 1))
    used = total > 1
    covariance = np.zeros((len(deviation), len(deviation)))
    for n, by_row, by_column in zip(total[used], counts.sum(1).T[used], counts.sum(0).T[used], strict=True):
        a, b = by_row[rows] / n, by_column[columns] / n
        covariance += n * n / (n - 1) * np.kron(np.diag(a) - np.outer(a, a), np.diag(b) - np.outer(b, b))
    statistic = float(deviation @ np.linalg.pinv(covariance, rcond=1e-10, hermitian=True) @ deviation)
    return chi2_survival(max(statistic, 0.0), int(np.linalg.matrix_rank(covariance, tol=1e-10, hermitian=True)))


def combine(first: float, second: float) -> float:
    """The p-value of two tests of the same hypothesis (Bonferroni)."""
    return min(1.0, 2 * min(first, second))


def compare(counts: np.ndarray, expected: np.ndarray) -> float:
    """The log-likelihood ratio of counts against expected ones, in nats, >= 0."""
    known = counts > 0
    return max(float((counts[known] * np.log(counts[known] / expected[known])).sum()), 0.0)


def chi2_survival(statistic: float, degrees: int) -> float:
    """P(chi² with so many degrees of freedom > statistic); 1 for none."""
    if not degrees:
        return 1.0
    half = torch.tensor([degrees / 2, statistic / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(half[0], half[1]))
