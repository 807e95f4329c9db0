"""The processes of one command, as a stage sees them: `Processes` is a single one, `process_group.py` has several.

A stage is written once, for both.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from gmmedit.runtime.batching import Score
from gmmedit.runtime.storage import lock

T = TypeVar("T")
Tensors = dict[str, Tensor]


class Processes:
    """The processes of a command; this class is a single process.

    The main process prints, writes whole files and holds the lock. All must make the same calls in the same order.
    """

    rank = 0
    count = 1

    @property
    def main(self) -> bool:
        """Whether this is the main process."""
        return self.rank == 0

    def broadcast(self, make: Callable[[], T]) -> T:
        """The result of `make` in the main process, JSON-ready data, for all processes."""
        return make()

    def main_first(self, make: Callable[[], T]) -> T:
        """The result of `make`, called by the main process first and then by the others."""
        return make()

    def lock(self, path: Path) -> AbstractContextManager[None]:
        """`storage.lock`, held by the main process for all."""
        return lock(path)

    def share_numbers(self, total: int) -> Iterator[int]:
        """The numbers below `total`, each given to one process, to the next that is free."""
        return iter(range(total))

    def meet(self) -> None:
        """Wait until all processes have called this."""

    def gather(self, items: Sequence[int], work: Callable[[int], Tensors]) -> Iterator[tuple[int, Tensors]]:
        """(item, work(item)) of all items in order of completion, for the main process; the others yield nothing."""
        return ((item, work(item)) for item in items)

    def map_rows(self, function: Callable[[Tensor], tuple[Tensor, ...]], rows: Tensor) -> tuple[Tensor, ...]:
        """function(rows), of which every process computes a share, a whole number of tiles; the result is for all.

        The function's tensors are on the CPU and have a row for each of rows (N, ...).
        """
        return function(rows)

    def gather_rows(self, part: Tensor) -> Tensor:
        """Tensors (n, ...) of all processes, of the same shape, joined in their order (n * count, ...).

        RunError: a process has ended.
        """
        return part

    def share(self, score: Score, tile: int) -> Score:
        """The same score, of which every process computes its share of the rows' tiles, forward and backward."""
        return score
