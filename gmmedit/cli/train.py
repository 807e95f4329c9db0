"""The commands `gmmedit train ...`: networks on any data, encoders of generators, and those that come with gmmedit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gmmedit.cli.completion import complete_data
from gmmedit.cli.options import Debug, Device, FitSeed, Quiet, Trust, expand_home
from gmmedit.cli.output import open_execution, print_written
from gmmedit.errors import InputError

train = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Train generators, classifiers and encoders.")

Data = Annotated[Literal["avatars"], typer.Option(help="Data set to train on.")]
AnyData = Annotated[
    str,
    typer.Option(
        help="Data set: a name (avatars, shapes, glyphs, fashion-mnist, ...), a folder of images, or a file.",
        autocompletion=complete_data,
    ),
]
Size = Annotated[int | None, typer.Option(help="Size of the images in pixels: 16 to 256 (default: by the data).")]
Images = Annotated[int | None, typer.Option(min=1, help="Images to train on in all, each repeat counted.")]
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
    from gmmedit.training.embedded import train_generator as run
    from gmmedit.training.stylegan2_settings import GANSettings

    settings = GANSettings.parse(seed, phases)
    with open_execution(None, device, 1, False, False, quiet) as execution:
        prepare(execution)
        path = run(out, settings, execution)
    print_written(path, quiet)


@train.command("stylegan2")
def train_stylegan2(
    data: AnyData, out: Out = Path("runs/train"), size: Size = None, images: Images = None,
    device: Device = "cpu", seed: FitSeed = None, quiet: Quiet = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Train a small StyleGAN2 on any images; a stopped run resumes.

    The weights, generator.safetensors, are for --gan.
    """
    from gmmedit.runtime.execution import prepare
    from gmmedit.training.from_data import DataRequest
    from gmmedit.training.from_data import train_stylegan2 as run

    with open_execution(None, device, 1, False, False, quiet, wide=True) as execution:
        prepare(execution)
        path, used = run(out, DataRequest(data, size, images, seed or 0), execution)
    for note in [] if quiet else used.notes:
        typer.echo(f"note: {note}", err=True)
    print_written(path, quiet)


