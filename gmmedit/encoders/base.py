"""The contract of an encoder: an image goes in, a latent comes out."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """A network E that estimates the latents from which one generator would make given images."""

    space: str  # "z", or "w" for one latent of W per layer: the space of its latents
    image_shape: tuple[int, int, int]  # (channels, height, width) of the images that it takes: the generator's
    latent_shape: tuple[int, int]  # (L, D) of the latents that it gives
    generator: str  # fingerprint of the generator on whose samples it was trained
    fingerprint: str  # SHA-256 over the weights

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] to latents (N, L, D), float32; every row depends on its own image only."""
