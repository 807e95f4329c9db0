"""What each direction changes: the scale of a step, the order of the directions, and the labels that they go with."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gmmedit.discovery.kind import ImageKind, describe_kind
from gmmedit.discovery.latents import Latents, step_random
from gmmedit.discovery.network import CodeNetwork
from gmmedit.editors.baselines.linear import target_scores
from gmmedit.editors.baselines.unsupervised import standardise
from gmmedit.mixture import Layout
from gmmedit.runtime.execution import Execution

MEASURED_ON = 16  # samples, each moved both ways
GRID = (0.5, 1.0, 1.5, 2.0)  # shifts, in standard deviations of the prior; a step is no longer than the last
Tell = Callable[[Tensor], Tensor]  # codes (N, J) to what is read from them (N, k), both on the CPU
SPREAD_OVER = 512  # samples, for the standard deviation of the code


@dataclass(frozen=True)
class Effects:
    """Of each of k directions: scale (k,), the code dimension that it changes most (k,), the image's change (k,).

    kind: of the generator's images.
    """

    scale: Tensor
    dominant: Tensor
    change: Tensor
    kind: ImageKind


@torch.no_grad()
def measure_effects(
    latents: Latents, directions: Tensor, encoder: CodeNetwork, tell: Tell | None, execution: Execution
) -> Effects:
    """Of directions (k, D'): how far to go to change what they change by one standard deviation.

    What a direction changes is what moves most of what `tell` makes of the codes, or of the codes themselves, in units
    of the standard deviation over the samples; `scale` is the shift at which its mean absolute change is 1, between the
    ends of GRID. change: mean absolute change of the pixels by a shift of one standard deviation of the prior.
    """

    def read(images: Tensor) -> Tensor:
        codes = encode(images, encoder, execution)
        return torch.cat([codes, tell(codes)], 1) if tell else codes

    random = step_random(0, 4)
    images = latents.render(latents.draw(SPREAD_OVER, random), execution)
    spread, kind = read(images).std(0).clamp_min(1e-12), describe_kind(images)
    x = latents.draw(MEASURED_ON, random)
    before = latents.render(x, execution)
    codes = read(before)
    moves, pixels = [], []
    for number, direction in enumerate(directions):
        execution.stop.check()
        per_shift = []
        for shift in GRID:
            after = latents.render(torch.cat([x + shift * direction, x - shift * direction]), execution)
            change = read(after).unflatten(0, (2, -1)) - codes
            per_shift.append(change.abs().mean((0, 1)) / spread)
            if shift == 1:
                pixels.append((after.unflatten(0, (2, -1)) - before).abs().mean())
        moves.append(torch.stack(per_shift))
        execution.tick(number + 1, len(directions), "effects of directions")
    curves, size = torch.stack(moves), encode(before[:1], encoder, execution).shape[1]  # (k, shifts, what is read)
    dominant = curves[..., :size].mean(1).argmax(1)
    told = curves[..., size:] if tell else curves
    most = told.mean(1).argmax(1)
    curve = told.gather(2, most[:, None, None].expand(-1, len(GRID), 1))[..., 0]
    scale = torch.tensor([float(np.interp(1.0, monotone(row), GRID)) for row in curve.numpy()])
    return Effects(scale, dominant, torch.stack(pixels), kind)


def monotone(curve: np.ndarray) -> np.ndarray:
    """The running maximum of a curve, rising by a little everywhere, so that it can be inverted."""
    return np.maximum.accumulate(curve) + 1e-9 * np.arange(len(curve))


def encode(images: Tensor, encoder: CodeNetwork, execution: Execution) -> Tensor:
    """The codes (N, J), on the CPU, of images (N, C, H, W)."""
    device = next(encoder.parameters()).device
    (codes,) = execution.in_batches(lambda rows: (encoder(rows.to(device)),), images)
    return codes


def label_affinity(x: Tensor, directions: Tensor, logits: Tensor, layout: Layout) -> np.ndarray:
    """Correlation (k, K) over samples of the coordinate along each direction with each category's log-odds.

    x (N, D') and logits (N, K) of the labelled samples.
    """
    coordinates, scores = x @ directions.T, target_scores(logits, layout)
    found: np.ndarray = (standardise(coordinates).T @ standardise(scores) / len(x)).numpy()
    return found
