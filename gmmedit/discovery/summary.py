"""A summary of directions.h5 as a dictionary, for the command line and the report."""

from pathlib import Path
from typing import Any

import numpy as np

from gmmedit import artifacts
from gmmedit.artifacts import Artifact
from gmmedit.discovery.reading import nearest_label, read_affinity, read_config, read_finite, read_losses, read_scale

UNTOLD = 0.5  # share of variations told apart at the end, below which more steps help


def direction_report(path: Path) -> dict[str, Any]:
    """Of directions.h5: directions (number, change of the image, scale of a step, label and its correlation), lines.

    Label and correlation are None where the run has no labels. InputError: it holds what no discovery writes.
    """
    with artifacts.open(path, "directions") as artifact:
        return {"directions": direction_rows(artifact), "lines": describe_training(artifact)}


def direction_rows(artifact: Artifact) -> list[dict[str, Any]]:
    """A row for each direction, see `direction_report`."""
    affinity = read_affinity(artifact)
    names = [f"{name}={value}" for name, values in artifact.attributes for value in values]
    changes, scales = read_finite(artifact, "change"), read_scale(artifact)
    rows: list[dict[str, Any]] = []
    for number, (change, scale) in enumerate(zip(changes, scales, strict=True)):
        row: dict[str, Any] = {
            "direction": number,
            "change": float(change),
            "scale": float(scale),
            "label": None,
            "correlation": None,
        }
        if affinity is not None:
            label, correlation = nearest_label(names, affinity[number])
            row |= {"label": label, "correlation": correlation}
        rows.append(row)
    return rows


def describe_training(artifact: Artifact) -> list[str]:
    """What the stages did, in lines; a warning if the encoder tells few directions apart."""
    config = artifact.spec.config
    lines = [f"method {config['method']}, {len(artifact['scale'])} directions in {config['space'].upper()}"]
    losses = read_losses(artifact, "told")
    if len(losses):
        told = float(np.mean(losses[-10:]))
        lines.append(f"the encoder tells {told:.0%} of the variations apart after {config['steps']} steps")
        if told < UNTOLD:
            lines.append("warning: it tells few of them apart: use fewer directions (-k), or more --steps")
    losses = read_losses(artifact, "unexplained")
    if len(losses):
        codes, left = read_config(artifact).code, float(np.mean(losses[-10:]))
        lines.append(f"the encoder's {codes} codes leave {left:.0%} of the coordinates unexplained")
    return lines
