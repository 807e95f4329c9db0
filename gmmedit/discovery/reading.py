"""What directions.h5 holds, as objects: directions with their scales and names, and the encoder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gmmedit.artifacts import Artifact
from gmmedit.discovery.network import MOST_CODES, MOST_FEATURES, CodeConfig, CodeNetwork
from gmmedit.errors import InputError
from gmmedit.networks.weights import assemble
from gmmedit.run.fitted import to_tensors
from gmmedit.spaces import Chart

NAMED_FROM = 0.25  # correlation with a category's score from which a direction is called after it


@dataclass(frozen=True)
class Directions:
    """k directions of a run.

    Attributes:
        space: of the latents, "z" or "w".
        chart: its coordinates.
        steps: (k, D') what one step of each adds to the coordinates: the direction times its scale.
        affinity: (k, K) correlation of the movement along each with each category's score; None: without labels.
        names: of the K categories, "smile=yes".
    """

    space: str
    chart: Chart
    steps: Tensor
    affinity: np.ndarray | None
    names: tuple[str, ...]

    def move(self, latent: Tensor, amounts: Mapping[int, float | Tensor]) -> Tensor:
        """Latents (N, L, D) moved by these steps of the directions; an amount may be a tensor (N,)."""
        x = self.chart.to_x(latent)
        change = torch.zeros_like(x)
        for number, amount in amounts.items():
            change = change + torch.as_tensor(amount).to(x).reshape(-1, 1, 1) * self.steps[number].to(x)
        return self.chart.carry(latent, x + change)

    def title(self, number: int) -> str:
        """The number, and the label that the direction goes with, if there is one: "3 smile=yes (.62)"."""
        if self.affinity is None:
            return str(number)
        name, strength = nearest_label(self.names, self.affinity[number])
        if not is_named(strength):
            return str(number)
        away = "" if strength > 0 else "not "
        return f"{number} {away}{name} ({abs(strength):.2f})"


def read_directions(artifact: Artifact) -> Directions:
    """The directions of a directions.h5.

    InputError: its chart is missing or of another size, or it holds numbers that no discovery writes.
    """
    steps = read_steps(artifact)
    names = tuple(f"{name}={value}" for name, values in artifact.attributes for value in values)
    affinity, arrays = read_affinity(artifact), to_tensors(artifact.group("chart"))
    try:
        chart = Chart.from_arrays(arrays)
        there = tuple(tuple(part.shape) for part in (chart.mean, chart.axes, chart.scale, chart.slope))
        dim, known = chart.axes.shape[0], steps.shape[1]
        if there != ((dim,), (dim, known), (known,), ()):
            raise ValueError(f"its parts have the shapes {there}")
        check_chart(chart)
        if affinity is not None and affinity.shape[1] != len(names):
            raise ValueError(f"affinity with {affinity.shape[1]} categories, not {len(names)}")
    except (KeyError, IndexError, ValueError) as error:
        message = f"{artifact.path}: the chart does not suit the directions: {error}"
        raise InputError(message, hint=artifact.kind.hint(artifact.path.parent)) from error
    return Directions(str(artifact.spec.config["space"]), chart, torch.from_numpy(steps), affinity, names)


def read_steps(artifact: Artifact) -> np.ndarray:
    """The directions (k, D') times their scales. InputError: they are not finite, or a scale is not above 0."""
    rows: np.ndarray = read_finite(artifact, "directions") * read_scale(artifact)[:, None]
    return rows


def read_scale(artifact: Artifact) -> np.ndarray:
    """The scales (k,). InputError: one is not finite, or not above 0."""
    scale = read_finite(artifact, "scale")
    if not (scale > 0).all():
        raise never_written(artifact, "scale")
    return scale


def read_finite(artifact: Artifact, name: str) -> np.ndarray:
    """A dataset. InputError: it holds NaN or infinite numbers."""
    array = artifact[name]
    if not np.isfinite(array).all():
        raise never_written(artifact, name)
    return array


def never_written(artifact: Artifact, name: str) -> InputError:
    """The error about a dataset that is not as a discovery writes it."""
    message = f"{artifact.path}: /{name} holds numbers that no discovery writes"
    return InputError(message, hint=artifact.kind.hint(artifact.path.parent))


def check_chart(chart: Chart) -> None:
    """ValueError: a part of the chart is not finite, or it cannot be inverted."""
    for name, part in chart.arrays().items():
        if not part.isfinite().all():
            raise ValueError(f"its {name} holds NaN or infinite numbers")
    if not ((chart.scale > 0).all() and chart.slope > 0):
        raise ValueError("its scale or slope is not above 0")


def read_affinity(artifact: Artifact) -> np.ndarray | None:
    """The label affinity (k, K) of a directions.h5; None: the run had no labels. InputError: it is not finite."""
    return read_finite(artifact, "affinity") if "affinity" in artifact.names else None


def read_losses(artifact: Artifact, name: str) -> np.ndarray:
    """A loss of the encoder's training (L,), from its log; empty: it was not logged.

    InputError: it is not finite, or no row of numbers.
    """
    if f"history/{name}" not in artifact.names:
        return np.zeros(0)
    losses = read_finite(artifact, f"history/{name}")
    if losses.ndim != 1:
        raise never_written(artifact, f"history/{name}")
    return losses


def read_encoder(artifact: Artifact) -> CodeNetwork:
    """The encoder of a directions.h5, frozen, on the CPU. InputError: its configuration does not match its weights."""
    config = read_config(artifact)
    try:
        return assemble(lambda: CodeNetwork(config), lambda: to_tensors(artifact.group("encoder")))
    except ValueError as error:
        message = f"{artifact.path}: encoder and configuration do not match: {error}"
        raise InputError(message, hint=artifact.kind.hint(artifact.path.parent)) from error


def read_config(artifact: Artifact) -> CodeConfig:
    """The shape of the encoder. InputError: there is none, or none that gmmedit writes."""
    try:
        return parse_config(artifact)
    except (KeyError, TypeError, ValueError) as error:
        reason = str(error) if type(error) is ValueError else "it is missing, or not a shape"
        message = f"{artifact.path} does not tell the shape of its encoder: {reason}"
        raise InputError(message, hint=artifact.kind.hint(artifact.path.parent)) from error


def parse_config(artifact: Artifact) -> CodeConfig:
    """As `read_config`. KeyError, TypeError, ValueError: there is none, or none that gmmedit writes."""
    found: Any = artifact.attrs.get("encoder")
    config = CodeConfig(tuple(found["image_shape"]), found["code"], found["features"])
    sizes = (*config.image_shape, config.code, config.features)
    if len(config.image_shape) != 3 or not all(type(size) is int and size > 0 for size in sizes):
        raise ValueError("its sizes are no positive whole numbers")
    if config.code > MOST_CODES or config.features > MOST_FEATURES:
        raise ValueError("it is larger than any that gmmedit writes")
    return config


def is_named(correlation: float) -> bool:
    """Whether a direction is called after the category that it correlates with by so much."""
    return abs(correlation) >= NAMED_FROM


def nearest_label(names: Sequence[str], correlations: np.ndarray) -> tuple[str, float]:
    """The category (of names, "smile=yes") that correlates most with a direction, by absolute value, and how much.

    Away from one of two values is towards the other. correlations: (K,).
    """
    column = int(np.abs(correlations).argmax())
    name, strength = names[column], float(correlations[column])
    others = [other for other in names if other != name and other.split("=")[0] == name.split("=")[0]]
    return (others[0], -strength) if strength < 0 and len(others) == 1 else (name, strength)
