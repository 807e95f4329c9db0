"""Statistics of labels.h5 and warnings about values that cannot be fitted, for the command line and the report."""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from gmmedit import artifacts
from gmmedit.fitting.data import FEWEST_OF_A_VALUE
from gmmedit.run.hold_out import labelled_rows, name_of_rows
from gmmedit.run.robustness import AGREEMENT

SURE = 0.3  # least confidence, from 0 (chance) to 1 (certainty), without a warning
MAX_MATRIX = 10  # attributes in a matrix of correlations
MAX_LIST = 12  # values in a line
MAX_PAIRS = 20  # in a list of correlations


def label_report(path: Path) -> dict[str, Any]:
    """Statistics of the labelled samples as a dictionary ready for JSON.

    attributes: the rate of each value (share of samples in which it is the most probable) and the mean confidence;
    correlations of all pairs of attributes, `signed` where both have two values; warnings about rare, constant or
    uncertain values; notes of `label`;
    samples: their number; robustness: as recorded by `label`, None for a table; tables: the same as text.
    """
    with artifacts.open(path, "labels") as labels:
        attributes, parts, start = [], [], 0
        scores, notes = labels["labels"][labelled_rows(labels)].astype(np.float64), labels.attrs.get("notes", [])
        robustness, what = labels.attrs.get("robustness"), name_of_rows(labels)
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
        {
            "attributes": [one["attribute"], other["attribute"]], "correlation": correlation(bases[a], bases[b]),
            "signed": parts[a].shape[1] == parts[b].shape[1] == 2,
        }
        for (a, one), (b, other) in combinations(enumerate(attributes), 2)
    ]  # fmt: skip
    warnings = [text for pair in zip(attributes, parts, strict=True) for text in find_warnings(*pair, what)]
    return {
        "attributes": attributes, "correlations": pairs, "warnings": warnings, "notes": notes,
        "samples": len(scores), "robustness": robustness, "tables": format_tables(attributes, pairs),
    }  # fmt: skip


def describe_robustness(robustness: dict[str, Any]) -> str:
    """The line about `gmmedit.run.robustness.measure_robustness`."""
    return (
        f"robustness ({AGREEMENT:.0%} of the values stay): shifts up to {robustness['shift']:.3g} of the "
        f"shorter side, noise up to {robustness['noise']:.3g} (pixels in [-1, 1]), mirrored: "
        f"{'yes' if robustness['mirror'] else 'no'}; mean difference of two images: {robustness['contrast']:.3g}"
    )


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


def find_warnings(attribute: dict[str, Any], part: np.ndarray, what: str) -> list[str]:
    """Warnings about an attribute whose labels (N, C) of `what` cannot be fitted, or hold little information."""
    n, values = part.shape
    name, rates = attribute["attribute"], attribute["rates"]
    counts = {value: round(rate * n) for value, rate in rates.items()}
    if max(counts.values()) == n:
        return [f"{name} is constant: all {what} are labelled {max(counts, key=counts.__getitem__)}"]
    found = []
    rare = [value for value, count in counts.items() if count < FEWEST_OF_A_VALUE]
    if rare:
        subject = (
            f"{name}={rare[0]} is" if len(rare) == 1 else f"{len(rare)} values of {name} ({join_limited(rare)}) are"
        )
        found.append(f"{subject} rare: {min(counts.values())} of {n} {what}, a fit needs {FEWEST_OF_A_VALUE}")
    sure = (attribute["confidence"] - 1 / values) / (1 - 1 / values)
    if sure < SURE:
        found.append(
            f"{name} has uncertain labels: mean confidence {attribute['confidence']:.2f}, chance is {1 / values:.2f}"
        )
    return found


def join_limited(texts: list[str]) -> str:
    """The texts joined by commas, at most MAX_LIST of them."""
    return ", ".join([*texts[:MAX_LIST], *["..."] * (len(texts) > MAX_LIST)])


def format_tables(attributes: list[dict[str, Any]], pairs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tables of text: attributes and their correlations, as a list if there are more than MAX_MATRIX attributes."""
    rows = []
    for attribute in attributes:
        shown = list(attribute["rates"].items())[1 if len(attribute["rates"]) == 2 else 0 :]
        rates = join_limited([f"{value} {rate:.2f}" for value, rate in shown])
        rows.append([attribute["attribute"], f"{attribute['confidence']:.2f}", rates])
    first = {"title": "labels", "columns": ["attribute", "confidence", "rates"], "rows": rows}
    if not pairs:
        return [first]
    if len(attributes) > MAX_MATRIX:
        strongest = sorted(pairs, key=lambda pair: -abs(pair["correlation"]))[:MAX_PAIRS]
        rows = [[*pair["attributes"], format_correlation(pair)] for pair in strongest]
        columns = ["attribute", "attribute", "correlation"]
        return [first, {"title": "strongest correlations", "columns": columns, "rows": rows}]
    names = [attribute["attribute"] for attribute in attributes]
    known = {tuple(pair["attributes"]): format_correlation(pair) for pair in pairs}
    rows = [[name, *(known.get((other, name), "") for other in names[:-1])] for name in names[1:]]
    return [first, {"title": "correlations", "columns": ["", *names[:-1]], "rows": rows}]


def format_correlation(pair: dict[str, Any]) -> str:
    """The correlation of two attributes, with its sign if it has one."""
    return f"{pair['correlation']:+.2f}" if pair["signed"] else f"{pair['correlation']:.2f}"
