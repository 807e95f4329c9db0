"""PluGeN (Wołczyk et al. 2022): an invertible network whose first dimensions are the attributes.

The flow carries the mixture's coordinates to a base in which an attribute of C values has C - 1 dimensions, N(t, s^2)
around the target t of a sample's label, and everything else is N(0, I). An edit sets the attribute's dimensions to a
value's target, holds the others, and goes back.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gmmedit.editors.base import Coordinates, Editor, Material, Unsuitable
from gmmedit.mixture import Layout
from gmmedit.mixture.adam import Fit, generator_for
from gmmedit.runtime.extras import import_extra

COUPLINGS, HIDDEN = 4, (256, 256)
STEPS, ROWS, RATE, DECAY = 3000, 256, 2e-3, 1.0
WIDEST, NARROWEST = 0.4, 0.15  # s at the first and the last step, as in the paper over 1,000 epochs


@dataclass(frozen=True)
class FlowChart:
    """The base of a flow over the rotated coordinates of another chart."""

    chart: Coordinates
    turn: Tensor  # orthogonal (D, D)
    flow: Any  # a zuko transform of (..., D)

    @torch.no_grad()
    def to_x(self, latent: Tensor) -> Tensor:
        """Latents (..., D) to the flow's base coordinates (..., D')."""
        found: Tensor = self.flow(self.chart.to_x(latent) @ self.turn)
        return found

    @torch.no_grad()
    def carry(self, latent: Tensor, x: Tensor) -> Tensor:
        """Latents (..., D) moved so that their base coordinates become x (..., D')."""
        change = self.flow.inv(x) - self.flow.inv(self.to_x(latent))
        return self.chart.carry(latent, self.chart.to_x(latent) + change @ self.turn.T)


@dataclass(frozen=True)
class FlowEditor(Editor):
    """Moves an attribute's dimensions to a value's target, or to that of the nearest other value."""

    chart: FlowChart
    layout: Layout

    def offset(self, x: Tensor, category: int, away: bool = False) -> Tensor:
        """See `Editor.offset`; (N, L, D')."""
        attribute, value = self.layout.locate(category)
        rows, targets = self.layout.rows[attribute], simplex_corners(self.layout.values[attribute]).to(x)
        goal = targets[value]
        if away:
            distance = (x[..., None, rows] - targets).norm(dim=-1)
            distance[..., value] = math.inf
            goal = targets[distance.argmin(-1)]
        change = torch.zeros_like(x)
        change[..., rows] = goal - x[..., rows]
        return change


def fit_flow(material: Material) -> FlowEditor:
    """Fit the flow by maximum likelihood of latents and labels.

    InputError: zuko is not installed. Unsuitable: the attributes take as many dimensions as the latent has.
    """
    flows = import_extra("zuko.flows", "flow")
    x, layout = material.chart.to_x(material.latents), Layout(material.layout.values)
    if layout.width >= x.shape[1]:
        raise Unsuitable(f"flow: attributes of {layout.width} dimensions leave none of {x.shape[1]} for the rest")
    targets = label_targets(material.labels, layout)
    turn = align_basis(x, targets)
    with torch.enable_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(material.seed)
        network = flows.NICE(x.shape[1], transforms=COUPLINGS, hidden_features=HIDDEN)
        matrices = [weight for weight in network.parameters() if weight.ndim == 2]
        loss = Likelihood(network, x @ turn, targets, material.seed)
        for _ in Fit(network.parameters(), loss, STEPS, RATE, decayed=matrices, weight_decay=DECAY):
            pass
    return FlowEditor(FlowChart(material.chart, turn, network.requires_grad_(False)().transform), layout)


@dataclass(frozen=True)
class Likelihood:
    """The loss of a step: minus the mean log-likelihood of a batch, per dimension."""

    network: Any
    x: Tensor
    targets: Tensor  # (N, A')
    seed: int

    def __call__(self, step: int) -> dict[str, Tensor]:
        rows = torch.randint(len(self.x), (ROWS,), generator=generator_for(self.seed, step))
        base, volume = self.network().transform.call_and_ladj(self.x[rows])
        deviation = WIDEST * (NARROWEST / WIDEST) ** (step / STEPS)
        return {"likelihood": -log_likelihood(base, volume, self.targets[rows], deviation).mean() / base.shape[1]}


def log_likelihood(base: Tensor, volume: Tensor, targets: Tensor, deviation: float) -> Tensor:
    """Log-likelihood (N,) of base coordinates (N, D) whose first A' have targets (N, A').

    volume: the log-determinant (N,) of the flow. deviation: s of the attributes' dimensions.
    """
    count = targets.shape[1]
    centred = torch.cat([(base[:, :count] - targets) / deviation, base[:, count:]], 1)
    constant = base.shape[1] * math.log(2 * math.pi) / 2 + count * math.log(deviation)
    return volume - centred.square().sum(1) / 2 - constant


def align_basis(x: Tensor, targets: Tensor) -> Tensor:
    """Orthogonal (D, D); its first columns span the least-squares regression of the targets (N, A') on x (N, D).

    The flow starts in this basis: from any other, STEPS steps do not find the attributes.
    """
    read = torch.linalg.lstsq(x - x.mean(0), targets - targets.mean(0)).solution
    turn, upper = torch.linalg.qr(read, mode="complete")
    turn[:, : targets.shape[1]] *= torch.where(upper.diagonal() < 0, -1, 1)
    return turn


def label_targets(labels: Tensor, layout: Layout) -> Tensor:
    """The mean of the values' targets weighted by labels (N, K) in [0, 1]: (N, A')."""
    return torch.cat([labels[:, c] @ simplex_corners(c.stop - c.start).to(labels) for c in layout.columns], 1)


def simplex_corners(count: int) -> Tensor:
    """The values' targets (C, C - 1): the corners of a regular simplex at distance 1 from 0; -1 and 1 for two."""
    corners = torch.eye(count, dtype=torch.float64) - 1 / count
    basis = torch.zeros(count, count - 1, dtype=torch.float64)  # Helmert's: orthonormal columns that add up to 0
    for i in range(count - 1):
        basis[: i + 1, i], basis[i + 1, i] = -1, i + 1
    basis /= basis.norm(dim=0)
    return torch.nn.functional.normalize(corners @ basis, dim=1)
