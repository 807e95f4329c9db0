"""The commands that show, check and convert what the steps made: look, inspect, verify, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gmmedit.cli.completion import complete_artifacts
from gmmedit.cli.options import RUN, Batch, Debug, Device, Force, Json, Quiet, Run, Trust, expand_home
from gmmedit.cli.output import open_execution, print_written


def look(
    run: Run = RUN, device: Device = "cpu", batch: Batch = 16, quiet: Quiet = False, debug: Debug = False,
    trust: Trust = False,
    k: Annotated[int, typer.Option("-k", min=1, help="Samples of each value that are shown at either end.")] = 6,
) -> None:  # fmt: skip
    """Show the most and least confident samples -> look/*.png."""
    from gmmedit.stages import look as stage

    with open_execution(run, device, batch, False, False, quiet, trust) as execution:
        paths = stage.run(run, k, execution)
    for path in paths:
        print_written(path, quiet)


def inspect(
    file: Annotated[
        Path,
        typer.Argument(
            help="Artifact (finished or partial), file of a trained classifier, or file or name of a generator.",
            autocompletion=complete_artifacts,
        ),
    ],
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Describe an artifact, a generator or a classifier."""
    from gmmedit.cli.describe import describe
    from gmmedit.cli.tables import show_description

    facts = describe(file)
    if json_:
        import json

        typer.echo(json.dumps(facts, indent=1))
        return
    show_description(facts)


def verify(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Artifacts (default: all in the run folder).", autocompletion=complete_artifacts),
    ] = None,
    run: Run = RUN, device: Device = "cpu", batch: Batch = 16, quiet: Quiet = False, debug: Debug = False,
    trust: Trust = False,
    rows: Annotated[int, typer.Option(min=0, help="Rows of each file to recompute; 0: none.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Seed that selects the rows.")] = 0,
    json_: Json = False,
) -> None:  # fmt: skip
    """Check structure, checksums, parents, weights, rows.

    Recomputes sampled rows. Exits with status 1 if a check failed.
    """
    from gmmedit.cli.tables import show_checks
    from gmmedit.stages import verify as stage

    with open_execution(None, device, batch, False, False, quiet or json_, trust) as execution:
        checks = stage.run(run, files or [], rows, seed, execution)
    show_checks(checks, stage.commands_to_mend(checks), quiet, json_)
    if any(check.result == stage.FAILED for check in checks):
        raise typer.Exit(1)


def export(
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write: .npy, .npz or .pt.", callback=expand_home)],
    attr: Annotated[
        list[str] | None, typer.Option(help="Export the direction of NAME[=VALUE]; repeat it for several (.npz).")
    ] = None,
    edits: Annotated[
        Path | None, typer.Option(help="Export the latents of this edits.h5.", callback=expand_home)
    ] = None,
    column: Annotated[str | None, typer.Option(help="Column of --edits: a strength, a heading, or before.")] = None,
    as_: Annotated[
        Literal["interfacegan", "control", "projected_w", "draggan"] | None,
        typer.Option("--as", help="Format (default: interfacegan for --attr, projected_w for --edits)."),
    ] = None,
    run: Run = RUN, device: Device = "cpu", force: Force = False, quiet: Quiet = False, debug: Debug = False,
    trust: Trust = False,
) -> None:  # fmt: skip
    """Write directions or latents for other projects.

    InterFaceGAN, stylegan3-editing, NVIDIA's --projected-w, DragGAN.
    """
    from gmmedit.stages import edit
    from gmmedit.stages import export as stage

    known = edit.attributes_of(run) if attr else []
    aims = tuple(stage.Aim.parse(text, known) for text in attr or [])
    request = stage.ExportRequest(out, aims, edits, column, as_)
    with open_execution(None, device, 1, force, False, quiet, trust) as execution:
        paths, lines = stage.run(run, request, execution)
    for line in [] if quiet else lines:
        typer.echo(line)
    for path in paths:
        print_written(path, quiet)
