"""The methods by name, and how often each edge is found in halves of the samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from gmmedit.causal import dagma, external, gae, skeleton
from gmmedit.causal.cells import Cells
from gmmedit.causal.independence import IndependenceTest
from gmmedit.causal.knowledge import Knowledge
from gmmedit.causal.orientation import apply_knowledge, close, direct, directed, equivalence_class, is_acyclic

Method = Literal["pc-stable", "pc", "ges", "gae", "dagma"]
METHODS: tuple[Method, ...] = get_args(Method)
THRESHOLDS = {"gae": 0.2, "dagma": 0.1}  # of weights, as a share of the largest: their scale is not determined
STABLE = 0.75  # share of the halves with an edge in which its direction must be the same
STREAM = 41  # of random numbers

Tick = Callable[[int, int], None]  # done, total


@dataclass(frozen=True)
class Learned:
    """A graph, and what the method itself said.

    Attributes:
        edges: (A, A) bool, the class of graphs, see the package.
        arrows: (A, A) bool, the directed acyclic graph of methods that give one; else None.
        weights: (A, A) of these methods.
    """

    edges: np.ndarray
    arrows: np.ndarray | None = None
    weights: np.ndarray | None = None


@dataclass(frozen=True)
class Frequencies:
    """Shares of the halves, (A, A) in [0, 1]: with an edge at all (symmetric), and directed row -> column."""

    edge: np.ndarray
    direction: np.ndarray


def learn(
    method: Method, cells: Cells, knowledge: Knowledge, alpha: float = 1e-3, least: float = 0.0, seed: int = 0,
    confusions: Sequence[np.ndarray] | None = None, scale: Sequence[float] | None = None,
) -> Learned:  # fmt: skip
    """The graph of the cells by one of the METHODS.

    Args:
        alpha, least: level of the tests of pc and pc-stable; the weakest dependence that counts in pc-stable.
        confusions: of the classifier that made the labels, which pc-stable corrects; None: labels are true.
        scale: (A,) factors of the attributes' columns, as units would have them: gae and dagma see columns of numbers.
    ImportError: the method needs causal-learn, which is not installed.
    """
    if method == "pc-stable":
        return Learned(skeleton.learn_graph(IndependenceTest(cells, alpha, confusions, least), knowledge))
    if method in external.MODULES:
        return Learned(with_knowledge(external.learn_graph(method, cells, alpha), knowledge))
    factors = np.ones(len(cells.sizes)) if scale is None else np.asarray(scale)
    blocks = one_hot(cells, factors)
    allowed = ~knowledge.forbidden
    if method == "gae":
        weights = gae.learn_weights(pad(blocks), cells.counts, allowed, gae.GaeSettings(seed=seed))
    else:
        columns = np.concatenate(blocks, 1)
        weights = dagma.learn_weights(columns, cells.rows, cells.counts, cells.sizes, allowed, dagma.DagmaSettings())
    arrows = cut(weights, THRESHOLDS[method] * weights.max())
    return Learned(equivalence_class(arrows, knowledge), arrows, weights)


def measure_frequencies(
    learn_one: Callable[[Cells], Learned], cells: Cells, halves: int, seed: int, tick: Tick = lambda done, total: None
) -> Frequencies:
    """How often `learn_one` finds each edge and direction in `halves` random halves of the samples."""
    count = len(cells.sizes)
    edge, direction = np.zeros((count, count)), np.zeros((count, count))
    for number in range(halves):
        edges = learn_one(cells.draw_half(np.random.default_rng([STREAM, seed, number]))).edges
        edge += edges | edges.T
        direction += directed(edges)
        tick(number + 1, halves)
    return Frequencies(edge / max(halves, 1), direction / max(halves, 1))


def keep_stable(edges: np.ndarray, frequencies: Frequencies, knowledge: Knowledge) -> np.ndarray:
    """The graph with directions only where the halves agree on them, or they follow from the user's knowledge."""
    known = directed(apply_knowledge(edges | edges.T, knowledge))
    stable = frequencies.direction >= STABLE * np.maximum(frequencies.edge, 1e-9)
    kept = directed(edges) & (known | stable)
    return (edges | edges.T) & ~kept.T


def keep_known(edges: np.ndarray, knowledge: Knowledge) -> np.ndarray:
    """The graph with the directions that the user has given, and none that would follow from what data leave out."""
    kept = directed(direct(edges | edges.T, knowledge))
    return (edges | edges.T) & ~kept.T


def with_knowledge(edges: np.ndarray, knowledge: Knowledge) -> np.ndarray:
    """A graph of a method that takes no knowledge, with it: its own directions give way where both cannot hold."""
    start = apply_knowledge(edges | edges.T, knowledge)
    own = start & ~(directed(edges).T & start & start.T)
    closed = close(own)
    return closed if is_acyclic(directed(closed)) else start


def one_hot(cells: Cells, factors: np.ndarray) -> list[np.ndarray]:
    """The values of each attribute as centred one-hot columns (U, C_a) times its factor."""
    share = cells.counts / cells.total
    found = []
    for place, size in enumerate(cells.sizes):
        columns = np.eye(size)[cells.rows[:, place]]
        found.append(factors[place] * (columns - share @ columns))
    return found


def pad(blocks: Sequence[np.ndarray]) -> np.ndarray:
    """Columns (U, C_a) of all attributes as one array (U, A, largest C), with zeros."""
    width = max(block.shape[1] for block in blocks)
    return np.stack([np.pad(block, ((0, 0), (0, width - block.shape[1]))) for block in blocks], 1)


def cut(weights: np.ndarray, threshold: float) -> np.ndarray:
    """Edges (A, A) with weights above the threshold; where they form cycles, the smallest are left out."""
    arrows = weights > threshold
    for place in np.argsort(weights, axis=None, kind="stable"):
        if is_acyclic(arrows):
            return arrows
        arrows.flat[place] = False
    return arrows
