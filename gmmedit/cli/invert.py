"""The command `gmmedit invert`: photographs to latents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gmmedit.cli.options import RUN, ConfigFile, Debug, Device, Force, Json, Quiet, Restart, Run, Trust, expand_home
from gmmedit.cli.output import open_execution, print_error


def invert(
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.", metavar="IMAGE|FOLDER...")],
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu",
    force: Force = False, restart: Restart = False, quiet: Quiet = False, debug: Debug = False, trust: Trust = False,
    space: Annotated[
        Literal["auto", "z", "w", "w+"] | None,
        typer.Option(help="Latents to find; auto (default): those that the run edits, W as w+."),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimisation steps per image; 0: the start only.")] = None,
    crop: Annotated[
        Literal["center", "box", "none"] | None,
        typer.Option(help="How to cut: the middle (default), the whole with background beside it, or resize only."),
    ] = None,
    landmarks: Annotated[
        Path | None, typer.Option(help="CSV of five landmarks per file: align faces as FFHQ.", callback=expand_home)
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Name or file to start from; auto (default): that of the generator; none.")
    ] = None,
    features: Annotated[
        str | None, typer.Option(help="Feature network to compare with (default: the labelling classifier); none.")
    ] = None,
    tune: Annotated[
        bool, typer.Option("--tune", help="Also tune a copy of the generator around them, which edit --inverted uses.")
    ] = False,
    json_: Json = False,
) -> None:  # fmt: skip
    """Find the latents of photographs -> inversions.h5, PNGs.

    Then gmmedit edit --inverted edits them.
    """
    from gmmedit import config as settings
    from gmmedit.cli.tables import show_inversions
    from gmmedit.stages import invert as stage

    flags = {"space": space, "steps": steps, "crop": crop, "encoder": encoder, "features": features}
    resolved = settings.load(config, invert=flags)
    with open_execution(run, device, 1, force, restart, quiet, trust) as execution:
        path, refused = stage.run(run, resolved.invert, images, execution, landmarks, resolved.tune if tune else None)
    show_inversions(path, quiet, json_, path in execution.kept)
    for error in refused:
        print_error(error, error.message, error.hint)
    if refused:
        raise typer.Exit(refused[0].exit_code)
