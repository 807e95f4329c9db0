"""Training of an encoder on a generator's own samples, for which the latents are known.

Every step draws new latents, generates their images and disturbs them a little. The loss is the error in chart
coordinates, and from IMAGES_FROM of the training on also that of the reconstruction: mean absolute difference of the
pixels, and the distance of the labelling classifier's features, both in units of the difference of two samples. Layers
of W+ get deviations of their own one after the other (Tov et al. 2021, "Designing an encoder for StyleGAN image
manipulation"). Step t draws everything from generators seeded by (seed, t), so that a resumed run gives the same
result.
"""

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gmmedit.classifiers import Classifier
from gmmedit.encoders.convnet import ConvEncoder, EncoderConfig
from gmmedit.errors import InputError
from gmmedit.pictures.pixels import as_shown, to_bytes
from gmmedit.run.rendering import Renderer
from gmmedit.spaces import Chart, fit_chart
from gmmedit.training.base import move_average

CHART_SAMPLES = 20_000
MEASURED_ON = 64  # samples, for the units of the losses
SEEDS = 1 << 31  # those of samples are above, where no stage draws
LAYERS_UNTIL = 0.5  # share of the training after which every layer has its own deviation
NOT_OF_IMAGES = ("gan", "n", "images")  # settings of samples.h5 that change no image
IMAGES_FROM = 0.1  # share of the training from which on reconstructions are compared


@dataclass(frozen=True)
class EncoderSettings:
    """The settings that determine the result of a training run."""

    seed: int = 0
    images: int = 40_000  # in all, each used once
    batch: int = 16
    lr: float = 1e-3  # the highest; it rises from 0 over a twentieth of the run, then falls along a cosine to 0
    weight_decay: float = 0.01
    apart: float = 0.5  # half of the latents get layers of their own, this far from each other at most
    noise: float = 0.1  # most noise added to the images; pixels are in [-1, 1]
    deviation: float = 0.05  # weight of the layers' mean squared deviation
    pixels: float = 2.0  # weight of the pixels' error beside that of the coordinates
    features: float = 1.0  # weight of the features' error
    average_images: int = 2_000  # half-life of the moving average of the weights


@dataclass
class Progress:
    """One line of the training log; errors of images are NaN before they are compared."""

    images: int
    coordinates: float  # mean squared error
    pixels: float  # in units of the difference of two samples
    features: float
    images_per_second: float


