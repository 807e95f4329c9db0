"""What the command line says while it works: complaints, progress, what it wrote.

Nothing heavy is imported here either; tables.py has what it shows at the end.
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
from gmmedit.runtime.log import logging_to
from gmmedit.runtime.progress import Pace, command_logged, shown_ticks
from gmmedit.runtime.signals import stoppable

if TYPE_CHECKING:
    from gmmedit.runtime.execution import Execution


def escape_unprintable_text() -> None:
    """A name that the terminal cannot show is shown with escapes; it would end a command whose work is done."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def complain(message: str, hint: str) -> None:
    """Nothing, where another process of the command says it."""
    launched.after_main()
    if not message:
        return
    typer.echo(f"error: {message}", err=True)
    if hint:
        typer.echo(f" hint: {hint}", err=True)


@contextmanager
def executing(
    run: Path | None, device: str, batch: int, force: bool, restart: bool, quiet: bool, trusting: bool = False,
    wide: bool = False,
) -> Iterator[Execution]:  # fmt: skip
    """An Execution whose ticks are shown, and kept in the run's log. Signals wait for `stop_if_asked`.

    wide: torchrun may have started the command several times; then only the main process comes back from here.
    InputError: it has, and the command is not wide.
    """
    if launched.count() > 1 and not wide:
        message = f"torchrun has started {launched.count()} processes, and this command runs in one"
        raise InputError(message, hint="start it without torchrun")
    from gmmedit.runtime.execution import Execution
    from gmmedit.runtime.process_group import join_processes

    with join_processes() as processes:
        device = launched.own_device(device)
        pace = Pace(device if processes.count == 1 else f"{processes.count} processes on {device}")
        with logging_to(run if processes.main else None), command_logged(device), stoppable():
            with shown_ticks(pace, quiet or not processes.main) as tick:
                yield Execution(
                    device=device,
                    batch=batch,
                    restart=restart,
                    force=force,
                    trusting=trusting,
                    tick=tick,
                    processes=processes,
                )
    if not processes.main:
        raise typer.Exit


def wrote(path: Path, quiet: bool) -> None:
    if not quiet:
        typer.echo(f"wrote {path}")


def ignore(command: str, quiet: bool, **options: object) -> None:
    """A line on stderr for each option that the user gave and that has no effect on the command."""
    for name, value in options.items():
        if value and not quiet:
            typer.echo(f"note: --{name} has no effect on {command}", err=True)


def say(text: str, folder: Path) -> None:
    """Print a note or a warning about a run, and log it in the run folder."""
    typer.echo(text)
    with logging_to(folder):
        logging.getLogger("gmmedit").info(text)
