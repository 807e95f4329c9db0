"""Figures of evaluation.h5 and comparison.h5: one JSON object each, and the tables that the command line prints."""

import json
import logging
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gmmedit import artifacts
from gmmedit.artifacts import Artifact
from gmmedit.errors import writing
from gmmedit.evaluation.figures import DRAWS, FLIP_RATES, Figure, Seen, entanglement, figures, mean_figure, rescoring
from gmmedit.evaluation.metrics import editing
from gmmedit.mixture import Layout
from gmmedit.mixture.held import all_others_held, held_by_all, held_categories
from gmmedit.run.folder import layout_of
from gmmedit.runtime.regular_files import read_json_lines
from gmmedit.runtime.storage import write_file

AT = 0.8  # flip rate at which editors are compared where one number is wanted
MATRIX = f"entanglement@{AT:g}"

KEYS = {"method", "space", "metric", "attribute", "value", "low", "high", "n", "strength"}  # of a figure
log = logging.getLogger("gmmedit")

Row = dict[str, Any]


def write_figures(path: Path, again: bool = False) -> Path:
    """Write the figures of a finished file beside it, as .jsonl, unless they are there and newer, or once more."""
    target = path.with_suffix(".jsonl")
    if not again and target.exists() and target.stat().st_mtime_ns >= path.stat().st_mtime_ns:
        return target
    lines = [json.dumps(row) for row in figure_rows(path)]
    with writing(target):
        write_file(target, ("\n".join(lines) + "\n").encode())
    return target


def figure_rows(path: Path) -> list[Row]:
    """Every figure: method, space, metric, attribute, value, low, high, n, strength; null where there is none.

    `attribute` is a category ("smile=yes"), or a mean over categories: "all", "two-valued", "many-valued". low and high
    are the bootstrap interval of 95 % over images, n the number of images, strength where it was measured.
    """
    with artifacts.open(path) as scored:
        rows: list[Row] = []
        for editor in scored.attrs["editors"]:
            rows += editor_rows(scored, editor)
        if "fidelity/labels" in scored:
            rows += fidelity_rows(scored)
        return rows


def categories_of(scored: Artifact) -> list[str]:
    return [f"{name}={value}" for name, values in scored.attributes for value in values]


def held_of(layout: Layout, attribute: int) -> list[int]:
    """The attributes that evaluated edits of an attribute had to leave alone."""
    return held_by_all(all_others_held(len(layout.values)), [attribute])


def groups_of(layout: Layout) -> dict[str, list[int]]:
    """Means that are worth taking, and the categories that they are over."""
    every = list(range(layout.categories))
    several = [c for c in every if layout.values[layout.locate(c)[0]] > 2]
    two = [c for c in every if c not in several]
    return {"all": every, **({"two-valued": two, "many-valued": several} if two and several else {})}


def seen_by(scored: Artifact, editor: str, category: int) -> Seen:
    """What was seen of one editor's edits towards one category."""
    layout, unedited = layout_of(scored), torch.from_numpy(scored["unedited/logits"])
    attribute, value = layout.locate(category)
    group = {name: torch.from_numpy(it) for name, it in scored.group(f"seen/{editor}/{category}").items()}
    nothing = torch.empty(0)
    return Seen(
        strengths=group["strengths"],
        logits=group["logits"],
        sigma=unedited.std(0),
        target_sigma=float(editing.log_odds(unedited, layout.columns[attribute], value).std()),
        nuisances=group["nuisances"],
        identity=group.get("identity", nothing),
        frechet=group.get("frechet", nothing),
        path=group.get("path", nothing),
    )


def editor_rows(scored: Artifact, editor: str) -> list[Row]:
    layout, names = layout_of(scored), categories_of(scored)
    found: list[dict[str, Figure]] = []
    counts: list[int] = []
    for category in range(layout.categories):
        seen = seen_by(scored, editor, category)
        attribute, value = layout.locate(category)
        found.append(figures(seen, layout.columns, attribute, value, held_of(layout, attribute), seed=category))
        counts.append(seen.logits.shape[1])
    held = held_categories(all_others_held(len(layout.values)), layout)
    for category, ratio in enumerate(entanglement(rescoring_matrix(scored, editor), held)):
        found[category][MATRIX] = single(float(ratio))
    space = scored.spec.config["space"]
    rows = []
    for group, members in groups_of(layout).items():
        n = sum(counts[c] for c in members)
        for metric in found[0]:
            rows.append(row(editor, space, metric, group, mean_figure([found[c][metric] for c in members]), n))
        for rate in FLIP_RATES:
            there = [math.isfinite(found[c][f"preservation@{rate:g}"].value) for c in members]
            rows.append(row(editor, space, f"categories@{rate:g}", group, single(sum(there) / len(there)), n))
    for category, name in enumerate(names):
        for metric, figure in found[category].items():
            rows.append(row(editor, space, metric, name, figure, counts[category]))
    seconds, memory = scored[f"cost/{editor}"].tolist()
    rows.append(row(editor, space, "fit_seconds", "all", single(seconds), 0))
    rows.append(row(editor, space, "fit_memory", "all", single(memory), 0))
    return rows


