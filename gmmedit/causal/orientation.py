"""Directions that follow from others: Meek's rules, and the class of graphs that data cannot tell apart."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from gmmedit.causal.knowledge import Knowledge


def directed(edges: np.ndarray) -> np.ndarray:
    """The directed edges (A, A) of a graph."""
    return edges & ~edges.T


def orient(edges: np.ndarray, cause: int, effect: int) -> None:
    """Direct an edge cause -> effect, in place."""
    edges[effect, cause] = False


def close(edges: np.ndarray) -> np.ndarray:
    """The graph with every direction that follows from those it has (Meek 1995, rules 1 to 4).

    Otherwise a collider would appear that is not there, or a cycle.
    """
    edges = edges.copy()
    changed = True
    while changed:
        changed = False
        for a, b in np.argwhere(edges & edges.T):
            if edges[a, b] and edges[b, a] and follows(edges, int(a), int(b)):
                orient(edges, int(a), int(b))
                changed = True
    return edges


def follows(edges: np.ndarray, a: int, b: int) -> bool:
    """Whether the undirected edge a - b must be a -> b."""
    arrows, lines, linked = directed(edges), edges & edges.T, edges | edges.T
    apart = ~linked[:, b]
    apart[b] = False
    if (arrows[:, a] & apart).any():  # 1: c -> a - b, c and b apart
        return True
    if (arrows[a] & arrows[:, b]).any():  # 2: a -> c -> b
        return True
    middles = np.flatnonzero(lines[a] & arrows[:, b])
    if any(not linked[c, d] for c, d in combinations(middles, 2)):  # 3: a - c -> b <- d - a, c and d apart
        return True
    # 4: a - d -> c -> b, a and c linked, d and b apart
    return bool((lines[a] & apart & (arrows @ (arrows[:, b] & linked[a]))).any())


def is_acyclic(arrows: np.ndarray) -> bool:
    """Whether directed edges (A, A) form no cycle."""
    return len(sort_causes(arrows)) == len(arrows)


def sort_causes(arrows: np.ndarray) -> list[int]:
    """The attributes, causes before effects, else in their order; those on cycles, and their effects, are left out."""
    found: list[int] = []
    left = list(range(len(arrows)))
    while True:
        free = next((node for node in left if not arrows[left, node].any()), None)
        if free is None:
            return found
        found.append(free)
        left.remove(free)


def descendants(arrows: np.ndarray, causes: list[int]) -> list[int]:
    """What the causes lead to along directed edges, without themselves, in ascending order."""
    reached, front = set(causes), list(causes)
    while front:
        for effect in np.flatnonzero(arrows[front.pop()]).tolist():
            if effect not in reached:
                reached.add(effect)
                front.append(effect)
    return sorted(reached - set(causes))


def apply_knowledge(skeleton: np.ndarray, knowledge: Knowledge) -> np.ndarray:
    """The symmetric skeleton with what the user knows, and what follows from it."""
    return close(direct(skeleton, knowledge))


def direct(skeleton: np.ndarray, knowledge: Knowledge) -> np.ndarray:
    """The symmetric skeleton with required edges, without those forbidden both ways, and no direction that is."""
    edges = skeleton | knowledge.required | knowledge.required.T
    edges &= ~(knowledge.forbidden & knowledge.forbidden.T)
    return edges & ~knowledge.forbidden & ~knowledge.required.T


def with_colliders(edges: np.ndarray, colliders: list[tuple[int, int, int]]) -> np.ndarray:
    """The graph with the colliders (a, c, b), a -> c <- b, that contradict nothing, and what follows from them.

    Contradictions, cycles among them, leave the edges of those colliders as they were.
    """
    wanted = edges.copy()
    for a, middle, b in colliders:
        if all(edges[cause, middle] for cause in (a, b)):
            orient(wanted, a, middle)
            orient(wanted, b, middle)
    lost = (edges | edges.T) & ~(wanted | wanted.T)  # directed both ways by two colliders
    wanted |= lost & edges
    closed = close(wanted)
    return closed if is_acyclic(directed(closed)) else edges


def list_triples(edges: np.ndarray) -> list[tuple[int, int, int]]:
    """Triples (a, c, b) with a < b, where c is linked to both and they are apart."""
    linked = edges | edges.T
    return [
        (int(a), middle, int(b))
        for middle in range(len(edges))
        for a, b in combinations(np.flatnonzero(linked[middle]), 2)
        if not linked[a, b]
    ]


def equivalence_class(arrows: np.ndarray, knowledge: Knowledge | None = None) -> np.ndarray:
    """What data and the user's knowledge could tell of a directed acyclic graph (A, A): skeleton and colliders."""
    knowledge = knowledge or Knowledge.nothing(len(arrows))
    start = apply_knowledge(arrows | arrows.T, knowledge)
    found = [(a, c, b) for a, c, b in list_triples(arrows) if arrows[a, c] and arrows[b, c]]
    return with_colliders(start, found)
