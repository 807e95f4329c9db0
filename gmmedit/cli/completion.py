"""Shell completion (`gmmedit --install-completion`) of names that can be found without torch.

Without a suggestion the shell completes file names. Nothing heavy is imported before a completion is requested.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import typer

from gmmedit.errors import GmmeditError
from gmmedit.runtime.commands import default_run


def complete_attributes(ctx: typer.Context, incomplete: str) -> list[str]:
    """Values of --attr from the run's mixture.h5, else labels.h5: `smile`, `smile=no`, `hair_color=blond`."""
    from gmmedit import artifacts

    for kind in ("mixture", "labels"):
        try:
            with artifacts.open(run_folder_of(ctx) / f"{kind}.h5", kind) as artifact:
                attributes = artifact.attributes
        except (GmmeditError, OSError):
            continue
        shown = [
            name if len(values) == 2 and value == values[1] else f"{name}={value}"
            for name, values in attributes
            for value in values
            if is_plain(name) and is_plain(value)
        ]
        return [text for text in shown if text.startswith(incomplete)]
    return []


def complete_generators(incomplete: str) -> list[str]:
    """Names of all generators in the catalogue."""
    from gmmedit.hub import CATALOGUE

    return [name for name in CATALOGUE if name.startswith(incomplete)]


def complete_data(incomplete: str) -> list[str]:
    """Names of all data sets."""
    from gmmedit.datasets import REGISTRY

    return [name for name in REGISTRY.targets() if name.startswith(incomplete)]


def complete_fetchable(incomplete: str) -> list[str]:
    """Names of the generators that `models fetch` downloads."""
    from gmmedit.hub import CATALOGUE

    return [name for name in complete_generators(incomplete) if not CATALOGUE[name].embedded]


def complete_artifacts(ctx: typer.Context, incomplete: str) -> list[str]:
    """Paths of the artifacts in the run folder, finished or partial."""
    found = [*run_folder_of(ctx).glob("*.h5"), *run_folder_of(ctx).glob("*.h5.partial")]
    return [str(path) for path in sorted(found) if is_plain(path.name) and str(path).startswith(incomplete)]


def is_plain(name: str) -> bool:
    """Whether a name from a received file can be given to a shell, which may run `$(...)` in what it completes."""
    return re.fullmatch(r"[\w .+-]+", name) is not None


def run_folder_of(ctx: typer.Context) -> Path:
    """The run folder given by --run or GMMEDIT_RUN; `inspect` has no --run."""
    given = ctx.params.get("run")
    return Path(os.path.expanduser(given)) if given else default_run()
