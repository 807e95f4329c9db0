"""The command line: one short command per stage, in pipeline order, and the one edge where errors become a line.

Nothing heavy is imported here; torch comes with the stage that a command runs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table
from typer.core import TyperGroup

from gmmedit.errors import GmmeditError

if TYPE_CHECKING:
    from gmmedit.stages.shared.common import Execution

PLAIN_SECONDS = 10  # between progress lines where there is no terminal
SEVERAL = "NAME[=VALUE][:STRENGTH], e.g. smile, hair_color=blond, glasses:-1; repeat it to edit several at once."

UsageError: Any = typer.BadParameter.__mro__[1]  # a wrong option, argument or command; typer exports no name
# Where there is no terminal, tables need not be squeezed into 80 columns.
console = Console() if Console().is_terminal else Console(width=160)
errors = Console(stderr=True)
debugging = {"on": False}


class Edge(TyperGroup):
    """Turns the project's errors into one line and an exit code; a traceback only with --debug."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except GmmeditError as error:
            if debugging["on"]:
                raise
            complain(error.message, error.hint)
            raise typer.Exit(error.exit_code) from None
        except UsageError as error:
            if not error.format_message():  # nothing was asked for, and the help has been printed
                raise
            complain(" ".join(error.format_message().split()), f"{(error.ctx or ctx).command_path} --help")
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            typer.echo("stopped: finished work is kept, the same command goes on from there", err=True)
            raise typer.Exit(130) from None


def complain(message: str, hint: str) -> None:
    typer.echo(f"error: {message}", err=True)
    if hint:
        typer.echo(f" hint: {hint}", err=True)


def switch_debugging(on: bool) -> bool:
    debugging["on"] = on
    return on


app = typer.Typer(
    cls=Edge,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Find the attribute subspaces of a pretrained GAN, and edit images inside them. Steps, in order: "
    "sample, label, fit-single, fit-mixture, edit. A stopped step goes on when its command is run again.",
)
train = typer.Typer(no_args_is_help=True, help="Train the embedded networks from the avatars.")
app.add_typer(train, name="train")

