"""Stage 1: candidate directions, by the latent-shift reconstructor of Voynov and Babenko 2020.

A navigator of k orthonormal directions and a network that sees an image before and after a shift are trained together:
the network must tell which direction it was (cross-entropy) and how far (mean absolute error, weight 0.25). Directions
that are easy to tell apart survive. Step t draws everything from generators seeded by (seed, t).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmmedit.classifiers.preprocessing import resize
from gmmedit.discovery.latents import Latents, draw_shifts, random_directions, step_random
from gmmedit.discovery.network import CodeConfig, make_network
from gmmedit.training.base import Trainer

FIRST = 1  # the number of this stage among the seeds
SHIFT_WEIGHT = 0.25


@dataclass(frozen=True)
class CandidateSettings:
    """What determines the result. identity: of generator, samples and precision."""

    identity: str
    k: int
    seed: int
    steps: int
    batch: int
    lr: float
    shift: float


class Navigator(nn.Module):
    """k orthonormal rows (k, D) that are learned: `start`, turned by the matrix exponential of a skew matrix.

    start: orthonormal rows (M, D), M >= k; the directions stay in their span.
    """

    start: Tensor

    def __init__(self, start: Tensor, k: int) -> None:
        super().__init__()
        self.k = k
        self.register_buffer("start", start)
        self.turn = nn.Parameter(torch.zeros(len(start), len(start)))

    def forward(self) -> Tensor:
        upper = self.turn.triu(1)
        return torch.linalg.matrix_exp(upper - upper.T)[: self.k] @ self.start


class CandidateTraining(Trainer):
    """The navigator over all of the space, and the reconstructor."""

    name = "candidates"
    stateful = ("navigator", "reconstructor", "adam")

    def __init__(self, settings: CandidateSettings, latents: Latents) -> None:
        self.settings, self.latents = settings, latents
        self.batch, self.steps = settings.batch, settings.steps
        channels, *size = latents.renderer.generator.image_shape
        dim, device = latents.x.shape[1], latents.device
        shape = (2 * channels, size[0], size[1])
        self.navigator = Navigator(random_directions(dim, dim, settings.seed), settings.k).to(device)
        self.reconstructor = make_network(CodeConfig(shape, settings.k + 1), settings.seed).to(device)
        self.bank = latents.make_bank(self.reconstructor.config.input_size)
        self.adam = torch.optim.Adam([*self.navigator.parameters(), *self.reconstructor.parameters()], lr=settings.lr)

    def networks(self) -> dict[str, nn.Module]:
        """See `Trainer.networks`."""
        return {"navigator": self.navigator, "reconstructor": self.reconstructor}

    def take_step(self) -> dict[str, float]:
        """See `Trainer.take_step`: the cross-entropy, the error of the shift, and the share of directions told."""
        settings, latents = self.settings, self.latents
        random = step_random(settings.seed, FIRST, self.step)
        x, before = self.bank.draw(settings.batch, random)
        chosen = torch.randint(settings.k, (settings.batch,), generator=random).to(latents.device)
        shifts = draw_shifts(settings.batch, settings.shift, random).to(latents.device)
        moved = x + shifts[:, None] * self.navigator()[chosen]
        with latents.autocast():
            after = resize(latents.generate(moved), self.reconstructor.config.input_size)
            answers = self.reconstructor(torch.cat([before, after], 1)).float()
        which = F.cross_entropy(answers[:, :-1], chosen)
        far = (answers[:, -1] - shifts).abs().mean()
        self.adam.zero_grad()
        (which + SHIFT_WEIGHT * far).backward()
        self.adam.step()
        told = (answers[:, :-1].argmax(1) == chosen).float().mean()
        return {"direction": which.item(), "shift": far.item(), "told": told.item()}

    @torch.no_grad()
    def directions(self) -> Tensor:
        """The orthonormal candidates (k, D'), on the CPU."""
        return self.navigator().cpu()
