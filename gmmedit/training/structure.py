"""Fitting the structural equations of a BiGAN to labels: given edges, or edges that are learned beside the networks."""

import torch
from torch import Tensor

from gmmedit.networks.structural import StructuralEquations

RIDGE = 1e-5
FAINT = 0.1  # strength below which a learned edge is dropped; messages are -1 or 1, so that it is in logits


def fit_equations(equations: StructuralEquations, values: Tensor) -> None:
    """Fit bias and weights of the mask's edges to labels (N, A), by maximum likelihood."""
    parameters = [equations.weight, equations.bias]
    solver = torch.optim.LBFGS(parameters, max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        value = RIDGE * equations.effective().square().sum() - equations.log_likelihood(values)
        value.backward()
        return value

    solver.step(loss)


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
    kept = torch.where(strengths > faint, strengths, 0.0).fill_diagonal_(0)
    while has_cycle(kept > 0):
        on_cycles = kept * reachable(kept > 0).T
        weakest = torch.where(on_cycles > 0, on_cycles, torch.inf).argmin()
        kept.view(-1)[weakest] = 0
    return kept > 0


def reachable(edges: Tensor) -> Tensor:
    """Whether a path leads from the row's attribute to the column's, (A, A) bool."""
    paths = edges.float()
    for _ in range(len(edges)):
        paths = ((paths + paths @ edges.float()) > 0).float()
    return paths > 0


def has_cycle(edges: Tensor) -> bool:
    """Whether a path of the edges (A, A) leads back to where it began."""
    return bool(reachable(edges).diagonal().any())
