"""What commands print while they run: errors, progress, notes, written files. Results are in tables.py.

Nothing heavy is imported at the top.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gmmedit.errors import InputError
from gmmedit.runtime import torchrun as launched
from gmmedit.runtime.log import as_line, logging_to
from gmmedit.runtime.progress import Pace, command_logged, shown_ticks
from gmmedit.runtime.signals import StopRequest, stoppable

if TYPE_CHECKING:
    from gmmedit.runtime.execution import Execution


def escape_unencodable_text() -> None:
    """Print characters that the terminal's encoding lacks as escapes: an error would end a command after its work."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def print_error(error: Exception, message: str, hint: str) -> None:
    """Print an error and a hint on stderr; nothing if the message is empty, since another process prints it then."""
    launched.after_main(error)
    if not message:
        return
    typer.echo(f"error: {message}", err=True)
    if hint:
        typer.echo(f" hint: {hint}", err=True)


@contextmanager
def open_execution(
    run: Path | None, device: str, batch: int, force: bool, restart: bool, quiet: bool, trusting: bool = False,
    wide: bool = False,
) -> Iterator[Execution]:  # fmt: skip
    """An Execution whose progress is shown and logged in the run folder; signals wait for `execution.stop.check`.

    wide: the command may run in several processes (torchrun); only the main one continues after the context.
    InputError: torchrun started several, and the command is not wide.
    """
    if launched.count() > 1 and not wide:
        message = f"torchrun started {launched.count()} processes, this command runs in one"
        raise InputError(message, hint="run it without torchrun")
    from gmmedit.runtime.execution import Execution
    from gmmedit.runtime.process_group import join_processes

    stop = StopRequest()
    with join_processes(stop) as processes:
        device = launched.own_device(device)
        pace = Pace(device if processes.count == 1 else f"{processes.count} processes on {device}")
        with logging_to(run if processes.main else None), command_logged(device), stoppable(stop):
            with shown_ticks(pace, quiet or not processes.main) as tick:
                yield Execution(
                    device=device,
                    batch=batch,
                    restart=restart,
                    force=force,
                    trusting=trusting,
                    tick=tick,
                    processes=processes,
                    stop=stop,
                )
    if not processes.main:
        raise typer.Exit


def print_written(path: Path, quiet: bool, kept: bool = False) -> None:
    """Print `wrote PATH`, or, of a file that was `kept`, that it is up to date; unless quiet."""
    if not quiet:
        typer.echo(f"{path} is up to date" if kept else f"wrote {path}")


def note_ignored_options(command: str, quiet: bool, **options: object) -> None:
    """Print a note on stderr for each given option that has no effect on the command."""
    for name, value in options.items():
        if value and not quiet:
            typer.echo(f"note: --{name} has no effect on {command}", err=True)


def print_logged(text: str, folder: Path) -> None:
    """Print a note or a warning about a run, without control characters, and log it in the run folder."""
    typer.echo(as_line(text))
    with logging_to(folder):
        logging.getLogger("gmmedit").info(text)
