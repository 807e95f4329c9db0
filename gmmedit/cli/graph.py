"""The command `gmmedit graph`: which attribute causes which."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gmmedit.cli.options import RUN, ConfigFile, Debug, Device, Force, Json, Quiet, Restart, Run, Trust, expand_home
from gmmedit.cli.output import open_execution, print_logged, print_written


def graph(
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu",
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Seed of the random halves.")] = None,
    force: Force = False, restart: Restart = False, quiet: Quiet = False, debug: Debug = False, trust: Trust = False,
    table: Annotated[
        Path | None, typer.Option(help="Learn from the true labels of a CSV or HDF5 table.", callback=expand_home)
    ] = None,
    data: Annotated[str | None, typer.Option(help="Learn from the true labels of a data set: name or folder.")] = None,
    method: Annotated[
        Literal["pc-stable", "pc", "ges", "gae", "dagma"] | None,
        typer.Option(help="Default: pc-stable. pc and ges need gmmedit[causal]; gae and dagma orient by scale."),
    ] = None,
    require: Annotated[list[str] | None, typer.Option(help="'a->b': a causes b. Repeat it for several.")] = None,
    forbid: Annotated[list[str] | None, typer.Option(help="'a->b': a does not cause b.")] = None,
    tiers: Annotated[
        str | None, typer.Option(help="'a,b<c': causes first; no later one causes an earlier one.")
    ] = None,
    without: Annotated[list[str] | None, typer.Option(help="Attribute to leave out.")] = None,
    orient: Annotated[
        Literal["auto", "data", "user"] | None,
        typer.Option(help="What may direct edges; auto: data, but only you for labels of generated images."),
    ] = None,
    errors: Annotated[
        str | None,
        typer.Option(help="How often the classifier errs: none, probabilities, or a data set to measure it on."),
    ] = None,
    alpha: Annotated[float | None, typer.Option(help="Level of the tests of independence (default: 0.001).")] = None,
    least: Annotated[float | None, typer.Option(help="Weakest dependence that counts (default: 0.05).")] = None,
    halves: Annotated[int | None, typer.Option(help="Random halves of the labels for frequencies.")] = None,
    json_: Json = False,
) -> None:  # fmt: skip
    """Learn which attribute causes which -> graph.h5, images.

    Then gmmedit edit --do changes an attribute and what follows from it.
    """
    from gmmedit import config as settings
    from gmmedit.stages import graph as stage

    flags = {"method": method, "tiers": tiers, "orient": orient, "errors": errors}
    lists = {"require": require or None, "forbid": forbid or None, "without": without or None}
    numbers = {"alpha": alpha, "least": least, "halves": halves, "seed": seed}
    resolved = settings.load(config, graph={**flags, **lists, **numbers})
    with open_execution(run, device, 1, force, restart, quiet, trust) as execution:
        path = stage.run(run, resolved.graph, execution, table, data)
    show_graph(path, quiet, json_, path in execution.kept)


def show_graph(path: Path, quiet: bool, as_json: bool, kept: bool) -> None:
    """Print the edges, attributes and notes of graph.h5."""
    from gmmedit.cli.tables import print_tables
    from gmmedit.report.graphs import graph_report, graph_tables, to_json

    report = graph_report(path)
    if as_json:
        typer.echo(to_json(report))
    elif not quiet:
        print_tables(graph_tables(report))
        for line in report["lines"]:
            print_logged(f"note: {line}", path.parent)
        for name in report["files"]:
            print_written(Path(name), quiet, kept)
