"""Training of a BiGAN with causal latents: encoder, generator, joint critic, and perhaps the graph (CCIG).

The game is that of DEAR (Shen et al. 2022), the graph's losses those of a graph autoencoder (Ng et al. 2019) with
logistic outputs. Reconstruction and latent regression, which CCIG does not name, let small networks train in minutes.
"""

import copy
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmmedit.datasets import DataSet
from gmmedit.datasets.streaming import Ahead, RowOrder
from gmmedit.generators.prior import draw_normal
from gmmedit.networks.bigan import BiGAN, BiGANConfig
from gmmedit.training.base import Trainer, move_average
from gmmedit.training.joint_critic import JointCritic, critic_loss, generator_loss
from gmmedit.training.labelled import Labels
from gmmedit.training.schedules import share_kept
from gmmedit.training.structure import choose_edges, fit_equations, structure_loss

SHEET_COLUMNS = 12
HALF_LIFE = 10_000  # of the moving average, in images


@dataclass(frozen=True)
class BiGANSettings:
    """What a BiGAN is trained with.

    graph: `learned` beside the networks, `none`, or the fingerprint of a graph whose `edges` (cause, effect) are given.
    """

    seed: int
    network: BiGANConfig
    data: str  # fingerprint
    images: int
    graph: str
    edges: tuple[tuple[int, int], ...] = ()
    batch: int = 32
    lr: float = 4e-4
    critic_lr: float = 4e-4
    structure_lr: float = 5e-3
    labels: float = 5.0  # weights of the terms
    reconstruction: float = 10.0
    regression: float = 1.0
    sparsity: float = 0.02
    cycles: float = 100.0  # at the end of the search; it grows from a thousandth
    search: float = 0.6  # share of the training in which edges are learned


