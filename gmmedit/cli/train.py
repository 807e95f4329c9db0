"""The commands `gmmedit train ...`: train the networks that come with gmmedit, and encoders of any generator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gmmedit.cli.options import Debug, Device, FitSeed, Quiet, Trust, expand_home
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


@train.command("encoder")
def train_encoder(
    run: Annotated[
        Path | None, typer.Option("--run", help="Run folder whose generator is encoded.", callback=expand_home)
    ] = None,
    gan: Annotated[str | None, typer.Option(help="Generator, instead of a run's: a name or a file.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Output folder (default: the run folder, or runs/train).", callback=expand_home)
    ] = None,
    images: Annotated[int | None, typer.Option(min=16, help="Number of samples to train on, each used once.")] = None,
    device: Device = "cpu", seed: FitSeed = None, trust: Trust = False, quiet: Quiet = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Train an encoder, image to latent, on a generator's own samples; a stopped training resumes."""
    from gmmedit.runtime.execution import prepare
    from gmmedit.training import encoder_loop as loop
    from gmmedit.training.encoder import EncoderSettings

    chosen = {"images": images, "seed": seed}
    settings = EncoderSettings(**{name: value for name, value in chosen.items() if value is not None})
    folder = out or run or Path("runs/train")
    with open_execution(run, device, 1, False, False, quiet, trust) as execution:
        prepare(execution)
        with loop.open_networks(run, gan, execution) as (renderer, classifier):
            path = loop.train_encoder(folder, settings, renderer, classifier, execution)
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
