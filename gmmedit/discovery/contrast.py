"""Stage 3: an encoder E whose code changes along one dimension for each direction, after DisCo (Ren et al. 2022).

A variation is what a shift along a direction changes in the code, v = |E(G(x + s a)) - E(G(x))|, scaled to length 1.
Variations along the same direction are pulled together, those along different ones pushed apart: binary cross-entropy
of the sigmoid of their cosines, with positives weighing a third as in DisCo. A negative whose cosine exceeds `flip` is
probably the same factor, and its own cosine becomes its target (hard-negative flipping). The entropy of softmax(v /
temperature) over the code's dimensions makes one of them dominate: v has length 1, so that without a temperature below
1 its softmax is almost flat and the term without effect.

Differs from DisCo's code, which takes 70,000 steps. Cosines are sharpened, and centred between the mean positive and
the mean negative one: as they are, all between 0 and 1, their sigmoid spans 0.5 to 0.73, negatives push every variation
towards some dimension before the network can tell directions apart, and there it stays. For the same reason flipping
and entropy wait for the first half of the steps (WARM_UP). A step compares all pairs of several directions, instead of
one direction with a bank of others; shifts start at samples whose images are generated once; the directions, whose
gradient passes through the generator, turn every TURN_EVERY steps; and they are the generator's own basis, turned.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmmedit.classifiers.preprocessing import resize
from gmmedit.discovery.candidates import Navigator
from gmmedit.discovery.latents import Latents, draw_shifts, step_random
from gmmedit.discovery.network import CodeConfig, make_network
from gmmedit.training.base import Trainer

THIRD = 3  # the number of this stage among the seeds
TURN_EVERY = 4  # steps: the gradient through the generator costs more than all else
SHARPNESS = 10.0  # of the logits; with DisCo's 1 a sigmoid of cosines stays between 0.5 and 0.73
POSITIVES = 1 / 3  # their weight in the binary cross-entropy; DisCo has 32 of them for 64 negatives
NCE_TEMPERATURE = 0.1
WARM_UP = 0.5  # share of the steps until negatives are flipped and the entropy has its whole weight


@dataclass(frozen=True)
class ContrastSettings:
    """What determines the result. identity: of generator, samples, precision and the directions to start from."""

    identity: str
    k: int
    learned: bool  # whether the directions turn
    seed: int
    steps: int
    groups: int
    repeats: int
    lr: float
    shift: float
    loss: Literal["bce", "nce"]
    flip: float
    entropy: float
    temperature: float


class ContrastTraining(Trainer):
    """The encoder, and directions within the span of `start` (M, D'), of which the first k rows are used."""

    name = "contrast"
    stateful = ("navigator", "encoder", "adam")

    def __init__(self, settings: ContrastSettings, latents: Latents, start: Tensor) -> None:
        self.settings, self.latents = settings, latents
        self.groups = min(settings.groups, settings.k)
        self.batch, self.steps = 2 * self.groups * settings.repeats, settings.steps
        self.navigator = Navigator(start, settings.k).to(latents.device)
        self.navigator.requires_grad_(settings.learned)
        config = CodeConfig(latents.renderer.generator.image_shape, settings.k)
        self.encoder = make_network(config, settings.seed).to(latents.device)
        self.bank = latents.make_bank(config.input_size)
        learned = [*self.encoder.parameters(), *(self.navigator.parameters() if settings.learned else ())]
        self.adam = torch.optim.Adam(learned, lr=settings.lr)

    def networks(self) -> dict[str, nn.Module]:
        """See `Trainer.networks`."""
        return {"navigator": self.navigator, "encoder": self.encoder}

    def take_step(self) -> dict[str, float]:
        """See `Trainer.take_step`: contrast and entropy, and the share of nearest variations of the same direction."""
        settings = self.settings
        random = step_random(settings.seed, THIRD, self.step)
        chosen = torch.randperm(settings.k, generator=random)[: self.groups].repeat_interleave(settings.repeats)
        variations = self.vary(chosen, random)
        same = (chosen[:, None] == chosen).to(variations.device)
        warm = min(1.0, self.step / (WARM_UP * self.steps))
        flip = settings.flip if warm == 1 else 1.0
        contrast = contrast_loss(variations, same, settings.loss, flip)
        entropy = entropy_of(variations, settings.temperature)
        self.adam.zero_grad()
        (contrast + warm * settings.entropy * entropy).backward()
        self.adam.step()
        return {"contrast": contrast.item(), "entropy": entropy.item(), "told": nearest_same(variations, same)}

    def vary(self, chosen: Tensor, random: torch.Generator) -> Tensor:
        """The variations (N, J), of length 1, of fresh samples along the chosen directions (N,)."""
        latents, n = self.latents, len(chosen)
        x, before = self.bank.draw(n, random)
        shifts = draw_shifts(n, self.settings.shift, random).to(latents.device)
        moved = x + shifts[:, None] * self.navigator()[chosen.to(latents.device)]
        with latents.autocast():
            with torch.set_grad_enabled(self.settings.learned and self.step % TURN_EVERY == 0):
                after = resize(latents.generate(moved), self.encoder.config.input_size)
            codes = self.encoder(torch.cat([before, after])).float()
        return F.normalize((codes[n:] - codes[:n]).abs(), dim=1)

    @torch.no_grad()
    def directions(self) -> Tensor:
        """The orthonormal directions (k, D'), on the CPU."""
        return self.navigator().cpu()


def contrast_loss(variations: Tensor, same: Tensor, loss: str, flip: float) -> Tensor:
    """How well unit variations (N, J) of the same direction are alike, and others not. same: bool (N, N).

    loss: "bce", with hard-negative flipping above the cosine `flip` (1: none), or "nce" (InfoNCE over all pairs).
    """
    cosines = variations @ variations.T
    own = torch.eye(len(same), dtype=torch.bool, device=same.device)
    positive, negative = same & ~own, ~same
    if loss == "nce":
        hidden = own | (negative & (cosines.detach() > flip))  # hard negatives are no negatives
        scores = (cosines / NCE_TEMPERATURE).masked_fill(hidden, -torch.inf)
        return (scores.logsumexp(1, keepdim=True) - scores)[positive].mean()
    hard = cosines.detach() > flip
    targets = torch.where(negative & hard, cosines.detach(), positive.to(cosines))
    middle = (cosines[positive].mean() + cosines[negative].mean()).detach() / 2
    logits = SHARPNESS * (cosines - middle)
    terms = F.binary_cross_entropy_with_logits(logits, targets.clamp(0, 1), reduction="none")
    return POSITIVES * terms[positive].mean() + (1 - POSITIVES) * terms[negative].mean()


def entropy_of(variations: Tensor, temperature: float) -> Tensor:
    """The mean entropy, in nats, of softmax(variations (N, J) / temperature): 0 to log J."""
    logs = F.log_softmax(variations / temperature, dim=1)
    return -(logs.exp() * logs).sum(1).mean()


def nearest_same(variations: Tensor, same: Tensor) -> float:
    """The share of variations (N, J) whose nearest other one is along the same direction."""
    cosines = (variations @ variations.T).fill_diagonal_(-2)
    return same.gather(1, cosines.argmax(1, keepdim=True)).float().mean().item()