class EncoderTraining:
    """An encoder, the moving average of its weights (the result), and the optimiser."""

    def __init__(self, settings: EncoderSettings, renderer: Renderer, classifier: Classifier | None):
        self.settings, self.renderer, self.classifier = settings, renderer, classifier
        space, generator = renderer.space, renderer.generator
        self.device = generator.device
        with torch.no_grad():
            latents = self.draw(range(SEEDS, SEEDS + CHART_SAMPLES))
        chart = fit_chart(space, latents.cpu())
        config = EncoderConfig(
            generator.fingerprint, space.name, generator.image_shape, space.layers, space.dim, chart.dim
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            network = ConvEncoder(config, chart)
        self.network = network.to(self.device)
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.adam = torch.optim.AdamW(self.network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
        self.contrast, self.distance = self.measure_units(latents[:MEASURED_ON])
        self.step = 0

    @property
    def chart(self) -> Chart:
        """The coordinates in which errors are measured."""
        return self.network.chart

    @property
    def done(self) -> float:
        """The share of the training that is done, in [0, 1]."""
        return min(self.step * self.settings.batch / self.settings.images, 1)

    def state(self) -> dict:
        """All that the next step depends on, for `torch.save`, and the settings."""
        modules = {name: getattr(self, name).state_dict() for name in ("network", "average", "adam")}
        return modules | {"step": self.step, "settings": self.record()}

    def record(self) -> dict:
        """The settings, and the networks that the training uses."""
        classifier = self.classifier.fingerprint if self.classifier else ""
        networks = {"generator": self.renderer.generator.fingerprint, "classifier": classifier}
        return asdict(self.settings) | self.recorded_sampling() | networks

    def recorded_sampling(self) -> dict:
        """How samples are drawn and shown."""
        return {key: value for key, value in self.renderer.settings.record().items() if key not in NOT_OF_IMAGES}

    def load_state(self, state: dict) -> None:
        """Resume from a `state`. InputError: it is of other settings."""
        different = [key for key, value in self.record().items() if state["settings"].get(key) != value]
        if different:
            raise InputError(
                f"the checkpoint was trained with different settings: {', '.join(different)}",
                hint="train with the same settings, or remove the checkpoint to start again",
            )
        for name in ("network", "average", "adam"):
            getattr(self, name).load_state_dict(state[name])
        self.step = state["step"]

    def run(self) -> Iterator[Progress]:
        """Train to the end, one Progress per step."""
        settings = self.settings
        while self.done < 1:
            start = time.perf_counter()
            for group in self.adam.param_groups:
                group["lr"] = self.learning_rate()
            terms = self.train_step(*self.draw_batch())
            self.step += 1
            self.update_average()
            speed = settings.batch / (time.perf_counter() - start)
            yield Progress(self.step * settings.batch, *terms, speed)

    def learning_rate(self) -> float:
        """That of the next step."""
        done = (self.step + 1) * self.settings.batch / self.settings.images
        return self.settings.lr * min(20 * done, 0.5 + 0.5 * math.cos(math.pi * min(done, 1)))

    def draw(self, seeds: range | np.ndarray) -> Tensor:
        """Latents (N, D) of the seeds in the encoder's space, on the device."""
        rows = self.renderer.draw([int(seed) for seed in seeds]).to(self.device)
        return rows if self.renderer.space.name == "z" else self.renderer.map(rows)

    @torch.no_grad()
    def draw_batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """This step's images (N, C, H, W), disturbed copies of them, and their chart coordinates (N, L, D')."""
        settings = self.settings
        state = np.random.SeedSequence([settings.seed, self.step]).generate_state(settings.batch + 1)
        generator = torch.Generator().manual_seed(int(state[0]))
        latents = self.draw(state[1:] % SEEDS + SEEDS)
        x = self.chart.to_x(latents)[:, None].expand(-1, self.network.config.layers, -1)
        if self.network.config.layers > 1:
            apart = settings.apart * torch.rand(settings.batch, generator=generator)
            apart[::2] = 0
            apart = apart.to(x)[:, None, None]
            x = (1 - apart**2).sqrt() * x + apart * torch.randn(x.shape, generator=generator).to(x)
        images = as_shown(self.renderer.generate(self.chart.from_x(x), self.network.space))
        noise = settings.noise * torch.rand(settings.batch, 1, 1, 1, generator=generator)
        return images, images + (noise * torch.randn(images.shape, generator=generator)).to(images), x

    def train_step(self, images: Tensor, disturbed: Tensor, x: Tensor) -> tuple[float, float, float]:
        """One step of the optimiser; returns the errors before it."""
        settings = self.settings
        common, own = self.network.coordinates(disturbed)
        layers = self.network.config.layers
        count = min(1 + int(self.done / LAYERS_UNTIL * layers), layers)
        free = (torch.arange(layers, device=own.device) < count) & (layers > 1)
        own = torch.where(free[:, None], own, 0)
        found = common[:, None] + own
        coordinates = F.mse_loss(found, x)
        loss, pixels, features = coordinates + settings.deviation * own.square().mean(), math.nan, math.nan
        if self.done >= IMAGES_FROM and self.renderer.generator.differentiable:
            again = self.renderer.generate(self.chart.from_x(found), self.network.space)
            of_pixels, of_features = self.compare(again, images)
            loss = loss + settings.pixels * of_pixels + settings.features * of_features
            pixels, features = of_pixels.item(), of_features.item()
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        return coordinates.item(), pixels, features

    def compare(self, found: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean difference of pixels and squared distance of features of two batches, in units of that of samples."""
        pixels = (found - images).abs().mean() / self.contrast
        if self.classifier is None:
            return pixels, pixels.new_zeros(())
        return pixels, self.feature_distance(found, images) / self.distance

    def feature_distance(self, found: Tensor, images: Tensor) -> Tensor:
        """The mean squared distance of the classifier's features of two batches (N, C, H, W)."""
        assert self.classifier is not None
        return (self.classifier.observe(found)[2] - self.classifier.observe(images)[2]).square().sum(1).mean()

    @torch.no_grad()
    def measure_units(self, latents: Tensor) -> tuple[float, float]:
        """The mean difference of pixels, and squared distance of features, of the samples (N, D) and the next one."""
        images = self.renderer.generate(latents, self.network.space)
        contrast = float((images - images.roll(1, 0)).abs().mean())
        return contrast, 1.0 if self.classifier is None else float(self.feature_distance(images, images.roll(1, 0)))

    def update_average(self) -> None:
        """Moving average with a half-life of `average_images`, shorter at the beginning."""
        half_life = min(self.settings.average_images, 0.05 * self.step * self.settings.batch)
        move_average(self.average, self.network, 0.5 ** (self.settings.batch / half_life))

    @torch.no_grad()
    def reconstruct(self, n: int) -> np.ndarray:
        """Images of n unseen samples and, below, the averaged encoder's reconstructions, uint8 (2, n, H, W, C)."""
        images = as_shown(self.renderer.generate(self.draw(range(SEEDS - n, SEEDS)), self.network.space))
        again = self.renderer.generate(self.average.encode(images), self.network.space)
        return np.stack([to_bytes(images), to_bytes(again)])
