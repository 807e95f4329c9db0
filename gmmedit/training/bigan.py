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
from gmmedit.training.disturbances import shift_pixels
from gmmedit.training.joint_critic import JointCritic, critic_loss, generator_loss
from gmmedit.training.labelled import Labels, read_targets, to_targets
from gmmedit.training.schedules import share_kept
from gmmedit.training.structure import choose_edges, fit_equations, set_noise, structure_loss

SHEET_COLUMNS = 12
HALF_LIFE = 10_000  # of the moving average, in images
RAMP = 0.2  # share of the training in which the weight of consistency grows: the encoder must read first
LEAST_RATE = 0.05  # of the networks' rates, at the end of their decay
NUMBER = 2.0  # weight of a number's squared error beside the cross-entropies


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
    start: str = ""  # fingerprint of a trained file whose networks are trained further; "": new ones
    batch: int = 32
    lr: float = 4e-4
    critic_lr: float = 4e-4
    structure_lr: float = 5e-3
    game: float = 1.0  # weights of the terms
    labels: float = 5.0
    reconstruction: float = 10.0  # of the mean absolute difference
    entropy: float = 0.0  # of the mean cross-entropy, which has gradients also where the generator's tanh has none
    regression: float = 1.0
    consistency: float = 0.0  # of images whose causes were exchanged with those of others, as the encoder reads them
    prior: float = 0.0  # of the divergence of the encoder's rest from N(0, 1), in nats
    mixed: float = 0.0  # share of the prior's latents in the game that have an encoded image's rest, as acts do
    shift: int = 0  # pixels by which training images are moved at most
    decay: float = 0.0  # share of the training, its end, in which the rates fall to LEAST_RATE
    sparsity: float = 0.02
    cycles: float = 100.0  # at the end of the search; it grows from a thousandth
    search: float = 0.6  # share of the training in which edges are learned


