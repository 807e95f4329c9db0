"""Training of the embedded generator: StyleGAN2 on causally sampled avatars.

Non-saturating loss, lazy R1 and path-length regularisation, style mixing, moving average of the
weights (Karras et al. 2020). Step t draws from generators seeded by (seed, t), so that a resumed
run goes on as if it had never stopped.
"""

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmmedit.classifiers.convnet import ConvNet
from gmmedit.datasets.avatars.factors import ATTRIBUTES, Factors, sample_causal
from gmmedit.datasets.avatars.renderer import render
from gmmedit.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from gmmedit.training.discriminator import Discriminator
from gmmedit.training.gan_settings import EMBEDDED, GANSettings, Knot

STATEFUL = ("g", "d", "average", "g_adam", "d_adam")
POOL_SEED = 1
PAIR_MEMORY = 2_000  # half-life in images
MOST_LACK = 4.0


@dataclass
class Progress:
    """One line of the training log."""

    images: int
    d_loss: float
    g_loss: float
    real_sign: float  # mean sign of D on real images: near 1 when D wins
    path: float
    images_per_second: float


def render_pool(n: int, seed: int, path: Path) -> None:
    """Write n causal avatars to `path` as uint8 (n, 64, 64, 3)."""
    with path.open("wb") as file:  # given a name, NumPy would add a suffix
        np.save(file, to_pixels(render(sample_causal(n, seed))))


