"""Interventions and counterfactuals: abduction of each attribute's noise, action, prediction in causal order.

The noise of a categorical attribute is one standard Gumbel variable for each value, x = argmax (log P(value | parents)
+ noise): the choice does not depend on the order of the values, and a value that becomes more probable is never left
for one that does not (Oberst & Sontag 2019). It is an assumption: data determine P, and so the distribution after an
intervention, but not what an individual sample would have been.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gmmedit.causal.cells import Cells
from gmmedit.causal.mechanisms import Mechanism, fit_mechanism
from gmmedit.causal.orientation import descendants, directed, sort_causes

TINY = 1e-12
STREAM = 43  # of random numbers

Acts = Mapping[int, int]  # attribute -> value


@dataclass(frozen=True)
class CausalModel:
    """The directed part of a graph (A, A) with a mechanism for each attribute; undirected edges cause nothing."""

    arrows: np.ndarray
    mechanisms: tuple[Mechanism, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of values of each attribute."""
        return tuple(mechanism.table.shape[-1] for mechanism in self.mechanisms)

    @property
    def order(self) -> list[int]:
        """The attributes, causes first."""
        return sort_causes(self.arrows)

    def descendants(self, acts: Acts) -> list[int]:
        """The attributes that the acts may change, without those that are acted on, ascending."""
        held = self.arrows.copy()
        held[:, list(acts)] = False
        return descendants(held, list(acts))

    def counterfactual(self, values: np.ndarray, acts: Acts, images: Sequence[int], seed: int) -> np.ndarray:
        """The values (N, A) that samples of values (N, A) would have had under the acts.

        images: a number for each sample, which with the seed determines the part of its noise that its values leave
        open; equal numbers give equal results, whatever else is in the batch.
        """
        found, changed = values.copy(), set(acts)
        for node in self.order:
            if node in acts:
                found[:, node] = acts[node]
            elif changed.intersection(self.mechanisms[node].parents):
                mechanism = self.mechanisms[node]
                before, after = (np.log(np.maximum(mechanism.probabilities(v), TINY)) for v in (values, found))
                noise = abduct(before, values[:, node], draw_uniform(images, node, before.shape[1] + 1, seed))
                found[:, node] = (after + noise).argmax(1)
                changed.add(node)
        return found

    def distribution(self, values: np.ndarray, acts: Acts) -> np.ndarray:
        """P(values under the acts) (N, K), given the values (N, A) of what the acts do not change, not the noise.

        One-hot for everything but descendants of the acts, whose tables are multiplied out in causal order.
        """
        effects = [node for node in self.order if node in self.descendants(acts)]
        blocks = [np.eye(size)[values[:, node]] for node, size in enumerate(self.sizes)]
        for node, value in acts.items():
            blocks[node] = np.tile(np.eye(self.sizes[node])[value], (len(values), 1))
        joint = [(values.copy(), np.ones(len(values)))]
        for node, value in acts.items():
            joint[0][0][:, node] = value
        for node in effects:
            spread = []
            for known, weight in joint:
                probabilities = self.mechanisms[node].probabilities(known)
                for value in range(self.sizes[node]):
                    with_value = known.copy()
                    with_value[:, node] = value
                    spread.append((with_value, weight * probabilities[:, value]))
            joint = spread
            blocks[node] = np.stack([
                sum((weight * (known[:, node] == value) for known, weight in joint), np.zeros(len(values)))
                for value in range(self.sizes[node])
            ], 1)  # fmt: skip
        return np.concatenate(blocks, 1)

    def sample(self, n: int, seed: int, acts: Acts | None = None) -> np.ndarray:
        """Values (n, A) of new samples, of a model without undirected edges, under acts if there are any."""
        random, acts = np.random.default_rng([STREAM, seed]), acts or {}
        values = np.zeros((n, len(self.mechanisms)), np.int64)
        for node in self.order:
            drawn = random.random((n, 1))
            table = self.mechanisms[node].probabilities(values).cumsum(1)[:, :-1]
            values[:, node] = acts[node] if node in acts else (drawn > table).sum(1)
        return values


def fit_model(edges: np.ndarray, cells: Cells, confusions: Sequence[np.ndarray] | None = None) -> CausalModel:
    """The mechanisms of the directed edges of a graph (A, A). ValueError: as `fit_mechanism`, or there is a cycle."""
    arrows = directed(edges)
    if len(sort_causes(arrows)) < len(arrows):
        raise ValueError("the directed edges form a cycle")
    parents = [np.flatnonzero(arrows[:, node]).tolist() for node in range(len(arrows))]
    return CausalModel(
        arrows, tuple(fit_mechanism(cells, node, given, confusions) for node, given in enumerate(parents))
    )


def abduct(log_p: np.ndarray, values: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """The Gumbel noise (N, C) under which log-probabilities (N, C) give the observed values (N,).

    uniform: (N, C + 1) in (0, 1): of the largest sum, then of each value's noise below it.
    """
    top = -np.log(-np.log(uniform[:, :1]))
    below = log_p - np.log(np.exp(log_p - top) - np.log(uniform[:, 1:]))
    rows = np.arange(len(values))
    below[rows, values] = top[:, 0]
    return below - log_p


def draw_uniform(images: Sequence[int], node: int, count: int, seed: int) -> np.ndarray:
    """Numbers (N, count) in (0, 1) that depend on each image's number, the attribute and the seed alone."""
    drawn = [np.random.default_rng([STREAM, seed, int(image), node]).random(count) for image in images]
    return np.clip(np.stack(drawn), TINY, 1 - TINY)
