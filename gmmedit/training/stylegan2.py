"""Training of StyleGAN2 on any images; without settings of its own, the embedded generator on avatars.

Non-saturating loss, lazy R1 and path-length regularisation, style mixing, moving average of the weights (Karras et al.
2020). Step t draws from generators seeded by (seed, t), so that a resumed run gives the same result.
"""

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmmedit.classifiers.trained import TrainedNetwork
from gmmedit.datasets.avatars.factors import sample_causal
from gmmedit.datasets.streaming import Ahead
from gmmedit.generators.stylegan2 import StyleGAN2
from gmmedit.runtime.distributed import Processes
from gmmedit.runtime.execution import ALONE
from gmmedit.training.attribute_terms import AttributeTerms
from gmmedit.training.base import Step, Trainer, move_average
from gmmedit.training.discriminator import Discriminator
from gmmedit.training.draws import Draws
from gmmedit.training.parts import Loss, Parts
from gmmedit.training.pools import POOL_SEED, Pool, sample_images
from gmmedit.training.schedules import share_kept
from gmmedit.training.stylegan2_settings import GANSettings, Knot
from gmmedit.training.stylegan2_terms import (
    Latents,
    config_at,
    copy_matching,
    draw_latents,
    make_lazy_adam,
    path_lengths,
    r1_penalty,
)

SHEET_ROWS, SHEET_COLUMNS = 4, 12
PARTS = 2  # of a step
PART_SEEDS = 1 << 40  # between the seeds of a step's parts
GROUP = 4  # images of a part of the discriminator's are a multiple, see `minibatch_deviation`


