"""Feature networks: image to features, for measuring how much of a picture an edit leaves alone."""

from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from gmmedit.classifiers import convnet, custom, huggingface
from gmmedit.classifiers.catalogue import REGISTRY, load
from gmmedit.classifiers.convnet import ConvNet
from gmmedit.classifiers.description import FeatureDescription, read
from gmmedit.classifiers.files import READERS, YAML, kind_of, located
from gmmedit.classifiers.opened import TRIED, Opened, combined, prepared
from gmmedit.errors import InputError
from gmmedit.networks import python, weights

HINT = FeatureDescription.hint


class Embedder(Protocol):
    """A frozen network phi of pictures. Every row of its features depends on its own image only."""

    input_size: tuple[int, int]  # (height, width) that the network sees; other images are resized
    fingerprint: str  # SHA-256 over the weights, and over how they are used
    channels: tuple[int, ...]  # of the images that it takes; others are converted

    def features(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] to features (N, F), float32."""


class Embedding:
    """The outputs of a network of somebody's own, whatever their shape, as one vector for each picture."""

    def __init__(self, network: Opened, description: FeatureDescription, where: str, device: str) -> None:
        """InputError: the description does not fit the network, or it draws at random; `where` names the two."""
        self.network = prepared(network, description, where)
        self.input_size = self.network.preprocessing.size
        self.channels = self.network.preprocessing.channels
        self.fingerprint = combined(network.fingerprint, description, network.preprocessing)
        first, second = (self.checked(self.network.tried(device, it).detach(), TRIED) for it in (False, True))
        if not torch.allclose(first, second, rtol=0.01, atol=0.01 * float(first.std())):
            message = f"{where} gives other features each time, or in another place"
            raise InputError(message, hint="export it in evaluation mode; ViTMAE masks at random and is no choice")

    def features(self, images: Tensor) -> Tensor:
        """See `Embedder.features`. InputError: the network fails, or its features are not finite."""
        return self.checked(self.network(images), len(images))

    def checked(self, outputs: Tensor, n: int) -> Tensor:
        """The outputs for n pictures as (n, F)."""
        where = self.network.where
        if outputs.ndim < 2 or len(outputs) != n:
            message = f"{where} gives outputs of shape {tuple(outputs.shape)} for {n} pictures"
            raise InputError(message, hint="one row of features for each picture was expected; " + HINT)
        if not outputs.isfinite().all():
            raise InputError(f"{where} gives features that are infinite or NaN", hint="compare `input` with its own")
        return outputs.flatten(1).float()


def load_embedder(name_or_path: str, device: str = "cpu", trusted: bool = True) -> Embedder:
    """The feature network of that name, file or folder, frozen and in evaluation mode.

    A name, or a safetensors file, means a ConvNet of gmmedit; a folder or hub name one of transformers; a YAML file
    describes any other. trusted: as in `classifiers.load`. InputError: unknown name, missing, foreign or damaged file,
    a description that does not fit it, or a function that is not to run.
    """
    path = Path(name_or_path)
    if name_or_path in REGISTRY.targets():
        return own(name_or_path, device, trusted)
    if path.suffix in YAML:
        return build(read(path, FeatureDescription), path.parent, f"{name_or_path}: ", device, trusted)
    if path.is_file() and kind_of(path) == "safetensors":
        return convnet.read(path).to(device)
    return build(FeatureDescription(file=name_or_path), Path(), "", device, trusted)


def own(name: str, device: str, trusted: bool) -> ConvNet:
    """InputError: the classifier of that name is no ConvNet."""
    classifier = load(name, device, trusted)
    if not isinstance(classifier, ConvNet):
        raise InputError(f"classifier {name} has no features", hint=f"name the network behind it; {HINT}")
    return classifier


def build(description: FeatureDescription, base: Path, prefix: str, device: str, trusted: bool) -> Embedding:
    """The feature network of a description whose file lies relative to `base`."""
    name = description.file
    if python.PATTERN.fullmatch(name):
        network = custom.from_python(str(base / name), device, trusted)
    else:
        path = located(description, base, REGISTRY.targets())
        kind = kind_of(path)
        if kind == "safetensors":
            raise InputError(f"{prefix}{name} needs no description", hint=f"give {path} itself")
        if kind != "folder" and kind not in READERS:
            message = f"{path} is no feature network: neither .pt2, TorchScript, ONNX nor safetensors"
            raise InputError(message, hint=HINT)
        network = backbone(path, description, device) if kind == "folder" else READERS[kind](path, device)
    return Embedding(network, description, prefix + name, device)


def backbone(folder: Path, description: FeatureDescription, device: str) -> Opened:
    """The model in a transformers folder, without the head of a classifier or the part of CLIP that reads words.

    InputError: there is none, or weights are missing.
    """
    model, missing = huggingface.load(folder, "AutoModel", device)
    unpooled = [name for name in missing if "pooler" in name.split(".")]  # many are trained without; drawn at random
    if len(unpooled) < len(missing):
        message = f"{folder} has no weights for {next(name for name in missing if name not in unpooled)}"
        raise InputError(message, hint="give a folder that save_pretrained wrote, of a whole model")
    if hasattr(model, "text_model"):
        model.text_model = None
    digest = weights.fingerprint({name: it for name, it in model.state_dict().items() if name not in missing})

    def forward(pixels: Tensor) -> Tensor:
        if hasattr(model, "get_image_features"):
            return huggingface.embedded(model.get_image_features(pixel_values=pixels))
        return pooled(model(pixel_values=pixels), trained=not unpooled)

    prepare = None if description.input else huggingface.preprocessing(folder, model.config)
    return Opened(forward, digest, prepare)


def pooled(found: Any, trained: bool) -> Tensor:
    """The model's own pooled features, if it has trained such; else the mean over its places, of (N, T, F) or
    (N, F, H, W)."""
    features = getattr(found, "pooler_output", None)
    if trained and features is not None:
        return features
    hidden: Tensor = found.last_hidden_state
    return hidden.mean(1) if hidden.ndim == 3 else hidden.mean((2, 3))
