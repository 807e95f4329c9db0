"""Training of an encoder on a generator's own samples, for which the latents are known.

Every step draws new latents, generates their images and disturbs them a little. The loss is the error in chart
coordinates, and from IMAGES_FROM of the training on also that of the reconstruction: mean absolute difference of the
pixels, and the distance of the labelling classifier's features, both in units of the difference of two samples. Layers
of W+ get deviations of their own one after the other (Tov et al. 2021, "Designing an encoder for StyleGAN image
manipulation"). Step t draws everything from generators seeded by (seed, t), so that a resumed run gives the same
result.
"""

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmmedit.classifiers import Classifier
from gmmedit.encoders.convnet import ConvEncoder, EncoderConfig
from gmmedit.pictures.pixels import as_shown, to_bytes
from gmmedit.run.rendering import Renderer
from gmmedit.runtime.batching import Memory, in_batches
from gmmedit.runtime.distributed import Processes
from gmmedit.runtime.execution import ALONE
from gmmedit.spaces import Chart, fit_chart
from gmmedit.training.base import Trainer, move_average
from gmmedit.training.parts import Parts
from gmmedit.training.schedules import share_kept, warm_cosine

CHART_SAMPLES = 20_000
MEASURED_ON = 64  # samples, for the units of the losses
SEEDS = 1 << 31  # those of samples are above, where no stage draws
LAYERS_UNTIL = 0.5  # share of the training after which every layer has its own deviation
NOT_OF_IMAGES = ("gan", "n", "images")  # settings of samples.h5 that change no image
IMAGES_FROM = 0.1  # share of the training from which on reconstructions are compared
PARTS = 2  # of a step
SHOWN = 12  # images of a sheet


@dataclass(frozen=True)
class EncoderSettings:
    """The settings that determine the result of a training run; those of the networks are filled in from them."""

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
    generator: str = ""  # fingerprint
    classifier: str = ""  # fingerprint of the one whose features are compared; "": none
    sampling: tuple[tuple[str, object], ...] = ()  # how samples are drawn and shown: names and values


class EncoderTraining(Trainer):
    """An encoder, the moving average of its weights (the result), and the optimiser.

    Losses: `coordinates`, the mean squared error, and `pixels` and `features`, in units of the difference of two
    samples, once they are compared.
    """

    name = "encoder"
    stateful = ("network", "average", "adam")

    def __init__(
        self, settings: EncoderSettings, renderer: Renderer, classifier: Classifier | None, processes: Processes = ALONE
    ):
        self.parts = Parts(processes, PARTS, settings.batch)
        self.renderer, self.classifier = renderer, classifier
        self.settings = describe_networks(settings, renderer, classifier)
        self.batch, self.steps = settings.batch, -(-settings.images // settings.batch)
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

    @property
    def chart(self) -> Chart:
        """The coordinates in which errors are measured."""
        return self.network.chart

    @property
    def done(self) -> float:
        """The share of the training that is done, in [0, 1]."""
        return min(self.step * self.settings.batch / self.settings.images, 1)

    def networks(self) -> dict[str, nn.Module]:
        """See `Trainer.networks`."""
        return {"the encoder": self.network}

    def take_step(self) -> dict[str, float]:
        """See `Trainer.take_step`."""
        for group in self.adam.param_groups:
            group["lr"] = self.learning_rate()
        losses = self.parts.set_gradients(self.network, lambda part: self.measure(*self.draw_part(part))).tolist()
        self.adam.step()
        self.update_average()
        return dict(zip(("coordinates", "pixels", "features"), losses, strict=False))

    def learning_rate(self) -> float:
        """That of the next step."""
        done = (self.step + 1) * self.settings.batch / self.settings.images
        return self.settings.lr * warm_cosine(done)

    def draw(self, seeds: range | np.ndarray) -> Tensor:
        """Latents (N, D) of the seeds in the encoder's space, on the device."""
        rows = self.renderer.draw([int(seed) for seed in seeds]).to(self.device)
        return rows if self.renderer.space.name == "z" else self.renderer.map(rows)

    @torch.no_grad()
    def draw_part(self, part: int) -> tuple[Tensor, Tensor, Tensor]:
        """Images (N, C, H, W) of a part of this step, disturbed copies of them, and their chart coordinates (N, L, D').

        Random numbers are those of all parts, which cost little beside the images.
        """
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
        noise = settings.noise * torch.rand(settings.batch, 1, 1, 1, generator=generator)
        noise = noise * torch.randn(settings.batch, *self.network.config.image_shape, generator=generator)
        x, noise = x[part :: self.parts.total], noise[part :: self.parts.total]
        images = as_shown(self.renderer.generate(self.chart.from_x(x), self.network.space))
        return images, images + noise.to(images), x

    def measure(self, images: Tensor, disturbed: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """The loss () of a part, and its errors (1,) of coordinates, or (3,) of pixels and features too."""
        settings = self.settings
        common, own = self.network.coordinates(disturbed)
        layers = self.network.config.layers
        count = min(1 + int(self.done / LAYERS_UNTIL * layers), layers)
        free = (torch.arange(layers, device=own.device) < count) & (layers > 1)
        own = torch.where(free[:, None], own, 0)
        found = common[:, None] + own
        coordinates = F.mse_loss(found, x)
        loss, losses = coordinates + settings.deviation * own.square().mean(), [coordinates]
        if self.done >= IMAGES_FROM and self.renderer.generator.differentiable:
            again = self.renderer.generate(self.chart.from_x(found), self.network.space)
            pixels, features = self.compare(again, images)
            loss = loss + settings.pixels * pixels + settings.features * features
            losses += [pixels, features]
        return loss, torch.stack(losses).detach()

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
        (images,) = in_batches(
            lambda rows: (self.renderer.generate(rows, self.network.space),), latents, MEASURED_ON, Memory()
        )
        images = images.to(self.device)
        contrast = float((images - images.roll(1, 0)).abs().mean())
        return contrast, 1.0 if self.classifier is None else float(self.feature_distance(images, images.roll(1, 0)))

    def update_average(self) -> None:
        """Moving average with a half-life of `average_images`, shorter at the beginning."""
        seen = (self.step + 1) * self.batch
        move_average(self.average, self.network, share_kept(self.settings.average_images, seen, self.batch))

    def sheet(self) -> np.ndarray:
        """See `Trainer.sheet`: unseen samples, the same at every step, and below them their reconstructions."""
        return self.reconstruct(SHOWN)

    @torch.no_grad()
    def reconstruct(self, n: int) -> np.ndarray:
        """Images of n unseen samples and, below, the averaged encoder's reconstructions, uint8 (2, n, H, W, C)."""
        images = as_shown(self.renderer.generate(self.draw(range(SEEDS - n, SEEDS)), self.network.space))
        again = self.renderer.generate(self.average.encode(images), self.network.space)
        return np.stack([to_bytes(images), to_bytes(again)])


def describe_networks(settings: EncoderSettings, renderer: Renderer, classifier: Classifier | None) -> EncoderSettings:
    """The settings with the networks of the training, and with how the generator's samples are drawn and shown."""
    record = renderer.settings.record()
    return replace(
        settings, generator=renderer.generator.fingerprint, classifier=classifier.fingerprint if classifier else "",
        sampling=tuple(sorted((key, value) for key, value in record.items() if key not in NOT_OF_IMAGES)),
    )  # fmt: skip
