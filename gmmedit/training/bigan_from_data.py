"""`gmmedit train bigan`: settings sized to a data set, the graph, and the result's file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gmmedit.datasets import DataSet
from gmmedit.errors import InputError, nearest
from gmmedit.networks.bigan import MOST_ATTRIBUTES, BiGAN, BiGANConfig, save_bigan
from gmmedit.run.graphs import read_directed
from gmmedit.runtime.execution import Execution
from gmmedit.training.bigan import BiGANSettings, BiGANTraining
from gmmedit.training.from_data import DataRequest, describe_training, open_data
from gmmedit.training.held_out import measure_held_out
from gmmedit.training.labelled import BATCH, MEASURED, Labels, choose_labels, spread, to_targets
from gmmedit.training.loop import run_training
from gmmedit.training.precision import gains_from_bf16

IMAGES = 128_000  # shown, unless asked otherwise
WIDEST, NARROWEST = 64, 16  # channels of a block
REST = 48  # dims besides the causes
OF_NUMBERS = {"critic_lr": 1e-4, "game": 0.1, "consistency": 1.0}  # where attributes are numbers
OF_GREY = {"entropy": 20.0}  # by differences alone, the generator of digits becomes black and stays so
Edges = Sequence[tuple[str, str]]


def train_bigan(
    out: Path, request: DataRequest, names: Sequence[str], graph: str, attention: bool, execution: Execution
) -> tuple[Path, DataSet, dict[str, Any]]:  # fmt: skip
    """Train a BiGAN in `out`, resuming its checkpoint: its file, the data, what is stored of the training.

    names: attributes that become causes and effects, none: all. graph: `learned`, `none`, a graph.h5. InputError: the
    data cannot be used, or the graph is of other attributes. Other errors as in `run_training`.
    """
    data = open_data(request)
    labels = choose_labels(data, names, numbers=True)
    name, edges = read_graph(graph)
    settings = size_bigan(data, labels, request, name, find_edges(labels, edges), attention)
    training = BiGANTraining(settings, data, labels, execution.device, gains_from_bf16(execution.device))
    facts = describe_training("bigan", data, training.total, settings.seed) | {"graph": graph}

    def save(path: Path) -> None:
        facts.update(measure(training.average, data, labels))
        save_bigan(training.average, path, facts)

    return run_training(training, out, save, execution), data, facts


def read_graph(graph: str) -> tuple[str, Edges]:
    """What identifies a graph, and its directed edges. InputError: missing, or no file of `gmmedit graph`."""
    if graph in ("learned", "none"):
        return graph, ()
    return read_directed(Path(graph))


def size_bigan(
    data: DataSet, labels: Labels, request: DataRequest, graph: str, edges: tuple[tuple[int, int], ...], attention: bool
) -> BiGANSettings:
    """Settings for images of that size and those attributes. InputError: there are too many of them."""
    if len(labels.attributes) > MOST_ATTRIBUTES:
        message = f"{data.name} has {len(labels.attributes)} attributes, at most {MOST_ATTRIBUTES} can be causes"
        raise InputError(message, hint="choose some with --attr")
    channels, size, _ = data.image_shape
    most = 1024 if channels > 1 else 512  # grey images have less to tell
    widths = tuple(max(NARROWEST, min(WIDEST, most // 2**i)) for i in range(2, size.bit_length()))
    attributes = tuple((attribute.name, tuple(attribute.values)) for attribute in labels.attributes)
    scales = tuple(attribute.scale for attribute in labels.attributes)
    network = BiGANConfig(attributes, size, widths, REST, channels, attention, scales=scales if any(scales) else ())
    settings = BiGANSettings(request.seed, network, data.fingerprint, request.images or IMAGES, graph, edges)
    terms = (OF_GREY if channels == 1 else {}) | (OF_NUMBERS if network.scales else {})
    return replace(settings, **terms)  # type: ignore[arg-type]


def find_edges(labels: Labels, edges: Edges) -> tuple[tuple[int, int], ...]:
    """The edges as pairs of places among the attributes. InputError: one is of another attribute."""
    names = [attribute.name for attribute in labels.attributes]
    for name in (name for edge in edges for name in edge):
        if name not in names:
            raise InputError(f"the graph has {name}, the data have not", hint=nearest(name, names))
    return tuple((names.index(cause), names.index(effect)) for cause, effect in edges)


def measure(network: BiGAN, data: DataSet, labels: Labels) -> dict[str, Any]:
    """The edges, the figures of `measure_held_out`, and of numbers those of `measure_numbers`."""
    device = next(network.parameters()).device

    def reconstruct(images: Tensor) -> tuple[Tensor, Tensor]:
        latent = network.encode(images.to(device))
        return network.equations.values(network.split(latent)[0]), network.synthesize(latent)

    names = [attribute.name for attribute in labels.attributes]
    edges = [f"{names[cause]}->{names[effect]}" for cause, effect in network.equations.mask.nonzero().tolist()]
    figures = measure_held_out(reconstruct, data, labels, MEASURED) | {"edges": edges}
    return figures | ({"held_out_off": measure_numbers(network, data, labels)} if network.config.scales else {})


@torch.no_grad()
def measure_numbers(network: BiGAN, data: DataSet, labels: Labels) -> dict[str, float]:
    """How far the encoder's numbers are off in held-out images, mean absolute error in their own units."""
    rows, total = spread(labels.held_out, MEASURED), torch.zeros(len(labels.attributes))
    device = next(network.parameters()).device
    for first in range(0, len(rows), BATCH):
        images, values, factors = data.batch(rows[first : first + BATCH])
        causes, _ = network.split(network.encode(images.to(device)))
        targets = to_targets(data, labels.attributes, values, factors)
        total += (network.equations.targets(causes).cpu() - targets).abs().sum(dim=0)
    return {
        attribute.name: round((attribute.scale.high - attribute.scale.low) * share, 4)
        for attribute, share in zip(labels.attributes, (total / max(1, len(rows))).tolist(), strict=True)
        if attribute.scale
    }
