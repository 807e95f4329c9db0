"""Training of SAAE in phases: the critic alone, the generator against it, both; or any other list.

Critic, k contents and "generated": -log p_y(x) - log p_{k+1}(G(c, s)); generator: -log p_{y(c)}(G(c, s)) and the mean
absolute difference of pixels, where the target is known (Zhao et al. 2017; what its text leaves open, after
docs/systems.md). A critic that is trained alone sees what the present generator makes as generated. Step t draws from
generators seeded by (seed, t), so that a resumed run gives the same result.
"""

import copy
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmmedit.datasets.streaming import Ahead, RowOrder
from gmmedit.networks.saae import SAAE
from gmmedit.networks.saae_parts import SAAEConfig
from gmmedit.pictures.pixels import to_bytes
from gmmedit.training.base import Trainer, move_average
from gmmedit.training.saae_settings import SAAESettings
from gmmedit.training.schedules import share_kept
from gmmedit.training.style_data import StyleData

SHEET_CONTENTS, SHEET_STYLES = 8, 6
LAST_RATE = 0.05


class SAAETraining(Trainer):
    """The networks, the moving average of encoders and decoder (the result), and an optimiser for either side."""

    name = "saae"
    stateful = ("network", "average", "adam", "critic_adam")

    def __init__(self, settings: SAAESettings, styles: StyleData, device: str = "cpu", bf16: bool = True) -> None:
        self.settings, self.styles, self.device, self.bf16 = settings, styles, device, bf16
        self.batch, self.steps = settings.batch, settings.steps
        self.whole = styles.whole_styles()
        config = SAAEConfig(
            styles.content.name, tuple(styles.content.values), styles.data.image_shape, styles.templates.shape[1],
            len(self.whole), min(settings.groups, len(self.whole)), settings.style, settings.width, settings.fold,
            binary=settings.critic == "binary", decoder=settings.decoder,
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            network = SAAE(config)
        network.templates.copy_(styles.templates)
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        made = [p for name, p in self.network.named_parameters() if not name.startswith("critic.")]
        self.adam = torch.optim.Adam(made, lr=settings.lr, betas=(0.5, 0.99))
        self.critic_adam = torch.optim.Adam(self.network.critic.parameters(), lr=settings.lr, betas=(0.5, 0.99))
        order = RowOrder(styles.rows, settings.batch, settings.seed)
        self.ahead = Ahead(lambda step: styles.batch(order.at(step), settings.letters, self.seed_at(step)))

    def seed_at(self, step: int) -> int:
        """The seed of a step's draws."""
        return int(np.random.SeedSequence([self.settings.seed, step]).generate_state(1)[0])

    def networks(self) -> dict[str, nn.Module]:
        """See `Trainer.networks`."""
        return {"the generator": self.average, "the networks": self.network}

    def take_step(self) -> dict[str, float]:
        """See `Trainer.take_step`; `right` is the share of generated images that the critic takes for their content."""
        phase = self.settings.phase_at(self.step)
        for optimiser in (self.adam, self.critic_adam):
            for group in optimiser.param_groups:
                group["lr"] = self.learning_rate() * phase.lr
        targets, contents, strips = (part.to(self.device) for part in self.ahead.get(self.step))
        trains, judges = phase.train != "critic", phase.train != "generator"
        self.network.train(trains)
        with torch.set_grad_enabled(trains), self.autocast():
            images = self.network(contents, strips)
        critic = self.step_critic(targets, images.detach(), contents, judges)
        difference = (images - targets).abs().mean()
        judged, right = self.judge(images, contents, trains)
        if trains:
            self.adam.zero_grad()
            (self.settings.reconstruction * difference + self.settings.judgement * judged).backward()
            self.adam.step()
        self.update_average()
        return {"difference": float(difference.detach()), "judged": float(judged.detach()), "critic": critic,
                "right": right}  # fmt: skip

    def learning_rate(self) -> float:
        """That of the next step, before the phase's factor."""
        share = self.step / self.steps
        return self.settings.lr * (LAST_RATE + (1 - LAST_RATE) * (0.5 + 0.5 * math.cos(math.pi * share)))

    def autocast(self) -> torch.autocast:
        """The context of bf16 computation."""
        return torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=self.bf16)

    def step_critic(self, real: Tensor, fake: Tensor, contents: Tensor, trains: bool) -> float:
        """One step of the critic, if it trains, on real and generated images (N, C, H, W) as one batch; its loss."""
        critic = self.network.critic.train(trains)
        wanted = torch.cat([self.wanted(contents), self.wanted(contents, generated=True)])
        with torch.set_grad_enabled(trains), self.autocast():
            logits = critic(torch.cat([real, fake]))
        loss = self.measure_loss(logits, wanted)
        if trains:
            self.critic_adam.zero_grad()
            loss.backward()
            self.critic_adam.step()
        return float(loss.detach())

    def judge(self, images: Tensor, contents: Tensor, trains: bool) -> tuple[Tensor, float]:
        """The critic's loss of images (N, C, H, W) as real ones of their contents, and the share it takes for them."""
        critic = self.network.critic.eval().requires_grad_(False)
        with torch.set_grad_enabled(trains), self.autocast():
            logits = critic(images)
        loss = self.measure_loss(logits, self.wanted(contents))
        critic.requires_grad_(True)
        taken = logits[:, 0] > 0 if self.settings.critic == "binary" else logits.argmax(1) == contents
        return loss, float(taken.float().mean())

    def wanted(self, contents: Tensor, generated: bool = False) -> Tensor:
        """What the critic should answer for images of the contents (N,): (N, k + 1), or (N, 1) of a binary one."""
        if self.settings.critic == "binary":
            return torch.full((len(contents), 1), float(not generated), device=contents.device)
        k = len(self.styles.content.values)
        return F.one_hot(torch.full_like(contents, k) if generated else contents, k + 1).float()

    def measure_loss(self, logits: Tensor, wanted: Tensor) -> Tensor:
        """Cross-entropy of logits and answers (N, K): of each output by itself, summed, or of their softmax."""
        if self.settings.critic == "multi" and self.settings.loss == "softmax":
            return F.cross_entropy(logits, wanted)
        return F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / len(logits)

    def update_average(self) -> None:
        """Moving average with a half-life of `average_images`, shorter at the beginning."""
        seen = (self.step + 1) * self.batch
        move_average(self.average, self.network, share_kept(self.settings.average_images, seen, self.batch))

    @torch.no_grad()
    def sheet(self) -> np.ndarray:
        """See `Trainer.sheet`: a row for each of some contents, after the content image a pair of columns for each of
        some held-out styles, generated and true; above, an image of the style. Without a truth, single columns."""
        examples = self.styles.examples(SHEET_STYLES, SHEET_CONTENTS)
        channels = self.styles.data.image_shape[0]
        templates = self.average.templates[examples.contents.to(self.device)].cpu().expand(-1, channels, -1, -1)
        columns = [[torch.ones_like(templates[0]), *templates]]
        maps = self.average.content(self.average.templates)[examples.contents.to(self.device)]
        for strip, true in zip(examples.strips, examples.truths, strict=True):
            code = self.average.style(strip[None].to(self.device))
            made = self.average.decoder(maps, code.expand(len(maps), -1)).cpu()
            shown = strip[..., : strip.shape[1]]
            columns.append([shown, *made])
            if true is not None:
                columns.append([torch.ones_like(shown), *true])
        images = torch.stack([torch.stack(column) for column in columns], dim=1)  # (contents + 1, columns, C, H, W)
        return np.stack([to_bytes(row) for row in images])
