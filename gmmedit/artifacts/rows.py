"""A stage's file of rows, filled by one process or by several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmmedit.artifacts.reading import is_finished
from gmmedit.artifacts.row_writer import RowWriter, create_rows, join_rows
from gmmedit.artifacts.spec import RunSpec

if TYPE_CHECKING:
    from gmmedit.runtime.execution import Execution


class SharedRows:
    """One process's share in filling a file."""

    def __init__(self, out: RowWriter, spans: Sequence[tuple[int, int]], execution: Execution) -> None:
        self.write, self._out, self._spans = out.write, out, spans
        self.stop, self._ranks = execution.stop, execution.processes

    def pending(self) -> Iterator[tuple[int, int]]:
        """(start, stop) of the chunks that are not done; each goes to one process, the next that is free."""
        return (self._spans[number] for number in self._ranks.share_numbers(len(self._spans)))

    def finish(self) -> None:
        """Rename the file to its final name once all processes are done."""
        self._ranks.meet()
        if self._ranks.main:
            self._out.finish()


def is_up_to_date(path: Path, spec: RunSpec, execution: Execution) -> bool:
    """Whether the stage has nothing to do: `is_finished`, the same answer in all processes; noted in `kept`."""
    finished = execution.processes.broadcast(lambda: is_finished(path, spec, force=execution.force))
    if finished:
        execution.kept.add(path)
    return finished


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
            yield SharedRows(out, processes.broadcast(lambda: list(out.pending())), execution)
    else:
        spans: list[tuple[int, int]] = processes.broadcast(list)
        with join_rows(path, spec, attrs=attrs) as out:
            yield SharedRows(out, spans, execution)


def fill_rows(out: SharedRows, make: Callable[[int, int], Any]) -> None:
    """Make and store every pending chunk, then finish the file. One chunk is stored while the next is made.

    make: (start, stop) to the chunk's fields. Chunks that were made are stored even if an error follows.
    Stopped: a signal asked the command to stop.
    """
    with ThreadPoolExecutor(1) as beside:
        storing = None
        for start, stop in out.pending():
            out.stop.check()
            rows = make(start, stop)
            if storing:
                storing.result()
            storing = beside.submit(out.write, start, stop, rows)
        if storing:
            storing.result()
    out.finish()
