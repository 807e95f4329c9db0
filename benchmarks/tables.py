"""The tables of docs/benchmark.md, in Markdown, from the comparison.jsonl of a run.

python benchmarks/tables.py runs/w/comparison.jsonl
"""

import json
import sys
from pathlib import Path
from typing import Any

from gmmedit.evaluation.results import SAMPLES
from gmmedit.evaluation.tables import SHOWN_AT_ONE, format_cells

GROUPS = ("all", "two-valued", "many-valued")
EDITORS = {
    "DT": "dt", "best flip": "flip_best", "kept@0.8": "preservation@0.8", "worst@0.8": "worst_preservation@0.8",
    "AD@1sd": "ad_mean@1sd", "max AD@1sd": "ad_max@1sd", "drift@0.8": "drift@0.8", "identity@0.8": "identity@0.8",
    "entangled@0.8": "entanglement@0.8",
}  # fmt: skip
CATEGORIES = {
    "DT": "dt", "best flip": "flip_best", "kept@0.8": "preservation@0.8", "kept@0.95": "preservation@0.95",
    "worst@0.95": "worst_preservation@0.95", "AD@1sd": "ad_mean@1sd", "drift@0.8": "drift@0.8", "monotone": "monotone",
    "calibration": "calibration",
}  # fmt: skip
AT_ONE = SHOWN_AT_ONE | {"worst_kept@1": "worst kept", "density@1": "density", "agreement": "agreement"}
WITH_INTERVAL = {"dt", "ad_mean@1sd", "ad_max@1sd"}
Figures = dict[tuple[str, str, str], dict[str, Any]]


def main(path: Path) -> None:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    figures = {(line["method"], line["metric"], line["attribute"]): line for line in lines}
    methods = list(dict.fromkeys(line["method"] for line in lines))
    editors = [method for method in methods if (method, "fit_seconds", "all") in figures]
    groups = {line["attribute"] for line in lines}
    for group in [name for name in GROUPS if name in groups]:
        print(f"\n## {group} attributes\n")
        heading("editor", *EDITORS, "fit s", "fit MB")
        for editor in editors:
            share = figures.get((editor, "categories@0.8", group), {}).get("value")
            cells = [cell(figures, editor, metric, group, share) for metric in EDITORS.values()]
            print(row(editor, *cells, *costs(figures, editor)))
        print(f"\n## {group} attributes at strength 1\n")
        heading("editor", *AT_ONE.values())
        for method in [*editors, SAMPLES]:
            print(row(method, *format_cells(figures, method, group, AT_ONE)))
    print(f"\n## {editors[0]}, category by category\n")
    heading("category", *CATEGORIES)
    for category in dict.fromkeys(line["attribute"] for line in lines if "=" in line["attribute"]):
        print(row(category, *(cell(figures, editors[0], metric, category, None) for metric in CATEGORIES.values())))


def heading(*names: str) -> None:
    print(row(*names))
    print("|" + "---|" * len(names))


def row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def cell(figures: Figures, editor: str, metric: str, attribute: str, share: float | None) -> str:
    """A value, with its interval, or with the share of the categories over which it is the mean."""
    line = figures.get((editor, metric, attribute))
    if line is None or line["value"] is None:
        return "-"
    if metric in WITH_INTERVAL and line["low"] is not None:
        return f"{line['value']:.3f} ({line['low']:.3f}-{line['high']:.3f})"
    partly = metric.endswith("@0.8") and metric != "entanglement@0.8" and share is not None and share < 1
    return f"{line['value']:.3f}" + (f" [{share:.2f}]" if partly else "")


def costs(figures: Figures, editor: str) -> tuple[str, str]:
    seconds, memory = (figures[editor, metric, "all"]["value"] for metric in ("fit_seconds", "fit_memory"))
    return "-" if seconds is None else f"{seconds:.1f}", "-" if memory is None else f"{memory / 2**20:.0f}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
