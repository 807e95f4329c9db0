"""Feature networks by name, by file, or by the YAML file that describes one."""

from pathlib import Path

from gmmedit.classifiers import custom, embedded
from gmmedit.classifiers.catalogue import REGISTRY, load
from gmmedit.classifiers.description import FeatureDescription, read_description
from gmmedit.classifiers.files import READERS, YAML, kind_of, locate_file
from gmmedit.classifiers.trained import TrainedNetwork
from gmmedit.errors import InputError
from gmmedit.features.base import Embedder
from gmmedit.features.embedding import Embedding
from gmmedit.features.huggingface import read_backbone
from gmmedit.networks import python

HINT = FeatureDescription.hint


def load_embedder(name_or_path: str, device: str = "cpu", trusted: bool = True) -> Embedder:
    """The feature network of that name, file or folder, frozen and in evaluation mode.

    A name, or a safetensors file, is a network of `gmmedit train classifier`; a folder or hub name a model of
    transformers; a YAML file describes any other. trusted, InputError: as in `classifiers.load`.
    """
    path = Path(name_or_path)
    if name_or_path in REGISTRY.targets():
        return load_trained(name_or_path, device, trusted)
    if path.suffix in YAML:
        return build_embedder(
            read_description(path, FeatureDescription), path.parent, f"{name_or_path}: ", device, trusted
        )
    if path.is_file() and kind_of(path) == "safetensors":
        return embedded.read_network(path).to(device)
    return build_embedder(FeatureDescription(file=name_or_path), Path(), "", device, trusted)


def load_trained(name: str, device: str, trusted: bool) -> TrainedNetwork:
    """The trained network of that name. InputError: the classifier is of another kind."""
    classifier = load(name, device, trusted)
    if not isinstance(classifier, TrainedNetwork):
        raise InputError(f"classifier {name} has no features", hint=f"give its network's file; {HINT}")
    return classifier


def build_embedder(description: FeatureDescription, base: Path, prefix: str, device: str, trusted: bool) -> Embedding:
    """The feature network of a description; its file is relative to `base`, `prefix` precedes it in errors."""
    name = description.file
    if python.PATTERN.fullmatch(name):
        network = custom.load_from_python(str(base / name), device, trusted)
    else:
        path = locate_file(description, base, prefix, REGISTRY.targets())
        kind = kind_of(path)
        if kind == "safetensors":
            raise InputError(f"{prefix}{name} needs no description", hint=f"give the file itself: {path}")
        if kind != "folder" and kind not in READERS:
            message = f"{path} is not a feature network: .pt2, TorchScript, ONNX or safetensors"
            raise InputError(message, hint=HINT)
        network = read_backbone(path, description, device) if kind == "folder" else READERS[kind](path, device)
    return Embedding(network, description, prefix + name, device)