class BiGANTraining(Trainer):
    """The networks and their moving average (the result), the critic, and the optimisers."""

    name = "bigan"
    stateful = ("network", "average", "d", "adam", "d_adam")

    def __init__(
        self, settings: BiGANSettings, data: DataSet, labels: Labels, device: str = "cpu", bf16: bool = True,
        start: BiGAN | None = None,
    ):  # fmt: skip
        self.settings, self.data, self.device, self.bf16 = settings, data, device, bf16
        self.batch, self.steps = settings.batch, -(-settings.images // settings.batch)
        self.fixed_at = min(math.ceil(settings.search * self.steps), self.steps - 1)  # the step that fixes edges
        self.attributes = labels.attributes
        order = RowOrder(labels.train, settings.batch, settings.seed)
        self.ahead = Ahead(lambda step: self.data.batch(order.at(step)))
        self.shown = labels.held_out[:SHEET_COLUMNS]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.targets = read_targets(data, labels, labels.train)
            self.build(settings, self.targets, start)

    def build(self, settings: BiGANSettings, values: Tensor, start: BiGAN | None) -> None:
        """New networks, or those of a trained file; the equations are fitted to the labels (n, A) of the images."""
        network = BiGAN(settings.network)
        if start is not None:
            for part in ("synthesis", "recognition"):
                getattr(network, part).load_state_dict(getattr(start, part).state_dict())
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
        return self.settings.graph == "learned" and self.step < self.fixed_at

    def take_step(self) -> dict[str, float]:
        """See `Trainer.take_step`."""
        images, values, factors = self.ahead.get(self.step)
        values = to_targets(self.data, self.attributes, values, factors)
        images, values = self.move(images).to(self.device), values.to(self.device)
        self.set_rates()
        if self.settings.graph == "learned" and self.step == self.fixed_at:
            self.fix_edges()
        normal, spread = self.draw_noise(len(images))
        with torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=self.bf16):
            losses = self.train_critic(images, values, normal, spread)
            losses |= self.train_networks(images, values, normal, spread)
        self.update_average()
        return losses

    def set_rates(self) -> None:
        """The rates of this step."""
        decay, done = self.settings.decay, self.step / self.steps
        share = 1.0 if done <= 1 - decay else max(LEAST_RATE, (1 - done) / decay)
        self.adam.param_groups[0]["lr"] = share * self.settings.lr
        self.d_adam.param_groups[0]["lr"] = share * self.settings.critic_lr

    def move(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) of this step, each moved by some pixels."""
        most = self.settings.shift
        if not most:
            return images
        seed = int(np.random.SeedSequence([self.settings.seed, self.step, 1]).generate_state(1)[0])
        return shift_pixels(images, most, torch.Generator().manual_seed(seed))

    def draw_noise(self, n: int) -> tuple[Tensor, Tensor]:
        """This step's noise: of the prior, and of the encoder's spread, both (n, D)."""
        seed = int(np.random.SeedSequence([self.settings.seed, self.step]).generate_state(1)[0])
        numbers = torch.randn(2, n, self.settings.network.dim, generator=torch.Generator().manual_seed(seed))
        return numbers[0].to(self.device), numbers[1].to(self.device)

    def train_critic(self, images: Tensor, values: Tensor, normal: Tensor, spread: Tensor) -> dict[str, float]:
        """A step of the critic."""
        with torch.no_grad():
            encoded = self.sample_latents(images, values, spread)[0]
            latent = self.mix(self.network.scale(self.network.map(normal)), encoded)
            generated = self.network.synthesis(latent)
        loss = critic_loss(self.d(generated, latent), self.d(images, encoded))
        self.d_adam.zero_grad()
        loss.backward()
        self.d_adam.step()
        return {"critic": loss.item()}

    def train_networks(self, images: Tensor, values: Tensor, normal: Tensor, spread: Tensor) -> dict[str, float]:
        """A step of generator, encoder and, while edges are learned, the equations."""
        self.d.requires_grad_(False)
        encoded, mean, log_variance = self.sample_latents(images, values, spread)
        latent = self.mix(self.network.scale(self.network.map(normal)), encoded.detach())
        generated = self.network.synthesis(latent)
        game = self.settings.game * (generator_loss(self.d(generated, latent)) + self.d(images, encoded).mean())
        terms = {
            "labels": self.settings.labels
            * self.label_loss(self.network.split(mean)[0], self.network.split(log_variance)[0], values),
            "reconstruction": self.reconstruction_loss(self.network.synthesis(encoded), images),
            "regression": self.settings.regression * (self.estimate(generated) - latent).square().mean(),
        }
        if self.settings.prior:
            terms["prior"] = self.settings.prior * self.divergence(mean, log_variance)
        if self.settings.consistency:
            weight = self.settings.consistency * min(1.0, self.step / (RAMP * self.steps))
            terms["consistency"] = weight * self.consistency_loss(encoded.detach(), values)
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

    def sample_latents(self, images: Tensor, values: Tensor, spread: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The encoder's latents (N, D) of images, scaled, with their spread, and unscaled means and log-variances
        (N, D). Numbers are those of the labels (N, A), so that `rest` need not tell them."""
        mean, log_variance = (part.float() for part in self.network.recognition(images))
        latent = mean + (0.5 * log_variance).exp() * spread
        equations = self.network.equations
        if equations.places:
            latent = equations.replace_numbers(latent, equations.numbers.standardise(values[:, equations.places]))
        return self.network.scale(latent), mean, log_variance

    def mix(self, latent: Tensor, encoded: Tensor) -> Tensor:
        """The prior's latents (N, D), of which the share `mixed` gets the rest of an encoded image's (N, D).

        Acts on images make such latents: the game asks that causes are obeyed whatever the rest is.
        """
        n = round(self.settings.mixed * len(latent))
        acted = torch.cat([self.network.split(latent[:n])[0], self.network.split(encoded[:n])[1]], dim=1)
        return torch.cat([acted, latent[n:]])

    def divergence(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        """The divergence of the rest, of means and log-variances (N, D), from N(0, 1), in nats."""
        (_, mean), (_, log_variance) = self.network.split(mean), self.network.split(log_variance)
        return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1).mean()

    def estimate(self, images: Tensor) -> Tensor:
        """The encoder's means (N, D) of images, scaled."""
        return self.network.scale(self.network.recognition(images)[0].float())

    def reconstruction_loss(self, made: Tensor, images: Tensor) -> Tensor:
        """Of reconstructions and images (N, C, H, W) in [-1, 1]; as shares of white for the cross-entropy."""
        loss = self.settings.reconstruction * (made - images).abs().mean()
        if not self.settings.entropy:
            return loss
        with torch.autocast(self.device.partition(":")[0], enabled=False):
            shares, wanted = ((each.float().clamp(-1, 1) + 1) / 2 for each in (made, images))
            return loss + self.settings.entropy * F.binary_cross_entropy(shares, wanted)

    def consistency_loss(self, encoded: Tensor, values: Tensor) -> Tensor:
        """How far the encoder reads other causes than those set, and another rest, in images of the encoder's latents
        (N, D), scaled, of images with labels (N, A), after every attribute was exchanged with that of another image.

        The encoder itself is not trained by it.
        """
        mixed, wanted = encoded.clone(), values.clone()
        for place, node in enumerate(self.network.equations.nodes):
            mixed[:, node] = encoded[:, node].roll(place + 1, dims=0)
            wanted[:, place] = values[:, place].roll(place + 1)
        recognition = self.network.recognition.requires_grad_(False)
        mean = recognition(self.network.synthesis(mixed))[0].float()
        recognition.requires_grad_(True)
        (causes, rest), (_, had) = self.network.split(mean), self.network.split(mixed)
        return self.label_loss(causes, None, wanted) + (rest - had).square().mean()

    def label_loss(self, causes: Tensor, log_variance: Tensor | None, values: Tensor) -> Tensor:
        """Cross-entropy of labels (N, A) under the causes (N, D) as logits, mean over the attributes.

        Of numbers the squared error in deviations, times NUMBER, and for the spread alone, if it is given, the normal
        density.
        """
        equations, total = self.network.equations, causes.new_zeros(())
        if equations.places:
            wanted = equations.numbers.standardise(values[:, equations.places])
            squares = (equations.take_numbers(causes) - wanted).square()
            total = total + NUMBER * squares.mean(dim=0).sum()
            if log_variance is not None:
                spreads = equations.take_numbers(log_variance)
                total = total + (squares.detach() * (-spreads).exp() + spreads).mean(dim=0).sum() / 2
        for place, (node, column) in enumerate(zip(equations.nodes, values.T, strict=True)):
            part = causes[:, node]
            if place in equations.places:
                continue
            if part.shape[1] == 1:
                total = total + F.binary_cross_entropy_with_logits(part[:, 0], column.float())
            else:
                total = total + F.cross_entropy(part, column.long())
        return total / len(equations.nodes)

    @torch.no_grad()
    def fix_edges(self) -> None:
        """Keep the edges that have been found; their weights go on being trained by the game."""
        edges = choose_edges(self.network.equations.strengths())
        for network in (self.network, self.average):
            network.equations.mask.copy_(edges)
            set_noise(network.equations, self.targets.to(self.device))

    def update_average(self) -> None:
        """Move the average, faster at the beginning."""
        move_average(self.average, self.network, share_kept(HALF_LIFE, (self.step + 1) * self.batch, self.batch))

    @torch.no_grad()
    def sheet(self) -> np.ndarray:
        """See `Trainer.sheet`: held-out images, their reconstructions, the first attribute changed, and samples."""
        images, network = self.data.images(self.shown).to(self.device), self.average
        latent = network.encode(images)
        first = network.equations.values(network.split(latent)[0])[:, 0]
        scale = network.config.scales[0] if network.config.scales else None
        other = (first == 0).long() if scale is None else torch.where(first == 0, 0.9, 0.1)
        changed = network.counterfactual(latent, {0: other})
        drawn = network.map(draw_normal(range(len(images)), self.settings.network.dim).to(self.device))
        rows = [images, *(network.synthesize(each) for each in (latent, changed, drawn))]
        pixels = ((torch.stack(rows).clamp(-1, 1) + 1) * 127.5).round().byte()
        return pixels.permute(0, 1, 3, 4, 2).cpu().numpy()
