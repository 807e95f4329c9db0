"""Fitting the structural equations of a BiGAN to labels: given edges, or edges that are learned beside the networks."""

import numpy as np
import torch
from torch import Tensor

from gmmedit.causal.orientation import descendants, is_acyclic
from gmmedit.mixture.lbfgs import minimise
from gmmedit.networks.structural import StructuralEquations

RIDGE = 1e-5
FAINT = 0.1  # strength below which a learned edge is dropped; messages are -1 or 1, so that it is in logits


def fit_equations(equations: StructuralEquations, values: Tensor) -> None:
    """Fit bias and weights of the mask's edges to labels (N, A), by maximum likelihood."""

    def loss() -> Tensor:
        return RIDGE * equations.effective().square().sum() - equations.log_likelihood(values)

    minimise(equations.parameters(), loss, 200)
    set_noise(equations, values)


def set_noise(equations: StructuralEquations, values: Tensor) -> None:
    """Give the numbers' noise the quantiles of what the equations leave over in labels (N, A)."""
    if equations.places:
        equations.numbers.set_noise(equations.residuals(values).detach())


def acyclicity(strengths: Tensor) -> Tensor:
    """0 where the edges (A, A) have no cycle, else more: tr exp(S o S) - A (Zheng et al. 2018, equation 6)."""
    return torch.matrix_exp(strengths.square()).diagonal().sum() - len(strengths)


def structure_loss(
    equations: StructuralEquations, values: Tensor, done: float, sparsity: float, cycles: float
) -> Tensor:
    """What labels (N, A) say of the equations while edges are learned: likelihood, few edges, no cycles.

    done: share of the search; the price of cycles grows to `cycles` from a thousandth of that.
    """
    strengths = equations.strengths()
    penalty = sparsity * strengths.sum() + cycles * 1e-3 ** (1 - done) * acyclicity(strengths)
    return penalty - equations.log_likelihood(values)


def choose_edges(strengths: Tensor, faint: float = FAINT) -> Tensor:
    """The edges (A, A) bool to keep: those that are not faint, without the faintest of every cycle."""
    kept = torch.where(strengths > faint, strengths, 0.0).fill_diagonal_(0).cpu().numpy()
    while not is_acyclic(kept > 0):
        edges = [(int(cause), int(effect)) for cause, effect in np.argwhere(kept > 0)]
        on_cycles = [(cause, effect) for cause, effect in edges if cause in descendants(kept > 0, [effect])]
        kept[min(on_cycles, key=lambda edge: kept[edge])] = 0
    return torch.from_numpy(kept > 0).to(strengths.device)
