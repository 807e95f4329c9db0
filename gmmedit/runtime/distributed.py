"""One command done by one process, or by several that torchrun has started: who does what.

A stage is written once, for `Processes`. Alone they are one process, and nothing of torch.distributed is touched;
`several.py` has the others.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from gmmedit.runtime import torchrun as launched
from gmmedit.runtime.batching import Score
from gmmedit.runtime.signals import StopRequest
from gmmedit.runtime.storage import lock

T = TypeVar("T")
Tensors = dict[str, Tensor]


class Processes:
    """The processes of a command. This is the one that has no others.

    The main one prints, writes whole files and holds the lock. All must make the same calls in the same order.
    """

    rank = 0
    count = 1

    @property
    def main(self) -> bool:
        return self.rank == 0

    def broadcast(self, make: Callable[[], T]) -> T:
        """What the main process makes, plain data, for all."""
        return make()

    def main_first(self, make: Callable[[], T]) -> T:
        """Done by the main process, and then by the others."""
        return make()

    def lock(self, path: Path) -> AbstractContextManager[None]:
        """`storage.lock` for all of them."""
        return lock(path)

    def numbers(self, total: int) -> Iterator[int]:
        """Numbers below the total, each given to one process."""
        return iter(range(total))

    def meet(self) -> None:
        """Wait until all are here."""

    def gather(self, items: Sequence[int], work: Callable[[int], Tensors]) -> Iterator[tuple[int, Tensors]]:
        """(item, work(item)) of all items, as they get done, for the main process; the others only work."""
        return ((item, work(item)) for item in items)

    def map_rows(self, function: Callable[[Tensor], tuple[Tensor, ...]], rows: Tensor) -> tuple[Tensor, ...]:
        """function(rows), answers on the CPU with a row for each, every process computing its share; for all.

        A share is a whole number of tiles.
        """
        return function(rows)

    def share(self, score: Score, tile: int) -> Score:
        """A score that computes like this one, forward and backward, every process its share of tiles of rows."""
        return score


@contextmanager
def joined(stop: StopRequest) -> Iterator[Processes]:
    """The processes of this command, which end together: when one fails, it alone says so (others: `Echo`).

    stop: of this command; a process that is asked to stop does not wait for the others.
    """
    if launched.count() == 1:
        yield Processes()
        return
    from gmmedit.runtime.process_group import ProcessGroup

    processes = ProcessGroup(stop)
    try:
        with processes.ending_together():
            yield processes
    except BaseException as error:
        launched.mark_as_heard(error)
        raise
