"""Facts about a file for `gmmedit inspect`."""

from pathlib import Path
from typing import Any

import h5py

from gmmedit import artifacts
from gmmedit.hub import CATALOGUE, locate_model


def describe(path: Path) -> dict[str, Any]:
    """JSON-ready description of an artifact, a network's file, or the downloaded file of a catalogue name.

    InputError: the file is neither, or does not exist.
    """
    if not path.is_file() and str(path) in CATALOGUE:
        path = locate_model(str(path))
    if path.is_file() and not h5py.is_hdf5(path):
        from gmmedit.classifiers.embedded import CONFIGS  # imports torch, as the others here
        from gmmedit.generators.formats import detect
        from gmmedit.networks.weights import read_training

        for key in CONFIGS:
            training = read_training(path, key)
            if training is not None:
                return describe_classifier(path) | {f"training_{name}": value for name, value in training.items()}
        container = detect.container_of(path)
        if container:
            training = read_training(path, container) or {}
            return detect.describe(path) | {f"training_{name}": value for name, value in training.items()}
    return artifacts.describe(path)


def describe_classifier(path: Path) -> dict[str, Any]:
    """JSON-ready description of a classifier that gmmedit trained. InputError: the file is damaged."""
    from gmmedit.classifiers.embedded import read_network

    network = read_network(path)
    return {
        "path": str(path),
        "bytes": path.stat().st_size,
        "format": "gmmedit safetensors",
        "family": "classifier",
        "fingerprint": network.fingerprint,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "input_size": list(network.input_size),
        "attributes": [{"attribute": a.name, "values": ", ".join(a.values)} for a in network.attributes],
        "nuisances": list(network.config.nuisances),
    }
