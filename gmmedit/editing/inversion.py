"""Inversion: the latents from which a generator makes an image as close as possible to a given one.

It starts from an encoder, else from the best of the run's samples, and optimises chart coordinates with Adam. The loss
is the difference of the pixels, that of a classifier's features, and P_N, the mean squared chart coordinate of every
layer, which keeps latents typical of the prior and so editable (Zhu et al. 2020, "Improved StyleGAN embedding: where
are the good latents?"). Differences are in units of those of two samples, so that no weight depends on the generator.

Of latents that hold causes only the rest moves, under a larger weight of the prior: a rest that is free to fit the
image comes to tell what the causes should, and acts on them then change less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gmmedit.artifacts import Artifact
from gmmedit.config import InvertSettings
from gmmedit.editing.photographs import Colour, cut_photograph
from gmmedit.encoders import Encoder
from gmmedit.pictures.pixels import as_shown, from_bytes, to_bytes
from gmmedit.run.rendering import Renderer, make_thumbnails
from gmmedit.runtime.execution import Execution
from gmmedit.spaces import Chart

MEASURED_ON = 16  # first samples, for the units of the losses and the colour behind transparent images
CANDIDATES = 32  # samples with the closest thumbnails, whose images are compared
UNSEEN_THUMBNAILS = 64  # samples that are generated to compare them where labels.h5 holds no thumbnails
WARM_UP = 0.1  # share of the steps in which the rate rises

UNLIKE = "does not look like the generator's images"

Progress = Callable[[int, int, str], None]  # done, total, what is being done
Features = Callable[[Tensor], Tensor]  # images (N, C, H, W) in [-1, 1] to features (N, F)


@dataclass(frozen=True)
class Target:
    """An image to invert."""

    image: Tensor  # (1, C, H, W) in [-1, 1]
    features: Tensor | None  # (1, F)


@dataclass(frozen=True)
class Inversion:
    """The inversion of one image. Errors of pixels are mean absolute differences, for pixels in [-1, 1]."""

    image: np.ndarray  # uint8 (H, W, C), as it was cut
    latent: Tensor  # (L, D) of the inverter's space
    reconstruction: np.ndarray  # uint8 (H, W, C)
    start_error: float  # of the pixels, before the optimisation
    error: float  # of the pixels
    feature_error: float  # squared distance of the features, in units of that of two samples; 0 without features
    density: float  # P_N: mean squared chart coordinate; 1 for a sample
    percentile: float  # share of the generator's own samples whose inversions have smaller errors; NaN: unknown

    def verdict(self) -> str:
        """Whether the image looks like the generator's, in a few words; empty if it does, or if that is unknown."""
        return UNLIKE if self.percentile == 1 else ""