class BiGANTraining(Trainer):
    """The networks and their moving average (the result), the critic, and the optimisers."""

    name = "bigan"
    stateful = ("network", "average", "d", "adam", "d_adam")

    def __init__(self, settings: BiGANSettings, data: DataSet, labels: Labels, device: str = "cpu", bf16: bool = True):
        self.settings, self.data, self.device, self.bf16 = settings, data, device, bf16
        self.batch, self.steps = settings.batch, -(-settings.images // settings.batch)
        self.columns = [data.attributes.index(attribute) for attribute in labels.attributes]
        order = RowOrder(labels.train, settings.batch, settings.seed)
        self.ahead = Ahead(lambda step: self.data.batch(order.at(step)))
        self.shown = labels.held_out[:SHEET_COLUMNS]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.build(settings, labels.values[labels.train])

    def build(self, settings: BiGANSettings, values: Tensor) -> None:
        """New networks; the equations are fitted to the labels (n, A) of the training images."""
        network = BiGAN(settings.network)
        equations = network.equations
        for cause, effect in settings.edges:
            equations.mask[cause, effect] = True
        fit_equations(equations, values)
        if settings.graph == "learned":
            equations.mask.fill_(True).fill_diagonal_(False)
        equations.requires_grad_(settings.graph == "learned")
        self.network = network.to(self.device)
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.d = JointCritic(settings.network).to(self.device)
        networks = [*self.network.synthesis.parameters(), *self.network.recognition.parameters()]
        groups: list[dict[str, Any]] = [{"params": networks, "lr": settings.lr}]
        if settings.graph == "learned":
            groups.append({"params": list(equations.parameters()), "lr": settings.structure_lr})
        self.adam = torch.optim.Adam(groups, betas=(0.0, 0.99))
        self.d_adam = torch.optim.Adam(self.d.parameters(), lr=settings.critic_lr, betas=(0.0, 0.99))

    def networks(self) -> dict[str, nn.Module]:
        """See `Trainer.networks`."""
        return {"the networks": self.network, "the critic": self.d}

    @property
    def searching(self) -> bool:
        """Whether edges are still being learned."""
        return self.settings.graph == "learned" and self.step < self.settings.search * self.steps

    def take_step(self) -> dict[str, float]:
        """See `Trainer.take_step`."""
        images, values, _ = self.ahead.get(self.step)
        images, values = images.to(self.device), values[:, self.columns].to(self.device)
        if self.settings.graph == "learned" and self.step == math.ceil(self.settings.search * self.steps):
            self.fix_edges()
        normal, spread = self.draw_noise(len(images))
        with torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=self.bf16):
            losses = self.train_critic(images, normal, spread)
            losses |= self.train_networks(images, values, normal, spread)
        self.update_average()
        return losses

    def draw_noise(self, n: int) -> tuple[Tensor, Tensor]:
        """This step's noise: of the prior, and of the encoder's spread, both (n, D)."""
        seed = int(np.random.SeedSequence([self.settings.seed, self.step]).generate_state(1)[0])
        numbers = torch.randn(2, n, self.settings.network.dim, generator=torch.Generator().manual_seed(seed))
        return numbers[0].to(self.device), numbers[1].to(self.device)

    def train_critic(self, images: Tensor, normal: Tensor, spread: Tensor) -> dict[str, float]:
        """A step of the critic."""
        with torch.no_grad():
            latent = self.network.scale(self.network.map(normal))
            generated = self.network.synthesis(latent)
            encoded = self.sample_latents(images, spread)[0]
        loss = critic_loss(self.d(generated, latent), self.d(images, encoded))
        self.d_adam.zero_grad()
        loss.backward()
        self.d_adam.step()
        return {"critic": loss.item()}

    def train_networks(self, images: Tensor, values: Tensor, normal: Tensor, spread: Tensor) -> dict[str, float]:
        """A step of generator, encoder and, while edges are learned, the equations."""
        self.d.requires_grad_(False)
        latent = self.network.scale(self.network.map(normal))
        generated = self.network.synthesis(latent)
        encoded, mean = self.sample_latents(images, spread)
        game = generator_loss(self.d(generated, latent)) + self.d(images, encoded).mean()
        terms = {
            "labels": self.settings.labels * self.label_loss(mean, values),
            "reconstruction": self.settings.reconstruction * (self.network.synthesis(encoded) - images).abs().mean(),
            "regression": self.settings.regression * (self.estimate(generated) - latent).square().mean(),
        }
        if self.searching:
            done = self.step / (self.settings.search * self.steps)
            prices = self.settings.sparsity, self.settings.cycles
            terms["structure"] = structure_loss(self.network.equations, values, done, *prices)
        loss = game + torch.stack(list(terms.values())).sum()
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        self.d.requires_grad_(True)
        return {"game": game.item(), **{name: term.item() for name, term in terms.items()}}

    def sample_latents(self, images: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
        """The encoder's latents (N, D) of images, scaled, with their spread, and the unscaled causes' means."""
        mean, log_variance = self.network.recognition(images)
        latent = mean.float() + (0.5 * log_variance.float()).exp() * spread
        return self.network.scale(latent), self.network.split(mean.float())[0]

    def estimate(self, images: Tensor) -> Tensor:
        """The encoder's means (N, D) of images, scaled."""
        return self.network.scale(self.network.recognition(images)[0].float())

    def label_loss(self, causes: Tensor, values: Tensor) -> Tensor:
        """Cross-entropy of labels (N, A) under the causes (N, D) as logits, mean over the attributes."""
        total = causes.new_zeros(())
        for node, column in zip(self.network.equations.nodes, values.T, strict=True):
            part = causes[:, node]
            if part.shape[1] == 1:
                total = total + F.binary_cross_entropy_with_logits(part[:, 0], column.float())
            else:
                total = total + F.cross_entropy(part, column)
        return total / len(self.network.equations.nodes)

    @torch.no_grad()
    def fix_edges(self) -> None:
        """Keep the edges that have been found; their weights go on being trained by the game."""
        edges = choose_edges(self.network.equations.strengths())
        for network in (self.network, self.average):
            network.equations.mask.copy_(edges)

    def update_average(self) -> None:
        """Move the average, faster at the beginning."""
        move_average(self.average, self.network, share_kept(HALF_LIFE, (self.step + 1) * self.batch, self.batch))

    @torch.no_grad()
    def sheet(self) -> np.ndarray:
        """See `Trainer.sheet`: held-out images, their reconstructions, the first attribute changed, and samples."""
        images, network = self.data.images(self.shown).to(self.device), self.average
        latent = network.encode(images)
        first = network.equations.values(network.split(latent)[0])[:, 0]
        changed = network.counterfactual(latent, {0: (first == 0).long()})
        drawn = network.map(draw_normal(range(len(images)), self.settings.network.dim).to(self.device))
        rows = [images, *(network.synthesize(each) for each in (latent, changed, drawn))]
        pixels = ((torch.stack(rows).clamp(-1, 1) + 1) * 127.5).round().byte()
        return pixels.permute(0, 1, 3, 4, 2).cpu().numpy()
