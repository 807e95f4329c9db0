"""The features of the faces: 128 identity features, of which those of the generator's mean face are subtracted."""

import json
from pathlib import Path

import torch
from face_attributes import cut
from face_networks import load_network
from torch import Tensor, nn


class CentredIdentity(nn.Module):
    """Images (N, 3, 64, 64) in [-1, 1] to features (N, 128): two people's cosine is about 0."""

    def __init__(self, box: list[int], mean: list[float]) -> None:
        super().__init__()
        self.network, self.box = load_network("identity"), box
        self.register_buffer("mean", torch.tensor(mean))

    def forward(self, images: Tensor) -> Tensor:
        return self.network(cut(images, self.box)) - self.mean


def load() -> CentredIdentity:
    """The network with the box and the mean that faces_identity.json names."""
    settings = json.loads(Path(__file__).with_name("faces_identity.json").read_text())
    return CentredIdentity(settings["box"], settings["mean"])
