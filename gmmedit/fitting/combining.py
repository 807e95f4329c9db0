"""The fit of the combination of neighbours, for generators whose layers have latents of their own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gmmedit.config import FitMixtureSettings
from gmmedit.fitting.data import Problem
from gmmedit.fitting.edits import share_score
from gmmedit.mixture.adam import generator_for
from gmmedit.mixture.combination import HELD_OUT, ROWS, Combination, CombinationLoss
from gmmedit.mixture.coordinates import FullSpace
from gmmedit.mixture.model import AttributeMixture
from gmmedit.mixture.neighbours import PriceWeights
from gmmedit.mixture.optimisation import Optimisation
from gmmedit.mixture.price import Price
from gmmedit.mixture.trials import Move
from gmmedit.mixture.watching import WatchedFit
from gmmedit.run.folder import RunFolder
from gmmedit.run.optimisation import find_neighbours

COMBINATION_STREAM = -6  # random stream of the initial combination


@dataclass(frozen=True)
class CombinationFit:
    """The fit, and the edits that it leads to: x (N, D) and categories (N,) to offsets (N, L, D) in one pass."""

    fit: WatchedFit
    move: Move


def make_combination(
    run_folder: RunFolder, space: str, problem: Problem, settings: FitMixtureSettings, model: AttributeMixture
) -> CombinationFit:
    """The fit of a new combination, which becomes the model's; its trials are edits of held-out samples."""
    layers = run_folder.generator.spaces[space].layers
    random = generator_for(settings.seed, COMBINATION_STREAM)
    combination = Combination(problem.chart.dim, problem.layout, layers, generator=random)
    model.combination = combination
    robustness, weights = run_folder.robustness, PriceWeights()
    disturbance = robustness.shift, robustness.noise
    score = share_score(
        run_folder,
        run_folder.renderer.make_score(space, problem.chart, run_folder.classifier, settings.precision, disturbance),
        ROWS,
    )
    contrast = robustness.band_contrast
    neighbours = find_neighbours(run_folder, space, problem.chart, model, problem.held_out)

    def control(y: Tensor, category: Tensor) -> Tensor:
        return y + model.control_change(y, category)

    def make_loss(x: Tensor, labels: Tensor, edits: int) -> CombinationLoss:
        return CombinationLoss(
            combination, neighbours, model.coordinates, control,
            lambda rows, category: Price.of(score, rows, category, neighbours, contrast, weights),
            x, labels, weights, settings.seed, edits,
        )  # fmt: skip

    held = make_loss(problem.held_x, problem.held_labels, HELD_OUT)
    loss = make_loss(problem.x, problem.labels, settings.steps * ROWS)
    fit = WatchedFit(list(combination.parameters()), loss, settings.steps, settings.lr, lambda: -held.mean())
    one_pass = Optimisation(score, neighbours, contrast, weights, 0, combination)

    @torch.no_grad()
    def move(x: Tensor, category: Tensor) -> Tensor:
        y = model.coordinates(x)
        return one_pass.combine(x[:, None], category, y, control(y, category))

    return CombinationFit(fit, move)


def can_combine(run_folder: RunFolder, space: str, settings: FitMixtureSettings, model: AttributeMixture) -> bool:
    """Whether edits in one pass are combinations: every layer has a latent, and edits are fitted by their images."""
    layered = run_folder.generator.spaces[space].layers > 1
    return layered and settings.consistency == "exact" and not isinstance(model.coordinates, FullSpace)
