"""The commands `gmmedit discover` and `gmmedit disentanglement`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gmmedit.cli.options import (
    RUN,
    AutoPrecision,
    ConfigFile,
    Debug,
    Device,
    FitSeed,
    Force,
    Json,
    Quiet,
    Restart,
    Run,
    Trust,
    expand_home,
)
from gmmedit.cli.output import open_execution, print_written

METHOD = (
    "components (default): of the images, turned so that each changes few pixels; varimax: the generator's own basis, "
    "turned so; sefa: that basis itself; pca: GANSpace; random; contrastive: candidates, basis, contrast; shift: "
    "the candidates alone. The last two need gradients."
)
COUNT = (
    "Number of directions; auto (default): one for each principal component of the images with 1 % of their variance."
)


def discover(
    run: Run = RUN, config: ConfigFile = None, device: Device = "cpu", seed: FitSeed = None,
    force: Force = False, restart: Restart = False, quiet: Quiet = False, debug: Debug = False, trust: Trust = False,
    k: Annotated[str | None, typer.Option("-k", help=COUNT)] = None,
    method: Annotated[
        Literal["components", "varimax", "sefa", "pca", "random", "contrastive", "shift"] | None,
        typer.Option(help=METHOD),
    ] = None,
    space: Annotated[
        Literal["auto", "z", "w"] | None, typer.Option(help="Latent space; auto (default): w if there is one.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the encoder (default: 1500).")] = None,
    precision: AutoPrecision = None, json_: Json = False,
) -> None:  # fmt: skip
    """Find directions without labels -> directions.h5, strips.

    Then gmmedit edit --direction 3:2 moves along them.
    """
    from gmmedit import config as settings
    from gmmedit.stages import discover as stage

    flags = {"k": k, "method": method, "space": space, "steps": steps, "precision": precision, "seed": seed}
    resolved = settings.load(config, discover=flags)
    with open_execution(run, device, 1, force, restart, quiet, trust, wide=True) as execution:
        path = stage.run(run, resolved.discover, execution)
    show_directions(path, quiet, json_, path in execution.kept)


def show_directions(path: Path, quiet: bool, as_json: bool, kept: bool) -> None:
    """Print a row for each direction of directions.h5, or all as JSON."""
    if quiet and not as_json:
        return
    from gmmedit.cli.tables import print_tables
    from gmmedit.discovery.reading import is_named
    from gmmedit.discovery.summary import direction_report

    report = direction_report(path)
    if as_json:
        typer.echo(json.dumps(report, indent=1))
        return
    columns = ["direction", "image change", "step", "goes with label", "correlation"]
    rows = []
    for row in report["directions"]:
        named = row["correlation"] is not None and is_named(row["correlation"])
        label = [row["label"], f"{row['correlation']:+.2f}"] if named else ["-", "-"]
        rows.append([str(row["direction"]), f"{row['change']:.3f}", f"{row['scale']:.2f}", *label])
    print_tables([{"title": "", "columns": columns, "rows": rows}])
    for line in report["lines"]:
        typer.echo(line)
    print_written(path, quiet, kept)
    print_written(path.parent / "directions" / "sheet.png", quiet, kept)


def disentanglement(
    data: Annotated[
        str, typer.Option(help="Data with known factors: shapes, avatars, ... or a file: 3dshapes.h5, dsprites.npz.")
    ],
    encoder: Annotated[
        list[Path] | None, typer.Option(help="A directions.h5 whose encoder to measure; repeat it for several.")
    ] = None,
    controls: Annotated[
        str, typer.Option(help="Beside it, separated by commas: random, pca, pca-varimax, vae, beta-vae; or none.")
    ] = "random,pca,vae",
    protocol: Annotated[
        Literal["quick", "published"],
        typer.Option(help="Sample counts: quick (default), or those of published tables, which take hours."),
    ] = "quick",
    size: Annotated[int | None, typer.Option(help="Size of the images (default: the encoder's).")] = None,
    vae_steps: Annotated[int, typer.Option(min=1, help="Batches of 64 images that a VAE is trained on.")] = 1_000,
    seed: FitSeed = None,
    out: Annotated[Path | None, typer.Option(help="Also write the JSON to this file.", callback=expand_home)] = None,
    device: Device = "cpu", quiet: Quiet = False, debug: Debug = False, json_: Json = False,
) -> None:  # fmt: skip
    """Measure how disentangled an encoder's codes are.

    MIG, DCI, SAP, FactorVAE, BetaVAE on data with known factors.
    """
    from gmmedit.errors import writing
    from gmmedit.runtime.storage import write_file
    from gmmedit.stages import disentanglement as stage

    chosen = [] if controls == "none" else [name.strip() for name in controls.split(",")]
    request = stage.DisentanglementRequest(data, encoder or [], chosen, protocol, size, out, seed or 0, vae_steps)
    with open_execution(None, device, 1, False, False, quiet) as execution:
        report = stage.run(request, execution)
    text = json.dumps(report, indent=1)
    if out:
        with writing(out):
            write_file(out, text.encode())
    if json_:
        typer.echo(text)
    elif not quiet:
        show_disentanglement(report)
        if out:
            print_written(out, quiet)


def show_disentanglement(report: Mapping[str, Any]) -> None:
    """Print a row of scores for each encoder and control."""
    from gmmedit.cli.tables import print_tables

    names = list(dict.fromkeys(name for scores in report["scores"].values() for name in scores))
    rows = [[coded, *(f"{scores[name]:.3f}" for name in names)] for coded, scores in report["scores"].items()]
    protocol = report["protocol"]
    print_tables([{"title": "", "columns": ["codes", *(name.replace("_", " ") for name in names)], "rows": rows}])
    typer.echo(
        f"protocol {protocol['name']}: {protocol['train']} and {protocol['test']} of {protocol['images']} images of "
        f"{report['data']}, factors {', '.join(protocol['factors'])}"
    )
    for note in report["notes"]:
        typer.echo(note)
