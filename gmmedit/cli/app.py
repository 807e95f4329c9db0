"""The command line: one short command per stage, in pipeline order.

Nothing heavy is imported here; torch comes with the stage that a command runs, rich with the tables that it shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gmmedit import __version__
from gmmedit.cli.completion import complete_attributes, complete_generators
from gmmedit.cli.inspect import export, inspect, verify
from gmmedit.cli.models import models
from gmmedit.cli.options import (
    RUN,
    Batch,
    ConfigFile,
    Debug,
    Device,
    Edge,
    Force,
    Json,
    NoBatch,
    NoForce,
    Quiet,
    Restart,
    Run,
    Seed,
    Trust,
    expand_home,
)
from gmmedit.cli.output import executing, ignore, wrote

HALF = "Of generator and classifier: bf16 is faster where the hardware multiplies it, and rounds."
FullPrecision = Annotated[Literal["fp32", "bf16"] | None, typer.Option("--precision", help=f"{HALF} Default fp32.")]
Polishing = Annotated[
    Literal["fp32", "bf16"] | None,
    typer.Option("--precision", help="Of polishing: bf16 is faster, and rounds. Pictures are painted in fp32."),
]
AutoPrecision = Annotated[
    Literal["auto", "fp32", "bf16"] | None, typer.Option("--precision", help=f"{HALF} Default auto: bf16 there.")
]
SEVERAL = "NAME[=VALUE][:STRENGTH], e.g. smile, hair_color=blond, glasses:-1; repeat it to edit several at once."


def print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"gmmedit {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=Edge,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # drawing boxes around the help would take longer than everything else
    help="Find the attribute subspaces of a pretrained GAN, and edit images inside them. Steps, in order: "
    "sample, label, fit-single, fit-mixture, edit. A stopped step goes on when its command is run again.",
)
train = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Train the embedded networks from the avatars.")


@app.callback()
def start(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=print_version)
    ] = False,
) -> None:
    """Options of the command itself."""


app.add_typer(models, name="models")
app.add_typer(train, name="train")


@app.command()
def sample(
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu", batch: Batch = 16, seed: Seed = None,
    force: Force = False, restart: Restart = False, quiet: Quiet = False, debug: Debug = False, trust: Trust = False,
    gan: Annotated[
        str | None, typer.Option(help="Catalogue name or file of the generator.", autocompletion=complete_generators)
    ] = None,
    n: Annotated[int | None, typer.Option("-n", help="Number of samples.")] = None,
    psi: Annotated[float | None, typer.Option(help="Truncation psi.")] = None,
    cutoff: Annotated[int | None, typer.Option(help="Layers that psi truncates; default: all.")] = None,
    class_: Annotated[int | None, typer.Option("--class", help="Class of a conditional generator, from 0.")] = None,
    noise: Annotated[
        Literal["const", "none", "random"] | None, typer.Option(help="Noise planes: the stored ones, none, drawn ones.")
    ] = None,
    images: Annotated[bool | None, typer.Option("--images", help="Store the pictures too.")] = None,
) -> None:  # fmt: skip
    """Step 1: draw latents as the GAN prescribes -> samples.h5."""
    from gmmedit import config as settings
    from gmmedit.stages import sample as stage

    flags = {"gan": gan, "n": n, "seed": seed, "psi": psi, "images": images}
    flags |= {"cutoff": cutoff, "class_index": class_, "noise": noise}
    resolved = settings.load(config, sample=flags)
    with executing(run, device, batch, force, restart, quiet, trust, wide=True) as execution:
        path = stage.run(run, resolved.sample, execution)
    wrote(path, quiet)


@app.command()
def label(
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu", batch: Batch = 16,
    force: Force = False, restart: Restart = False, quiet: Quiet = False, debug: Debug = False, trust: Trust = False,
    classifier: Annotated[
        str | None, typer.Option(help="Name, file or YAML description; default: the generator's own.")
    ] = None,
    from_images: Annotated[
        bool, typer.Option("--from-images", help="Label the pictures that sample --images stored.")
    ] = False,
    precision: FullPrecision = None, json_: Json = False,
) -> None:  # fmt: skip
    """Step 2: label the picture of every sample -> labels.h5."""
    from gmmedit import config as settings
    from gmmedit.cli.tables import show_labels
    from gmmedit.stages import label as stage

    resolved = settings.load(config, label={"classifier": classifier, "precision": precision})
    with executing(run, device, batch, force, restart, quiet, trust, wide=True) as execution:
        path = stage.run(run, resolved.label, execution, from_images)
    show_labels(path, quiet, json_)


@app.command("fit-single")
def fit_single(
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu", seed: Seed = None,
    force: Force = False, restart: Restart = False, quiet: Quiet = False, debug: Debug = False, trust: Trust = False,
    space: Annotated[Literal["auto", "z", "w"] | None, typer.Option(help="Latent space to fit in.")] = None,
    read: Annotated[Literal["auto", "linear", "network"] | None, typer.Option(help="How x is read.")] = None,
    steps: Annotated[int | None, typer.Option(help="Adam steps.")] = None,
    json_: Json = False,
) -> None:  # fmt: skip
    """Step 3: fit one Gaussian per category -> single.h5."""
    from gmmedit import config as settings
    from gmmedit.cli.tables import show_fit
    from gmmedit.stages import fit_single as stage

    flags = {"space": space, "read": read, "steps": steps, "seed": seed}
    resolved = settings.load(config, fit_single=flags)
    with executing(run, device, 1, force, restart, quiet, trust, wide=True) as execution:
        path = stage.run(run, resolved.fit_single, execution)
    show_fit(path, quiet, json_)


@app.command("fit-mixture")
def fit_mixture(
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu", seed: Seed = None,
    force: Force = False, restart: Restart = False, quiet: Quiet = False, debug: Debug = False, trust: Trust = False,
    consistency: Annotated[
        Literal["exact", "surrogate", "off"] | None, typer.Option(help="What the edits run through.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Adam steps.")] = None,
    precision: AutoPrecision = None, json_: Json = False,
) -> None:  # fmt: skip
    """Step 4: fit all Gaussians as one mixture -> mixture.h5."""
    from gmmedit import config as settings
    from gmmedit.cli.tables import show_fit
    from gmmedit.stages import fit_mixture as stage

    flags = {"consistency": consistency, "steps": steps, "precision": precision, "seed": seed}
    resolved = settings.load(config, fit_mixture=flags)
    with executing(run, device, 1, force, restart, quiet, trust, wide=True) as execution:
        path = stage.run(run, resolved.fit_mixture, execution)
    show_fit(path, quiet, json_)


@app.command()
def edit(
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu", batch: NoBatch = None, seed: Seed = None,
    force: NoForce = False, restart: Restart = False, quiet: Quiet = False, debug: Debug = False, trust: Trust = False,
    attr: Annotated[list[str] | None, typer.Option(help=SEVERAL, autocompletion=complete_attributes)] = None,
    alpha: Annotated[float | None, typer.Option(help="1 arrives, beyond exaggerates, negative moves away.")] = None,
    alphas: Annotated[str | None, typer.Option(help="Strengths FROM:TO:STEP: a strip and an animation.")] = None,
    each: Annotated[bool, typer.Option("--each", help="One column per --attr instead of all at once.")] = False,
    target: Annotated[float | None, typer.Option(help="Find the strength that brings the first --attr there.")] = None,
    draw: Annotated[
        Literal["coupled", "sample", "mean"] | None, typer.Option(help="How the control vector is drawn.")
    ] = None,
    polish: Annotated[int | None, typer.Option(help="Steps on each zs through G and f; 0 for none.")] = None,
    index: Annotated[str | None, typer.Option(help="Rows of samples.h5, each once, e.g. 0-7,20 (default 0-7).")] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds instead of rows, each once, e.g. 85,100-110.")] = None,
    latents: Annotated[
        Path | None,
        typer.Option(help="File of latents instead, FILE or FILE:KEY (.npz, .npy, .pt).", callback=expand_home),
    ] = None,
    latents_space: Annotated[Literal["z", "w", "w+"] | None, typer.Option(help="Of --latents, if unclear.")] = None,
    gan: Annotated[
        str | None, typer.Option(help="Another generator of the same latent space, e.g. a fine-tuned copy (PTI).")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the result; default: the run folder.", callback=expand_home)
    ] = None,
    precision: Polishing = None, json_: Json = False,
) -> None:  # fmt: skip
    """Step 5: move latents towards a component -> edits.h5, PNGs."""
    from gmmedit import config as settings
    from gmmedit.cli.tables import show_edit
    from gmmedit.stages import edit as stage

    ignore("edit", quiet, batch=batch, force=force)
    flags = {"draw": draw, "polish": polish, "precision": precision, "seed": seed, "gan": gan}
    resolved = settings.load(config, edit=flags)
    known = stage.attributes_of(run) if attr else []
    request = stage.Request.parse(attr or [], alpha, alphas, target, index, seeds, latents, each, known, latents_space)
    with executing(run, device, 1, False, restart, quiet, trust) as execution:
        path = stage.run(run, resolved.edit, request, execution, out)
    show_edit(path, quiet, json_)


Unseen = Annotated[int | None, typer.Option("-n", help="Samples never used in fitting.")]
Editors = Annotated[str | None, typer.Option(help="Comma-separated names.")]
Evaluator = Annotated[str | None, typer.Option(help="Who judges; default: the one trained to judge the labelling one.")]
Features = Annotated[str | None, typer.Option(help="Network whose features tell identities apart.")]


@app.command()
def evaluate(
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu", batch: Batch = 64, seed: Seed = None,
    force: Force = False, restart: Restart = False, quiet: Quiet = False, debug: Debug = False, trust: Trust = False,
    n: Unseen = None, editors: Editors = None, classifier: Evaluator = None, features: Features = None,
    precision: AutoPrecision = None, json_: Json = False,
) -> None:  # fmt: skip
    """Judge our edits of unseen samples -> evaluation.h5, .jsonl."""
    from gmmedit import config as settings
    from gmmedit.cli.tables import show_scores
    from gmmedit.stages import evaluate as stage

    chosen = {"n": n, "editors": listed(editors), "seed": seed, "classifier": classifier, "features": features}
    chosen["precision"] = precision
    resolved = settings.load(config, evaluate=chosen)
    with executing(run, device, batch, force, restart, quiet, trust, wide=True) as execution:
        path = stage.run(run, resolved.evaluate, execution)
    show_scores(path, quiet, json_)


@app.command()
def compare(
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu", batch: Batch = 64, seed: Seed = None,
    force: Force = False, restart: Restart = False, quiet: Quiet = False, debug: Debug = False, trust: Trust = False,
    n: Unseen = None, editors: Editors = None, classifier: Evaluator = None, features: Features = None,
    precision: AutoPrecision = None, json_: Json = False,
) -> None:  # fmt: skip
    """Judge ours and the rivals side by side -> comparison.h5."""
    from gmmedit import config as settings
    from gmmedit.cli.tables import show_scores
    from gmmedit.stages import compare as stage

    chosen = {"n": n, "editors": listed(editors), "seed": seed, "classifier": classifier, "features": features}
    chosen["precision"] = precision
    resolved = settings.load(config, compare=chosen)
    with executing(run, device, batch, force, restart, quiet, trust, wide=True) as execution:
        path = stage.run(run, resolved.compare, execution)
    show_scores(path, quiet, json_)


@app.command()
def report(
    run: Run = RUN, device: Device = "cpu", batch: NoBatch = None, restart: Restart = False, quiet: Quiet = False,
    debug: Debug = False, trust: Trust = False,
    out: Annotated[
        Path | None,
        typer.Option(help="File of the page; default: report.html in the run folder.", callback=expand_home),
    ] = None,
) -> None:  # fmt: skip
    """One page of pictures and figures about a run -> report.html."""
    from gmmedit.stages import report as stage

    ignore("report", quiet, batch=batch)
    with executing(run, device, 1, False, restart, quiet, trust) as execution:
        path, lacks = stage.run(run, execution, out)
    for line in [] if quiet else lacks:
        typer.echo(f"note: {line}")
    wrote(path, quiet)


def listed(names: str | None) -> list[str] | None:
    return names.split(",") if names else None


app.command()(inspect)
app.command()(verify)
app.command()(export)

Data = Annotated[Literal["avatars"], typer.Option(help="What to train on.")]
Out = Annotated[Path, typer.Option(help="Folder of weights, checkpoint, log and sample sheets.", callback=expand_home)]


@train.command("generator")
def train_generator(
    data: Data = "avatars", out: Out = Path("runs/train"), device: Device = "cpu", seed: Seed = None,
    phases: Annotated[str | None, typer.Option(help="SIZE:IMAGES, e.g. 32:160000,64:100000.")] = None,
    quiet: Quiet = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Train the embedded StyleGAN2; it resumes."""
    from gmmedit.runtime.execution import prepare
    from gmmedit.training.loop import train_generator as run
    from gmmedit.training.stylegan2_settings import GANSettings

    settings = GANSettings.parse(seed, phases)
    with executing(None, device, 1, False, False, quiet) as execution:
        prepare(execution)
        path = run(out, settings, device, execution.tick)
    wrote(path, quiet)


@train.command("classifier")
def train_classifier(
    data: Data = "avatars", out: Out = Path("runs/train"), device: Device = "cpu",
    evaluator: Annotated[bool, typer.Option("--evaluator", help="The network that only evaluates.")] = False,
    quiet: Quiet = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Train a classifier on drawn avatars; it resumes."""
    from gmmedit.runtime.execution import prepare
    from gmmedit.training.loop import train_classifier as run

    with executing(None, device, 1, False, False, quiet) as execution:
        prepare(execution)
        path = run(out, evaluator, device, execution.tick)
    wrote(path, quiet)


@train.command("quality")
def train_quality(
    n: Annotated[int, typer.Option("-n", min=100, help="Samples of the generator.")] = 10_000,
    gan: Annotated[str, typer.Option(help="Name or file of a generator of avatars.")] = "avatars",
    debug: Debug = False,
) -> None:
    """Print how good a generator of avatars is.

    Rates, confidence, distance to the data, and how well the classifiers read.
    """
    import json

    from gmmedit.training.quality import measure

    typer.echo(json.dumps(measure(n, gan), indent=1))
