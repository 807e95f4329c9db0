"""The command line: one short command per stage, in pipeline order.

Nothing heavy is imported here; torch comes with the stage that a command runs, rich with the tables that it shows.
"""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from gmmedit import __version__
from gmmedit.cli.completion import complete_generators
from gmmedit.cli.discover import discover, disentanglement
from gmmedit.cli.edit import edit
from gmmedit.cli.errors import CommandGroup
from gmmedit.cli.evaluate import compare, evaluate, report
from gmmedit.cli.generate import generate
from gmmedit.cli.graph import graph
from gmmedit.cli.inspect import export, inspect, look, verify
from gmmedit.cli.invert import invert
from gmmedit.cli.models import models
from gmmedit.cli.options import (
    RUN,
    AutoPrecision,
    Batch,
    ConfigFile,
    Debug,
    Device,
    FirstSeed,
    FitSeed,
    Force,
    FullPrecision,
    Json,
    Quiet,
    Restart,
    Run,
    Trust,
)
from gmmedit.cli.output import open_execution, print_written
from gmmedit.cli.serve import serve
from gmmedit.cli.train import train
from gmmedit.errors import InputError


def print_version(requested: bool) -> None:
    """Callback of --version."""
    if requested:
        typer.echo(f"gmmedit {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would take longer to import than everything else
    help="Find attribute subspaces in the latent space of a pretrained GAN and edit images inside them. Steps, in "
    "order: sample, label, fit-single, fit-mixture, edit. A stopped step resumes when its command is run again.",
)


@app.callback()
def start(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=print_version)
    ] = False,
) -> None:
    """Options without a command."""


@app.command()
def sample(
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu", batch: Batch = 16, seed: FirstSeed = None,
    force: Force = False, restart: Restart = False, quiet: Quiet = False, debug: Debug = False, trust: Trust = False,
    gan: Annotated[
        str | None,
        typer.Option(help="Generator: a name (see gmmedit models) or a file.", autocompletion=complete_generators),
    ] = None,
    n: Annotated[int | None, typer.Option("-n", help="Number of samples.")] = None,
    psi: Annotated[float | None, typer.Option(help="Truncation psi; 1: no truncation.")] = None,
    cutoff: Annotated[int | None, typer.Option(help="Number of layers that psi truncates (default: all).")] = None,
    class_: Annotated[int | None, typer.Option("--class", help="Class index of a conditional generator.")] = None,
    noise: Annotated[
        Literal["const", "none", "random"] | None, typer.Option(help="Noise inputs: stored, zero, or random.")
    ] = None,
    images: Annotated[bool | None, typer.Option("--images", help="Also store the images.")] = None,
    prior: Annotated[
        str | None, typer.Option(help="A mixture.h5 of this generator to draw from, instead of its own prior.")
    ] = None,
    do: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE that every sample is made to have, with its effects; of train bigan."),
    ] = None,
) -> None:  # fmt: skip
    """Step 1: draw latents from the prior -> samples.h5."""
    from gmmedit import config as settings
    from gmmedit.cli.tables import show_readings
    from gmmedit.stages import sample as stage

    flags: dict[str, object] = {"gan": gan, "n": n, "seed": seed, "psi": psi, "images": images, "prior": prior}
    flags |= {"cutoff": cutoff, "class_index": class_, "noise": noise, "do": do or None}
    resolved = settings.load(config, sample=flags)
    with open_execution(run, device, batch, force, restart, quiet, trust, wide=True) as execution:
        path = stage.run(run, resolved.sample, execution)
    print_written(path, quiet, path in execution.kept)
    if resolved.sample.do and not quiet:
        show_readings(path)


