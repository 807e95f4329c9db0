"""graph.h5 as a causal model of a run's attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gmmedit import artifacts
from gmmedit.artifacts import Artifact
from gmmedit.causal.mechanisms import Mechanism
from gmmedit.causal.model import CausalModel
from gmmedit.causal.orientation import directed, is_acyclic
from gmmedit.errors import InputError

NONE, DIRECTED, UNDIRECTED = 0, 1, 2  # marks
SUM = 1e-6  # by which probabilities may differ from 1 in sum

Attributes = Sequence[tuple[str, Sequence[str]]]


@dataclass(frozen=True)
class AttributeGraph:
    """The edges (A, A) of attributes, see `gmmedit.causal`, and the model of those that are directed."""

    attributes: Attributes
    edges: np.ndarray
    model: CausalModel

    @property
    def names(self) -> list[str]:
        """The names of the attributes."""
        return [name for name, _ in self.attributes]

    def undetermined(self, nodes: Sequence[int]) -> list[tuple[str, str]]:
        """The undirected edges at any of these attributes, as pairs of names."""
        both = np.triu(self.edges & self.edges.T)
        return [(self.names[a], self.names[b]) for a, b in np.argwhere(both) if a in nodes or b in nodes]


def to_marks(edges: np.ndarray) -> np.ndarray:
    """Edges (A, A) as marks, uint8."""
    return np.where(edges & edges.T, UNDIRECTED, np.where(edges, DIRECTED, NONE)).astype(np.uint8)


def read_directed(path: Path) -> tuple[str, list[tuple[str, str]]]:
    """Fingerprint of a graph.h5, and its directed edges as pairs of names, cause and effect.

    InputError: it is missing, or holds no graph.
    """
    with artifacts.open(path, "graph") as graph:
        names = [name for name, _ in graph.attributes]
        pairs = np.argwhere(read_marks(graph) == DIRECTED).tolist()
        return graph.fingerprint, [(names[cause], names[effect]) for cause, effect in pairs]


def read_marks(artifact: Artifact) -> np.ndarray:
    """The marks (A, A) of a graph.h5. InputError: they are no graph of its attributes, or have other mechanisms."""
    marks, count = artifact["marks"], len(artifact.attributes)
    if marks.shape != (count, count) or not is_graph(marks):
        raise damaged(artifact, "marks")
    for own in range(count):
        read_mechanism(artifact, own, np.flatnonzero(marks[:, own] == DIRECTED).tolist())
    return marks


def is_graph(marks: np.ndarray) -> bool:
    """Whether marks (A, A) are those of some edges, without a cycle and without an attribute that causes itself."""
    edges = marks != NONE
    return bool((to_marks(edges) == marks).all()) and not edges.diagonal().any() and is_acyclic(directed(edges))


def read_graph(artifact: Artifact, attributes: Attributes) -> AttributeGraph:
    """The graph of graph.h5 for a run's attributes; those that it leaves out have no edges.

    Attributes and values may be in another order, as those of a table are.

    InputError: it has other attributes or values, or holds no graph.
    """
    ours = {name: tuple(values) for name, values in attributes}
    for name, values in artifact.attributes:
        if sorted(ours.get(name, ())) != sorted(values):
            found = f"{name} with the values {', '.join(values)}" if name in ours else f"{name}, which the run lacks"
            message = f"{artifact.path} is a graph of other attributes: {found}"
            raise InputError(message, hint=artifact.again)
    places = [list(ours).index(name) for name, _ in artifact.attributes]  # of the graph's attributes in the run
    marks = read_marks(artifact)
    edges = np.zeros((len(ours), len(ours)), bool)
    edges[np.ix_(places, places)] = marks != NONE
    tables = {place: uniform_mechanism(len(values)) for place, values in enumerate(ours.values())}
    for own, place in enumerate(places):
        parents = np.flatnonzero(marks[:, own] == DIRECTED).tolist()
        read = read_mechanism(artifact, own, parents)
        orders = [find_order(artifact.attributes[node], ours) for node in (*parents, own)]
        axes = sorted(range(len(parents)), key=lambda axis: places[parents[axis]])
        table = read[np.ix_(*orders)].transpose(*axes, len(axes))
        tables[place] = Mechanism(tuple(places[parents[axis]] for axis in axes), table, "table")
    model = CausalModel(directed(edges), tuple(tables[place] for place in range(len(ours))))
    return AttributeGraph(attributes, edges, model)


def uniform_mechanism(values: int) -> Mechanism:
    """The mechanism of an attribute that the graph leaves out."""
    return Mechanism((), np.full(values, 1 / values), "table")


def find_order(attribute: tuple[str, Sequence[str]], ours: Mapping[str, Sequence[str]]) -> list[int]:
    """The places of the run's values of an attribute among the graph's."""
    name, values = attribute
    return [list(values).index(value) for value in ours[name]]


def read_mechanism(artifact: Artifact, own: int, parents: list[int]) -> np.ndarray:
    """The table of the graph's attribute `own` with these parents. InputError: it holds no such probabilities."""
    sizes = [len(values) for _, values in artifact.attributes]
    if f"mechanisms/{own}" not in artifact:
        raise damaged(artifact, f"mechanisms/{own}")
    table = artifact[f"mechanisms/{own}"]
    if table.shape != (*(sizes[parent] for parent in parents), sizes[own]):
        raise damaged(artifact, f"mechanisms/{own}")
    if not np.isfinite(table).all() or (table < 0).any() or (np.abs(table.sum(-1) - 1) > SUM).any():
        raise damaged(artifact, f"mechanisms/{own}")
    return table


def damaged(artifact: Artifact, name: str) -> InputError:
    """The error for a dataset of graph.h5 that `graph` does not write."""
    return InputError(f"{artifact.path}: /{name} is no part of a graph", hint=artifact.again)
