"""Latents to images with the settings of step 1, and the classifier's logits of those images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from gmmedit.classifiers import Classifier
from gmmedit.config import SampleSettings
from gmmedit.errors import InputError
from gmmedit.generators import Generator
from gmmedit.mixture.score import Score
from gmmedit.run.disturbed import Disturbance
from gmmedit.run.interventions import find_acts, to_tensors
from gmmedit.run.prior import MixturePrior, read_prior
from gmmedit.runtime.execution import autocast
from gmmedit.spaces import Chart, Space

PIXELS_PER_CALL = 1 << 17  # on a CPU, more are not faster and only take memory
MAX_IMAGES = 1 << 30
COMPARED_SIDE = 64  # pixels along the longer side of images that losses compare
THUMBNAIL_SIDE = 16  # pixels along the longer side of the thumbnails in labels.h5


@dataclass(frozen=True)
class Renderer:
    """A generator with the settings of step 1 (class, truncation, noise), so that later steps make the same images.

    InputError: the settings do not suit the generator, see `check_settings`.
    """

    generator: Generator
    settings: SampleSettings
    run: Path | None = None  # the run folder of the samples; None: of no run

    def __post_init__(self) -> None:
        check_settings(self.generator, self.settings)
        self.generator.noise_mode, self.generator.noise_seed = self.settings.noise, self.settings.seed

    @property
    def space(self) -> Space:
        """The space of the latents in samples.h5: W if the generator has one, else Z."""
        return list(self.generator.spaces.values())[-1]

    @cached_property
    def prior(self) -> MixturePrior | None:
        """The mixture that latents are drawn from; None: the generator's own prior. InputError: see `read_prior`."""
        settings = self.settings
        if settings.prior is None:
            return None
        return read_prior(Path(settings.prior), self.generator.fingerprint, settings.prior_fingerprint, self.run)

    def draw(self, seeds: Sequence[int]) -> Tensor:
        """One latent z for each seed (N, z_dim), on the CPU."""
        z = self.generator.draw(seeds)
        return z if self.prior is None else self.prior.redraw(z, list(seeds))

    def map(self, z: Tensor) -> Tensor:
        """z (N, z_dim) to w (N, w_dim) as in samples.h5: truncated, unless a cutoff truncates only some layers."""
        settings, c = self.settings, None
        if settings.class_index is not None:
            hot = F.one_hot(torch.tensor(settings.class_index), self.generator.n_classes)
            c = hot.float().to(z).expand(len(z), -1)
        w = self.generator.map(z, c, settings.psi if settings.cutoff is None else 1)
        acts = find_acts(self.generator, settings.do, settings.gan)
        return self.generator.counterfactual(w, to_tensors(acts, len(w), w.device)) if acts else w

    def draw_latents(self, seeds: Sequence[int], space: str, rows_per_call: int = 1) -> Tensor:
        """Latents (N, D) of the seeds (as NVIDIA's `--seeds`) in that space, on the CPU.

        rows_per_call: rows mapped together; the last bits of a w depend on it.
        """
        z = self.draw(seeds)
        if space == "z":
            return z
        return torch.cat([self.map(rows.to(self.generator.device)).cpu() for rows in z.split(rows_per_call)])

    def to_layers(self, latent: Tensor, space: str) -> Tensor:
        """Latents (N, D) or (N, L, D) of that space as (N, L, D), L the number of its layers."""
        latent = latent if latent.ndim == 3 else latent[:, None]
        return latent.expand(-1, self.generator.spaces[space].layers, -1)

    def generate(self, latent: Tensor, space: str) -> Tensor:
        """Latents (N, D) or (N, L, D) of that space to images (N, C, H, W) around [-1, 1].

        L is 1 or the number of layers. Latents of W are as `map` returns them.
        """
        latent = self.to_synthesis(latent.to(self.generator.device), space)
        return torch.cat([self.generator.synthesize(rows) for rows in latent.split(images_per_call(self.generator))])

    def to_synthesis(self, latent: Tensor, space: str) -> Tensor:
        """Latents as in `generate`, mapped and truncated for `Generator.synthesize`; z if the generator has no W."""
        generator, settings = self.generator, self.settings
        latent = latent[:, 0] if latent.ndim == 3 and latent.shape[1] == 1 else latent
        if "w" in generator.spaces:
            latent = latent if space == "w" else self.map(latent)
            if settings.cutoff is not None:
                latent = generator.truncate(latent, settings.psi, settings.cutoff)
        return latent

    def to_projected(self, latent: Tensor, space: str) -> Tensor:
        """Latents (N, L, D) of that space as W+ (N, layers, D) of `Generator.synthesize`, on the CPU.

        One at a time, as images are generated. InputError: the generator has no W.
        """
        if "w" not in self.generator.spaces:
            raise InputError(f"{self.settings.gan} has no W, which projected_w.npz needs", hint="use latents of Z")
        w = self.generator.spaces["w"]
        rows = [self.to_synthesis(row.to(self.generator.device), space).cpu() for row in latent.split(1)]
        return torch.cat([row.reshape(1, -1, w.dim).expand(1, w.layers, w.dim) for row in rows])

    def make_score(
        self,
        space: str,
        chart: Chart,
        classifier: Classifier,
        precision: str,
        disturbance: tuple[float, float] = (0.0, 0.0),
    ) -> Score:
        """The function f(G(x)): chart coordinates x (N, L, D) to logits (N, K) and images (N, C, H, W), differentiable.

        Both are float32 on the device of x; images are shrunk to COMPARED_SIDE pixels along the longer side.

        disturbance: shift and noise of images that are to be disturbed, see `Disturbance`.
        """
        disturb = Disturbance(*disturbance)

        def score(x: Tensor, random: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
            with autocast(precision, str(self.generator.device)):
                images = self.generate(chart.from_x(x), space)
                logits = classifier.logits(images if random is None else disturb(images, random))
            return logits.float().to(x.device), shrink_to_compare(images.float()).to(x.device)

        return score

    def make_unlabelled(self, space: str, chart: Chart, precision: str) -> Score:
        """As `make_score`, with one column of zeros instead of logits: without the cost of the classifier."""

        def score(x: Tensor, random: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
            with autocast(precision, str(self.generator.device)):
                images = self.generate(chart.from_x(x), space)
            return x.new_zeros(len(x), 1), shrink_to_compare(images.float()).to(x.device)

        return score


def check_settings(generator: Generator, settings: SampleSettings) -> None:
    """InputError: the class is missing, unknown or not applicable; psi needs W, a cutoff a mean w and enough layers."""
    n, chosen = generator.n_classes, settings.class_index
    if n and chosen is None:
        raise InputError(f"{settings.gan} is conditional ({n} classes) and needs a class", hint="--class 0")
    if not n and chosen is not None:
        raise InputError(f"{settings.gan} has no classes", hint="omit --class")
    if n and chosen is not None and chosen >= n:
        raise InputError(f"{settings.gan} has no class {chosen}", hint=f"--class 0 to --class {n - 1}")
    if settings.psi != 1 and "w" not in generator.spaces:
        raise InputError(f"{settings.gan} has no W, which psi truncates", hint="omit --psi")
    if settings.psi != 1 and generator.causes:
        raise InputError(f"{settings.gan} has no mean w, which psi truncates towards", hint="omit --psi")
    find_acts(generator, settings.do, settings.gan)
    if settings.cutoff is None:
        return
    if generator.w_avg is None:
        raise InputError(f"{settings.gan} has no mean w, which --cutoff needs", hint="omit --cutoff")
    layers = generator.spaces["w"].layers if "w" in generator.spaces else 0
    if settings.cutoff > layers:
        message = f"cutoff {settings.cutoff} exceeds the {layers} layers of {settings.gan}"
        raise InputError(message, hint="omit --cutoff to truncate all layers")


def images_per_call(generator: Generator) -> int:
    """Number of images per call of `synthesize`: a power of two by image size on a CPU, unlimited on other devices."""
    if generator.device.type != "cpu":
        return MAX_IMAGES
    _, height, width = generator.image_shape
    limit = max(PIXELS_PER_CALL // (height * width), 1)
    return 1 << (limit.bit_length() - 1)


def shrink_to_compare(images: Tensor) -> Tensor:
    """Images (N, C, H, W) averaged down to at most COMPARED_SIDE pixels along the longer side, same aspect ratio."""
    return shrink(images, COMPARED_SIDE)


def shrink(images: Tensor, side: int) -> Tensor:
    """Images (N, C, H, W) averaged down to at most `side` pixels along the longer side, same aspect ratio."""
    size = shrunk_size(images.shape[-2:], side)
    return images if size == images.shape[-2:] else F.adaptive_avg_pool2d(images, size)


def shrunk_size(size: Sequence[int], side: int) -> tuple[int, int]:
    """(height, width) with the longer one reduced to `side`, the other in proportion; never enlarged."""
    height, width = size
    scale = min(side / max(height, width), 1)
    return max(round(height * scale), 1), max(round(width * scale), 1)


def make_thumbnails(shown: Tensor) -> Tensor:
    """Images (N, C, H, W) as `as_shown` returns them, to thumbnails uint8 (N, h, w, C), see THUMBNAIL_SIDE.

    Averages of the 256 levels, rounded: sums of whole numbers are exact, so that no order of summation changes a byte.
    """
    levels = (shown.float() * 127.5 + 127.5).round()
    return (shrink(levels, THUMBNAIL_SIDE) + 0.5).floor().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
