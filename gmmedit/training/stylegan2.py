"""Training of StyleGAN2 on any images; without settings of its own, the embedded generator on avatars.

Non-saturating loss, lazy R1 and path-length regularisation, style mixing, moving average of the weights (Karras et al.
2020). Step t draws from generators seeded by (seed, t), so that a resumed run gives the same result.
"""

import copy
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmmedit.classifiers.trained import TrainedNetwork
from gmmedit.datasets.avatars.factors import ATTRIBUTES, Factors, sample_causal
from gmmedit.datasets.avatars.renderer import render
from gmmedit.datasets.streaming import Ahead
from gmmedit.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from gmmedit.training.base import Step, Trainer, move_average
from gmmedit.training.discriminator import Discriminator
from gmmedit.training.schedules import share_kept
from gmmedit.training.stylegan2_settings import GANSettings, Knot

SHEET_ROWS, SHEET_COLUMNS = 4, 12
POOL_SEED = 1
PAIR_MEMORY = 2_000  # half-life in images
MOST_LACK = 4.0


class Pool(Protocol):
    """Real images: an array uint8 (n, S, S, C), in memory or on disk, or what reads rows as one would."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: np.ndarray) -> np.ndarray: ...


def render_pool(n: int, seed: int, path: Path) -> None:
    """Write n causal avatars to `path` as uint8 (n, 64, 64, 3)."""
    with path.open("xb") as file:  # given a name, NumPy would add a suffix
        np.save(file, to_pixels(render(sample_causal(n, seed))))


class GANTraining(Trainer):
    """Generator, its moving average, discriminator and both optimisers; they grow from phase to phase.

    critic: a classifier of avatars for the schedule's attribute terms; None: there are none, for other images.
    bf16: whether networks compute in bfloat16, where that is allowed.
    """

    name = "generator"
    stateful = ("g", "d", "average", "g_adam", "d_adam")

    def __init__(
        self, settings: GANSettings, pool: Pool, critic: TrainedNetwork | None = None, phase: int = 0,
        device: str = "cpu", bf16: bool = True,
    ):  # fmt: skip
        self.settings, self.pool, self.device, self.bf16 = settings, pool, device, bf16
        self.batch = settings.batch
        self.critic = critic.to(device) if critic else None
        avatars = sample_causal(settings.pool if critic else 1, POOL_SEED)
        self.wanted_pairs = pair_rates(avatars).to(device)
        self.build(phase)

    def build(self, phase: int) -> None:
        """New networks and optimisers for the beginning of a phase."""
        settings, device = self.settings, self.device
        self.phase, self.step = phase, 0
        self.resolution, images = settings.phases[phase]
        self.steps = -(-images // settings.batch)
        torch.manual_seed(settings.seed + phase)
        self.g = StyleGAN2(config_at(settings.network, self.resolution)).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.g.noise_mode = "random"
        self.d = Discriminator(self.resolution, settings.width, settings.network.image_channels)
        self.d = self.d.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.g).eval().requires_grad_(False)
        self.average.noise_mode = "const"
        self.g_adam = make_lazy_adam(self.g, settings.lr, settings.path_every)
        self.d_adam = make_lazy_adam(self.d, settings.lr, settings.r1_every)
        self.path_mean = torch.zeros([], device=device)
        self.pairs = self.wanted_pairs.clone()  # running mean over generated images
        self.ahead = Ahead(lambda step: self.pool[self.rows_at(step, phase)])

    @property
    def before(self) -> int:
        """The images of the phases before this one."""
        return sum(-(-images // self.batch) * self.batch for _, images in self.settings.phases[: self.phase])

    @property
    def total(self) -> int:
        """See `Trainer.total`."""
        return sum(-(-images // self.batch) * self.batch for _, images in self.settings.phases)

    def state(self) -> dict[str, Any]:
        """See `Trainer.state`."""
        return super().state() | {"path_mean": self.path_mean, "pairs": self.pairs, "phase": self.phase}

    def load_state(self, state: dict[str, Any]) -> None:
        """See `Trainer.load_state`; the networks become those of the state's phase."""
        if state["phase"] != self.phase:
            self.build(state["phase"])
        super().load_state(state)
        self.path_mean, self.pairs = (state[name].to(self.device) for name in ("path_mean", "pairs"))

    def networks(self) -> dict[str, nn.Module]:
        """See `Trainer.networks`."""
        return {"the generator": self.g, "the discriminator": self.d}

    def sheet(self) -> np.ndarray:
        """See `Trainer.sheet`: images of the averaged generator; the latents are the same at every step."""
        images = sample_images(self.average, SHEET_ROWS * SHEET_COLUMNS)
        return images.reshape(SHEET_ROWS, SHEET_COLUMNS, *images.shape[1:])

    def __iter__(self) -> Iterator[Step]:
        while True:
            for done in super().__iter__():
                yield replace(done, images=self.before + done.images)
            if self.phase == len(self.settings.phases) - 1:
                return
            self.grow()

    def grow(self) -> None:
        """Begin the next phase, at a higher resolution; layers of the same shape are copied, ToRGB is 0."""
        g, d, average, path_mean = self.g, self.d, self.average, self.path_mean
        self.build(self.phase + 1)
        with torch.no_grad():
            self.g.get_submodule(f"synthesis.b{self.resolution}.torgb").weight.zero_()
        copy_matching(self.g, g)
        copy_matching(self.d, d)
        self.average.load_state_dict(self.g.state_dict())
        copy_matching(self.average, average)
        self.path_mean = path_mean

    def take_step(self) -> dict[str, float]:
        """See `Trainer.take_step`."""
        torch.manual_seed(self.seed_at(self.step, self.phase))
        torch.randint(len(self.pool), (self.batch,))  # the rows, which `rows_at` has drawn ahead
        self.set_lr()
        real = self.real_batch(self.ahead.get(self.step))
        g_loss = self.step_generator()
        d_loss, sign = self.step_discriminator(real)
        self.update_average()
        path = float(self.path_mean)
        return {"d_loss": d_loss, "g_loss": g_loss, "real_sign": sign, "path": path, "resolution": self.resolution}

    def seed_at(self, step: int, phase: int) -> int:
        """The seed of a step of a phase."""
        return (self.settings.seed * 16 + phase) * 1_000_003 + step

    def set_lr(self) -> None:
        """Set both optimisers' learning rates to the schedule's."""
        for adam in (self.g_adam, self.d_adam):
            for group in adam.param_groups:
                group["lr"] = group["initial_lr"] * self.knot().lr

    def knot(self) -> Knot:
        """The schedule's values now; phases before the last have no schedule."""
        last = self.phase == len(self.settings.phases) - 1
        return self.settings.at(self.step * self.settings.batch) if last else Knot(0)

    def rows_at(self, step: int, phase: int) -> np.ndarray:
        """The rows of the pool in a step of a phase, in ascending order."""
        generator = torch.Generator().manual_seed(self.seed_at(step, phase))
        return np.sort(torch.randint(len(self.pool), (self.batch,), generator=generator).numpy())

    def real_batch(self, pixels: np.ndarray) -> Tensor:
        """Pixels uint8 (N, S, S, C) as images (N, C, R, R) in [-1, 1], at the phase's resolution."""
        images = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        images = F.avg_pool2d(images, images.shape[2] // self.resolution)
        return images.contiguous(memory_format=torch.channels_last)

    def draw_latents(self, n: int) -> tuple[Tensor, Tensor]:
        """W+ (n, L, w_dim), with style mixing from a random layer on for some rows, and which rows (n,) are unmixed."""
        z = torch.randn(2 * n, self.g.z_dim).to(self.device)
        w, other = self.g.mapping(z).chunk(2)
        self.g.mapping.w_avg.lerp_(w.detach().mean(dim=0), 0.005)
        layers = self.g.w_shape[0]
        cut = torch.randint(1, layers, (n, 1))
        cut = torch.where(torch.rand(n, 1) < self.settings.mixing, cut, layers).to(self.device)
        first = torch.arange(layers, device=self.device) < cut  # (n, L)
        return torch.where(first[:, :, None], w[:, None], other[:, None]), first.all(dim=1)

    def generate_batch(self, n: int) -> tuple[Tensor, Tensor]:
        """Images (n, 3, R, R), and which of them (n,) are of one latent."""
        ws, pure = self.draw_latents(n)  # the mapping stays in float32
        with self.autocast():
            return self.g.synthesis(ws, "random"), pure

    def autocast(self) -> torch.autocast:
        """The context of bf16 computation."""
        return torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=self.bf16)

    def step_generator(self) -> float:
        """One step of the generator, and from time to time one of the path-length penalty; returns the loss."""
        settings = self.settings
        self.d.requires_grad_(False)
        images, pure = self.generate_batch(settings.batch)
        with self.autocast():
            loss = F.softplus(-self.d(images).float()).mean()
        total = loss + self.attribute_terms(images[pure])
        self.g_adam.zero_grad()
        total.backward()
        self.g_adam.step()
        if settings.path_length and self.step % settings.path_every == 0:
            self.g_adam.zero_grad()
            (self.path_penalty(settings.batch // 2) * settings.path_length * settings.path_every).backward()
            self.g_adam.step()
        self.d.requires_grad_(True)
        return float(loss.detach())

    def attribute_terms(self, images: Tensor) -> Tensor:
        """Loss of the critic's labels of images of one latent each, weighted by the schedule.

        Entropy: values should be distinct, as a GAN bridges the gaps between the modes of its data, which have no half
        smiles. Imbalance: they should be as frequent as in the data, which the entropy alone would not ensure.
        """
        knot = self.knot()
        if self.critic is None or not (knot.sharpness or knot.balance) or not len(images):
            return images.new_zeros(())
        with self.autocast():
            logits = self.critic.logits(images.float())
        columns = logits.float().split([len(a.values) for a in self.critic.attributes], dim=1)
        labels = torch.cat([c.softmax(1) for c in columns], dim=1)
        blur = -sum((c.softmax(1) * c.log_softmax(1)).sum(1).mean() for c in columns)
        return knot.sharpness * blur + knot.balance * self.imbalance(labels)

    def imbalance(self, labels: Tensor) -> Tensor:
        """A loss of labels (N, K) whose gradient favours pairs of values that are rarer than in the data.

        Its gradient is that of the cross-entropy between the data's rates of pairs and the running mean of the
        generator's, over about `PAIR_MEMORY` images, more than a batch.
        """
        found = labels.T @ labels / len(labels)
        keep = 0.5 ** (len(labels) / PAIR_MEMORY)
        self.pairs = self.pairs.lerp(found.detach(), 1 - keep)
        lack = (self.wanted_pairs / self.pairs.clamp(min=1e-3)).clamp(max=MOST_LACK) - 1
        return -(lack * found).sum() / len(ATTRIBUTES)

    def path_penalty(self, n: int) -> Tensor:
        """(|J^T y| - its running mean)^2 (Karras et al. 2020, equation 4)."""
        ws, _ = self.draw_latents(n)
        with self.autocast():
            images = self.g.synthesis(ws, "random").float()
        noise = torch.randn_like(images) / math.sqrt(images.shape[2] * images.shape[3])
        (gradient,) = torch.autograd.grad((images * noise).sum(), ws, create_graph=True)
        lengths = gradient.square().sum(dim=2).mean(dim=1).sqrt()
        self.path_mean = self.path_mean.lerp(lengths.detach().mean(), 0.01)
        return (lengths - self.path_mean).square().mean()

    def step_discriminator(self, real: Tensor) -> tuple[float, float]:
        """One step of the discriminator, and from time to time one of R1; returns the loss and real_sign."""
        settings = self.settings
        with torch.no_grad():
            fake, _ = self.generate_batch(len(real))
        with self.autocast():
            real_logits = self.d(real).float()
            fake_logits = self.d(fake).float()
        loss = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
        self.d_adam.zero_grad()
        loss.backward()
        self.d_adam.step()
        if self.step % settings.r1_every == 0:
            self.d_adam.zero_grad()
            (self.r1_penalty(real) * settings.r1_every).backward()
            self.d_adam.step()
        return float(loss.detach()), float(real_logits.detach().sign().mean())

    def r1_penalty(self, real: Tensor) -> Tensor:
        """gamma / 2 * |grad D|^2 on real images (Mescheder et al. 2018)."""
        real = real.detach().requires_grad_(True)
        with self.autocast():
            logits = self.d(real).float()
        (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
        return gradient.square().sum(dim=(1, 2, 3)).mean() * (self.settings.r1 / 2)

    def update_average(self) -> None:
        """Moving average with the schedule's half-life, shorter at the beginning."""
        seen = self.step * self.batch
        move_average(self.average, self.g, share_kept(self.knot().average_images, seen, self.batch))


def config_at(network: StyleGAN2Config, resolution: int) -> StyleGAN2Config:
    """The generator cut off at a resolution."""
    levels = [size for size in network.resolutions if size <= resolution]
    return replace(network, resolution=resolution, channels=network.channels[: len(levels)])


def copy_matching(larger: nn.Module, smaller: nn.Module) -> None:
    """Copy the tensors that have the same name and shape in both; the stem of a discriminator does not."""
    target, source = larger.state_dict(), smaller.state_dict()
    shared = {k: v for k, v in source.items() if k in target and target[k].shape == v.shape}
    larger.load_state_dict(shared, strict=False)


def make_lazy_adam(module: nn.Module, lr: float, every: int) -> torch.optim.Adam:
    """Adam corrected for a regulariser that is applied only every so many steps (StyleGAN2, appendix B)."""
    ratio = every / (every + 1)
    return torch.optim.Adam(
        [{"params": list(module.parameters()), "initial_lr": lr * ratio}],
        lr=lr * ratio, betas=(0.0, 0.99**ratio), eps=1e-8,
    )  # fmt: skip


def pair_rates(factors: Factors) -> Tensor:
    """(K, K): how often two values of `ATTRIBUTES` come together; the diagonal is each one's own rate."""
    columns = [F.one_hot(factors.attributes[:, i], len(values)) for i, values in enumerate(ATTRIBUTES.values())]
    labels = torch.cat(columns, dim=1).float()
    return labels.T @ labels / len(labels)


@torch.no_grad()
def sample_images(generator: StyleGAN2, n: int, seed: int = 0) -> np.ndarray:
    """Images uint8 (n, R, R, C) of the latents of seeds `seed`, `seed` + 1, ..."""
    z = np.stack([np.random.RandomState(seed + i).randn(generator.z_dim) for i in range(n)])
    images = generator.synthesize(generator.map(torch.from_numpy(z).float().to(generator.device)))
    return to_pixels(images.cpu())


def to_pixels(images: Tensor) -> np.ndarray:
    """Images (n, C, H, W) about [-1, 1] to uint8 (n, H, W, C)."""
    return (images * 127.5 + 128).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
