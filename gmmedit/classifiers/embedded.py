"""The networks of `gmmedit train classifier` as safetensors files, and those that come with gmmedit."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from gmmedit.classifiers.attributes import Attribute
from gmmedit.classifiers.convnet import ConvNet, ConvNetConfig
from gmmedit.classifiers.patchnet import PatchNet, PatchNetConfig
from gmmedit.classifiers.trained import NetworkConfig, TrainedNetwork
from gmmedit.errors import InputError
from gmmedit.networks import weights

WEIGHTS = Path(__file__).parents[1] / "datasets" / "avatars" / "weights"
CONFIGS: dict[str, type[NetworkConfig]] = {ConvNet.key: ConvNetConfig, PatchNet.key: PatchNetConfig}


def build_network(config: NetworkConfig, fingerprint: str = "") -> TrainedNetwork:
    """A network of that configuration, with random weights. TypeError: of no known kind."""
    if isinstance(config, ConvNetConfig):
        return ConvNet(config, fingerprint)
    if isinstance(config, PatchNetConfig):
        return PatchNet(config, fingerprint)
    raise TypeError(f"no network has a {type(config).__name__}")


def save_network(network: TrainedNetwork, path: Path, training: Mapping[str, Any] | None = None) -> None:
    """Write weights, as the network's `stored` type, its configuration, and facts about its training.

    A file at `path` is replaced atomically.
    """
    stored = {name: tensor.to(network.stored) for name, tensor in network.state_dict().items()}
    weights.write_weights(path, stored, network.key, asdict(network.config), training)


def read_network(path: Path) -> TrainedNetwork:
    """The network in a file of `save_network`, on the CPU, frozen. InputError: damaged, or another kind of file."""
    key = weights.find_key(path, CONFIGS) or ConvNet.key
    config, tensors = weights.read_weights(path, key)
    try:
        network = build_network(parse_config(CONFIGS[key], config), weights.fingerprint_tensors(tensors))
        network.load_state_dict({name: tensor.to(torch.float32) for name, tensor in tensors.items()})
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: weights and configuration do not match: {reason}", hint=weights.HINT) from error
    return network.eval().requires_grad_(False)


def parse_config(kind: type[NetworkConfig], settings: dict[str, Any]) -> NetworkConfig:
    """The configuration from its JSON, where tuples have become lists."""
    attributes = tuple(Attribute(a["name"], tuple(a["values"])) for a in settings["attributes"])
    tuples = {key: tuple(value) for key, value in settings.items() if isinstance(value, list)}
    return kind(**settings | tuples | {"attributes": attributes})


def load_avatars() -> TrainedNetwork:
    """The embedded labelling classifier."""
    return read_network(WEIGHTS / "classifier.safetensors")


def load_avatars_eval() -> TrainedNetwork:
    """The embedded evaluation classifier."""
    return read_network(WEIGHTS / "evaluator.safetensors")


def load_avatars_factors() -> TrainedNetwork:
    """The embedded network that reads all factors of an avatar; no fit and no setting has used it."""
    return read_network(WEIGHTS / "factors.safetensors")
