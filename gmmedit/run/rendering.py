"""Latents to images as step 1 was asked to make them, and what a classifier says of those."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gmmedit.classifiers import Classifier
from gmmedit.config import SampleSettings
from gmmedit.errors import InputError
from gmmedit.generators import Generator
from gmmedit.mixture.refining import Score
from gmmedit.runtime.execution import autocast
from gmmedit.spaces import Chart, Space

PIXELS_AT_ONCE = 1 << 17  # a CPU is no faster when it generates more at once, and its memory fills up
MOST_IMAGES = 1 << 30
SHIFT, NOISE = 1 / 32, 0.3  # of `disturbed`: of the shorter side; standard deviation, pixels are in [-1, 1]
SEEN = 64  # pixels along the longer side at which two images are compared


@dataclass(frozen=True)
class Renderer:
    """A generator as step 1 was asked to use it: class, truncation, noise. Every later step makes the same images.

    Raises InputError: the generator has no such class, or needs one; it has no W to truncate, or no mean w, or not so
    many layers.
    """

    generator: Generator
    settings: SampleSettings

    def __post_init__(self) -> None:
        check_settings(self.generator, self.settings)
        self.generator.noise_mode, self.generator.noise_seed = self.settings.noise, self.settings.seed

    @property
    def space(self) -> Space:
        """The space whose latents samples.h5 keeps and `generate` takes by default: W where there is one."""
        return list(self.generator.spaces.values())[-1]

    def map(self, z: Tensor) -> Tensor:
        """z (N, z_dim) to the w (N, w_dim) that samples.h5 keeps: truncated, unless a cutoff spares some layers."""
        settings, c = self.settings, None
        if settings.class_index is not None:
            hot = F.one_hot(torch.tensor(settings.class_index), self.generator.n_classes)
            c = hot.float().to(z).expand(len(z), -1)
        return self.generator.map(z, c, settings.psi if settings.cutoff is None else 1)

    def latents(self, seeds: Sequence[int], space: str, at_once: int = 1) -> Tensor:
        """Latents (N, D) of NVIDIA's `--seeds` in that space, on the CPU.

        So many are mapped at once: the last bits of a w depend on how many are mapped beside it.
        """
        z = self.generator.draw(seeds)
        if space == "z":
            return z
        return torch.cat([self.map(rows.to(self.generator.device)).cpu() for rows in z.split(at_once)])

    def layered(self, latent: Tensor, space: str) -> Tensor:
        """Latents (N, D) or (N, L, D) of that space to (N, L, D)."""
        latent = latent if latent.ndim == 3 else latent[:, None]
        return latent.expand(-1, self.generator.spaces[space].layers, -1)

    def generate(self, latent: Tensor, space: str) -> Tensor:
        """Latents (N, D) or (N, L, D) of that space, L = 1 or one for each layer, to images (N, C, H, W) about [-1, 1].

        A w is one that `map` gave.
        """
        latent = self.to_synthesis(latent.to(self.generator.device), space)
        return torch.cat([self.generator.synthesize(rows) for rows in latent.split(images_at_once(self.generator))])

    def to_synthesis(self, latent: Tensor, space: str) -> Tensor:
        """Such latents as `Generator.synthesize` takes them: mapped, truncated; z where there is no W."""
        generator, settings = self.generator, self.settings
        latent = latent[:, 0] if latent.ndim == 3 and latent.shape[1] == 1 else latent
        if "w" in generator.spaces:
            latent = latent if space == "w" else self.map(latent)
            if settings.cutoff is not None:
                latent = generator.truncate(latent, settings.psi, settings.cutoff)
        return latent

    def score(self, space: str, chart: Chart, classifier: Classifier, precision: str) -> Score:
        """f(G(x)): coordinates x (N, L, D) to logits (N, K) and images (N, C, H, W), differentiable.

        Images whose longer side has more than SEEN pixels are shrunk to that. Both come on x's device, in float32.
        """

        def score(x: Tensor, disturbance: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
            with autocast(precision, str(self.generator.device)):
                images = self.generate(chart.from_x(x), space)
                logits = classifier.logits(images if disturbance is None else disturbed(images, disturbance))
            return logits.float().to(x.device), shrunk(images.float()).to(x.device)

        return score


def check_settings(generator: Generator, settings: SampleSettings) -> None:
    """InputError: the generator cannot be used as the settings ask, see `Renderer`."""
    n, chosen = generator.n_classes, settings.class_index
    if n and chosen is None:
        raise InputError(f"{settings.gan} draws one of {n} classes and needs to know which", hint="--class 0")
    if not n and chosen is not None:
        raise InputError(f"{settings.gan} has no classes", hint="leave --class out")
    if n and chosen is not None and chosen >= n:
        raise InputError(f"{settings.gan} has no class {chosen}", hint=f"--class 0 to --class {n - 1}")
    if settings.psi != 1 and "w" not in generator.spaces:
        raise InputError(f"{settings.gan} has no W that psi could truncate", hint="leave --psi out")
    if settings.cutoff is None:
        return
    if generator.w_avg is None:
        raise InputError(f"{settings.gan} has no mean w that layers could be drawn to", hint="leave --cutoff out")
    layers = generator.spaces["w"].layers if "w" in generator.spaces else 0
    if settings.cutoff > layers:
        message = f"{settings.gan} has {layers} layers, a cutoff of {settings.cutoff} lies beyond them"
        raise InputError(message, hint="leave --cutoff out to truncate all of them")


def images_at_once(generator: Generator) -> int:
    """How many images are synthesized at once, a power of two as in `in_batches`. Other devices gain from many."""
    if generator.device.type != "cpu":
        return MOST_IMAGES
    _, height, width = generator.image_shape
    most = max(PIXELS_AT_ONCE // (height * width), 1)
    return 1 << (most.bit_length() - 1)


def shrunk(images: Tensor) -> Tensor:
    """Images (N, C, H, W) of at most SEEN pixels along the longer side, in their proportions."""
    height, width = images.shape[-2:]
    scale = SEEN / max(height, width)
    if scale >= 1:
        return images
    return F.adaptive_avg_pool2d(images, (max(round(height * scale), 1), max(round(width * scale), 1)))


def disturbed(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images (N, C, H, W) moved by up to SHIFT and with noise, the same for every image."""
    reach = max(round(SHIFT * min(images.shape[-2:])), 1)
    down, right = torch.randint(2 * reach + 1, (2,), generator=generator).tolist()
    height, width = images.shape[-2:]
    around = F.pad(images, (reach,) * 4, mode="replicate")
    noise = torch.randn(images.shape[1:], generator=generator).to(images)
    return around[..., down : down + height, right : right + width] + NOISE * noise
