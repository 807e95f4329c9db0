"""Errors at the edge of the program: one line on stderr, a hint, and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from gmmedit.cli.output import escape_unencodable_text, print_error
from gmmedit.errors import GmmeditError, RunError, is_debugging, out_of_memory
from gmmedit.runtime.signals import Stopped

UsageError: Any = typer.BadParameter.__mro__[1]  # a wrong option, argument or command; typer exports no name


class CommandGroup(TyperGroup):
    """The commands, with their errors reported as one line; tracebacks only with --debug."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse, with errors reported as one line."""
        escape_unencodable_text()
        with errors_reported(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command, with errors reported as one line."""
        with errors_reported(ctx):
            return super().invoke(ctx)


@contextmanager
def errors_reported(ctx: Any) -> Iterator[None]:
    """Print an error raised inside as one line and exit with its code: 2 bad input, 1 failed run, 130 interrupted.

    Other exceptions pass, and with --debug all but the interruptions do.
    """
    try:
        yield
    except Stopped as stop:
        typer.echo(stop.message, err=True)
        raise typer.Exit(stop.exit_code) from None
    except GmmeditError as error:
        if is_debugging() and error.message:  # an error without a message is reported by another process
            raise
        print_error(error, error.message, error.hint)
        raise typer.Exit(error.exit_code) from None
    except UsageError as error:
        message = error.format_message().replace("Value error, ", "")  # added by pydantic
        if message.startswith("Usage: "):  # no command was given: typer prints the help
            raise
        print_error(error, " ".join(message.split()), f"{(error.ctx or ctx).command_path} --help")
        raise typer.Exit(error.exit_code) from None
    except BrokenPipeError:  # `gmmedit inspect FILE | head`: typer exits without a message
        raise
    except UnicodeEncodeError as error:
        if is_debugging():
            raise
        text = ascii(error.object[error.start : error.end])
        print_error(
            error, f"{text} cannot be written in the encoding {error.encoding} of this terminal", "export PYTHONUTF8=1"
        )
        raise typer.Exit(RunError.exit_code) from None
    except OSError as error:
        if is_debugging():
            raise
        file = f" for {error.filename}" if error.filename else ""
        print_error(error, f"operating system error{file}: {error.strerror or error}", "--debug shows where")
        raise typer.Exit(RunError.exit_code) from None
    except (MemoryError, RuntimeError) as error:
        if is_debugging() or not out_of_memory(error):
            raise
        print_error(error, "out of memory", "--batch 16, another --device, or a smaller batch in --config")
        raise typer.Exit(RunError.exit_code) from None
    except KeyboardInterrupt:
        typer.echo("stopped: finished work is kept; run the same command to resume", err=True)
        raise typer.Exit(130) from None
