"""Another encoder than that of the contrast: it reads from an image where along each direction its sample lies.

The samples' coordinates along the directions are known, and so are their images: a regression. Directions that change
the same places are taken for coordinates of one factor; a hue, for example, is the angle between two of them. They
share one dimension of the code: the number from which a small network, trained with the encoder, tells their
coordinates best (a bottleneck of one dimension: it follows a ring, and cuts it open).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gmmedit.discovery.decomposition import measure_slopes
from gmmedit.discovery.latents import Bank, Latents, step_random
from gmmedit.discovery.network import CodeConfig, make_network
from gmmedit.runtime.execution import Execution
from gmmedit.training.base import Trainer

READER = 4  # the number of this stage among the seeds
READ_FROM = 4_096  # samples whose images are read
PLACES_FROM = 48  # samples that show where directions change images
HIDDEN, STEEP = 32, 3.0  # width of the network that tells coordinates from a code, and how it begins


@dataclass(frozen=True)
class ReaderSettings:
    """What determines the result. identity: of generator, samples, precision and directions.

    codes: of each dimension of the code, the numbers of the directions that it stands for.
    """

    identity: str
    codes: tuple[tuple[int, ...], ...]
    seed: int
    steps: int
    batch: int
    lr: float


class ReaderTraining(Trainer):
    """The encoder, and for each dimension of the code the network that tells coordinates from it."""

    name = "reader"
    stateful = ("encoder", "tellers", "adam")

    def __init__(self, settings: ReaderSettings, latents: Latents, bank: Bank, wanted: Tensor) -> None:
        """wanted: (B, k) what is read from each image of the bank."""
        self.settings, self.latents, self.bank = settings, latents, bank
        self.batch, self.steps = settings.batch, settings.steps
        config = CodeConfig(latents.renderer.generator.image_shape, len(settings.codes))
        self.encoder = make_network(config, settings.seed).to(latents.device)
        self.wanted = standard(wanted.to(bank.x))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.tellers = nn.ModuleList(make_teller(len(code)) for code in settings.codes).to(latents.device)
        self.adam = torch.optim.Adam([*self.encoder.parameters(), *self.tellers.parameters()], lr=settings.lr)

    def networks(self) -> dict[str, nn.Module]:
        """See `Trainer.networks`."""
        return {"encoder": self.encoder, "tellers": self.tellers}

    @torch.no_grad()
    def tell(self, codes: Tensor) -> Tensor:
        """What is read (N, k), from codes (N, J), both on the CPU."""
        return self.told(codes.to(self.latents.device)).cpu()

    def told(self, codes: Tensor) -> Tensor:
        """What is read (N, k), from codes (N, J) on the same device; gradients pass."""
        told = torch.cat([teller(codes[:, i : i + 1]) for i, teller in enumerate(self.tellers)], 1)
        order = [number for code in self.settings.codes for number in code]
        return told[:, torch.tensor(order, device=told.device).argsort()]

    def take_step(self) -> dict[str, float]:
        """See `Trainer.take_step`: the share of the coordinates' variance that the code leaves unexplained."""
        settings = self.settings
        random = step_random(settings.seed, READER, self.step)
        rows = torch.randint(len(self.bank.x), (settings.batch,), generator=random).to(self.latents.device)
        with self.latents.autocast():
            codes = self.encoder(self.bank.images[rows]).float()
        error = (self.told(codes) - self.wanted[rows]).square().mean()
        self.adam.param_groups[0]["lr"] = settings.lr * (1 + math.cos(math.pi * self.step / self.steps)) / 2
        self.adam.zero_grad()
        error.backward()
        self.adam.step()
        return {"unexplained": error.item()}


def reading_bank(latents: Latents, count: int = READ_FROM) -> Bank:
    """The samples that an encoder is trained on, as it sees them: the first `count`."""
    return latents.make_bank(CodeConfig(latents.renderer.generator.image_shape, 1).input_size, count)


def make_teller(directions: int) -> nn.Module:
    """The network from a code (N, 1) to the coordinates (N, directions) that it stands for; of one: the code itself."""
    if directions == 1:
        return nn.Identity()
    first = nn.Linear(1, HIDDEN)
    nn.init.normal_(first.weight, std=STEEP)
    return nn.Sequential(first, nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, directions))


def standard(values: Tensor) -> Tensor:
    """Columns (N, k) with mean 0 and variance 1; constant ones become 0."""
    centred = values - values.mean(0)
    return centred / centred.std(0).clamp_min(1e-6)


def share_codes(maps: Tensor, share: float) -> tuple[tuple[int, ...], ...]:
    """Directions grouped by where they change images: a tuple of their numbers for each dimension of the code.

    maps: (k, P) mean squared change of each place. Two groups are joined while the least correlation between maps of
    one and of the other is at least `share`, the most alike first; never to fewer than two groups, which a code needs
    to be compared. share 1: every direction has a code of its own.
    """
    groups = [[number] for number in range(len(maps))]
    alike = torch.corrcoef(maps.double()).nan_to_num(0.0).numpy()  # of groups: of their least alike members
    while share < 1 and len(groups) > 2:
        earlier = np.tri(len(groups), k=-1, dtype=bool)  # each pair once
        j, i = np.unravel_index(np.where(earlier, alike, -np.inf).argmax(), alike.shape)
        if alike[j, i] < share:
            break
        alike[i] = alike[:, i] = np.minimum(alike[i], alike[j])
        alike = np.delete(np.delete(alike, j, 0), j, 1)
        groups[i] += groups.pop(j)
    return tuple(tuple(sorted(group)) for group in groups)


def changed_places(latents: Latents, directions: Tensor, execution: Execution) -> Tensor:
    """The mean squared change (k, P) of each pixel, summed over channels, by a unit along directions (k, D')."""
    channels = latents.renderer.generator.image_shape[0]
    slopes = measure_slopes(latents, directions, PLACES_FROM, execution)
    squares = [change.square().unflatten(1, (channels, -1)).sum(1) for change in slopes]
    return torch.stack(squares).mean(0)