@dataclass(frozen=True)
class Inverter:
    """All that inverting images of a run needs. No image's result depends on other images."""

    renderer: Renderer
    space: str  # "z" or "w": the space of the latents
    shared: bool  # one latent for all layers, not W+
    chart: Chart
    samples: Artifact  # samples.h5
    thumbnails: np.ndarray | None  # uint8 (N, h, w, C) of the samples; None: not stored
    encoder: Encoder | None
    features: Features | None
    embedder: str  # fingerprint of a feature network that the settings name; "": that of labels.h5, or none
    settings: InvertSettings
    execution: Execution
    notes: tuple[str, ...] = ()
    own_errors: np.ndarray | None = None  # (R,) of inversions of the generator's own samples, ascending
    rest: Chart | None = None  # of the part of a latent beside its causes, which alone moves; None: all of it does

    def invert(self, images: Sequence[Image.Image], progress: Progress | None = None) -> list[Inversion]:
        """Invert images as `read_photograph` gives them, after the cut that the settings ask for.

        progress: called after every step of every image. InputError: as `cut_photograph`. Stopped: the execution was
        asked to stop.
        """
        found = []
        for number, image in enumerate(images):
            pixels = self.cut(image, f"image {number + 1}")
            offset, total = number * self.settings.steps, len(images) * self.settings.steps

            def tell(done: int, of: int, words: str, offset: int = offset, total: int = total) -> None:
                if progress:
                    progress(offset + done, total, words)

            found.append(self.invert_pixels(pixels, tell))
        return found

    def cut(self, image: Image.Image, name: str) -> np.ndarray:
        """The image cut to the generator's, uint8 (H, W, C). InputError: see `cut_photograph`."""
        return cut_photograph(image, self.renderer.generator.image_shape, self.settings.crop, self.background, name)

    def invert_pixels(self, pixels: np.ndarray, progress: Progress | None = None) -> Inversion:
        """Invert one image of the generator's shape, uint8 (H, W, C)."""
        target = self.make_target(pixels)
        home, start = self.find_start(target)
        x = self.optimise(home, start, target, progress)
        with torch.no_grad():
            latent = self.to_latent(home, x)
            pair = (self.to_latent(home, start), latent)
            images = torch.cat([self.renderer.generate(row, self.space) for row in pair])
            shown = as_shown(images)
            before, after = (shown - target.image).abs().mean((1, 2, 3)).tolist()
            distance = self.feature_errors(shown[1:], target).sum().item()
        return Inversion(
            image=pixels,
            latent=latent[0].cpu(),
            reconstruction=to_bytes(images[1:])[0],
            start_error=before,
            error=after,
            feature_error=distance,
            density=x.square().mean().item(),
            percentile=self.find_percentile(after),
        )

    def make_target(self, pixels: np.ndarray) -> Target:
        """The image uint8 (H, W, C) on the device, and its features."""
        image = from_bytes(np.array(pixels[None])).to(self.renderer.generator.device)
        with torch.no_grad():
            return Target(image, self.features(image) if self.features else None)

    def generate_seeds(self, seeds: Sequence[int]) -> np.ndarray:
        """The generator's own samples of these seeds, uint8 (N, H, W, C)."""
        latents = self.renderer.draw_latents(seeds, self.space)
        with torch.no_grad():
            return np.concatenate([to_bytes(self.renderer.generate(row, self.space)) for row in latents.split(1)])

    def find_percentile(self, error: float) -> float:
        """The share of the generator's own samples with smaller errors, in [0, 1]; NaN: unknown."""
        return math.nan if self.own_errors is None else float((self.own_errors < error).mean())

    # Start

    @torch.no_grad()
    def find_start(self, target: Target) -> tuple[Tensor, Tensor]:
        """The latent (1, L, D) to start from, and the coordinates (1, L, D') that move."""
        home = self.find_sample(target) if self.encoder is None else self.encoder.encode(target.image)
        x = self.moving.to_x(home)
        x = self.renderer.to_layers(x.mean(1, keepdim=True), self.space) if self.shared else x
        return home, x.contiguous()

    def find_sample(self, target: Target) -> Tensor:
        """The latents (1, L, D) of the sample whose image is closest: by thumbnails, then by the loss."""
        rows = np.arange(min(UNSEEN_THUMBNAILS, self.samples.spec.n))
        if self.thumbnails is not None:
            own = make_thumbnails(target.image)[0].cpu().numpy().astype(np.int16)
            differences = np.abs(self.thumbnails - own).mean((1, 2, 3))
            rows = np.sort(np.argsort(differences, kind="stable")[:CANDIDATES])
        latents = torch.from_numpy(self.samples[self.space][rows])
        (losses,) = self.execution.in_batches(lambda part: (self.losses_of(part, target),), latents)
        return self.renderer.to_layers(latents[losses.argmin()][None], self.space).to(target.image.device)

    def losses_of(self, latents: Tensor, target: Target) -> Tensor:
        """The loss, without the prior's term, of each of the latents (N, D)."""
        return self.differences(self.renderer.generate(latents, self.space), target)

    # Optimisation

    @property
    def moving(self) -> Chart:
        """The coordinates that move."""
        return self.rest or self.chart

    def to_latent(self, home: Tensor, x: Tensor) -> Tensor:
        """The latents (N, L, D) of coordinates (N, L, D'), of which what does not move is that of home (N, L, D)."""
        return self.chart.from_x(x) if self.rest is None else self.rest.carry(home, x)

    def refine(self, latents: Tensor, images: Tensor) -> Tensor:
        """Latents (N, L, D) moved closer to images (N, C, H, W) in [-1, 1]; rows are independent but for last bits."""
        target = Target(images, self.features(images) if self.features else None)
        return self.to_latent(latents, self.optimise(latents, self.moving.to_x(latents), target))

    def optimise(self, home: Tensor, start: Tensor, target: Target, progress: Progress | None = None) -> Tensor:
        """Coordinates (N, L, D') of the least loss on the way from the start, for latents home (N, L, D).

        Photographs are inverted one at a time: in matrix products of several rows the last bits depend on a row's
        position.
        """
        settings, layers = self.settings, start.shape[1]
        common = torch.zeros_like(start[:, :1]).requires_grad_()
        own = torch.zeros_like(start).requires_grad_()
        adam = torch.optim.Adam([common] if self.shared or layers == 1 else [common, own], lr=settings.lr)
        best, least = start, start.new_full((len(start),), math.inf)
        for step in range(settings.steps + 1):  # the last one only looks
            self.execution.stop.check()
            with torch.enable_grad():
                x = start + common + own
                loss = self.loss(home, x, target)
                cheaper = loss.detach() < least  # compared on the device, for which no step waits
                best = torch.where(cheaper[:, None, None], x.detach(), best)
                least = torch.where(cheaper, loss.detach(), least)
                if step == settings.steps:
                    break
                adam.zero_grad()
                loss.sum().backward()
            for group in adam.param_groups:
                group["lr"] = settings.lr * rate_at(step, settings.steps)
            adam.step()
            if progress:
                progress(step + 1, settings.steps, "inversion")
        return best

    def loss(self, home: Tensor, x: Tensor, target: Target) -> Tensor:
        """The loss (N,) of coordinates (N, L, D')."""
        images = self.renderer.generate(self.to_latent(home, x), self.space)
        prior = self.settings.prior if self.rest is None else self.settings.rest_prior
        return self.differences(images, target) + prior * x.square().mean((1, 2))

    def differences(self, images: Tensor, target: Target) -> Tensor:
        """The difference (N,) of images (N, C, H, W) from the target, in units of that of two samples."""
        change = (images - target.image) / self.units[0]
        found = change.abs().mean((1, 2, 3)) + change.square().mean((1, 2, 3))
        return found + self.settings.feature_weight * self.feature_errors(images, target)

    def feature_errors(self, images: Tensor, target: Target) -> Tensor:
        """The squared distance (N,) of the features of images (N, C, H, W) from the target's, in units of that of two
        samples; zeros without features."""
        if self.features is None or target.features is None:
            return images.new_zeros(len(images))
        return (self.features(images) - target.features).square().sum(1) / self.units[1]

    # Units

    @cached_property
    def own_images(self) -> Tensor:
        """Images (n, C, H, W) of the first samples."""
        latents = torch.from_numpy(self.samples.rows(self.space, 0, min(MEASURED_ON, self.samples.spec.n)))
        with torch.no_grad():
            (images,) = self.execution.in_batches(
                lambda part: (as_shown(self.renderer.generate(part, self.space)),), latents
            )
        return images.to(self.renderer.generator.device)

    @cached_property
    def units(self) -> tuple[float, float]:
        """The mean absolute difference of the pixels of two samples, and the squared distance of their features."""
        images, tiny = self.own_images, torch.finfo(torch.float32).tiny
        others = images.roll(1, 0)
        contrast = (images - others).abs().mean().item()
        if self.features is None:
            return max(contrast, tiny), 1.0
        with torch.no_grad():
            distance = (self.features(images) - self.features(others)).square().sum(1).mean().item()
        return max(contrast, tiny), max(distance, tiny)

    @cached_property
    def background(self) -> Colour:
        """The mean colour of the generator's images, RGB: what lies behind transparent photographs."""
        levels = to_bytes(self.own_images).reshape(-1, self.renderer.generator.image_shape[0]).mean(0)
        red, green, blue = (round(float(level)) for level in np.broadcast_to(levels, 3))
        return red, green, blue


def rate_at(step: int, steps: int) -> float:
    """The share of the rate at a step: it rises in the first WARM_UP of the steps, then falls along a cosine to 0."""
    done = (step + 1) / (steps + 1)
    return min(1.0, done / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * max(0.0, done - WARM_UP) / (1 - WARM_UP)))
