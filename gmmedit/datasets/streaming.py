"""Batches for the steps of a training: which rows, and loading them ahead of time in the background."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import numpy as np

from gmmedit.datasets.base import DataSet

T = TypeVar("T")
AHEAD = 2  # steps that are loaded before they are asked for, each by a worker of its own


class Ahead(Generic[T]):
    """What `load` returns for a step, loaded by workers while the steps before it are taken.

    `load` must depend on the step alone, so that the steps after any other are the same; what it raises, `get` raises.
    """

    def __init__(self, load: Callable[[int], T], ahead: int = AHEAD) -> None:
        self.load, self.ahead = load, ahead
        self.workers = ThreadPoolExecutor(max(1, ahead), "loading")
        self.pending: dict[int, Future[T]] = {}

    def get(self, step: int) -> T:
        """What belongs to the step; the next ones are begun."""
        wanted = range(step, step + 1 + self.ahead)
        for later in [step for step in self.pending if step not in wanted]:
            self.pending.pop(later).cancel()
        for each in wanted:
            if each not in self.pending:
                self.pending[each] = self.workers.submit(self.load, each)
        return self.pending.pop(step).result()


class RowOrder:
    """Which rows a step sees: permutations of all rows, one after another, of which each depends on the seed alone."""

    def __init__(self, rows: np.ndarray, batch: int, seed: int) -> None:
        self.rows, self.batch, self.seed = rows, batch, seed
        self.known: tuple[int, np.ndarray] = (-1, rows)

    def at(self, step: int) -> np.ndarray:
        """The rows (batch,) of a step, in the order drawn."""
        places = np.arange(step * self.batch, (step + 1) * self.batch)
        epochs = places // len(self.rows)
        parts = [self.epoch(epoch)[places[epochs == epoch] % len(self.rows)] for epoch in np.unique(epochs).tolist()]
        return np.concatenate(parts)

    def epoch(self, epoch: int) -> np.ndarray:
        """All rows (n,) in the order of an epoch."""
        number, order = self.known
        if number != epoch:
            order = self.rows[np.random.default_rng([self.seed, epoch]).permutation(len(self.rows))]
            self.known = (epoch, order)
        return order


class Pixels:
    """Rows of a data set as an array of bytes (n, S, S, C) would give them."""

    def __init__(self, data: DataSet, rows: np.ndarray) -> None:
        self.data, self.rows = data, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, places: np.ndarray) -> np.ndarray:
        images = self.data.images(self.rows[places])
        return ((images + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
