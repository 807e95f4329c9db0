"""The commands about files: inspect, verify, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gmmedit.cli.completion import complete_artifacts
from gmmedit.cli.options import RUN, Batch, Debug, Device, Force, Json, Quiet, Run, Trust
from gmmedit.cli.output import executing, wrote


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
        typer.Argument(help="Artifacts; default: all of the run folder.", autocompletion=complete_artifacts),
    ] = None,
    run: Run = RUN, device: Device = "cpu", batch: Batch = 16, quiet: Quiet = False, debug: Debug = False,
    trust: Trust = False,
    rows: Annotated[int, typer.Option(min=0, help="Rows of each file to make once more; 0: none.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Which rows.")] = 0,
    json_: Json = False,
) -> None:  # fmt: skip
    """Check a run: checksums, parents, weights, some rows.

    Those rows are made once more. Exit status 0: all is well.
    """
    from gmmedit.cli.tables import show_checks
    from gmmedit.stages import verify as stage

    with executing(None, device, batch, False, False, quiet or json_, trust) as execution:
        checks = stage.run(run, files or [], rows, seed, execution)
    show_checks(checks, quiet, json_)
    if any(check.result == stage.FAILED for check in checks):
        raise typer.Exit(1)


def export(
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write: .npy, .npz or .pt.")],
    attr: Annotated[list[str] | None, typer.Option(help="NAME[=VALUE]: its direction; repeat it for an npz.")] = None,
    edits: Annotated[Path | None, typer.Option(help="The latents of this edits.h5.")] = None,
    column: Annotated[str | None, typer.Option(help="Of --edits: a strength, a heading, or before.")] = None,
    as_: Annotated[
        Literal["interfacegan", "control", "projected_w", "draggan"] | None,
        typer.Option("--as", help="Who reads it; default: interfacegan for --attr, projected_w for --edits."),
    ] = None,
    run: Run = RUN, device: Device = "cpu", force: Force = False, quiet: Quiet = False, debug: Debug = False,
    trust: Trust = False,
) -> None:  # fmt: skip
    """Write directions or edited latents for the scripts of other projects.

    InterFaceGAN, stylegan3-editing, NVIDIA's --projected-w, DragGAN.
    """
    from gmmedit.stages import edit
    from gmmedit.stages import export as stage

    known = edit.attributes_of(run) if attr else []
    aims = tuple(stage.Aim.parse(text, known) for text in attr or [])
    request = stage.ExportRequest(out, aims, edits, column, as_)
    with executing(None, device, 1, force, False, quiet, trust) as execution:
        paths, lines = stage.run(run, request, execution)
    for line in [] if quiet else lines:
        typer.echo(line)
    for path in paths:
        wrote(path, quiet)
