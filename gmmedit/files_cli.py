"""The commands that look at files and write none: inspect, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gmmedit.completion import complete_artifacts
from gmmedit.edge import RUN, Batch, Debug, Device, Json, Quiet, Run
from gmmedit.terminal import executing


def inspect(
    file: Annotated[
        Path,
        typer.Argument(
            help="Any artifact, finished or partial, or a generator's file or name.", autocompletion=complete_artifacts
        ),
    ],
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Explain an artifact or a generator in a screen."""
    from gmmedit.stages.shared.describing import describe
    from gmmedit.tables import show_description

    facts = describe(file)
    if json_:
        import json

        typer.echo(json.dumps(facts, indent=1))
        return
    show_description(facts)


def verify(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Artifacts; default: all of the run folder.", autocompletion=complete_artifacts),
    ] = None,
    run: Run = RUN, device: Device = "cpu", batch: Batch = 16, quiet: Quiet = False, debug: Debug = False,
    rows: Annotated[int, typer.Option(min=0, help="Rows of each file to make once more; 0: none.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Which rows.")] = 0,
    json_: Json = False,
) -> None:  # fmt: skip
    """Check a run: checksums, parents, weights, some rows.

    Those rows are made once more. Exit status 0: all is well.
    """
    from gmmedit.stages import verify as stage
    from gmmedit.tables import show_checks

    with executing(None, device, batch, False, False, quiet or json_) as execution:
        checks = stage.run(run, files or [], rows, seed, execution)
    show_checks(checks, quiet, json_)
    if any(check.result == stage.FAILED for check in checks):
        raise typer.Exit(1)
