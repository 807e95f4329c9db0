"""One pass where every layer has a latent of its own: a network chooses the combination of an image's neighbours.

It is trained by the price of its edits, on what distinguishes each neighbour from the image, not on the image: so it
learns from few edits, and whatever it chooses lies among the samples. A network that is free to move each layer reaches
the labels and leaves them (docs/method.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gmmedit.mixture import Layout
from gmmedit.mixture.adam import Terms, generator_for
from gmmedit.mixture.coordinates import make_dense
from gmmedit.mixture.neighbours import FACTS, Candidates, Neighbours, PriceWeights
from gmmedit.mixture.price import Price

MEMBERS = 32  # candidates that are combined
CODE = 32  # numbers that stand for a category
BLOCKS = 2
WAY = 2.0  # logit of the share of the way to the combination, at first
ORDER = 2.0  # how much less a candidate weighs for each unit by which its price is higher, at first
ROWS = 32  # edits a step
EDITS = 2048  # different ones in training
HELD_OUT = 256  # in trials
STREAM = -4  # random stream of the edits


class Combination(nn.Module):
    """x'_l = x_l + s_l (sum_k a_k m_k - x) in layer l, with weights a and shares s that a network predicts.

    x is the mean of x_l over the layers, which keep their differences.

    Args:
        dim: D.
        layout: r and K.
        layers: L.
        hidden: width of the network.
        generator: draws the initial parameters; at first the weights depend on the candidates' prices alone.
    """

    def __init__(
        self, dim: int, layout: Layout, layers: int, hidden: int = 128, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.codes = nn.Parameter(torch.randn(layout.categories, CODE, generator=generator))
        self.shares = nn.Parameter(torch.full((layout.categories, layers), WAY))
        self.order = nn.Parameter(torch.tensor(ORDER))
        facts = FACTS + layout.categories + layout.width
        self.entry = make_dense(facts + 2 * dim + CODE, hidden, generator)
        self.blocks = nn.ModuleList(make_dense(2 * hidden, hidden, generator) for _ in range(BLOCKS))
        self.weigh, self.share = make_dense(hidden, 1, generator), make_dense(hidden, layers, generator)
        nn.init.zeros_(self.weigh.weight)
        nn.init.zeros_(self.share.weight)

    def forward(self, x: Tensor, candidates: Candidates, category: Tensor) -> Tensor:
        """x (N, L or 1, D) moved towards its category (N,), or all of its categories (N, G): (N, L, D)."""
        members, goals = candidates.x, category.view(len(x), -1)
        read = x.mean(1, keepdim=True)
        codes = self.codes[goals].sum(1, keepdim=True)
        hidden = self.entry(torch.cat([
            candidates.facts, members - read,
            read.expand_as(members), codes.expand(-1, members.shape[1], -1),
        ], 2))  # fmt: skip
        for block in self.blocks:
            value = F.silu(hidden)
            hidden = hidden + block(torch.cat([value, value.mean(1, keepdim=True).expand_as(value)], 2))
        hidden = F.silu(hidden)
        weights = (self.weigh(hidden) - self.order * candidates.facts[..., FACTS - 1 : FACTS]).mT.softmax(2)
        shares = (self.share(hidden.mean(1)) + self.shares[goals].mean(1)).sigmoid()
        return x + shares[..., None] * (weights @ members - read)


class CombinationLoss:
    """The price of a step's edits, a function of the step and the parameters; the same EDITS come again and again.

    Args:
        combination: to be trained.
        neighbours: of which edits are made.
        read: x (N, D) to coordinates y (N, r).
        control: y (N, r) and categories (N,) to the coordinates (N, r) of control vectors.
        price: of edits of x (N, 1, D) towards categories (N,).
        x, labels: (N, D), (N, K) of the samples that are edited.
        weights: of the price's parts.
        seed: of the choice of edits.
        edits: how many, at most EDITS; fewer where there are fewer samples.
    """

    def __init__(
        self, combination: Combination, neighbours: Neighbours, read: Callable[[Tensor], Tensor],
        control: Callable[[Tensor, Tensor], Tensor], price: Callable[[Tensor, Tensor], Price],
        x: Tensor, labels: Tensor, weights: PriceWeights, seed: int, edits: int = EDITS,
    ) -> None:  # fmt: skip
        self.combination, self.neighbours, self.weights = combination, neighbours, weights
        self.read, self.control, self.price = read, control, price
        random = generator_for(seed, STREAM)
        rows = torch.randperm(len(x), generator=random)[: min(edits, EDITS)]
        self.x = x[rows, None].split(ROWS)
        self.category = draw_missing(neighbours.layout, labels[rows], random).split(ROWS)
        self.block = cache(self.make_block)

    def __len__(self) -> int:
        """The number of blocks of edits."""
        return len(self.x)

    def __call__(self, step: int) -> Terms:
        """The terms of one step, with the parameters' gradients."""
        number = step % len(self)
        price, candidates = self.block(number)
        x, category = self.x[number], self.category[number]
        with torch.no_grad():
            price = replace(price, images=price.score(x)[1])
        moved = self.combination(x, candidates, category)
        missed, broken, change = price.parts(moved, step // len(self) + step)
        return {
            "target": self.weights.arrival * missed.mean(),
            "decoupling": broken.mean(),
            "picture": self.weights.picture * change.mean(),
        }

    @torch.no_grad()
    def make_block(self, number: int) -> tuple[Price, Candidates]:
        """The price of a block's edits, without its images to save memory, and the candidates of each edit."""
        x, category = self.x[number], self.category[number]
        price, y = self.price(x, category), self.read(x[:, 0])
        candidates = self.neighbours.find_nearest(
            y, self.control(y, category), price.logits, self.neighbours.shrink(price.images), category,
            self.weights, MEMBERS,
        )  # fmt: skip
        return replace(price, images=price.images[:0]), candidates

    @torch.no_grad()
    def mean(self) -> float:
        """The mean of all blocks, in units of the change between two samples."""
        totals = [float(sum(self(number).values())) for number in range(len(self))]
        return sum(totals) / len(totals) / max(self.weights.picture, 1.0)


def draw_missing(layout: Layout, labels: Tensor, generator: torch.Generator) -> Tensor:
    """A category (N,) for each row of labels (N, K) that the row does not have."""
    lacking = torch.ones_like(labels)
    for columns in layout.columns:
        lacking[:, columns].scatter_(1, labels[:, columns].argmax(1, keepdim=True), 0)
    return torch.multinomial(lacking.cpu(), 1, generator=generator).squeeze(1)
