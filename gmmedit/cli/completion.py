"""What Tab offers in a shell (`gmmedit --install-completion`): names that can be found without torch.

Where nothing is offered the shell completes names of files. Nothing heavy is imported before Tab is pressed.
"""

from __future__ import annotations

from pathlib import Path

import typer

from gmmedit.cli.options import RUN
from gmmedit.errors import GmmeditError


def complete_attributes(ctx: typer.Context, incomplete: str) -> list[str]:
    """`smile`, `smile=no`, `hair_color=blond`: what the run's newest artifact with attributes lets --attr say."""
    from gmmedit import artifacts

    for kind in ("mixture", "labels"):
        try:
            with artifacts.open(run_of(ctx) / f"{kind}.h5", kind) as artifact:
                attributes = artifact.attributes
        except (GmmeditError, OSError):
            continue
        shown = [
            name if len(values) == 2 and value == values[1] else f"{name}={value}"
            for name, values in attributes
            for value in values
        ]
        return [text for text in shown if text.startswith(incomplete)]
    return []


def complete_generators(incomplete: str) -> list[str]:
    """Names of the catalogue."""
    from gmmedit.hub import CATALOGUE

    return [name for name in CATALOGUE if name.startswith(incomplete)]


def complete_fetchable(incomplete: str) -> list[str]:
    """Names of the catalogue, without those that come with gmmedit."""
    from gmmedit.hub import CATALOGUE

    return [name for name in complete_generators(incomplete) if not CATALOGUE[name].embedded]


def complete_artifacts(ctx: typer.Context, incomplete: str) -> list[str]:
    """Files of the run folder that `inspect` and `verify` explain."""
    found = [*run_of(ctx).glob("*.h5"), *run_of(ctx).glob("*.h5.partial")]
    return [str(path) for path in sorted(found) if str(path).startswith(incomplete)]


def run_of(ctx: typer.Context) -> Path:
    """The run folder as --run or GMMEDIT_RUN say; `inspect` has no such option."""
    import os

    return Path(ctx.params.get("run") or os.environ.get("GMMEDIT_RUN") or RUN).expanduser()
