"""Pivotal tuning: a copy of the generator that makes given images from their inverted latents (Roich et al. 2021).

The latents stay, the weights of the synthesis move. A locality term keeps the images of other latents: those between a
pivot and a sample of the prior, drawn anew at every step (there w at a fixed distance; here at a share of the way, at
least half, in chart coordinates, so that no distance depends on the generator).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from gmmedit.config import TuneSettings
from gmmedit.editing.inversion import Inverter, rate_at
from gmmedit.generators import Generator
from gmmedit.run.rendering import Renderer

PIVOTS = 4  # images per step; of more, the next ones at the next step
SEEDS = 1 << 30  # of the samples that the locality term draws


def tune(inverter: Inverter, latents: Tensor, pixels: np.ndarray, settings: TuneSettings) -> dict[str, Tensor]:
    """The weights, by name, that the tuning changed.

    latents (N, L, D) of the inverter's space, and the images uint8 (N, H, W, C) that they are to generate. Stopped: the
    execution was asked to stop.
    """
    generator = inverter.renderer.generator
    tuned = copy.deepcopy(generator)
    renderer = Renderer(tuned, inverter.renderer.settings)
    with torch.enable_grad():
        adam = torch.optim.Adam(weights_of_synthesis(tuned, renderer, inverter.space, latents[:1]), lr=settings.lr)
        for step in range(settings.steps):
            inverter.execution.stop.check()
            adam.zero_grad()
            for loss in losses_at(step, inverter, renderer, latents, pixels, settings):
                loss.backward()
            for group in adam.param_groups:
                group["lr"] = settings.lr * rate_at(step, settings.steps)
            adam.step()
            inverter.execution.tick(step + 1, settings.steps, "tuning")
    changed = {name: value for name, value in tuned.named_parameters() if value.requires_grad}
    return {name: value.detach().cpu() for name, value in changed.items()}


def weights_of_synthesis(tuned: Generator, renderer: Renderer, space: str, latent: Tensor) -> list[Tensor]:
    """The weights that the image of a latent (1, L, D) depends on; only they require gradients afterwards."""
    tuned.requires_grad_(True)
    renderer.generate(latent, space).square().sum().backward()
    for parameter in tuned.parameters():
        parameter.requires_grad_(parameter.grad is not None)
    return [parameter for parameter in tuned.parameters() if parameter.requires_grad]


def losses_at(
    step: int, inverter: Inverter, renderer: Renderer, latents: Tensor, pixels: np.ndarray, settings: TuneSettings
) -> Iterator[Tensor]:
    """The losses of a step, one after the other: of each pivot, and of the locality around one of them."""
    count = min(PIVOTS, len(latents))
    rows = [(step * count + i) % len(latents) for i in range(count)]
    for row in rows:
        target = inverter.make_target(pixels[row])
        yield inverter.differences(renderer.generate(latents[row : row + 1], inverter.space), target).sum() / count
    if settings.locality:
        near = draw_between(inverter, latents[rows[0] : rows[0] + 1], step)
        with torch.no_grad():
            before = inverter.renderer.generate(near, inverter.space)
        change = (renderer.generate(near, inverter.space) - before) / inverter.units[0]
        yield settings.locality * (change.abs().mean() + change.square().mean())


def draw_between(inverter: Inverter, pivot: Tensor, step: int) -> Tensor:
    """Latents (1, L, D) between a pivot and a sample of the prior, at least half of the way: drawn by the step.

    Closer ones would hold the pivot's own image, which is to change.
    """
    sample = inverter.renderer.to_layers(inverter.renderer.draw_latents([SEEDS + step], inverter.space), inverter.space)
    share = 0.5 + 0.5 * float(torch.rand((), generator=torch.Generator().manual_seed(step)))
    here, there = (inverter.chart.to_x(latent) for latent in (pivot, sample))
    return inverter.chart.from_x(torch.lerp(here, there, share))