@train.command("classifier")
def train_classifier(
    data: AnyData = "avatars", out: Out = Path("runs/train"),
    attr: Annotated[
        list[str] | None, typer.Option(help="Attribute to learn; repeat it for several (default: all of few values).")
    ] = None,
    size: Size = None, images: Images = None, device: Device = "cpu", seed: FitSeed = None,
    network: Annotated[
        Literal["labelling", "evaluation", "factors"],
        typer.Option(help="Which one: it labels, it evaluates, or it evaluates and reads all factors (of avatars)."),
    ] = "labelling",
    evaluator: Annotated[bool, typer.Option("--evaluator", help="The same as --network evaluation.")] = False,
    quiet: Quiet = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Train a classifier on labelled images; a stopped run resumes.

    The weights, classifier.safetensors or evaluator.safetensors, are for --classifier. With no option but --network,
    the classifiers that come with gmmedit are trained.
    """
    from gmmedit.runtime.execution import prepare
    from gmmedit.training import embedded, from_data

    chosen = "evaluation" if evaluator else network
    with open_execution(None, device, 1, False, False, quiet, wide=True) as execution:
        prepare(execution)
        if data == "avatars" and not (attr or size or images or seed is not None):
            path, lines = embedded.train_classifier(out, chosen, execution), []
        elif chosen == "factors":
            raise InputError("--network factors is of avatars, with their own settings", hint="--network evaluation")
        else:
            request = from_data.DataRequest(data, size, images, seed or 0)
            path, used, facts = from_data.train_classifier(out, request, attr or [], chosen == "evaluation", execution)
            lines = [f"note: {note}" for note in used.notes] + describe_accuracy(facts)
    for line in [] if quiet else lines:
        typer.echo(line)
    print_written(path, quiet)


def describe_accuracy(facts: dict[str, Any]) -> list[str]:
    """A line on the held-out accuracy; none where another process has measured it."""
    if "held_out_accuracy" not in facts:
        return []
    shares = ", ".join(f"{name} {share:.3f}" for name, share in facts["held_out_accuracy"].items())
    return [f"accuracy on {facts['held_out_images']} held-out images: {shares}"]


@train.command("saae")
def train_saae(
    data: AnyData = "glyphs", out: Out = Path("runs/train"),
    attr: Annotated[str | None, typer.Option(help="Attribute that is content (default: the data's first).")] = None,
    size: Size = None, images: Images = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file: phases, critic, weights of the losses.", callback=expand_home)
    ] = None,
    critic: Annotated[
        Literal["multi", "binary"] | None,
        typer.Option(help="What the critic tells apart: all contents and generated, or real and generated."),
    ] = None,
    device: Device = "cpu", seed: FitSeed = None, quiet: Quiet = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Train a generator of content and style; a stopped run resumes.

    The networks, saae.safetensors, are for --gan and --classifier.
    """
    from dataclasses import replace

    from gmmedit.runtime.execution import prepare
    from gmmedit.training.from_data import DataRequest
    from gmmedit.training.saae_measures import describe_measures
    from gmmedit.training.saae_result import train_saae as run
    from gmmedit.training.saae_settings import read_settings

    settings = read_settings(config)
    settings = replace(settings, critic=critic) if critic else settings
    request = DataRequest(data, size, images, settings.seed if seed is None else seed)
    with open_execution(None, device, 1, False, False, quiet) as execution:
        prepare(execution)
        path, used, facts = run(out, request, settings, attr, execution)
    for line in [] if quiet else [*(f"note: {note}" for note in used.notes), *describe_measures(facts)]:
        typer.echo(line)
    print_written(path, quiet)


@train.command("bigan")
def train_bigan(
    data: AnyData = "avatars", out: Out = Path("runs/train"),
    attr: Annotated[
        list[str] | None, typer.Option(help="Attribute among the causes; repeat it for several (default: all).")
    ] = None,
    graph: Annotated[
        str,
        typer.Option(help="Causes of the attributes: learned with the networks, none, or a file of gmmedit graph."),
    ] = "learned",
    attention: Annotated[bool, typer.Option("--attention", help="Use self-attention.")] = False,
    start: Annotated[
        Path | None,
        typer.Option(help="Its like, of the same data, to train further, for acts.", callback=expand_home),
    ] = None,
    size: Size = None, images: Images = None, device: Device = "cpu", seed: FitSeed = None,
    quiet: Quiet = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Train a generator of attributes that cause one another.

    Its first latent dims are the attributes. A stopped run resumes. The file, bigan.safetensors, is for --gan,
    --classifier and invert --encoder.
    """
    from gmmedit.runtime.execution import prepare
    from gmmedit.training.bigan_from_data import train_bigan as run
    from gmmedit.training.from_data import DataRequest

    with open_execution(None, device, 1, False, False, quiet) as execution:
        prepare(execution)
        request = DataRequest(data, size, images, seed or 0)
        path, used, facts = run(out, request, attr or [], graph, attention, execution, start)
    shares = ", ".join(f"{name} {share:.3f}" for name, share in facts["held_out_accuracy"].items())
    measured = f"on {facts['held_out_images']} held-out images: accuracy {shares}, error {facts['held_out_error']:.4f}"
    if "held_out_off" in facts:
        off = ", ".join(f"{name} {error:.3g}" for name, error in facts["held_out_off"].items())
        measured += f"; numbers are off by {off}"
    edges = f"edges: {', '.join(facts['edges']) or 'none'}"
    if graph == "learned" and facts["edges"]:
        edges += " (one of the graphs that fit: gmmedit graph says which directions labels tell)"
    for line in [] if quiet else [*(f"note: {note}" for note in used.notes), measured, edges]:
        typer.echo(line)
    print_written(path, quiet)


@train.command("ifcvae-gan")
def train_ifcvae_gan(
    data: AnyData,
    attr: Annotated[
        list[str], typer.Option(help="Attribute of two values to factor out; several: repeat it, or A,B.")
    ],
    out: Out = Path("runs/train"), size: Size = None, images: Images = None,
    device: Device = "cpu", seed: FitSeed = None, quiet: Quiet = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Train an autoencoder of attributes and identity.

    A stopped run resumes. The file, ifcvae-gan.safetensors, is for --gan, --classifier and invert --encoder.
    """
    from gmmedit.runtime.execution import prepare
    from gmmedit.training.from_data import DataRequest
    from gmmedit.training.ifcvae_from_data import train_ifcvae as run

    names = [name.strip() for text in attr for name in text.split(",") if name.strip()]
    with open_execution(None, device, 1, False, False, quiet) as execution:
        prepare(execution)
        path, used, facts = run(out, DataRequest(data, size, images, seed or 0), names, execution)
    shares = ", ".join(f"{name} {share:.3f}" for name, share in facts["held_out_accuracy"].items())
    measured = f"on {facts['held_out_images']} held-out images: accuracy {shares}, error {facts['held_out_error']:.4f}"
    for line in [] if quiet else [*(f"note: {note}" for note in used.notes), measured]:
        typer.echo(line)
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
    """Train an encoder, image to latent, on a generator's samples.

    A stopped training resumes.
    """
    from dataclasses import replace

    from gmmedit.runtime.execution import prepare
    from gmmedit.training import from_generator
    from gmmedit.training.encoder import EncoderSettings

    settings = EncoderSettings(seed=seed or 0)
    settings = replace(settings, images=images) if images else settings
    folder = out or run or Path("runs/train")
    with open_execution(run, device, 1, False, False, quiet, trust, wide=True) as execution:
        prepare(execution)
        with from_generator.open_networks(run, gan, execution) as (renderer, classifier):
            path = from_generator.train_encoder(folder, settings, renderer, classifier, execution)
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
