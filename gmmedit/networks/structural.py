"""Structural equations over attributes: the prior of a BiGAN whose first latent dims are causes and effects.

An attribute of two values has one dim w, and the second value where w > 0; one of C > 2 values has C dims, and the
value of the largest. w is u with a gap between the values, and u = b + m W + e, where m says which values the
attribute's causes have (-1 or 1 for two values, one-hot for more) and e is noise of its own: logistic for two values,
Gumbel for more. So the labels follow logistic and multinomial regressions on their causes, P(second value | causes) =
sigmoid(b + m W), and the noise of a latent can be computed back, e = u - b - m W, which is the abduction that
counterfactuals need (Pearl 2009, section 7.1). CCIG (Huang et al. 2024) and DEAR (Shen et al. 2022) have linear
equations in Gaussian noise, which labels do not follow. An attribute that is a number has one dim, see `numbers`.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from gmmedit.networks.numbers import Numbers
from gmmedit.networks.scales import Scale

SHARPNESS = 2.0  # of the gradient of a message, which itself is a step
MARGIN = 1.0  # in logits, by which an intervention sets a value at least, beside the gap
EDGE = 1e-3  # in logits, between a latent in the gap and the border of its value
GAP = 2.0  # in logits, by which latents of a value stay away from those of others: an image shows one of them


SAME = 1e-3  # deviations, within which a number that was computed is the one that it was before

Scales = Sequence[Scale | None]  # of each attribute; None: it is no number. Empty: none is


def node_slices(counts: Sequence[int], scales: Scales = ()) -> list[slice]:
    """The dims of each attribute, of these numbers of values or classes."""
    found, start = [], 0
    for count, scale in zip(counts, scales or [None] * len(counts), strict=True):
        width = 1 if count == 2 or scale else count
        found.append(slice(start, start + width))
        start += width
    return found


class StructuralEquations(nn.Module):
    """The equations u = b + m W + e of A attributes with D dims in all.

    weight: (D, D), from the causes' messages to the dims; only blocks of pairs in `mask` count. bias: (D,).
    mask: (A, A) bool, whether the row's attribute is a cause of the column's. numbers: of those with a scale.
    """

    mask: Tensor

    def __init__(self, counts: Sequence[int], mask: Tensor | None = None, scales: Scales = ()):
        super().__init__()
        self.counts, self.nodes = tuple(counts), node_slices(counts, scales)
        self.places = [place for place, scale in enumerate(scales) if scale]  # of the numbers among the attributes
        if self.places:
            self.numbers = Numbers([scale for scale in scales if scale])
        self.number_dims = [self.nodes[place].start for place in self.places]
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
        """Standard normal numbers (N, D) to the noise e: logistic, Gumbel where there are more than two values, or a
        number's own."""
        lower, upper = torch.special.log_ndtr(normal), torch.special.log_ndtr(-normal)
        found = torch.where(self.of_two(), lower - upper, -torch.log(-lower))
        return self.replace_numbers(found, self.numbers.noise(self.take_numbers(normal))) if self.places else found

    def take_numbers(self, x: Tensor) -> Tensor:
        """The columns (N, n) of x (N, D) that are numbers'."""
        return x[:, self.number_dims]

    def replace_numbers(self, x: Tensor, columns: Tensor) -> Tensor:
        """x (N, D) with other columns (N, n) for the numbers."""
        return x.index_copy(1, torch.tensor(self.number_dims, device=x.device), columns)

    def of_two(self) -> Tensor:
        """Which dims (D,) are of an attribute of two values."""
        two = [node.stop - node.start == 1 for node in self.nodes for _ in range(node.start, node.stop)]
        return torch.tensor(two, device=self.bias.device)

    def messages(self, u: Tensor) -> Tensor:
        """What latents (N, D) tell their effects (N, D): steps, with the gradient of a smooth function."""
        parts = []
        for place, node in enumerate(self.nodes):
            part = u[:, node]
            if place in self.places:
                parts.append(part)
                continue
            if part.shape[1] == 1:
                smooth, step = torch.tanh(SHARPNESS * part), torch.where(part > 0, 1.0, -1.0)
            else:
                smooth = torch.softmax(SHARPNESS * part, dim=1)
                step = torch.nn.functional.one_hot(part.argmax(dim=1), part.shape[1]).to(part)
            parts.append(smooth + (step - smooth).detach())
        return self.open_numbers(torch.cat(parts, dim=1))

    def open_numbers(self, u: Tensor) -> Tensor:
        """u (N, D) with the numbers themselves, in deviations, in place of their logits."""
        return self.replace_numbers(u, self.numbers.open(self.take_numbers(u))) if self.places else u

    def label_messages(self, values: Tensor) -> Tensor:
        """The messages (N, D) of labels (N, A): indices of values, and numbers in units of their range."""
        parts = []
        for place, (column, count) in enumerate(zip(values.T, self.counts, strict=True)):
            if place in self.places or count == 2:
                parts.append(2.0 * column[:, None] - 1)
            else:
                parts.append(nn.functional.one_hot(column.long(), count).float())
        found = torch.cat(parts, dim=1)
        if not self.places:
            return found
        return self.replace_numbers(found, self.numbers.standardise(values[:, self.places].to(found)))

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
        opened = u + GAP * self.messages(u).detach()
        return self.replace_numbers(opened, self.numbers.open(self.take_numbers(u))) if self.places else opened

    def close_gap(self, w: Tensor) -> Tensor:
        """The inverse of `open_gap`; latents w (N, D) in the gap are taken to its side of their value."""
        parts = []
        for place, node in enumerate(self.nodes):
            part = w[:, node]
            if place in self.places:
                parts.append(part)
                continue
            if part.shape[1] == 1:
                parts.append(part.sign() * (part.abs() - GAP).clamp(min=EDGE))
                continue
            top = nn.functional.one_hot(part.argmax(dim=1), part.shape[1]).bool()
            rivals = part.masked_fill(top, -torch.inf).amax(dim=1, keepdim=True)
            parts.append(torch.where(top, torch.maximum(part - GAP, rivals + EDGE), part))
        closed = torch.cat(parts, dim=1)
        return self.replace_numbers(closed, self.numbers.close(self.take_numbers(w))) if self.places else closed

    def hold(self, u: Tensor, held: Mapping[int, Tensor] | None) -> Tensor:
        """u (N, D) with the dims of the held attributes replaced."""
        if not held:
            return u
        return torch.cat([held.get(i, u[:, node]) for i, node in enumerate(self.nodes)], dim=1)

    def abduct(self, w: Tensor) -> Tensor:
        """The noise e (N, D) of latents w (N, D)."""
        u = self.close_gap(w)
        return u - self.bias - self.messages(u) @ self.effective()

    def values(self, w: Tensor) -> Tensor:
        """The labels (N, A) of latents w (N, D); of numbers, the class."""
        parts = [w[:, node] for node in self.nodes]
        chosen = [part.argmax(dim=1) if part.shape[1] > 1 else (part[:, 0] > 0).long() for part in parts]
        if self.places:
            classes = self.numbers.classes(self.take_numbers(w))
            for place, column in zip(self.places, classes.T, strict=True):
                chosen[place] = column
        return torch.stack(chosen, dim=1)

    def targets(self, w: Tensor) -> Tensor:
        """As `values`, float32, but of numbers in units of the range, in [0, 1]."""
        found = self.values(w).float()
        if self.places:
            found[:, self.places] = self.numbers.share(self.take_numbers(w)).clamp(0, 1)
        return found

    def class_scores(self, mean: Tensor, log_variance: Tensor) -> list[Tensor]:
        """Log-probabilities (N, C) of each number's classes, of latents with means and log-variances (N, D)."""
        if not self.places:
            return []
        return self.numbers.class_scores(self.take_numbers(mean), self.take_numbers(log_variance))

    def follow(self, places: Sequence[int]) -> list[int]:
        """The attributes that others at `places` lead to, without those, ascending."""
        reached = self.mask[list(places)].any(dim=0)
        for _ in self.nodes:
            reached = reached | (self.mask & reached[:, None]).any(dim=0)
        return [place for place in reached.nonzero()[:, 0].tolist() if place not in places]

    def unchanged(self, w: Tensor, changed: Tensor) -> Tensor:
        """Whether each attribute (N, A) of latents w (N, D) is still what it was, after the equations were solved."""
        same = self.values(changed) == self.values(w)
        if self.places:
            before = self.numbers.open(self.numbers.close(self.take_numbers(w)))
            same[:, self.places] = (self.take_numbers(changed) - before).abs() < SAME
        return same

    def set_values(self, u: Tensor, node: int, values: Tensor) -> Tensor:
        """u (N, width) of an attribute with the values (N,), as clearly as it had others, by the MARGIN at least.

        Of many values, the wanted one and the one that it had exchange their dims: no image has two values clearly.
        Values of a number are in units of its range, within [0, 1].
        """
        part = u[:, self.nodes[node]]
        if node in self.places:
            return self.numbers.score(values.to(part)[:, None])
        if part.shape[1] == 1:
            return (2.0 * values[:, None] - 1) * part.abs().clamp(min=MARGIN)
        top = part.argmax(dim=1, keepdim=True)
        exchanged = part.scatter(1, top, part.gather(1, values[:, None]))  # the value that it had gets the wanted one's
        exchanged = exchanged.scatter(1, values[:, None], part.amax(dim=1, keepdim=True))
        wanted = nn.functional.one_hot(values, part.shape[1]).bool()
        rivals = exchanged.masked_fill(wanted, -torch.inf).amax(dim=1, keepdim=True)
        return torch.where(wanted, torch.maximum(exchanged, rivals + MARGIN), exchanged)

    def counterfactual(self, w: Tensor, changes: Mapping[int, Tensor]) -> Tensor:
        """Latents w (N, D) after attributes are set to values (N,): abduction, action, prediction.

        Effects of the attributes follow with their own noise; all else keeps its bits, also where w is in the gap.
        """
        u, noise = self.close_gap(w), self.abduct(w)
        held = {node: self.set_values(u, node, values) for node, values in changes.items()}
        changed = self.solve(noise, held)
        return torch.where(self.unchanged(w, changed)[:, self.owner], w, changed)

    def log_likelihood(self, values: Tensor) -> Tensor:
        """Mean log-probability of labels (N, A) given the labels of their causes, summed over the attributes.

        Of numbers the log-density of their logits, under normal noise.
        """
        scores = self.bias + self.label_messages(values) @ self.effective()
        total = scores.new_zeros(())
        for place, (node, column) in enumerate(zip(self.nodes, values.T, strict=True)):
            part = scores[:, node]
            if place in self.places:
                continue
            if part.shape[1] == 1:
                total = total - nn.functional.binary_cross_entropy_with_logits(part[:, 0], column.to(part))
            else:
                total = total - nn.functional.cross_entropy(part, column.long())
        return total + self.numbers.log_likelihood(self.residuals(values)).sum() if self.places else total

    def residuals(self, values: Tensor) -> Tensor:
        """The noise (N, n) of the numbers in labels (N, A)."""
        scores = self.bias + self.label_messages(values) @ self.effective()
        return self.numbers.score(values[:, self.places].to(scores)) - self.take_numbers(scores)

    def strengths(self) -> Tensor:
        """The strength (A, A) of each edge, row to column: the root mean square of its block of weights."""
        n, owner = len(self.nodes), torch.tensor(self.owner, device=self.weight.device)
        sums = self.weight.new_zeros(n, n)
        squares = self.effective().square()
        rows = torch.zeros(n, self.dim, device=squares.device).index_add(0, owner, squares)
        sums = sums.index_add(1, owner, rows)
        sizes = torch.tensor([node.stop - node.start for node in self.nodes], device=squares.device)
        return (sums / (sizes[:, None] * sizes[None])).clamp(min=1e-12).sqrt()
