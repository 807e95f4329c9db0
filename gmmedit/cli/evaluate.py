"""`gmmedit evaluate`, `compare` and `report`: figures about the edits of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gmmedit.cli.options import (
    RUN,
    AutoPrecision,
    Batch,
    ConfigFile,
    Debug,
    Device,
    EditorSeed,
    Force,
    Json,
    NoBatch,
    Quiet,
    Restart,
    Run,
    Trust,
    expand_home,
)
from gmmedit.cli.output import note_ignored_options, open_execution, print_written
from gmmedit.errors import InputError

Unseen = Annotated[int | None, typer.Option("-n", help="Evaluation samples, 2 or more.")]
Editors = Annotated[str | None, typer.Option(help="Comma-separated names of editors.")]
Evaluator = Annotated[
    str | None, typer.Option(help="Evaluation classifier (default: an independently trained one, if known).")
]
Features = Annotated[
    str | None, typer.Option(help="Feature network for identity and realism (default: that of the classifier).")
]


def evaluate(
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu", batch: Batch = 64, seed: EditorSeed = None,
    force: Force = False, restart: Restart = False, quiet: Quiet = False, debug: Debug = False, trust: Trust = False,
    n: Annotated[
        int | None, typer.Option("-n", help="Evaluation samples, 2 or more; with --inverted: photographs, 1 or more.")
    ] = None,
    editors: Editors = None, classifier: Evaluator = None, features: Features = None,
    inverted: Annotated[
        bool, typer.Option("--inverted", help="Score edits of the photographs of inversions.h5 instead.")
    ] = False,
    mode: Annotated[
        Literal["isolated", "do"] | None,
        typer.Option(help="do: what follows from an edit, by graph.h5, may change with it (default: isolated)."),
    ] = None,
    precision: AutoPrecision = None, json_: Json = False,
) -> None:  # fmt: skip
    """Evaluate our editors on unseen samples -> evaluation.h5."""
    from gmmedit import config as settings
    from gmmedit.cli.tables import show_inverted_scores, show_scores
    from gmmedit.stages import evaluate as stage
    from gmmedit.stages import evaluate_inverted

    if inverted and editors:
        raise InputError("--editors cannot be combined with --inverted", hint="edits are those of edit --inverted")
    if inverted and mode == "do":
        raise InputError("--mode do cannot be combined with --inverted", hint="gmmedit edit --inverted --do NAME")
    if inverted and n is not None and n < 1:
        raise InputError(f"-n {n}: there is no photograph to score", hint="-n 10: the first ten; without -n: all")
    chosen = {"editors": split_names(editors), "seed": seed, "classifier": classifier, "features": features}
    chosen |= {"precision": precision, "mode": mode} | ({} if inverted else {"n": n})
    resolved = settings.load(config, evaluate=chosen)
    with open_execution(run, device, batch, force, restart, quiet, trust, wide=not inverted) as execution:
        if inverted:
            path = evaluate_inverted.run(run, resolved.evaluate, execution, n)
        else:
            path = stage.run(run, resolved.evaluate, execution)
    (show_inverted_scores if inverted else show_scores)(path, quiet, json_, path in execution.kept)


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
