"""labels.h5 as the plain data that the command line prints: what was seen, and what a fit will make of it."""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from gmmedit import artifacts
from gmmedit.fitting.data import FEWEST_OF_A_VALUE
from gmmedit.run.hold_out import labelled_rows

SURE = 0.3  # of the way from guessing to certainty; labels less sure than this say little about a latent
MOST_IN_A_MATRIX = 10  # attributes
MOST_IN_A_LIST = 12  # values
SHOWN_PAIRS = 20


def label_report(path: Path) -> dict[str, Any]:
    """Per attribute the rate of each value (share of samples to which it is the likeliest) and the mean confidence;
    the correlation of every pair of attributes; what is too rare, constant or too unsure to be fitted; notes on what
    was left out and on what was done to the images first. All is said of the `samples` that have labels.

    `tables` holds all this as text.
    """
    with artifacts.open(path, "labels") as labels:
        attributes, parts, start = [], [], 0
        scores, notes = labels["labels"][labelled_rows(labels)].astype(np.float64), labels.attrs.get("notes", [])
        for name, values in labels.attributes:
            part = scores[:, start : start + len(values)]
            start += len(values)
            rates = np.bincount(part.argmax(1), minlength=len(values)) / len(part)
            attributes.append({
                "attribute": name, "confidence": float(part.max(1).mean()),
                "rates": dict(zip(values, rates.tolist(), strict=True)),
            })  # fmt: skip
            parts.append(part)
    bases = [basis(part) for part in parts]
    pairs = [
        {"attributes": [one["attribute"], other["attribute"]], "correlation": correlation(bases[a], bases[b])}
        for (a, one), (b, other) in combinations(enumerate(attributes), 2)
    ]
    found = [warning for it, part in zip(attributes, parts, strict=True) for warning in warnings(it, part)]
    return {
        "attributes": attributes, "correlations": pairs, "warnings": found, "notes": notes,
        "samples": len(scores), "tables": tables(attributes, pairs),
    }  # fmt: skip


def basis(labels: np.ndarray) -> np.ndarray:
    """Orthonormal columns (N, r) that span what varies in the labels (N, C) of an attribute; r = 0: constant."""
    centred = labels[:, 1:] - labels[:, 1:].mean(0)
    u, spread, v = np.linalg.svd(centred, full_matrices=False)
    kept = u[:, spread > 1e-6 * len(labels) ** 0.5]
    return kept * v[0, 0] if labels.shape[1] == 2 else kept  # v is a sign there


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Of the bases of two attributes: Pearson's for two-valued ones, else the first canonical one (Hotelling 1936).

    0 where an attribute is constant.
    """
    common = one.T @ other
    if common.shape == (1, 1):
        return float(common[0, 0])
    return float(np.linalg.svd(common, compute_uv=False)[0]) if common.size else 0.0


def warnings(it: dict[str, Any], part: np.ndarray) -> list[str]:
    """What a fit of this attribute's labels (N, C) would fail at or learn nothing from."""
    n, values = part.shape
    name, rates = it["attribute"], it["rates"]
    counts = {value: round(rate * n) for value, rate in rates.items()}
    if max(counts.values()) == n:
        return [f"{name} is constant: every sample is labelled {max(counts, key=counts.__getitem__)}"]
    found = []
    rare = [value for value, count in counts.items() if count < FEWEST_OF_A_VALUE]
    if rare:
        what = f"{name}={rare[0]} is" if len(rare) == 1 else f"{len(rare)} values of {name} ({listed(rare)}) are"
        found.append(f"{what} rare: {min(counts.values())} of {n} samples, a fit needs {FEWEST_OF_A_VALUE}")
    sure = (it["confidence"] - 1 / values) / (1 - 1 / values)
    if sure < SURE:
        found.append(
            f"{name} is badly calibrated: labels are {it['confidence']:.2f} sure, guessing is {1 / values:.2f}"
        )
    return found


def listed(texts: list[str]) -> str:
    return ", ".join([*texts[:MOST_IN_A_LIST], *["..."] * (len(texts) > MOST_IN_A_LIST)])


def tables(attributes: list[dict[str, Any]], pairs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Two tables of text: attributes, and how they go together, as a matrix where that is readable."""
    rows = []
    for it in attributes:
        shown = list(it["rates"].items())[1 if len(it["rates"]) == 2 else 0 :]
        rates = listed([f"{value} {rate:.2f}" for value, rate in shown])
        rows.append([it["attribute"], f"{it['confidence']:.2f}", rates])
    first = {"title": "labels", "columns": ["attribute", "confidence", "rates"], "rows": rows}
    if not pairs:
        return [first]
    if len(attributes) > MOST_IN_A_MATRIX:
        strongest = sorted(pairs, key=lambda pair: -abs(pair["correlation"]))[:SHOWN_PAIRS]
        rows = [[*pair["attributes"], f"{pair['correlation']:+.2f}"] for pair in strongest]
        columns = ["attribute", "attribute", "correlation"]
        return [first, {"title": "strongest correlations", "columns": columns, "rows": rows}]
    names = [it["attribute"] for it in attributes]
    known = {tuple(pair["attributes"]): f"{pair['correlation']:+.2f}" for pair in pairs}
    rows = [[name, *(known.get((other, name), "") for other in names[:-1])] for name in names[1:]]
    return [first, {"title": "correlations", "columns": ["", *names[:-1]], "rows": rows}]
