"""`gmmedit generate`: a labelled data set of generated images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gmmedit.cli.completion import complete_generators
from gmmedit.cli.options import Batch, ConfigFile, Debug, Device, FirstSeed, Quiet, Trust, expand_home
from gmmedit.cli.output import open_execution, print_written


def generate(
    data_out: Annotated[Path, typer.Option(help="Folder of the data set: PNGs, labels.csv.", callback=expand_home)],
    config: ConfigFile = None, device: Device = "cpu", batch: Batch = 16, seed: FirstSeed = None,
    quiet: Quiet = False, debug: Debug = False, trust: Trust = False,
    gan: Annotated[
        str | None,
        typer.Option(help="Generator: a name (see gmmedit models) or a file.", autocompletion=complete_generators),
    ] = None,
    n: Annotated[int | None, typer.Option("-n", help="Number of images.")] = None,
    classifier: Annotated[
        str | None, typer.Option(help="Labels every image; name, file, or YAML description (default: none).")
    ] = None,
    prior: Annotated[
        str | None, typer.Option(help="A mixture.h5 of this generator to draw from, instead of its own prior.")
    ] = None,
    psi: Annotated[float | None, typer.Option(help="Truncation psi; 1: no truncation.")] = None,
    class_: Annotated[int | None, typer.Option("--class", help="Class index of a conditional generator.")] = None,
    noise: Annotated[
        Literal["const", "none", "random"] | None, typer.Option(help="Noise inputs: stored, zero, or random.")
    ] = None,
) -> None:  # fmt: skip
    """Generate a folder of images with labels, for --data.

    Labels: what the latents say (content), and a classifier's. A stopped run resumes.
    """
    from gmmedit import config as settings
    from gmmedit.stages import generate as stage

    flags = {"gan": gan, "n": n, "seed": seed, "psi": psi, "class_index": class_, "noise": noise, "prior": prior}
    resolved = settings.load(config, sample=flags).sample
    with open_execution(None, device, batch, False, False, quiet, trust) as execution:
        path = stage.run(data_out, resolved, classifier, execution)
    print_written(path, quiet, path in execution.kept)