class GANTraining(Trainer):
    """Generator, its moving average, discriminator and both optimisers; they grow from phase to phase.

    critic: a classifier of avatars for the schedule's attribute terms; None: there are none, for other images.
    bf16: whether networks compute in bfloat16, where that is allowed.
    """

    name = "generator"
    stateful = ("g", "d", "average", "g_adam", "d_adam")

    def __init__(
        self, settings: GANSettings, pool: Pool, critic: TrainedNetwork | None = None, phase: int = 0,
        device: str = "cpu", bf16: bool = True, processes: Processes = ALONE,
    ):  # fmt: skip
        whole = critic is not None or settings.batch % (GROUP * PARTS)  # terms of all images of a step together
        self.parts = Parts(processes, 1 if whole else PARTS, settings.batch)
        self.settings, self.pool, self.device, self.bf16 = settings, pool, device, bf16
        self.batch = settings.batch
        self.terms = AttributeTerms(critic, sample_causal(settings.pool, POOL_SEED), device) if critic else None
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
        if self.terms:
            self.terms.reset()
        total, mine = self.parts.total, self.parts.mine
        self.ahead = Ahead(lambda step: {part: self.pool[self.rows_at(step, phase)[part::total]] for part in mine})

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
        pairs = {"pairs": self.terms.pairs} if self.terms else {}
        return super().state() | pairs | {"path_mean": self.path_mean, "phase": self.phase}

    def load_state(self, state: dict[str, Any]) -> None:
        """See `Trainer.load_state`; the networks become those of the state's phase."""
        if type(state["phase"]) is not int or not 0 <= state["phase"] < len(self.settings.phases):
            raise ValueError(f"its phase {state['phase']!r} is not one of 0 to {len(self.settings.phases) - 1}")
        if state["phase"] != self.phase:
            self.build(state["phase"])
        super().load_state(state)
        self.path_mean = state["path_mean"].to(self.device)
        if self.terms:
            self.terms.pairs = state["pairs"].to(self.device)

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
        self.draws = {part: self.begin_draws(part) for part in self.parts.mine}
        self.set_lr()
        real = {part: self.real_batch(pixels) for part, pixels in self.ahead.get(self.step).items()}
        g_loss = self.step_generator()
        d_loss, sign = self.step_discriminator(real)
        self.update_average()
        path = float(self.path_mean)
        return {"d_loss": d_loss, "g_loss": g_loss, "real_sign": sign, "path": path, "resolution": self.resolution}

    def seed_at(self, step: int, phase: int) -> int:
        """The seed of a step of a phase."""
        return (self.settings.seed * 16 + phase) * 1_000_003 + step

    def begin_draws(self, part: int) -> Draws:
        """The random numbers of a part of this step."""
        draws = Draws(self.seed_at(self.step, self.phase) + part * PART_SEEDS, self.device)
        with draws:
            torch.randint(len(self.pool), (self.batch,))  # the rows, which `rows_at` has drawn ahead
        return draws

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

    def generate_part(self) -> Latents:
        """Images (n, 3, R, R) of a part, which of them (n,) are of one latent, and the mean w (w_dim,)."""
        n = self.batch // self.parts.total
        ws, pure, mean = draw_latents(self.g, n, self.settings.mixing)  # the mapping stays in float32
        with self.autocast():
            return self.g.synthesis(ws, "random"), pure, mean

    def update_mean(self, mean: Tensor) -> None:
        """Add the mean w (w_dim,) of a step to the running one, which truncation needs."""
        self.g.mapping.w_avg.lerp_(mean, 0.005)

    def autocast(self) -> torch.autocast:
        """The context of bf16 computation."""
        return torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=self.bf16)

    def step_generator(self) -> float:
        """One step of the generator, and from time to time one of the path-length penalty; returns the loss."""
        settings = self.settings

        def measure(part: int) -> Loss:
            with self.draws[part]:
                images, pure, mean = self.generate_part()
            with self.autocast():
                loss = F.softplus(-self.d(images).float()).mean()
            return loss + self.attribute_terms(images[pure]), torch.cat([loss.detach()[None], mean])

        self.d.requires_grad_(False)
        loss, *_ = figures = self.parts.set_gradients(self.g, measure)
        self.update_mean(figures[1:])
        self.g_adam.step()
        if settings.path_length and self.step % settings.path_every == 0:
            self.step_path()
        self.d.requires_grad_(True)
        return float(loss)

    def step_path(self) -> None:
        """One step of the penalty (|J^T y| - its running mean)^2 (Karras et al. 2020, equation 4)."""
        lengths, means = {}, []
        for part in self.parts.mine:
            with self.draws[part]:
                lengths[part], mean = self.measure_paths(max(1, self.batch // 2 // self.parts.total))
            means.append(torch.cat([lengths[part].detach().mean()[None], mean]))
        of_all = self.parts.mean(means)
        self.path_mean = self.path_mean.lerp(of_all[0], 0.01)
        self.update_mean(of_all[1:])
        weight, nothing = self.settings.path_length * self.settings.path_every, of_all[:0]
        self.parts.set_gradients(
            self.g, lambda part: ((lengths[part] - self.path_mean).square().mean() * weight, nothing)
        )
        self.g_adam.step()

    def attribute_terms(self, images: Tensor) -> Tensor:
        """The schedule's terms () of images (N, 3, R, R) of one latent each."""
        knot = self.knot()
        if self.terms is None or not (knot.sharpness or knot.balance) or not len(images):
            return images.new_zeros(())
        with self.autocast():
            logits = self.terms.critic.logits(images.float())
        return self.terms.loss(logits, knot.sharpness, knot.balance)

    def measure_paths(self, n: int) -> tuple[Tensor, Tensor]:
        """The path lengths (n,) of n latents, see `path_lengths`, and the latents' mean w (w_dim,)."""
        ws, _, mean = draw_latents(self.g, n, self.settings.mixing)
        with self.autocast():
            images = self.g.synthesis(ws, "random").float()
        return path_lengths(images, ws), mean

    def step_discriminator(self, real: dict[int, Tensor]) -> tuple[float, float]:
        """One step of the discriminator on the parts' real images (n, C, R, R), and from time to time one of R1.

        Returns the loss, and the mean sign of the real images' logits.
        """

        def measure(part: int) -> Loss:
            with torch.no_grad(), self.draws[part]:
                fake, _, mean = self.generate_part()
            with self.autocast():
                real_logits = self.d(real[part]).float()
                fake_logits = self.d(fake).float()
            loss = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
            return loss, torch.cat([loss.detach()[None], real_logits.detach().sign().mean()[None], mean])

        loss, sign, *_ = figures = self.parts.set_gradients(self.d, measure)
        self.update_mean(figures[2:])
        self.d_adam.step()
        if self.step % self.settings.r1_every == 0:
            weight, nothing = self.settings.r1, figures[:0]
            every = self.settings.r1_every
            self.parts.set_gradients(
                self.d, lambda part: (r1_penalty(self.d, real[part], self.autocast()) * weight * every, nothing)
            )
            self.d_adam.step()
        return float(loss), float(sign)

    def update_average(self) -> None:
        """Moving average with the schedule's half-life, shorter at the beginning."""
        seen = self.step * self.batch
        move_average(self.average, self.g, share_kept(self.knot().average_images, seen, self.batch))
