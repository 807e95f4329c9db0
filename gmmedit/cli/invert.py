"""The command `gmmedit invert`: photographs to latents."""

from __future__ import annotations

import shlex
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gmmedit.cli.completion import complete_generators
from gmmedit.cli.options import RUN, ConfigFile, Debug, Device, Force, Json, Quiet, Restart, Run, Trust, expand_home
from gmmedit.cli.output import open_execution, print_error
from gmmedit.errors import Incomplete, InputError
from gmmedit.runtime.commands import on_run

if TYPE_CHECKING:
    from gmmedit.config import SampleSettings
    from gmmedit.runtime.execution import Execution


def invert(
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.", metavar="IMAGE|FOLDER...")],
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu",
    force: Force = False, restart: Restart = False, quiet: Quiet = False, debug: Debug = False, trust: Trust = False,
    gan: Annotated[
        str | None,
        typer.Option(
            help="Generator by name or file, of which no run is needed: its samples are drawn where the result is "
            "written, unless they are there.",
            autocompletion=complete_generators,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Output folder (default: the run folder).", callback=expand_home)
    ] = None,
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
        str | None, typer.Option(help="Network to compare with (default: the classifier); none; discriminator.")
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
    from gmmedit.editing.photographs import list_photographs
    from gmmedit.stages import invert as stage

    flags = {"space": space, "steps": steps, "crop": crop, "encoder": encoder, "features": features}
    resolved = settings.load(config, sample={"gan": gan}, invert=flags)
    if gan is not None and out is not None:
        run, out = out, None  # a run folder of its own
    with suppress(Incomplete), open_execution(run, device, 1, force, restart, quiet, trust) as execution:
        if gan is not None:
            list_photographs(images)  # refused before samples are drawn
            draw_samples(run, resolved.sample, execution)
        tuning = resolved.tune if tune else None
        path, refused = stage.run(run, resolved.invert, images, execution, landmarks, tuning, out)
        if refused:  # for the log, which would say that all is done
            raise Incomplete(f"done but for {len(refused)}: {'; '.join(error.message for error in refused)}")
    show_inversions(path, quiet, json_, path in execution.kept)
    for error in refused:
        print_error(error, error.message, error.hint)
    if refused:
        raise typer.Exit(refused[0].exit_code)


def draw_samples(run: Path, settings: SampleSettings, execution: Execution) -> None:
    """Write samples.h5 of the generator that the settings name, unless the run folder has one of this generator.

    InputError: it has one of another generator; or the generator cannot be loaded, or needs more settings.
    """
    from gmmedit.run.folder import RunFolder
    from gmmedit.stages import sample as stage

    if (run / "samples.h5").exists():
        with RunFolder(run, execution) as run_folder:
            run_folder.check_generator(settings.gan)
        return
    try:
        stage.run(run, settings, execution)
    except InputError as error:
        if not error.hint.startswith("--"):
            raise
        command = on_run(f"gmmedit sample --gan {shlex.quote(settings.gan)} {error.hint}", run)
        raise InputError(error.message, hint=f"{command}, then invert without --gan") from error
