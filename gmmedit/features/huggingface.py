"""Backbones of the transformers library, and the vision part of CLIP and SigLIP, as feature networks."""

from pathlib import Path
from typing import Any

from torch import Tensor

from gmmedit.classifiers import huggingface
from gmmedit.classifiers.description import FeatureDescription
from gmmedit.classifiers.image_networks import OpenedNetwork
from gmmedit.errors import InputError
from gmmedit.networks import weights


def read_backbone(folder: Path, description: FeatureDescription, device: str) -> OpenedNetwork:
    """The model in a transformers folder, without a classifier's head or CLIP's text encoder.

    InputError: there is none, or weights are missing.
    """
    model, missing = huggingface.load_model(folder, "AutoModel", device)
    unpooled = [name for name in missing if "pooler" in name.split(".")]  # often untrained, and then random
    if len(unpooled) < len(missing):
        message = f"{folder} has no weights for {next(name for name in missing if name not in unpooled)}"
        raise InputError(message, hint="give a folder that save_pretrained wrote, with all weights")
    if hasattr(model, "text_model"):
        model.text_model = None
    digest = weights.fingerprint_tensors(
        {name: tensor for name, tensor in model.state_dict().items() if name not in missing}
    )

    def forward(pixels: Tensor) -> Tensor:
        if hasattr(model, "get_image_features"):
            return huggingface.unwrap_embeddings(model.get_image_features(pixel_values=pixels))
        return pool_features(model(pixel_values=pixels), trained=not unpooled)

    prepare = None if description.input else huggingface.read_preprocessing(folder, model.config)
    return OpenedNetwork(forward, digest, prepare)


def pool_features(found: Any, trained: bool) -> Tensor:
    """The model's pooled features (N, F), if its pooler is trained; else the mean over tokens or pixels."""
    features = getattr(found, "pooler_output", None)
    if trained and features is not None:
        return features
    hidden: Tensor = found.last_hidden_state
    return hidden.mean(1) if hidden.ndim == 3 else hidden.mean((2, 3))