def single(value: float) -> Figure:
    """A figure without an interval."""
    return Figure(value, torch.full((DRAWS,), math.nan))


def row(method: str, space: str, metric: str, attribute: str, figure: Figure, n: int) -> Row:
    low, high = figure.interval()
    return {
        "method": method, "space": space, "metric": metric, "attribute": attribute,
        "value": known(figure.value), "low": known(low), "high": known(high), "n": n,
        "strength": known(figure.strength),
    }  # fmt: skip


def known(number: float) -> float | None:
    return round(number, 6) if math.isfinite(number) else None


def rescoring_matrix(scored: Artifact, editor: str) -> Tensor:
    """Row i: mean change of every label where edits towards category i flip AT of the images, or the most they can."""
    layout, rows = layout_of(scored), []
    for category in range(layout.categories):
        seen = seen_by(scored, editor, category)
        attribute, value = layout.locate(category)
        flips = editing.flipped(seen.logits, layout.columns, attribute, value).mean(1)
        where = editing.at_flip_rate(flips, seen.strengths, AT)
        best = seen.strengths[flips.argmax()]
        rows.append(rescoring(seen, layout.columns, float(where if where.isfinite() else best)))
    return torch.stack(rows)


def fidelity_rows(scored: Artifact) -> list[Row]:
    """fidelity: share of draws that the judge gives the drawn value; fidelity_error: mean |label - coefficient|."""
    part = {name: torch.from_numpy(scored[f"fidelity/{name}"]) for name in ("hits", "labels", "coefficients")}
    weights = editing.bootstrap_weights(part["hits"].shape[1], DRAWS, 0)
    space, rows = scored.spec.config["space"], []
    groups = groups_of(layout_of(scored)) | {name: [c] for c, name in enumerate(categories_of(scored))}
    for metric, values in (
        ("fidelity", part["hits"]), ("fidelity_error", (part["labels"] - part["coefficients"]).abs())
    ):  # fmt: skip
        for group, members in groups.items():
            figure = Figure.of(editing.means(values[members], weights).mean(0))
            rows.append(row("mixture", space, metric, group, figure, values[members].numel()))
    return rows


# Tables

SHOWN = {
    "flip_best": "best flip", f"preservation@{AT:g}": f"kept@{AT:g}", f"worst_preservation@{AT:g}": "worst kept",
    "ad_mean@1sd": "AD@1sd", "ad_max@1sd": "max AD", f"drift@{AT:g}": f"drift@{AT:g}", MATRIX: "entangled",
}  # fmt: skip


def score_tables(path: Path) -> dict[str, Any]:
    """`tables`: editors on average, then the categories of the first editor; `notes`; and all `figures`."""
    with artifacts.open(path) as scored:
        editors, notes, names = scored.attrs["editors"], scored.attrs["notes"], categories_of(scored)
        groups = list(groups_of(layout_of(scored)))
    rows = read_figures(path)
    at = {(it["method"], it["metric"], it["attribute"]): it for it in rows}
    shown = [metric for metric in SHOWN if (editors[0], metric, "all") in at]
    columns = ["DT (95 %)", *(SHOWN[metric] for metric in shown), "fit"]
    tables = []
    for group in groups[1:] or groups:
        lines = [[name, *cells(at, name, group, shown), cost_cell(at, name)] for name in editors]
        title = f"{group} attributes: means over categories"
        tables.append({"title": title, "columns": ["editor", *columns], "rows": lines})
    lines = [[name, *cells(at, editors[0], name, shown)] for name in names]
    tables.append({"title": editors[0], "columns": ["category", *columns[:-1]], "rows": lines})
    return {"tables": tables, "notes": notes, "figures": rows}


def read_figures(path: Path) -> list[Row]:
    """The figures beside a finished file; computed again, with a warning, if a line has been spoiled."""
    target = write_figures(path)
    rows, others = read_json_lines(target, KEYS)
    if others or not rows:
        where = f"line {others[0]} is no figure" if others else "it is empty"
        log.warning("note: computing the figures of %s again, %s", target, where)
        rows, _ = read_json_lines(write_figures(path, again=True), KEYS)
    return rows


def cells(at: dict[tuple[str, str, str], Row], editor: str, attribute: str, shown: list[str]) -> list[str]:
    dt = at[editor, "dt", attribute]
    found = [f"{dt['value']:.3f} ({dt['low']:.3f}-{dt['high']:.3f})"]
    for metric in shown:
        value = at[editor, metric, attribute]["value"]
        text = "-" if value is None else f"{value:.3f}"
        share = at.get((editor, f"categories@{metric.partition('@')[2]}", attribute))
        if share and share["value"] < 1 and value is not None:
            text += f" [{share['value']:.2f}]"
        found.append(text)
    return found


def cost_cell(at: dict[tuple[str, str, str], Row], editor: str) -> str:
    seconds, memory = (at[editor, metric, "all"]["value"] for metric in ("fit_seconds", "fit_memory"))
    text = "-" if seconds is None else f"{seconds:.1f} s"
    return text if memory is None else f"{text}, {memory / 2**20:.0f} MB"
