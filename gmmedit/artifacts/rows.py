"""A step's file of rows, made by one process or by several: is there anything to do, and filling it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmmedit.artifacts.reading import finished
from gmmedit.artifacts.spec import RunSpec
from gmmedit.artifacts.store import RowWriter, create_rows, join_rows
from gmmedit.runtime.signals import stop_if_asked

if TYPE_CHECKING:
    from gmmedit.runtime.distributed import Processes
    from gmmedit.runtime.execution import Execution


class SharedRows:
    """One process's part in filling a file."""

    def __init__(self, out: RowWriter, spans: Sequence[tuple[int, int]], processes: Processes) -> None:
        self.write, self._out, self._spans, self._ranks = out.write, out, spans, processes

    def pending(self) -> Iterator[tuple[int, int]]:
        """(start, stop) of chunks that are not done, each for one process: whoever is free takes the next."""
        return (self._spans[number] for number in self._ranks.numbers(len(self._spans)))

    def finish(self) -> None:
        """Give the file its name, once all are done."""
        self._ranks.meet()
        if self._ranks.main:
            self._out.finish()


def up_to_date(path: Path, spec: RunSpec, execution: Execution) -> bool:
    """Whether the step has nothing to do, as `finished`; for all processes."""
    return execution.processes.broadcast(lambda: finished(path, spec, force=execution.force))


@contextmanager
def open_rows(
    path: Path, spec: RunSpec, execution: Execution, attrs: dict[str, Any] | None = None
) -> Iterator[SharedRows]:
    """`create_rows` for all processes of the command."""
    processes = execution.processes
    if processes.main:
        shared = processes.count > 1
        with create_rows(
            path, spec, restart=execution.restart, attrs=attrs, shared=shared, force=execution.force
        ) as out:
            yield SharedRows(out, processes.broadcast(lambda: list(out.pending())), processes)
    else:
        spans: list[tuple[int, int]] = processes.broadcast(list)
        with join_rows(path, spec, attrs=attrs) as out:
            yield SharedRows(out, spans, processes)


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
