"""Structural equations over attributes: the prior of a BiGAN whose first latent dims are causes and effects.

An attribute of two values has one dim w, and the second value where w > 0; one of C > 2 values has C dims, and the
value of the largest. w is u with a gap between the values, and u = b + m W + e, where m says which values the
attribute's causes have (-1 or 1 for two values, one-hot for more) and e is noise of its own: logistic for two values,
Gumbel for more. So the labels follow logistic and multinomial regressions on their causes, P(second value | causes) =
sigmoid(b + m W), and the noise of a latent can be computed back, e = u - b - m W, which is the abduction that
counterfactuals need (Pearl 2009, section 7.1). CCIG (Huang et al. 2024) and DEAR (Shen et al. 2022) have linear
equations in Gaussian noise, which labels do not follow.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

SHARPNESS = 2.0  # of the gradient of a message, which itself is a step
MARGIN = 1.0  # in logits, by which an intervention sets a value at least, beside the gap
EDGE = 1e-3  # in logits, between a latent in the gap and the border of its value
GAP = 2.0  # in logits, by which latents of a value stay away from those of others: an image shows one of them


def node_slices(counts: Sequence[int]) -> list[slice]:
    """The dims of each attribute, of these numbers of values."""
    found, start = [], 0
    for count in counts:
        width = 1 if count == 2 else count
        found.append(slice(start, start + width))
        start += width
    return found


class StructuralEquations(nn.Module):
    """The equations u = b + m W + e of A attributes with D dims in all.

    weight: (D, D), from the causes' messages to the dims; only blocks of pairs in `mask` count. bias: (D,).
    mask: (A, A) bool, whether the row's attribute is a cause of the column's.
    """

    mask: Tensor

    def __init__(self, counts: Sequence[int], mask: Tensor | None = None):
        super().__init__()
        self.counts, self.nodes = tuple(counts), node_slices(counts)
        self.dim = self.nodes[-1].stop
        self.weight = nn.Parameter(torch.zeros(self.dim, self.dim))
        self.bias = nn.Parameter(torch.zeros(self.dim))
        n = len(counts)
        self.register_buffer("mask", torch.zeros(n, n, dtype=torch.bool) if mask is None else mask.clone())
        self.owner = [i for i, node in enumerate(self.nodes) for _ in range(node.start, node.stop)]  # of each dim

    def effective(self) -> Tensor:
        """The weights (D, D) that count: of pairs in the mask."""
        return self.weight * self.mask[self.owner][:, self.owner]

    def noise(self, normal: Tensor) -> Tensor:
        """Standard normal numbers (N, D) to the noise e: logistic, or Gumbel where there are more than two values."""
        lower, upper = torch.special.log_ndtr(normal), torch.special.log_ndtr(-normal)
        return torch.where(self.of_two(), lower - upper, -torch.log(-lower))

    def of_two(self) -> Tensor:
        """Which dims (D,) are of an attribute of two values."""
        two = [node.stop - node.start == 1 for node in self.nodes for _ in range(node.start, node.stop)]
        return torch.tensor(two, device=self.bias.device)

    def messages(self, u: Tensor) -> Tensor:
        """What latents (N, D) tell their effects (N, D): steps, with the gradient of a smooth function."""
        parts = []
        for node in self.nodes:
            part = u[:, node]
            if part.shape[1] == 1:
                smooth, step = torch.tanh(SHARPNESS * part), torch.where(part > 0, 1.0, -1.0)
            else:
                smooth = torch.softmax(SHARPNESS * part, dim=1)
                step = torch.nn.functional.one_hot(part.argmax(dim=1), part.shape[1]).to(part)
            parts.append(smooth + (step - smooth).detach())
        return torch.cat(parts, dim=1)

    def label_messages(self, values: Tensor) -> Tensor:
        """The messages (N, D) of labels (N, A), which are indices of values."""
        parts = []
        for column, count in zip(values.T, self.counts, strict=True):
            two = count == 2
            parts.append(2.0 * column[:, None] - 1 if two else torch.nn.functional.one_hot(column, count).float())
        return torch.cat(parts, dim=1)

    def solve(self, noise: Tensor, held: Mapping[int, Tensor] | None = None) -> Tensor:
        """The latents w (N, D) of this noise e. held: attributes that an intervention sets, and their u (N, width).

        Of a graph without cycles the solution is exact after as many rounds as it has attributes.
        """
        weight, u = self.effective(), noise
        for _ in self.nodes:
            u = self.hold(self.bias + noise + self.messages(u) @ weight, held)
        return self.open_gap(u)

    def open_gap(self, u: Tensor) -> Tensor:
        """u (N, D) as latents w (N, D): each value away from the others by the GAP."""
        return u + GAP * self.messages(u).detach()

    def close_gap(self, w: Tensor) -> Tensor:
        """The inverse of `open_gap`; latents w (N, D) in the gap are taken to its side of their value."""
        parts = []
        for node in self.nodes:
            part = w[:, node]
            if part.shape[1] == 1:
                parts.append(part.sign() * (part.abs() - GAP).clamp(min=EDGE))
                continue
            top = nn.functional.one_hot(part.argmax(dim=1), part.shape[1]).bool()
            rivals = part.masked_fill(top, -torch.inf).amax(dim=1, keepdim=True)
            parts.append(torch.where(top, torch.maximum(part - GAP, rivals + EDGE), part))
        return torch.cat(parts, dim=1)

    def hold(self, u: Tensor, held: Mapping[int, Tensor] | None) -> Tensor:
        """u (N, D) with the dims of the held attributes replaced."""
        if not held:
            return u
        return torch.cat([held.get(i, u[:, node]) for i, node in enumerate(self.nodes)], dim=1)

    def abduct(self, w: Tensor) -> Tensor:
        """The noise e (N, D) of latents w (N, D)."""
        return self.close_gap(w) - self.bias - self.messages(w) @ self.effective()

    def values(self, w: Tensor) -> Tensor:
        """The labels (N, A) of latents w (N, D)."""
        parts = [w[:, node] for node in self.nodes]
        chosen = [part.argmax(dim=1) if part.shape[1] > 1 else (part[:, 0] > 0).long() for part in parts]
        return torch.stack(chosen, dim=1)

    def set_values(self, u: Tensor, node: int, values: Tensor) -> Tensor:
        """u (N, width) of an attribute with the values (N,), as clearly as it had others, by the MARGIN at least."""
        part = u[:, self.nodes[node]]
        if part.shape[1] == 1:
            return (2.0 * values[:, None] - 1) * part.abs().clamp(min=MARGIN)
        wanted = nn.functional.one_hot(values, part.shape[1]).bool()
        rivals = part.masked_fill(wanted, -torch.inf).amax(dim=1, keepdim=True)
        return torch.where(wanted, torch.maximum(part, rivals + MARGIN), part)

    def counterfactual(self, w: Tensor, changes: Mapping[int, Tensor]) -> Tensor:
        """Latents w (N, D) after attributes are set to values (N,): abduction, action, prediction.

        Effects of the attributes follow with their own noise; all else keeps its bits, also where w is in the gap.
        """
        u, noise, had = self.close_gap(w), self.abduct(w), self.values(w)
        held = {node: self.set_values(u, node, values) for node, values in changes.items()}
        changed = self.solve(noise, held)
        same = self.values(changed) == had
        return torch.where(same[:, self.owner], w, changed)

    def log_likelihood(self, values: Tensor) -> Tensor:
        """Mean log-probability of labels (N, A) given the labels of their causes, summed over the attributes."""
        scores = self.bias + self.label_messages(values) @ self.effective()
        total = scores.new_zeros(())
        for node, column, count in zip(self.nodes, values.T, self.counts, strict=True):
            part = scores[:, node]
            if count == 2:
                total = total - nn.functional.binary_cross_entropy_with_logits(part[:, 0], column.to(part))
            else:
                total = total - nn.functional.cross_entropy(part, column)
        return total

    def strengths(self) -> Tensor:
        """The strength (A, A) of each edge, row to column: the root mean square of its block of weights."""
        n, owner = len(self.nodes), torch.tensor(self.owner, device=self.weight.device)
        sums = self.weight.new_zeros(n, n)
        squares = self.effective().square()
        rows = torch.zeros(n, self.dim, device=squares.device).index_add(0, owner, squares)
        sums = sums.index_add(1, owner, rows)
        sizes = torch.tensor([node.stop - node.start for node in self.nodes], device=squares.device)
        return (sums / (sizes[:, None] * sizes[None])).clamp(min=1e-12).sqrt()
