"""`gmmedit train bigan`: settings sized to a data set, the graph, and the result's file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gmmedit.datasets import DataSet
from gmmedit.errors import InputError, nearest
from gmmedit.networks.bigan import KEY, MOST_ATTRIBUTES, BiGAN, BiGANConfig, read_bigan, save_bigan
from gmmedit.networks.weights import read_training
from gmmedit.run.graphs import read_directed
from gmmedit.runtime.execution import Execution
from gmmedit.training.bigan import BiGANSettings, BiGANTraining
from gmmedit.training.from_data import DataRequest, describe_training, open_data
from gmmedit.training.held_out import measure_held_out
from gmmedit.training.labelled import BATCH, MEASURED, Labels, choose_labels, read_targets, spread
from gmmedit.training.loop import run_training
from gmmedit.training.precision import gains_from_bf16

IMAGES = 128_000  # shown, unless asked otherwise
WIDEST, NARROWEST = 64, 16  # channels of a block
REST = 48  # dims besides the causes
ENCODED = 10_000  # training images, by which the rest is freed of the causes
OF_NUMBERS = {"critic_lr": 1e-4, "game": 0.1, "consistency": 1.0}  # where attributes are numbers
OF_START = {"prior": 0.01, "mixed": 0.5, "decay": 0.5}  # of networks that reconstruct already: new ones would not learn
OF_GREY = {"entropy": 20.0, "shift": 1}  # by differences alone, the generator of digits becomes black and stays so
Edges = Sequence[tuple[str, str]]


def train_bigan(
    out: Path, request: DataRequest, names: Sequence[str], graph: str, attention: bool, execution: Execution,
    start: Path | None = None,
) -> tuple[Path, DataSet, dict[str, Any]]:  # fmt: skip
    """Train a BiGAN in `out`, resuming its checkpoint: its file, the data, what is stored of the training.

    names: attributes that become causes and effects, none: all. graph: `learned`, `none`, a graph.h5. start: a trained
    file of the same data, whose networks are trained further: from then on the rest is held to its prior, so that it
    does not tell what the causes do. InputError: the data cannot be used, the graph is of other attributes, or the
    start of other data or another shape. Other errors as in `run_training`.
    """
    data = open_data(request)
    labels = choose_labels(data, names, numbers=True)
    name, edges = read_graph(graph)
    settings = size_bigan(data, labels, request, name, find_edges(labels, edges), attention)
    first = None if start is None else read_start(start, settings)
    if first is not None:
        settings = replace(settings, start=first.fingerprint, **OF_START)  # type: ignore[arg-type]
    training = BiGANTraining(settings, data, labels, execution.device, gains_from_bf16(execution.device), first)
    facts = describe_training("bigan", data, training.total, settings.seed) | {"graph": graph}

    def save(path: Path) -> None:
        network = free_rest(training.average, data, labels)
        facts.update(measure(network, data, labels))
        save_bigan(network, path, facts)

    return run_training(training, out, save, execution), data, facts


@torch.no_grad()
def free_rest(network: BiGAN, data: DataSet, labels: Labels) -> BiGAN:
    """The trained networks, with a rest that does not go with the causes in the training images."""
    found = BiGAN(replace(network.config, given=True)).eval().requires_grad_(False)
    found.load_state_dict(network.state_dict(), strict=False)
    found = found.to(next(network.parameters()).device)
    assert found.given is not None
    parts, rows = list[tuple[Tensor, Tensor, Tensor]](), spread(labels.train, ENCODED)
    for first in range(0, len(rows), BATCH):
        images = data.images(rows[first : first + BATCH])
        mean, log_variance = network.recognition(images.to(found.equations.bias.device))
        causes, rest = network.split(mean.float())
        parts.append((rest, network.split(log_variance.float())[1].exp(), network.tell(causes)))
    found.given.fit(*(torch.cat(columns) for columns in zip(*parts, strict=True)))
    return found


def read_start(path: Path, settings: BiGANSettings) -> BiGAN:
    """The networks to train further. InputError: no such file, or of other data, or of another shape than these."""
    if not path.is_file():
        message = f"--start {str(path)!r} is no file" if path.name else "--start names no file"
        raise InputError(message, hint="give a bigan.safetensors of gmmedit train bigan, or omit --start")
    network = read_bigan(path)
    data = (read_training(path, KEY) or {}).get("data_fingerprint", settings.data)  # a file may tell nothing of it
    if replace(network.config, given=False) != settings.network or data != settings.data:
        raise InputError(f"{path} was trained on other images or attributes", hint="omit --start, or give its --data")
    return network


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
    """The edges, the figures of `measure_held_out`, and of numbers how far the encoder is off, mean
    absolute error in their own units."""
    device, read = next(network.parameters()).device, list[Tensor]()

    def reconstruct(images: Tensor) -> tuple[Tensor, Tensor]:
        latent = network.encode(images.to(device))
        causes, _ = network.split(latent)
        read.append(network.equations.targets(causes).cpu())
        return network.equations.values(causes), network.synthesize(latent)

    names = [attribute.name for attribute in labels.attributes]
    edges = [f"{names[cause]}->{names[effect]}" for cause, effect in network.equations.mask.nonzero().tolist()]
    figures = measure_held_out(reconstruct, data, labels, MEASURED) | {"edges": edges}
    if not network.config.scales:
        return figures
    rows = spread(labels.held_out, MEASURED)
    off = (torch.cat(read) - read_targets(data, labels, rows)).abs().mean(dim=0).tolist()
    return figures | {"held_out_off": {
        attribute.name: round((attribute.scale.high - attribute.scale.low) * share, 4)
        for attribute, share in zip(labels.attributes, off, strict=True) if attribute.scale
    }}  # fmt: skip
