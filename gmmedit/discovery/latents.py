"""What all stages of a discovery share: the samples in chart coordinates, and the generator as a function of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gmmedit.classifiers.preprocessing import resize
from gmmedit.errors import InputError
from gmmedit.pictures.pixels import as_shown
from gmmedit.run.rendering import Renderer
from gmmedit.runtime.batching import TILE
from gmmedit.runtime.execution import Execution, autocast
from gmmedit.spaces import Chart, Space

LEAST_SHIFT = 0.5  # standard deviations of the prior: smaller shifts cannot be told from none
BANK = 1024  # samples whose images are generated once; every shift starts at one of them


@dataclass(frozen=True)
class Bank:
    """Coordinates (B, D') of samples, and their images (B, C, h, w) as the networks see them."""

    x: Tensor
    images: Tensor

    def draw(self, n: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Coordinates and images of n samples drawn at random."""
        rows = torch.randint(len(self.x), (n,), generator=random).to(self.x.device)
        return self.x[rows], self.images[rows]


@dataclass(frozen=True)
class Latents:
    """A generator, and the samples (N, D') of its prior in chart coordinates."""

    renderer: Renderer
    space: Space
    chart: Chart
    x: Tensor
    precision: str  # "bf16" or "fp32", of the networks while they are trained

    @property
    def device(self) -> torch.device:
        """Where the networks compute."""
        return self.renderer.generator.device

    def generate(self, x: Tensor) -> Tensor:
        """Coordinates (N, D') to images (N, C, H, W), on the device; gradients pass."""
        return self.renderer.generate(self.chart.from_x(x), self.space.name)

    def draw(self, n: int, random: torch.Generator) -> Tensor:
        """Coordinates (n, D') of samples drawn at random."""
        return self.x[torch.randint(len(self.x), (n,), generator=random)]

    @torch.no_grad()
    def make_bank(self, size: tuple[int, int], count: int = BANK) -> Bank:
        """The first `count` samples and their images, resized to (height, width)."""
        x = self.x[:count].to(self.device)
        with self.autocast():
            images = [resize(self.generate(rows).float(), size) for rows in x.split(TILE)]
        return Bank(x, torch.cat(images))

    def autocast(self) -> torch.autocast:
        """The context in which the networks are trained."""
        return autocast(self.precision, str(self.device))

    @torch.no_grad()
    def render(self, x: Tensor, execution: Execution) -> Tensor:
        """Coordinates (N, D') to images (N, C, H, W) as they are shown, on the CPU, in float32 and in whole tiles."""
        (images,) = execution.in_batches(lambda rows: (as_shown(self.generate(rows)),), x)
        return images


def step_random(*numbers: int) -> torch.Generator:
    """The random numbers of a step: they depend on these numbers alone, as (seed, stage, step)."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))


def draw_shifts(n: int, largest: float, random: torch.Generator) -> Tensor:
    """Signed shifts (n,), uniform in size between LEAST_SHIFT (at most `largest`) and `largest`."""
    least = min(LEAST_SHIFT, largest)
    size = least + (largest - least) * torch.rand(n, generator=random)
    return size * (2.0 * torch.randint(2, (n,), generator=random) - 1)


def random_directions(k: int, dim: int, seed: int) -> Tensor:
    """k orthonormal rows (k, dim), uniformly distributed."""
    drawn = torch.randn(dim, k, generator=step_random(seed, 7))
    q, r = torch.linalg.qr(drawn)
    return (q * r.diagonal().sign()).T.contiguous()


def check_count(k: int, dim: int, words: Sequence[str]) -> None:
    """InputError: more directions than dimensions. words: what has the dimensions, and the option that is too large."""
    if k > dim:
        what, option = words
        raise InputError(f"{k} directions are more than the {dim} dimensions of {what}", hint=f"{option} {dim}")
