"""How each attribute follows from its parents: P(value | parents' values), a table or a logistic regression."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from gmmedit.causal.cells import Cells
from gmmedit.causal.confusion import unfold

MOST_ROWS = 1 << 14  # combinations of parents' values
PER_ROW = 30  # samples for each of them on average, from which a table is estimated
PRIOR = 1.0  # samples that every row of a table is given, distributed as the attribute is over all
RIDGE, NEWTON = 1e-3, 50  # of the logistic regression: penalty per sample, most steps

Form = Literal["table", "logistic"]


@dataclass(frozen=True)
class Mechanism:
    """P(value | parents): `table` has an axis for each of `parents`, the last one for the value; how it was fitted."""

    parents: tuple[int, ...]
    table: np.ndarray
    form: Form

    def probabilities(self, values: np.ndarray) -> np.ndarray:
        """P (N, C) for values (N, A) of all attributes."""
        given = tuple(values[:, parent] for parent in self.parents)
        return self.table[given] if given else np.broadcast_to(self.table, (len(values), len(self.table)))


def fit_mechanism(
    cells: Cells, node: int, parents: Sequence[int], confusions: Sequence[np.ndarray] | None = None
) -> Mechanism:
    """The mechanism of an attribute, of true values if the confusions of the labels are given.

    A table where there are enough samples, else a logistic regression on the parents' one-hot values. ValueError: the
    parents have more than MOST_ROWS combinations of values.
    """
    rows = math.prod(cells.sizes[parent] for parent in parents)
    if rows > MOST_ROWS:
        raise ValueError(f"{len(parents)} parents have {rows} combinations of values, at most {MOST_ROWS} are possible")
    columns = (*parents, node)
    counts = cells.table(columns)
    if confusions is not None:
        counts = unfold(counts, [confusions[column] for column in columns])
    flat = counts.reshape(rows, cells.sizes[node])
    enough = flat.sum() >= PER_ROW * rows
    table = smooth(flat) if enough else regress(flat, [cells.sizes[parent] for parent in parents])
    return Mechanism(tuple(parents), table.reshape(counts.shape), "table" if enough else "logistic")


def smooth(counts: np.ndarray) -> np.ndarray:
    """Probabilities (R, C) of counts (R, C), none of them 0 if its value occurs at all."""
    overall = counts.sum(0) / counts.sum()
    return (counts + PRIOR * overall) / (counts.sum(1, keepdims=True) + PRIOR)


def regress(counts: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Probabilities (R, C) by multinomial logistic regression of counts (R, C) on the R combinations of values."""
    places = np.unravel_index(np.arange(len(counts)), tuple(sizes))
    columns = [np.eye(size)[place][:, 1:] for size, place in zip(sizes, places, strict=True)]
    inputs = torch.as_tensor(np.concatenate([np.ones((len(counts), 1)), *columns], 1))
    weighed = torch.as_tensor(counts)
    weights = torch.zeros(inputs.shape[1], counts.shape[1], dtype=torch.float64, requires_grad=True)
    descent = torch.optim.LBFGS([weights], max_iter=NEWTON, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        descent.zero_grad()
        value = -(weighed * (inputs @ weights).log_softmax(1)).sum() / weighed.sum() + RIDGE * weights.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        descent.step(loss)
    return (inputs @ weights).softmax(1).detach().numpy()