@app.command()
def label(
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu", batch: Batch = 16,
    force: Force = False, restart: Restart = False, quiet: Quiet = False, debug: Debug = False, trust: Trust = False,
    classifier: Annotated[
        str | None, typer.Option(help="Name, file, or YAML description (default: the one paired with the generator).")
    ] = None,
    from_images: Annotated[
        bool, typer.Option("--from-images", help="Label the images that sample --images stored.")
    ] = False,
    inverted: Annotated[
        bool, typer.Option("--inverted", help="Label the photographs of inversions.h5 by a table of their file names.")
    ] = False,
    precision: FullPrecision = None, json_: Json = False,
) -> None:  # fmt: skip
    """Step 2: generate and classify the images -> labels.h5."""
    from gmmedit import config as settings
    from gmmedit.cli.tables import show_labels
    from gmmedit.stages import label as stage

    if from_images and inverted:
        raise InputError("--from-images cannot be combined with --inverted", hint="a table labels the photographs")
    resolved = settings.load(config, label={"classifier": classifier, "precision": precision})
    with open_execution(run, device, batch, force, restart, quiet, trust, wide=True) as execution:
        path = stage.run(run, resolved.label, execution, from_images, inverted)
    show_labels(path, quiet, json_, path in execution.kept)


app.command()(look)


@app.command("fit-single")
def fit_single(
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu", seed: FitSeed = None,
    force: Force = False, restart: Restart = False, quiet: Quiet = False, debug: Debug = False, trust: Trust = False,
    space: Annotated[
        Literal["auto", "z", "w"] | None, typer.Option(help="Latent space; auto (default): w if there is one.")
    ] = None,
    read: Annotated[
        Literal["auto", "linear", "network"] | None,
        typer.Option(help="Model from latents to attribute coordinates; auto (default): by held-out accuracy."),
    ] = None,
    block: Annotated[str | None, typer.Option(help="Part of the space to fit in, e.g. style; see inspect.")] = None,
    steps: Annotated[
        int | None, typer.Option(help="Number of Adam steps, for each of the two models of --read auto.")
    ] = None,
    json_: Json = False,
) -> None:  # fmt: skip
    """Step 3: fit one Gaussian per category -> single.h5."""
    from gmmedit import config as settings
    from gmmedit.cli.tables import show_fit
    from gmmedit.stages import fit_single as stage

    flags = {"space": space, "block": block, "read": read, "steps": steps, "seed": seed}
    resolved = settings.load(config, fit_single=flags)
    with open_execution(run, device, 1, force, restart, quiet, trust, wide=True) as execution:
        path = stage.run(run, resolved.fit_single, execution)
    show_fit(path, quiet, json_, path in execution.kept)


@app.command("fit-mixture")
def fit_mixture(
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu", seed: FitSeed = None,
    force: Force = False, restart: Restart = False, quiet: Quiet = False, debug: Debug = False, trust: Trust = False,
    consistency: Annotated[
        Literal["exact", "surrogate", "off"] | None, typer.Option(help="Networks used by the consistency losses.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Adam steps at most.")] = None,
    precision: AutoPrecision = None, json_: Json = False,
) -> None:  # fmt: skip
    """Step 4: fit all Gaussians as one mixture -> mixture.h5."""
    from gmmedit import config as settings
    from gmmedit.cli.tables import show_fit
    from gmmedit.stages import fit_mixture as stage

    flags = {"consistency": consistency, "steps": steps, "precision": precision, "seed": seed}
    resolved = settings.load(config, fit_mixture=flags)
    with open_execution(run, device, 1, force, restart, quiet, trust, wide=True) as execution:
        path = stage.run(run, resolved.fit_mixture, execution)
    show_fit(path, quiet, json_, path in execution.kept)


app.command()(edit)
app.command()(invert)
app.command()(graph)
app.command()(discover)
app.command()(disentanglement)
app.command()(generate)
app.command()(evaluate)
app.command()(compare)
app.command()(report)
app.command()(serve)
app.command()(inspect)
app.command()(verify)
app.command()(export)
app.add_typer(models, name="models")
app.add_typer(train, name="train")
