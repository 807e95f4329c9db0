"""What the commands share: their options, and the edge where errors become a line and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gmmedit.cli.output import complain, escape_unprintable_text
from gmmedit.errors import GmmeditError, RunError, debugging, out_of_memory
from gmmedit.runtime.signals import Stopped

UsageError: Any = typer.BadParameter.__mro__[1]  # a wrong option, argument or command; typer exports no name


class Edge(TyperGroup):
    """Turns the project's errors into one line and an exit code; a traceback only with --debug."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        escape_unprintable_text()
        with edge(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        with edge(ctx):
            return super().invoke(ctx)


@contextmanager
def edge(ctx: Any) -> Iterator[None]:
    try:
        yield
    except Stopped as stop:
        typer.echo(stop.message, err=True)
        raise typer.Exit(stop.exit_code) from None
    except GmmeditError as error:
        if debugging["on"] and error.message:  # none: it is another process's
            raise
        complain(error.message, error.hint)
        raise typer.Exit(error.exit_code) from None
    except UsageError as error:
        message = error.format_message().replace("Value error, ", "")  # pydantic's words
        if message.startswith("Usage: "):  # nothing was asked for: typer shows the help
            raise
        complain(" ".join(message.split()), f"{(error.ctx or ctx).command_path} --help")
        raise typer.Exit(error.exit_code) from None
    except BrokenPipeError:  # `gmmedit inspect FILE | head`: typer ends quietly
        raise
    except UnicodeEncodeError as error:
        if debugging["on"]:
            raise
        text = ascii(error.object[error.start : error.end])
        complain(f"{text} cannot be written in the encoding {error.encoding} of this terminal", "export PYTHONUTF8=1")
        raise typer.Exit(RunError.exit_code) from None
    except OSError as error:
        if debugging["on"]:
            raise
        what = f" {error.filename}" if error.filename else ""
        complain(f"the system refused{what}: {error.strerror or error}", "--debug shows where")
        raise typer.Exit(RunError.exit_code) from None
    except (MemoryError, RuntimeError) as error:
        if debugging["on"] or not out_of_memory(error):
            raise
        complain("out of memory", "--batch 16, another --device, or a smaller batch in --config")
        raise typer.Exit(RunError.exit_code) from None
    except KeyboardInterrupt:
        typer.echo("stopped: finished work is kept, the same command goes on from there", err=True)
        raise typer.Exit(130) from None


def switch_debugging(on: bool) -> bool:
    debugging["on"] = on
    return on


def expand_home(path: Path | None) -> Path | None:
    """`--run=~/runs` and GMMEDIT_RUN="~/runs" come here as they are written."""
    return path and path.expanduser()


RUN = Path("runs/default")
Run = Annotated[Path, typer.Option("--run", envvar="GMMEDIT_RUN", help="Run folder.", callback=expand_home)]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="YAML settings; flags win over it.", callback=expand_home)
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps ...")]
Batch = Annotated[int, typer.Option(min=1, help="Images at once on a GPU (a CPU takes 16); no result depends on it.")]
NoBatch = Annotated[int | None, typer.Option("--batch", min=1, hidden=True)]  # once offered, and without effect
NoForce = Annotated[bool, typer.Option("--force", hidden=True)]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of every random number.")]
Force = Annotated[
    bool, typer.Option("--force", help="Overwrite a finished file that was created with different settings.")
]
Restart = Annotated[bool, typer.Option("--restart", help="Discard unfinished work instead of resuming it.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]
Debug = Annotated[
    bool, typer.Option("--debug", help="Show a traceback on errors.", is_eager=True, callback=switch_debugging)
]
Trust = Annotated[bool, typer.Option("--trust", help="Run Python files that only the run names.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
