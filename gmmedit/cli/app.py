"""The command line: one short command per stage, in pipeline order.

Nothing heavy is imported here; torch comes with the stage that a command runs, rich with the tables that it shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gmmedit import __version__
from gmmedit.cli.completion import complete_attributes, complete_generators
from gmmedit.cli.errors import CommandGroup
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
    DrawSeed,
    EditorSeed,
    FirstSeed,
    FitSeed,
    Force,
    FullPrecision,
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
from gmmedit.cli.serve import serve
from gmmedit.cli.train import train

ATTR = "NAME[=VALUE][:STRENGTH], e.g. smile, hair_color=blond, glasses:-1. Repeat to edit several attributes at once."


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
) -> None:  # fmt: skip
    """Step 1: draw latents from the prior -> samples.h5."""
    from gmmedit import config as settings
    from gmmedit.stages import sample as stage

    flags = {"gan": gan, "n": n, "seed": seed, "psi": psi, "images": images}
    flags |= {"cutoff": cutoff, "class_index": class_, "noise": noise}
    resolved = settings.load(config, sample=flags)
    with open_execution(run, device, batch, force, restart, quiet, trust, wide=True) as execution:
        path = stage.run(run, resolved.sample, execution)
    print_written(path, quiet, path in execution.kept)


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
    precision: FullPrecision = None, json_: Json = False,
) -> None:  # fmt: skip
    """Step 2: generate and classify the images -> labels.h5."""
    from gmmedit import config as settings
    from gmmedit.cli.tables import show_labels
    from gmmedit.stages import label as stage

    resolved = settings.load(config, label={"classifier": classifier, "precision": precision})
    with open_execution(run, device, batch, force, restart, quiet, trust, wide=True) as execution:
        path = stage.run(run, resolved.label, execution, from_images)
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
    steps: Annotated[
        int | None, typer.Option(help="Number of Adam steps, for each of the two models of --read auto.")
    ] = None,
    json_: Json = False,
) -> None:  # fmt: skip
    """Step 3: fit one Gaussian per category -> single.h5."""
    from gmmedit import config as settings
    from gmmedit.cli.tables import show_fit
    from gmmedit.stages import fit_single as stage

    flags = {"space": space, "read": read, "steps": steps, "seed": seed}
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


@app.command()
def edit(
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu", batch: NoBatch = None, seed: DrawSeed = None,
    force: NoForce = False, restart: Restart = False, quiet: Quiet = False, debug: Debug = False, trust: Trust = False,
    attr: Annotated[list[str] | None, typer.Option(help=ATTR, autocompletion=complete_attributes)] = None,
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
    out: Annotated[
        Path | None, typer.Option(help="Output folder (default: the run folder).", callback=expand_home)
    ] = None,
    video: Annotated[
        Path | None,
        typer.Option(help="Also write the sweep of --alphas as this MP4 file.", callback=expand_home),
    ] = None,
    precision: PolishPrecision = None, json_: Json = False,
) -> None:  # fmt: skip
    """Step 5: move latents towards a component -> edits.h5, PNGs."""
    from gmmedit import config as settings
    from gmmedit.cli.tables import show_edit
    from gmmedit.stages import edit as stage

    note_ignored_options("edit", quiet, batch=batch, force=force)
    flags = {"draw": draw, "polish": polish, "picture": picture, "precision": precision, "seed": seed, "gan": gan}
    flags["features"] = features
    resolved = settings.load(config, edit=flags)
    known = stage.attributes_of(run) if attr else []
    request = stage.Request.parse(
        attr or [], alpha, alphas, target, index, seeds, latents, each, known, latents_space, inverted
    )
    with open_execution(run, device, 1, False, restart, quiet, trust) as execution:
        path = stage.run(run, resolved.edit, request, execution, out, video)
    show_edit(path, quiet, json_)
    if video:
        print_written(video, quiet or json_)


app.command()(invert)


Unseen = Annotated[int | None, typer.Option("-n", help="Number of evaluation samples.")]
Editors = Annotated[str | None, typer.Option(help="Comma-separated names of editors.")]
Evaluator = Annotated[
    str | None, typer.Option(help="Evaluation classifier (default: an independently trained one, if known).")
]
Features = Annotated[
    str | None, typer.Option(help="Feature network for identity and realism (default: that of the classifier).")
]


@app.command()
def evaluate(
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu", batch: Batch = 64, seed: EditorSeed = None,
    force: Force = False, restart: Restart = False, quiet: Quiet = False, debug: Debug = False, trust: Trust = False,
    n: Unseen = None, editors: Editors = None, classifier: Evaluator = None, features: Features = None,
    precision: AutoPrecision = None, json_: Json = False,
) -> None:  # fmt: skip
    """Evaluate our editors on unseen samples -> evaluation.h5."""
    from gmmedit import config as settings
    from gmmedit.cli.tables import show_scores
    from gmmedit.stages import evaluate as stage

    chosen = {"n": n, "editors": split_names(editors), "seed": seed, "classifier": classifier, "features": features}
    chosen["precision"] = precision
    resolved = settings.load(config, evaluate=chosen)
    with open_execution(run, device, batch, force, restart, quiet, trust, wide=True) as execution:
        path = stage.run(run, resolved.evaluate, execution)
    show_scores(path, quiet, json_, path in execution.kept)


@app.command()
def compare(
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu", batch: Batch = 64, seed: EditorSeed = None,
    force: Force = False, restart: Restart = False, quiet: Quiet = False, debug: Debug = False, trust: Trust = False,
    n: Unseen = None, editors: Editors = None, classifier: Evaluator = None, features: Features = None,
    precision: AutoPrecision = None, json_: Json = False,
) -> None:  # fmt: skip
    """Evaluate our editors and the baselines -> comparison.h5."""
    from gmmedit import config as settings
    from gmmedit.cli.tables import show_scores
    from gmmedit.stages import compare as stage

    chosen = {"n": n, "editors": split_names(editors), "seed": seed, "classifier": classifier, "features": features}
    chosen["precision"] = precision
    resolved = settings.load(config, compare=chosen)
    with open_execution(run, device, batch, force, restart, quiet, trust, wide=True) as execution:
        path = stage.run(run, resolved.compare, execution)
    show_scores(path, quiet, json_, path in execution.kept)


@app.command()
def report(
    run: Run = RUN, device: Device = "cpu", batch: NoBatch = None, restart: Restart = False, quiet: Quiet = False,
    debug: Debug = False, trust: Trust = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Output file (default: report.html in the run folder).", callback=expand_home),
    ] = None,
) -> None:  # fmt: skip
    """Write an HTML page about a run -> report.html."""
    from gmmedit.stages import report as stage

    note_ignored_options("report", quiet, batch=batch)
    with open_execution(run, device, 1, False, restart, quiet, trust) as execution:
        path, missing = stage.run(run, execution, out)
    for line in [] if quiet else missing:
        typer.echo(f"note: {line}")
    print_written(path, quiet)


def split_names(names: str | None) -> list[str] | None:
    """`a,b` to a list; None stays None."""
    return names.split(",") if names else None


app.command()(serve)
app.command()(inspect)
app.command()(verify)
app.command()(export)
app.add_typer(models, name="models")
app.add_typer(train, name="train")
