"""The contract of a feature network: an image goes in, features come out."""

from typing import Protocol

from torch import Tensor


class Embedder(Protocol):
    """A frozen network phi of images. Every row of its features depends on its own image only."""

    input_size: tuple[int, int]  # (height, width) that the network takes; other images are resized
    fingerprint: str  # SHA-256 over the weights, and over how they are used
    channels: tuple[int, ...]  # of the images that the network takes; others are converted

    def features(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] to features (N, F), float32. InputError: the network fails on them."""