Run = Annotated[Path, typer.Option("--run", envvar="GMMEDIT_RUN", help="Run folder.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="YAML settings; flags win over it.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps ...")]
Batch = Annotated[int, typer.Option(min=1, help="Images at once; no result depends on it.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of every random number.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite a finished file made for another question.")]
Restart = Annotated[bool, typer.Option("--restart", help="Discard unfinished work instead of resuming it.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]
Debug = Annotated[
    bool, typer.Option("--debug", help="Show a traceback on errors.", is_eager=True, callback=switch_debugging)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
RUN = Path("runs/default")


@app.command()
def sample(
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu", batch: Batch = 16, seed: Seed = None,
    force: Force = False, restart: Restart = False, quiet: Quiet = False, debug: Debug = False,
    gan: Annotated[str | None, typer.Option(help="Catalogue name or file of the generator.")] = None,
    n: Annotated[int | None, typer.Option("-n", help="Number of samples.")] = None,
    psi: Annotated[float | None, typer.Option(help="Truncation psi.")] = None,
    images: Annotated[bool | None, typer.Option("--images", help="Store the pictures too.")] = None,
) -> None:  # fmt: skip
    """1. Draw latents as the GAN prescribes -> samples.h5."""
    from gmmedit import config as settings
    from gmmedit.stages import sample as stage

    flags = {"gan": gan, "n": n, "seed": seed, "psi": psi, "images": images}
    resolved = settings.load(config, sample=flags)
    with executing(device, batch, force, restart, quiet) as execution:
        path = stage.run(run, resolved.sample, execution)
    wrote(path, quiet)


@app.command()
def label(
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu", batch: Batch = 16,
    force: Force = False, restart: Restart = False, quiet: Quiet = False, debug: Debug = False,
    classifier: Annotated[
        str | None, typer.Option(help="Name, file or YAML description; default: the generator's own.")
    ] = None,
    from_images: Annotated[
        bool | None, typer.Option("--from-images", help="Label the pictures that sample --images stored.")
    ] = None,
    json_: Json = False,
) -> None:  # fmt: skip
    """2. Label the picture of every sample with a classifier -> labels.h5."""
    from gmmedit import config as settings
    from gmmedit.stages import label as stage

    resolved = settings.load(config, label={"classifier": classifier, "from_images": from_images})
    with executing(device, batch, force, restart, quiet) as execution:
        path = stage.run(run, resolved.label, execution)
    show_labels(path, quiet, json_)


@app.command("fit-single")
def fit_single(
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu", seed: Seed = None,
    force: Force = False, restart: Restart = False, quiet: Quiet = False, debug: Debug = False,
    space: Annotated[Literal["auto", "z", "w"] | None, typer.Option(help="Latent space to fit in.")] = None,
    read: Annotated[Literal["auto", "linear", "network"] | None, typer.Option(help="How x is read.")] = None,
    steps: Annotated[int | None, typer.Option(help="Adam steps.")] = None,
    json_: Json = False,
) -> None:  # fmt: skip
    """3. Fit one Gaussian per category in its attribute's subspace -> single.h5."""
    from gmmedit import config as settings
    from gmmedit.stages import fit_single as stage

    flags = {"space": space, "read": read, "steps": steps, "seed": seed}
    resolved = settings.load(config, fit_single=flags)
    with executing(device, 1, force, restart, quiet) as execution:
        path = stage.run(run, resolved.fit_single, execution)
    show_fit(path, quiet, json_)


@app.command("fit-mixture")
def fit_mixture(
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu", seed: Seed = None,
    force: Force = False, restart: Restart = False, quiet: Quiet = False, debug: Debug = False,
    consistency: Annotated[
        Literal["exact", "surrogate", "off"] | None, typer.Option(help="What the edits run through.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Adam steps.")] = None,
    json_: Json = False,
) -> None:  # fmt: skip
    """4. Fit all Gaussians together, through generator and classifier -> mixture.h5."""
    from gmmedit import config as settings
    from gmmedit.stages import fit_mixture as stage

    resolved = settings.load(config, fit_mixture={"consistency": consistency, "steps": steps, "seed": seed})
    with executing(device, 1, force, restart, quiet) as execution:
        path = stage.run(run, resolved.fit_mixture, execution)
    show_fit(path, quiet, json_)


@app.command()
def edit(
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu", batch: Batch = 16, seed: Seed = None,
    force: Force = False, restart: Restart = False, quiet: Quiet = False, debug: Debug = False,
    attr: Annotated[list[str] | None, typer.Option(help=SEVERAL)] = None,
    alpha: Annotated[float | None, typer.Option(help="1 arrives, beyond exaggerates, negative moves away.")] = None,
    alphas: Annotated[str | None, typer.Option(help="Strengths FROM:TO:STEP: a strip and an animation.")] = None,
    each: Annotated[bool, typer.Option("--each", help="One column per --attr instead of all at once.")] = False,
    target: Annotated[float | None, typer.Option(help="Find the strength at which the label gets there.")] = None,
    draw: Annotated[
        Literal["coupled", "sample", "mean"] | None, typer.Option(help="How the control vector is drawn.")
    ] = None,
    polish: Annotated[int | None, typer.Option(help="Steps on each zs through G and f; 0 for none.")] = None,
    index: Annotated[str | None, typer.Option(help="Rows of samples.h5, e.g. 0-7,20 (default 0-7).")] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds instead of rows, e.g. 85,100-110.")] = None,
    latents: Annotated[Path | None, typer.Option(help="npz with key w or z instead (projected_w.npz).")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the result; default: the run folder.")] = None,
    json_: Json = False,
) -> None:  # fmt: skip
    """5. Move latents towards a component of the mixture -> edits.h5, PNGs, a contact sheet."""
    from gmmedit import config as settings
    from gmmedit.stages import edit as stage

    resolved = settings.load(config, edit={"draw": draw, "polish": polish, "seed": seed})
    known = stage.attributes_of(run) if attr else []
    request = stage.Request.parse(attr or [], alpha, alphas, target, index, seeds, latents, each, known)
    with executing(device, batch, force, restart, quiet) as execution:
        path = stage.run(run, resolved.edit, request, execution, out)
    show_edit(path, quiet, json_)


@app.command()
def evaluate(
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu", batch: Batch = 64, seed: Seed = None,
    force: Force = False, restart: Restart = False, quiet: Quiet = False, debug: Debug = False,
    n: Annotated[int | None, typer.Option("-n", help="Samples never used in fitting.")] = None,
    editors: Annotated[str | None, typer.Option(help="Comma-separated; default: all.")] = None,
    json_: Json = False,
) -> None:  # fmt: skip
    """Score ours and the rivals side by side with a classifier that no fit has seen -> evaluation.h5."""
    from gmmedit import config as settings
    from gmmedit.stages import evaluate as stage

    chosen = editors.split(",") if editors else None
    resolved = settings.load(config, evaluate={"n": n, "editors": chosen, "seed": seed})
    with executing(device, batch, force, restart, quiet) as execution:
        path = stage.run(run, resolved.evaluate, execution)
    show_evaluation(path, quiet, json_)


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="Any artifact, finished or partial.")],
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Explain an artifact in a screen."""
    from gmmedit.artifacts import describe

    facts = describe(file)
    if json_:
        typer.echo(json.dumps(facts, indent=1))
        return
    show_description(facts)


Data = Annotated[Literal["avatars"], typer.Option(help="What to train on.")]
Out = Annotated[Path, typer.Option(help="Folder of weights, checkpoint, log and sample sheets.")]


@train.command("generator")
def train_generator(
    data: Data = "avatars", out: Out = Path("runs/train"), device: Device = "cpu", seed: Seed = None,
    phases: Annotated[str | None, typer.Option(help="SIZE:IMAGES, e.g. 32:160000,64:100000.")] = None,
    quiet: Quiet = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Train the embedded StyleGAN2; it resumes from its last checkpoint."""
    from gmmedit.avatars.train_generator import GANSettings
    from gmmedit.avatars.training import train_generator as run
    from gmmedit.stages.shared.common import prepare

    settings = GANSettings.parse(seed, phases)
    with executing(device, 1, False, False, quiet) as execution:
        prepare(execution)
        path = run(out, settings, device, execution.tick)
    wrote(path, quiet)


@train.command("classifier")
def train_classifier(
    data: Data = "avatars", out: Out = Path("runs/train"), device: Device = "cpu",
    evaluator: Annotated[bool, typer.Option("--evaluator", help="The network that only evaluates.")] = False,
    quiet: Quiet = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Train a classifier on independently drawn avatars; it resumes from its last checkpoint."""
    from gmmedit.avatars.training import train_classifier as run
    from gmmedit.stages.shared.common import prepare

    with executing(device, 1, False, False, quiet) as execution:
        prepare(execution)
        path = run(out, evaluator, device, execution.tick)
    wrote(path, quiet)


@train.command("quality")
def train_quality(
    n: Annotated[int, typer.Option("-n", min=100, help="Samples.")] = 10_000,
    gan: Annotated[str, typer.Option(help="Name or file of a generator of avatars.")] = "avatars",
    debug: Debug = False,
) -> None:
    """Print how good a generator of avatars is, as JSON: rates, confidence, distance from the data."""
    from gmmedit.avatars.quality import measure

    typer.echo(json.dumps(measure(n, gan), indent=1))


@contextmanager
def executing(device: str, batch: int, force: bool, restart: bool, quiet: bool) -> Iterator[Execution]:
    """An Execution whose ticks draw a progress bar, or plain lines where there is no terminal."""
    from gmmedit.stages.shared.common import Execution, silent

    def make(tick: Any) -> Execution:
        return Execution(device=device, batch=batch, restart=restart, force=force, tick=tick)

    if quiet:
        yield make(silent)
    elif errors.is_terminal:
        with Progress(console=errors, transient=True) as progress:
            task = progress.add_task("", total=None)
            yield make(lambda done, total, text: progress.update(task, completed=done, total=total, description=text))
    else:
        yield make(plain_ticks())


def plain_ticks() -> Any:
    began = last = time.monotonic()

    def tick(done: int, total: int, text: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PLAIN_SECONDS:
            last = now
            typer.echo(f"{text}: {done} of {total}, {now - began:.0f} s", err=True)

    return tick


def wrote(path: Path, quiet: bool) -> None:
    if not quiet:
        typer.echo(f"wrote {path}")


def show_labels(path: Path, quiet: bool, as_json: bool) -> None:
    """How often each value is seen, how surely, what goes together, and what no fit can use."""
    from gmmedit.stages.shared.labelling import label_report

    if quiet and not as_json:
        return
    report = label_report(path)
    if as_json:
        typer.echo(json.dumps(report, indent=1))
    else:
        for part in report["tables"]:
            table = Table(*part["columns"], title=part["title"])
            for row in part["rows"]:
                table.add_row(*row)
            console.print(table)
        for warning in report["warnings"]:
            typer.echo(f"warning: {warning}")
        wrote(path, quiet)


def show_fit(path: Path, quiet: bool, as_json: bool) -> None:
    """The table at the end of a fit: how well each attribute is read, and what lies close together."""
    from gmmedit.stages.shared.report import fit_report

    report = fit_report(path)
    if as_json:
        typer.echo(json.dumps(report, indent=1))
    elif not quiet:
        table = Table("attribute", "accuracy", "separation", "closest", "angle", "rates")
        for row in report["attributes"]:
            table.add_row(
                row["attribute"], f"{row['accuracy']:.3f}", f"{row['separation']:.2f}",
                row["closest"], f"{row['angle']:.0f}°", row["rates"],
            )  # fmt: skip
        console.print(table)
        typer.echo(report["verdict"])
        wrote(path, quiet)


def show_edit(path: Path, quiet: bool, as_json: bool) -> None:
    """Labels before and after, and the target's change against the others'."""
    from gmmedit.stages.shared.report import edit_report

    report = edit_report(path)
    if as_json:
        typer.echo(json.dumps(report, indent=1))
    elif not quiet:
        table = Table("label", "before", *report["headings"])
        for row in report["labels"]:
            style = "bold" if row["edited"] else ""
            table.add_row(row["label"], *(f"{value:.2f}" for value in row["means"]), style=style)
        console.print(table)
        for verdict in report["verdicts"]:
            typer.echo(verdict)
        for name in report["files"]:
            typer.echo(f"wrote {name}")


def show_evaluation(path: Path, quiet: bool, as_json: bool) -> None:
    from gmmedit.stages.shared.report import evaluation_report

    report = evaluation_report(path)
    if as_json:
        typer.echo(json.dumps(report, indent=1))
    elif not quiet:
        for part in report["tables"]:
            table = Table(*part["columns"], title=part["title"])
            for row in part["rows"]:
                table.add_row(*row)
            console.print(table)
        wrote(path, quiet)


def show_description(facts: dict[str, Any]) -> None:
    for key, value in facts.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            columns = list(dict.fromkeys(name for row in value for name in row))
            table = Table(*columns, title=key, title_justify="left")
            for row in value:
                table.add_row(*(shown(row.get(name, "")) for name in columns))
            console.print(table)
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            console.print(f"[bold]{key}[/bold]  {escape(text.strip())}", highlight=False, soft_wrap=True)


def shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))
