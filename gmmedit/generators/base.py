"""The contract of a generator: a latent goes in, an image comes out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from gmmedit.generators.noise import NoiseMode
from gmmedit.generators.prior import draw_normal
from gmmedit.generators.truncation import truncate
from gmmedit.networks.scales import Scale
from gmmedit.spaces import Space


class Generator(nn.Module, ABC):
    """A pretrained GAN generator G as mapping and synthesis. Without a mapping, `synthesize` takes z."""

    family: str  # "StyleGAN2"
    z_dim: int
    w_shape: tuple[int, int] | None  # (L layers that take their own w, size of w); None: no mapping
    image_shape: tuple[int, int, int]  # (channels, height, width)
    n_classes: int  # 0: unconditional
    fingerprint: str  # SHA-256 over the weights
    units: tuple[tuple[str, tuple[str, str]], ...] = ()  # of an attribute block, one each: name; values of 0 and of 1
    causes: tuple[tuple[str, tuple[str, ...]], ...] = ()  # attributes that its w holds and knows the effects of: values
    scales: tuple[Scale | None, ...] = ()  # of each of the causes; None: it is no number. Empty: none is
    differentiable: bool = True  # whether gradients of the images reach the latents
    noise_mode: NoiseMode = "const"  # ignored by families without noise
    noise_seed: int | None = None  # of the mode `random`: the same planes for every image; None: new ones each time

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return next(self.parameters()).device

    @property
    def w_avg(self) -> Tensor | None:
        """The mean w (w_dim,), towards which truncation interpolates; None: the weights do not tell it."""
        return None

    @property
    def spaces(self) -> dict[str, Space]:
        """The latent spaces by name, in the order of mapping: z, and w where there is one."""
        z = {"z": Space("z", self.z_dim, normal=True)}
        return z | {"w": Space("w", dim=self.w_shape[1], layers=self.w_shape[0])} if self.w_shape else z

    def draw(self, seeds: Sequence[int]) -> Tensor:
        """One latent z of the prior per seed (N, z_dim), float32 on the CPU; another prior overrides it."""
        return draw_normal(seeds, self.z_dim)

    def name_labels(self, latents: Tensor) -> dict[str, list[str]]:
        """What latents (N, z_dim) say of their images themselves: by attribute, a value for each; empty: nothing."""
        return {}

    def styles(self) -> list[tuple[int, Tensor, bool]]:
        """For each modulated convolution, in order: the W+ layer that it takes, the matrix (channels, w_dim) from w to
        its style, and whether it makes the image (ToRGB). Empty for families without styles."""
        return []

    def first_layer(self) -> Tensor | None:
        """The matrix (channels, z_dim) of the layer that takes z; None: there is none, or it is not known."""
        return None

    @abstractmethod
    def map(self, z: Tensor, c: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """Latents z (N, z_dim) and one-hot classes c (N, n_classes) to truncated w (see `truncate`)."""

    @abstractmethod
    def synthesize(self, w: Tensor) -> Tensor:
        """w (N, w_dim) or W+ (N, L, w_dim) to images (N, C, H, W), about [-1, 1]; random with noise only."""

    def counterfactual(self, w: Tensor, changes: Mapping[int, Tensor]) -> Tensor:
        """w (N, D) after attributes of `causes`, by place, are set to values (N,), with what follows from them.

        Values are indices, int64; of numbers, float32 in units of the range. NotImplementedError: w holds no causes.
        """
        raise NotImplementedError(f"the latents of {self.family} hold no causes")

    def read_causes(self, w: Tensor) -> Tensor:
        """The values (N, A) of the causes in w (N, D), float32: indices; of numbers, in units of the range.

        NotImplementedError: as `counterfactual`.
        """
        raise NotImplementedError(f"the latents of {self.family} hold no causes")

    def follow(self, places: Sequence[int]) -> list[int]:
        """The causes, by place, that follow from those at `places`. NotImplementedError: as `counterfactual`."""
        raise NotImplementedError(f"the latents of {self.family} hold no causes")

    def truncate(self, w: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
        """w (N, w_dim) or W+ (N, L, w_dim) interpolated towards the mean w: see `truncation.truncate`."""
        return truncate(w, self.w_avg, self.w_shape[0] if self.w_shape else None, psi, cutoff)
