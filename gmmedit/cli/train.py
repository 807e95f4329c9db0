"""The commands `gmmedit train ...`: train the networks that come with gmmedit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gmmedit.cli.options import Debug, Device, FitSeed, Quiet, expand_home
from gmmedit.cli.output import open_execution, print_written

train = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Train the networks that come with gmmedit.")

Data = Annotated[Literal["avatars"], typer.Option(help="Data set to train on.")]
Out = Annotated[Path, typer.Option(help="Folder for weights, checkpoint, log, sample sheets.", callback=expand_home)]


@train.command("generator")
def train_generator(
    data: Data = "avatars", out: Out = Path("runs/train"), device: Device = "cpu", seed: FitSeed = None,
    phases: Annotated[
        str | None, typer.Option(help="Image sizes and images per size, e.g. 32:160000,64:100000.")
    ] = None,
    quiet: Quiet = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Train the embedded StyleGAN2; a stopped training resumes."""
    from gmmedit.runtime.execution import prepare
    from gmmedit.training.loop import train_generator as run
    from gmmedit.training.stylegan2_settings import GANSettings

    settings = GANSettings.parse(seed, phases)
    with open_execution(None, device, 1, False, False, quiet) as execution:
        prepare(execution)
        path = run(out, settings, execution)
    print_written(path, quiet)


@train.command("classifier")
def train_classifier(
    data: Data = "avatars", out: Out = Path("runs/train"), device: Device = "cpu",
    network: Annotated[
        Literal["labelling", "evaluation", "factors"],
        typer.Option(help="Which one: it labels, it evaluates, or it evaluates and reads all factors."),
    ] = "labelling",
    evaluator: Annotated[bool, typer.Option("--evaluator", help="The same as --network evaluation.")] = False,
    quiet: Quiet = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Train a classifier of avatars; a stopped training resumes."""
    from gmmedit.runtime.execution import prepare
    from gmmedit.training.loop import train_classifier as run

    with open_execution(None, device, 1, False, False, quiet) as execution:
        prepare(execution)
        path = run(out, "evaluation" if evaluator else network, execution)
    print_written(path, quiet)


@train.command("quality")
def train_quality(
    n: Annotated[int, typer.Option("-n", min=100, help="Number of generated samples.")] = 10_000,
    gan: Annotated[str, typer.Option(help="Name or file of a generator of avatars.")] = "avatars",
    debug: Debug = False,
) -> None:
    """Print quality measures of a generator of avatars as JSON.

    Label rates, confidence, distance to the data, and classifier accuracy.
    """
    import json

    from gmmedit.training.quality import measure

    typer.echo(json.dumps(measure(n, gan), indent=1))
