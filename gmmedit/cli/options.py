"""Options that several commands share."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Literal

import typer

from gmmedit.runtime import regular_files
from gmmedit.runtime.commands import DEFAULT_RUN


def set_debugging(on: bool) -> bool:
    """Callback of --debug: sets the level of gmmedit's log for the command that runs now."""
    logging.getLogger("gmmedit").setLevel(logging.DEBUG if on else logging.NOTSET)
    return on


def expand_home(path: Path | None) -> Path | None:
    """Callback of paths: replace a leading ~, which the shell leaves in `--run=~/runs` and GMMEDIT_RUN="~/runs".

    InputError: ~USER of an unknown user.
    """
    return path and regular_files.expand_home(path)


RUN = DEFAULT_RUN
Run = Annotated[Path, typer.Option("--run", envvar="GMMEDIT_RUN", help="Run folder.", callback=expand_home)]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="YAML file of settings; options override it.", callback=expand_home),
]
Device = Annotated[str, typer.Option(help="PyTorch device: cpu, cuda, cuda:1, mps.")]
Batch = Annotated[
    int,
    typer.Option(
        min=1, help="Images per batch on a GPU; a CPU uses 16 or fewer, by image size. Does not change results."
    ),
]
NoBatch = Annotated[int | None, typer.Option("--batch", min=1, hidden=True)]  # accepted as before, without effect
NoForce = Annotated[bool, typer.Option("--force", hidden=True)]
FirstSeed = Annotated[
    int | None,
    typer.Option("--seed", min=0, help="Seed of the first sample; sample i has seed + i. Also of --noise random."),
]
FitSeed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of initial values and batches.")]
DrawSeed = Annotated[
    int | None, typer.Option("--seed", min=0, help="Seed of --draw sample; other draws are not random.")
]
EditorSeed = Annotated[
    int | None,
    typer.Option("--seed", min=0, help="Seed of the editors' fits and draws; the samples are the same for any seed."),
]
Force = Annotated[
    bool, typer.Option("--force", help="Overwrite a finished file that was created with different settings.")
]
Restart = Annotated[bool, typer.Option("--restart", help="Discard unfinished work instead of resuming it.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]
Debug = Annotated[
    bool, typer.Option("--debug", help="Show a traceback on errors.", is_eager=True, callback=set_debugging)
]
Trust = Annotated[bool, typer.Option("--trust", help="Allow running Python files that only an artifact names.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]

BF16 = "bf16: faster, lower precision"
FullPrecision = Annotated[
    Literal["fp32", "bf16"] | None,
    typer.Option("--precision", help=f"Precision of generator and classifier. {BF16} (default: fp32)."),
]
AutoPrecision = Annotated[
    Literal["auto", "fp32", "bf16"] | None,
    typer.Option(
        "--precision",
        help=f"Precision of generator and classifier. {BF16}; auto (default): bf16 on hardware that supports it.",
    ),
]
PolishPrecision = Annotated[
    Literal["fp32", "bf16"] | None,
    typer.Option("--precision", help=f"Precision of --polish. {BF16} (default: fp32). Images are generated in fp32."),
]
