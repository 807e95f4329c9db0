"""PC and GES of the package causal-learn (Zheng et al. 2024), the optional extra `causal`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from gmmedit.causal.cells import Cells

MODULES = {"pc": "causallearn.search.ConstraintBased.PC", "ges": "causallearn.search.ScoreBased.GES"}
TAIL, HEAD = -1, 1  # of causal-learn: graph[j, i] is the mark at j of the edge i - j


def import_method(method: str) -> Any:
    """The module of `pc` or `ges`. ImportError: causal-learn is not installed."""
    return import_module(MODULES[method])


def learn_graph(method: str, cells: Cells, alpha: float) -> np.ndarray:
    """The graph (A, A) by `pc` with G² tests at level alpha, or by `ges` with the BDeu score.

    ImportError: causal-learn is not installed.
    """
    module = import_method(method)
    data = np.repeat(cells.rows, cells.counts.astype(np.int64), axis=0)
    if method == "pc":
        return from_marks(module.pc(data, alpha, "gsq", show_progress=False).G.graph)
    return from_marks(module.ges(data, score_func="local_score_BDeu")["G"].graph)


def from_marks(graph: np.ndarray) -> np.ndarray:
    """causal-learn's marks (A, A) as edges; directed both ways, as contradicting tests leave some, is undirected."""
    linked = (graph != 0) | (graph.T != 0)
    arrows = (graph == TAIL) & (graph.T == HEAD)
    return linked & ~arrows.T
