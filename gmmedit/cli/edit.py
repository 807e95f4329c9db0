"""`gmmedit edit`: the fifth step."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gmmedit.cli.completion import complete_attributes
from gmmedit.cli.options import (
    RUN,
    ConfigFile,
    Debug,
    Device,
    DrawSeed,
    Json,
    NoBatch,
    NoForce,
    PolishPrecision,
    Quiet,
    Restart,
    Run,
    Trust,
    expand_home,
)
from gmmedit.cli.output import note_ignored_options, open_execution, print_written

ATTR = "NAME[=VALUE][:STRENGTH], e.g. smile, hair_color=blond, glasses:-1. Repeat to edit several attributes at once."


def edit(
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu", batch: NoBatch = None, seed: DrawSeed = None,
    force: NoForce = False, restart: Restart = False, quiet: Quiet = False, debug: Debug = False, trust: Trust = False,
    attr: Annotated[list[str] | None, typer.Option(help=ATTR, autocompletion=complete_attributes)] = None,
    direction: Annotated[
        list[str] | None,
        typer.Option(help="NUMBER[:STEPS] of a discovered direction, e.g. 3:2; repeatable, also together with --attr."),
    ] = None,
    do: Annotated[
        list[str] | None,
        typer.Option(help="NAME[=VALUE]: change it and what follows from it.", autocompletion=complete_attributes),
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(help="Strength: 1 reaches the target, above 1 extrapolates, below 0 moves away.")
    ] = None,
    alphas: Annotated[
        str | None,
        typer.Option(help="Sweep of strengths FROM:TO:STEP or A,B,...; five or more also make an animation."),
    ] = None,
    each: Annotated[
        bool,
        typer.Option("--each", help="Edit one --attr per column, not all at once; without --alphas and --target."),
    ] = False,
    target: Annotated[
        float | None, typer.Option(help="Use the least strength at which the first --attr has this probability.")
    ] = None,
    draw: Annotated[
        Literal["coupled", "sample", "mean"] | None,
        typer.Option(help="How the control vector is drawn (default: coupled)."),
    ] = None,
    polish: Annotated[int | None, typer.Option(help="Optimisation steps per image; 0: none, faster.")] = None,
    picture: Annotated[float | None, typer.Option(help="Weight in them of the image's change (default: 12).")] = None,
    index: Annotated[str | None, typer.Option(help="Rows of samples.h5 to edit, e.g. 0-7,20 (default: 0-7).")] = None,
    seeds: Annotated[str | None, typer.Option(help="Edit the latents of these seeds instead, e.g. 85,100-110.")] = None,
    latents: Annotated[
        Path | None,
        typer.Option(help="Edit latents from FILE or FILE:KEY instead (.npz, .npy, .pt).", callback=expand_home),
    ] = None,
    inverted: Annotated[
        bool, typer.Option("--inverted", help="Edit the photographs of inversions.h5 instead (--index: those rows).")
    ] = False,
    latents_space: Annotated[
        Literal["z", "w", "w+"] | None, typer.Option(help="Space of --latents, if ambiguous.")
    ] = None,
    gan: Annotated[
        str | None, typer.Option(help="Generate with another generator of the same latent space, e.g. from PTI.")
    ] = None,
    features: Annotated[
        str | None, typer.Option(help="Feature network for identity (default: that of the embedded model, else none).")
    ] = None,
    paste: Annotated[
        bool | None,
        typer.Option(
            "--paste/--no-paste",
            help="With --inverted: keep the photograph's own pixels where an edit changes little (default: yes).",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Output folder (default: the run folder).", callback=expand_home)
    ] = None,
    video: Annotated[
        Path | None,
        typer.Option(help="Also write the sweep of --alphas as this MP4 file.", callback=expand_home),
    ] = None,
    precision: PolishPrecision = None, json_: Json = False,
) -> None:  # fmt: skip
    """Step 5: move latents to a component -> edits.h5, PNGs."""
    from gmmedit import config as settings
    from gmmedit.cli.tables import show_edit
    from gmmedit.stages import edit as stage
    from gmmedit.stages import traverse

    note_ignored_options("edit", quiet, batch=batch, force=force)
    flags = {"draw": draw, "polish": polish, "picture": picture, "precision": precision, "seed": seed, "gan": gan}
    flags |= {"features": features, "paste": paste}
    resolved = settings.load(config, edit=flags)
    known = stage.attributes_of(run) if attr or do else []
    request = stage.Request.parse(
        do or attr or [],
        alpha,
        alphas,
        target,
        index,
        seeds,
        latents,
        each,
        known,
        latents_space,
        inverted,
        direction or [],
        "--do" if do else "--attr",
    )
    if do:
        request = stage.to_do(request, do, attr or [], known)
    with open_execution(run, device, 1, False, restart, quiet, trust) as execution:
        if request.directions and not attr and not do and not (run / "mixture.h5").exists():
            path = traverse.run(run, request, execution, out, video)
        else:
            path = stage.run(run, resolved.edit, request, execution, out, video)
    show_edit(path, quiet, json_)
    if video:
        print_written(video, quiet or json_)
