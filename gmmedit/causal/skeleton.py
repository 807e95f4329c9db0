"""The default method: PC, which asks only which attributes others make independent.

PC-stable (Colombo & Maathuis 2014): the result depends neither on the order of the attributes nor on any scale.
Colliders are found by the conservative rule (Ramsey et al. 2006): a triple is one only if no separating set holds its
middle; where sets disagree it stays undirected.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from gmmedit.causal.independence import IndependenceTest
from gmmedit.causal.knowledge import Knowledge
from gmmedit.causal.orientation import apply_knowledge, list_triples, with_colliders

DEPTH = 3  # most attributes that are held fixed at once


def learn_graph(test: IndependenceTest, knowledge: Knowledge, depth: int = DEPTH) -> np.ndarray:
    """The graph (A, A) of the attributes: an edge where nothing separates two of them, directed where it must be."""
    skeleton = learn_skeleton(test, knowledge, depth)
    colliders = [triple for triple in list_triples(skeleton) if is_collider(test, skeleton, triple, depth)]
    return with_colliders(apply_knowledge(skeleton, knowledge), colliders)


def learn_skeleton(test: IndependenceTest, knowledge: Knowledge, depth: int) -> np.ndarray:
    """The symmetric skeleton (A, A): pairs that no set of at most `depth` neighbours separates."""
    count = len(test.cells.sizes)
    needed = knowledge.required | knowledge.required.T
    linked = ~np.eye(count, dtype=bool) & ~(knowledge.forbidden & knowledge.forbidden.T)
    for level in range(depth + 1):
        before = linked.copy()
        for a, b in np.argwhere(np.triu(before)):
            pair = int(a), int(b)
            if not needed[pair] and any(test.separates(*pair, given) for given in list_sets(before, pair, level)):
                linked[a, b] = linked[b, a] = False
        if before.sum(1).max() <= level:
            break
    return linked


def list_sets(linked: np.ndarray, pair: tuple[int, int], level: int) -> Iterator[tuple[int, ...]]:
    """Sets of `level` neighbours of either of the pair, without the pair, each once."""
    seen = set()
    for one, other in (pair, pair[::-1]):
        near = [int(node) for node in np.flatnonzero(linked[one]) if node != other]
        for given in combinations(near, level):
            if given not in seen:
                seen.add(given)
                yield given


def is_collider(test: IndependenceTest, linked: np.ndarray, triple: tuple[int, int, int], depth: int) -> bool:
    """Whether no set of neighbours that separates a and b of (a, c, b) holds c, and some set does separate them."""
    a, middle, b = triple
    sets = (given for level in range(depth + 1) for given in list_sets(linked, (a, b), level))
    separating = [given for given in sets if test.separates(a, b, given)]
    return bool(separating) and all(middle not in given for given in separating)
