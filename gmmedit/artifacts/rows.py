"""A step's file of rows, made by one process or by several: is there anything to do, and filling it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmmedit.artifacts.question import Question
from gmmedit.artifacts.reading import finished
from gmmedit.artifacts.store import RowWriter, create_rows, join_rows
from gmmedit.runtime.signals import stop_if_asked

if TYPE_CHECKING:
    from gmmedit.runtime.distributed import Ranks
    from gmmedit.runtime.execution import Execution


class SharedRows:
    """One process's part in filling a file."""

    def __init__(self, out: RowWriter, spans: Sequence[tuple[int, int]], ranks: Ranks) -> None:
        self.write, self._out, self._spans, self._ranks = out.write, out, spans, ranks

    def pending(self) -> Iterator[tuple[int, int]]:
        """(start, stop) of chunks that are not done, each for one process: whoever is free takes the next."""
        return (self._spans[number] for number in self._ranks.numbers(len(self._spans)))

    def finish(self) -> None:
        """Give the file its name, once all are done."""
        self._ranks.meet()
        if self._ranks.main:
            self._out.finish()


def up_to_date(path: Path, question: Question, execution: Execution) -> bool:
    """Whether the step has nothing to do, as `finished`; for all processes."""
    return execution.ranks.told(lambda: finished(path, question, force=execution.force))


@contextmanager
def open_rows(
    path: Path, question: Question, execution: Execution, attrs: dict[str, Any] | None = None
) -> Iterator[SharedRows]:
    """`create_rows` for all processes of the command."""
    ranks = execution.ranks
    if ranks.main:
        shared = ranks.count > 1
        with create_rows(
            path, question, restart=execution.restart, attrs=attrs, shared=shared, force=execution.force
        ) as out:
            yield SharedRows(out, ranks.told(lambda: list(out.pending())), ranks)
    else:
        spans: list[tuple[int, int]] = ranks.told(list)
        with join_rows(path, question, attrs=attrs) as out:
            yield SharedRows(out, spans, ranks)


def fill(out: SharedRows, make: Callable[[int, int], Any]) -> None:
    """Every pending chunk made and stored, and the file finished: one is stored while the next is made.

    Whatever ends it, what has been made is stored first. Stopped: a signal has asked for it.
    """
    with ThreadPoolExecutor(1) as beside:
        storing = None
        for start, stop in out.pending():
            stop_if_asked()
            rows = make(start, stop)
            if storing:
                storing.result()
            storing = beside.submit(out.write, start, stop, rows)
        if storing:
            storing.result()
    out.finish()