class GANTraining:
    """Generator, its moving average, discriminator and both optimisers, in one phase of the growth."""

    def __init__(self, settings: GANSettings, critic: ConvNet, phase: int = 0, device: str = "cpu"):
        self.settings, self.critic, self.phase, self.device = settings, critic.to(device), phase, device
        self.resolution, self.images = settings.phases[phase]
        torch.manual_seed(settings.seed + phase)
        self.g = StyleGAN2(config_at(self.resolution)).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.g.noise_mode = "random"
        self.d = Discriminator(self.resolution).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.g).eval().requires_grad_(False)
        self.average.noise_mode = "const"
        self.g_adam = lazy_adam(self.g, settings.lr, settings.path_every)
        self.d_adam = lazy_adam(self.d, settings.lr, settings.r1_every)
        self.path_mean = torch.zeros([], device=device)
        self.wanted_pairs = pair_rates(sample_causal(settings.pool, POOL_SEED)).to(device)
        self.pairs = self.wanted_pairs.clone()  # running mean over generated images
        self.step = 0

    def state(self) -> dict:
        modules = {name: getattr(self, name).state_dict() for name in STATEFUL}
        return modules | {
            "path_mean": self.path_mean,
            "pairs": self.pairs,
            "step": self.step,
            "phase": self.phase,
            "settings": asdict(self.settings),
        }

    def load(self, state: dict) -> None:
        for name in STATEFUL:
            getattr(self, name).load_state_dict(state[name])
        self.path_mean, self.pairs, self.step = state["path_mean"], state["pairs"], state["step"]

    def grow(self) -> "GANTraining":
        """The next phase: all layers that fit are taken over, the new ToRGB starts at zero."""
        grown = GANTraining(self.settings, self.critic, self.phase + 1, self.device)
        with torch.no_grad():
            grown.g.get_submodule(f"synthesis.b{grown.resolution}.torgb").weight.zero_()
        take_over(grown.g, self.g)
        take_over(grown.d, self.d)
        grown.average.load_state_dict(grown.g.state_dict())
        take_over(grown.average, self.average)
        grown.path_mean = self.path_mean
        return grown

    def run(self, pool: np.ndarray) -> Iterator[Progress]:
        """Train to the end of the phase, one Progress per step."""
        settings = self.settings
        while self.step * settings.batch < self.images:
            start = time.perf_counter()
            torch.manual_seed((settings.seed * 16 + self.phase) * 1_000_003 + self.step)
            self.set_lr()
            real = self.real(pool)
            g_loss = self.step_generator()
            d_loss, sign = self.step_discriminator(real)
            self.update_average()
            self.step += 1
            speed = settings.batch / (time.perf_counter() - start)
            seen = self.step * settings.batch
            yield Progress(seen, d_loss, g_loss, sign, float(self.path_mean), speed)

    def set_lr(self) -> None:
        for adam in (self.g_adam, self.d_adam):
            for group in adam.param_groups:
                group["lr"] = group["initial_lr"] * self.knot().lr

    def knot(self) -> Knot:
        """What the schedule of the last phase holds now; the phases before it have none."""
        last = self.phase == len(self.settings.phases) - 1
        return self.settings.at(self.step * self.settings.batch) if last else Knot(0)

    def real(self, pool: np.ndarray) -> Tensor:
        rows = np.sort(torch.randint(len(pool), (self.settings.batch,)).numpy())
        images = torch.from_numpy(pool[rows]).to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        images = F.avg_pool2d(images, images.shape[2] // self.resolution)
        return images.contiguous(memory_format=torch.channels_last)

    def latents(self, n: int) -> tuple[Tensor, Tensor]:
        """W+ (n, L, w_dim), with style mixing at a random layer for some of the rows, and which (n,) were spared."""
        z = torch.randn(2 * n, EMBEDDED.z_dim).to(self.device)
        w, other = self.g.mapping(z).chunk(2)
        self.g.mapping.w_avg.lerp_(w.detach().mean(dim=0), 0.005)
        layers = self.g.w_shape[0]
        cut = torch.randint(1, layers, (n, 1))
        cut = torch.where(torch.rand(n, 1) < self.settings.mixing, cut, layers).to(self.device)
        first = torch.arange(layers, device=self.device) < cut  # (n, L)
        return torch.where(first[:, :, None], w[:, None], other[:, None]), first.all(dim=1)

    def fake(self, n: int) -> tuple[Tensor, Tensor]:
        ws, pure = self.latents(n)  # the mapping stays in float32
        with self.autocast():
            return self.g.synthesis(ws, "random"), pure

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device, torch.bfloat16)

    def step_generator(self) -> float:
        settings = self.settings
        self.d.requires_grad_(False)
        images, pure = self.fake(settings.batch)
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
        """What the critic says of images of one latent each, weighed by the schedule.

        A value should be the one or the other: a GAN bridges the gaps between the modes of its data, and the data
        have no half smiles. And it should be as frequent as in the data, which that alone would not keep.
        """
        knot = self.knot()
        if not (knot.sharpness or knot.balance) or not len(images):
            return images.new_zeros(())
        with self.autocast():
            logits = self.critic.logits(images.float())
        columns = logits.float().split([len(a.values) for a in self.critic.attributes], dim=1)
        labels = torch.cat([c.softmax(1) for c in columns], dim=1)
        blur = -sum((c.softmax(1) * c.log_softmax(1)).sum(1).mean() for c in columns)
        return knot.sharpness * blur + knot.balance * self.imbalance(labels)

    def imbalance(self, labels: Tensor) -> Tensor:
        """Too few grey-haired young, too many bearded old ...: a term whose gradient favours the rare pairs.

        It is the gradient of the cross entropy between the data's rates of pairs of values and the running
        mean of the generator's, whose memory of `PAIR_MEMORY` images a single batch could not give.
        """
        found = labels.T @ labels / len(labels)
        keep = 0.5 ** (len(labels) / PAIR_MEMORY)
        self.pairs = self.pairs.lerp(found.detach(), 1 - keep)
        lack = (self.wanted_pairs / self.pairs.clamp(min=1e-3)).clamp(max=MOST_LACK) - 1
        return -(lack * found).sum() / len(self.critic.attributes)

    def path_penalty(self, n: int) -> Tensor:
        """(|J^T y| - its running mean)^2 (Karras et al. 2020, equation 4)."""
        ws, _ = self.latents(n)
        with self.autocast():
            images = self.g.synthesis(ws, "random").float()
        noise = torch.randn_like(images) / math.sqrt(images.shape[2] * images.shape[3])
        (gradient,) = torch.autograd.grad((images * noise).sum(), ws, create_graph=True)
        lengths = gradient.square().sum(dim=2).mean(dim=1).sqrt()
        self.path_mean = self.path_mean.lerp(lengths.detach().mean(), 0.01)
        return (lengths - self.path_mean).square().mean()

    def step_discriminator(self, real: Tensor) -> tuple[float, float]:
        settings = self.settings
        with torch.no_grad():
            fake, _ = self.fake(len(real))
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

    @torch.no_grad()
    def update_average(self) -> None:
        """Moving average with the schedule's half-life, shorter at the beginning."""
        seen = self.step * self.settings.batch
        half_life = min(self.knot().average_images, 0.05 * seen) + 1e-8
        keep = 0.5 ** (self.settings.batch / half_life)
        for mean, current in zip(self.average.parameters(), self.g.parameters(), strict=True):
            mean.lerp_(current, 1 - keep)
        for mean, current in zip(self.average.buffers(), self.g.buffers(), strict=True):
            mean.copy_(current)


def config_at(resolution: int) -> StyleGAN2Config:
    """The embedded generator cut off at a resolution."""
    levels = [size for size in EMBEDDED.resolutions if size <= resolution]
    return replace(EMBEDDED, resolution=resolution, channels=EMBEDDED.channels[: len(levels)])


def take_over(larger: nn.Module, smaller: nn.Module) -> None:
    """Copy the tensors that have the same name and shape in both; the stem of a discriminator has not."""
    target, source = larger.state_dict(), smaller.state_dict()
    shared = {k: v for k, v in source.items() if k in target and target[k].shape == v.shape}
    larger.load_state_dict(shared, strict=False)


def lazy_adam(module: nn.Module, lr: float, every: int) -> torch.optim.Adam:
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
    """uint8 (n, 64, 64, 3) of the latents that `seed`, `seed` + 1, ... prescribe."""
    z = np.stack([np.random.RandomState(seed + i).randn(generator.z_dim) for i in range(n)])
    images = generator.synthesize(generator.map(torch.from_numpy(z).float()))
    return to_pixels(images)


def to_pixels(images: Tensor) -> np.ndarray:
    """Images (n, 3, H, W) about [-1, 1] to uint8 (n, H, W, 3)."""
    return (images * 127.5 + 128).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
