"""Command lines as hints name them: pasted, they act on the run that the message is about."""

import os
import shlex
from pathlib import Path

DEFAULT_RUN = Path("runs/default")


def default_run() -> Path:
    """The run folder of a command without `--run`."""
    return Path(os.path.expanduser(os.environ.get("GMMEDIT_RUN") or DEFAULT_RUN))


def on_run(command: str, run: Path) -> str:
    """The command line with `--run`, left out for the run that the command uses without it."""
    return command if run == default_run() else f"{command} --run {shlex.quote(str(run))}"
