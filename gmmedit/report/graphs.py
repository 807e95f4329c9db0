"""What a graph.h5 says, in tables and lines: edges, errors of the labels, mechanisms."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from gmmedit import artifacts
from gmmedit.artifacts import Artifact
from gmmedit.run.graphs import DIRECTED, NONE, UNDIRECTED, damaged, read_marks

OPEN = "direction not known"


def graph_report(path: Path) -> dict[str, Any]:
    """`describe_graph`, and the files beside a graph.h5. InputError: it is missing or unreadable."""
    with artifacts.open(path, "graph") as graph:
        return describe_graph(graph) | {"files": [str(path.with_suffix(end)) for end in (".h5", ".png", ".svg")]}


def describe_graph(graph: Artifact) -> dict[str, Any]:
    """Edges, attributes and notes of a graph.h5."""
    lines = list(graph.attrs.get("notes", []))
    edges = list_edges(graph)
    if any(edge["kind"] == OPEN for edge in edges):
        lines.append(f"{OPEN}: no cause for edit --do; say what you know with --require 'a->b' or --tiers 'a<b'")
    return {
        "labels": graph.spec.n,
        "source": graph.spec.config["source"],
        "method": graph.spec.config["method"],
        "edges": edges,
        "attributes": list_attributes(graph),
        "lines": lines,
    }


def list_edges(graph: Artifact) -> list[dict[str, Any]]:
    """Each edge: cause, effect (in the order of the attributes if not known), kind, frequencies, association."""
    names, marks = [name for name, _ in graph.attributes], read_marks(graph)
    found = []
    for a, b in np.argwhere(marks != NONE).tolist():
        if marks[a, b] == UNDIRECTED and a > b:
            continue
        kind = OPEN if marks[a, b] == UNDIRECTED else "causes"
        if graph["required"][a, b]:
            kind = "causes, required"
        found.append({
            "cause": names[a], "effect": names[b], "kind": kind,
            "frequency": as_number(graph["frequency"][a, b]),
            "forward": as_number(graph["direction"][a, b]), "backward": as_number(graph["direction"][b, a]),
            "association": float(graph["association"][a, b]),
        })  # fmt: skip
    return sorted(found, key=lambda edge: -edge["association"])


def list_attributes(graph: Artifact) -> list[dict[str, Any]]:
    """Each attribute: its causes, the form of its mechanism, and for each true value how often the label is right."""
    marks, forms, found = read_marks(graph), graph.attrs.get("forms", []), []
    for place, (name, values) in enumerate(graph.attributes):
        key, right = f"confusion/{place}", None
        if key in graph:
            if graph[key].shape != (len(values), len(values)):
                raise damaged(graph, key)
            right = {value: float(share) for value, share in zip(values, graph[key].diagonal(), strict=True)}
        causes = [graph.attributes[row][0] for row in np.flatnonzero(marks[:, place] == DIRECTED)]
        form = str(forms[place]) if isinstance(forms, list) and place < len(forms) else ""
        found.append({"attribute": name, "causes": causes, "form": form, "right": right})
    return found


def as_number(value: float) -> float | None:
    """A number for JSON; None for NaN."""
    return None if math.isnan(value) else float(value)


def graph_tables(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The report as tables of text with `title`, `columns` and `rows`."""
    edges = [
        [
            f"{edge['cause']} {'-' if edge['kind'] == OPEN else '->'} {edge['effect']}", edge["kind"],
            *("-" if edge[key] is None else f"{edge[key]:.2f}" for key in ("frequency", "forward", "backward")),
            f"{edge['association']:.2f}",
        ]
        for edge in report["edges"]
    ]  # fmt: skip
    attributes = [
        [
            row["attribute"], ", ".join(row["causes"]) or "-", row["form"],
            "-" if row["right"] is None else " ".join(f"{value} {share:.3f}" for value, share in row["right"].items()),
        ]
        for row in report["attributes"]
    ]  # fmt: skip
    title = f"{report['method']} on {report['labels']} labels ({report['source']})"
    return [
        {"title": title, "columns": ["edge", "", "in halves", "->", "<-", "association"], "rows": edges},
        {"title": "attributes", "columns": ["attribute", "causes", "mechanism", "label right"], "rows": attributes},
    ]


def to_json(report: dict[str, Any]) -> str:
    """The report as JSON."""
    return json.dumps(report, indent=1)
