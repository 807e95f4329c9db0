"""Figures of evaluation.h5 and comparison.h5, as JSON lines and as tables."""

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
from gmmedit.evaluation.figures import (
    DRAWS,
    FLIP_RATES,
    Figure,
    Observations,
    compute_figures,
    entanglement,
    mean_figure,
    rescore_labels,
)
from gmmedit.evaluation.metrics import editing
from gmmedit.mixture import Layout
from gmmedit.mixture.held import all_others_held, held_by_all, held_categories
from gmmedit.run.folder import layout_of
from gmmedit.runtime.regular_files import read_json_lines
from gmmedit.runtime.storage import write_file

AT = 0.8  # flip rate at which editors are compared by a single number
MATRIX = f"entanglement@{AT:g}"

KEYS = {"method", "space", "metric", "attribute", "value", "low", "high", "n", "strength"}  # of a figure
log = logging.getLogger("gmmedit")

Row = dict[str, Any]


def write_figures(path: Path, again: bool = False) -> Path:
    """Write the figures of a finished file beside it as .jsonl; its path. Skipped if it is newer, unless `again`.

    InputError: the file cannot be read, or the folder cannot be written.
    """
    target = path.with_suffix(".jsonl")
    if not again and target.exists() and target.stat().st_mtime_ns >= path.stat().st_mtime_ns:
        return target
    lines = [json.dumps(row) for row in list_figures(path)]
    with writing(target):
        write_file(target, ("\n".join(lines) + "\n").encode())
    return target


def list_figures(path: Path) -> list[Row]:
    """All figures as dictionaries: method, space, metric, attribute, value, low, high, n, strength; None if undefined.

    `attribute` is a category ("smile=yes") or a mean over categories ("all", "two-valued", "many-valued"); low and high
    are the 95 % bootstrap interval over images, n is the number of images, strength that of the measurement.
    """
    with artifacts.open(path) as scored:
        rows: list[Row] = []
        for editor in scored.attrs["editors"]:
            rows += figures_of_editor(scored, editor)
        if "fidelity/labels" in scored:
            rows += figures_of_fidelity(scored)
        return rows


def category_names(scored: Artifact) -> list[str]:
    """The names of the K categories, `attribute=value`."""
    return [f"{name}={value}" for name, values in scored.attributes for value in values]


def held_attributes(layout: Layout, attribute: int) -> list[int]:
    """The attributes that evaluated edits of an attribute had to keep."""
    return held_by_all(all_others_held(len(layout.values)), [attribute])


def category_groups(layout: Layout) -> dict[str, list[int]]:
    """The groups of categories over which means are taken, by name."""
    every = list(range(layout.categories))
    many = [c for c in every if layout.values[layout.locate(c)[0]] > 2]
    two = [c for c in every if c not in many]
    return {"all": every, **({"two-valued": two, "many-valued": many} if two and many else {})}


def observations_of(scored: Artifact, editor: str, category: int) -> Observations:
    """The observations of one editor's edits towards one category."""
    layout, unedited = layout_of(scored), torch.from_numpy(scored["unedited/logits"])
    attribute, value = layout.locate(category)
    group = {name: torch.from_numpy(array) for name, array in scored.group(f"seen/{editor}/{category}").items()}
    empty = torch.empty(0)
    return Observations(
        strengths=group["strengths"],
        logits=group["logits"],
        sigma=unedited.std(0),
        target_sigma=float(editing.log_odds(unedited, layout.columns[attribute], value).std()),
        nuisances=group["nuisances"],
        identity=group.get("identity", empty),
        frechet=group.get("frechet", empty),
        path=group.get("path", empty),
    )


def figures_of_editor(scored: Artifact, editor: str) -> list[Row]:
    """The figures of one editor: means over groups of categories, then each category, then the cost of its fit."""
    layout, names = layout_of(scored), category_names(scored)
    found: list[dict[str, Figure]] = []
    counts: list[int] = []
    for category in range(layout.categories):
        observed = observations_of(scored, editor, category)
        attribute, value = layout.locate(category)
        held = held_attributes(layout, attribute)
        found.append(compute_figures(observed, layout.columns, attribute, value, held, seed=category))
        counts.append(observed.logits.shape[1])
    others = held_categories(all_others_held(len(layout.values)), layout)
    for category, ratio in enumerate(entanglement(rescoring_matrix(scored, editor), others)):
        found[category][MATRIX] = figure_without_interval(float(ratio))
    space = scored.spec.config["space"]
    rows = []
    for group, categories in category_groups(layout).items():
        n = sum(counts[c] for c in categories)
        for metric in found[0]:
            rows.append(make_row(editor, space, metric, group, mean_figure([found[c][metric] for c in categories]), n))
        for rate in FLIP_RATES:
            reached = [math.isfinite(found[c][f"preservation@{rate:g}"].value) for c in categories]
            share = figure_without_interval(sum(reached) / len(reached))
            rows.append(make_row(editor, space, f"categories@{rate:g}", group, share, n))
    for category, name in enumerate(names):
        for metric, figure in found[category].items():
            rows.append(make_row(editor, space, metric, name, figure, counts[category]))
    seconds, memory = scored[f"cost/{editor}"].tolist()
    rows.append(make_row(editor, space, "fit_seconds", "all", figure_without_interval(seconds), 0))
    rows.append(make_row(editor, space, "fit_memory", "all", figure_without_interval(memory), 0))
    return rows


def figure_without_interval(value: float) -> Figure:
    """A figure whose bootstrap draws, and so its interval, are NaN."""
    return Figure(value, torch.full((DRAWS,), math.nan))


def make_row(method: str, space: str, metric: str, attribute: str, figure: Figure, n: int) -> Row:
    """One figure as a dictionary, see `list_figures`."""
    low, high = figure.interval()
    return {
        "method": method, "space": space, "metric": metric, "attribute": attribute,
        "value": finite_or_none(figure.value), "low": finite_or_none(low), "high": finite_or_none(high), "n": n,
        "strength": finite_or_none(figure.strength),
    }  # fmt: skip


def finite_or_none(number: float) -> float | None:
    """The number with six decimals, or None if it is not finite."""
    return round(number, 6) if math.isfinite(number) else None


def rescoring_matrix(scored: Artifact, editor: str) -> Tensor:
    """(K, K): row i is the mean change of every label by edits towards category i, at flip rate AT or the highest.

    InterFaceGAN's re-scoring matrix (Shen et al. 2020).
    """
    layout, rows = layout_of(scored), []
    for category in range(layout.categories):
        observed = observations_of(scored, editor, category)
        attribute, value = layout.locate(category)
        flips = editing.flipped(observed.logits, layout.columns, attribute, value).mean(1)
        where = editing.at_flip_rate(flips, observed.strengths, AT)
        best = observed.strengths[flips.argmax()]
        rows.append(rescore_labels(observed, layout.columns, float(where if where.isfinite() else best)))
    return torch.stack(rows)


def figures_of_fidelity(scored: Artifact) -> list[Row]:
    """fidelity: share of draws that are classified as the drawn value; fidelity_error: mean |label - coefficient|."""
    part = {name: torch.from_numpy(scored[f"fidelity/{name}"]) for name in ("hits", "labels", "coefficients")}
    weights = editing.bootstrap_weights(part["hits"].shape[1], DRAWS, 0)
    space, rows = scored.spec.config["space"], []
    groups = category_groups(layout_of(scored)) | {name: [c] for c, name in enumerate(category_names(scored))}
    for metric, values in (
        ("fidelity", part["hits"]), ("fidelity_error", (part["labels"] - part["coefficients"]).abs())
    ):  # fmt: skip
        for group, categories in groups.items():
            figure = Figure.of(editing.means(values[categories], weights).mean(0))
            rows.append(make_row("mixture", space, metric, group, figure, values[categories].numel()))
    return rows


# Tables

SHOWN = {
    "flip_best": "best flip", f"preservation@{AT:g}": f"kept@{AT:g}", f"worst_preservation@{AT:g}": "worst kept",
    "ad_mean@1sd": "AD@1sd", "ad_max@1sd": "max AD", f"drift@{AT:g}": f"drift@{AT:g}", MATRIX: "entangled",
}  # fmt: skip


def score_tables(path: Path) -> dict[str, Any]:
    """`tables` (means of all editors, then the categories of the first one), `notes`, and all `figures`."""
    with artifacts.open(path) as scored:
        editors, notes, names = scored.attrs["editors"], scored.attrs["notes"], category_names(scored)
        groups = list(category_groups(layout_of(scored)))
    rows = read_figures(path)
    at = {(row["method"], row["metric"], row["attribute"]): row for row in rows}
    shown = [metric for metric in SHOWN if (editors[0], metric, "all") in at]
    columns = ["DT (95 %)", *(SHOWN[metric] for metric in shown), "fit"]
    tables = []
    for group in groups[1:] or groups:
        lines = [[name, *format_cells(at, name, group, shown), format_cost(at, name)] for name in editors]
        title = f"{group} attributes: means over categories"
        tables.append({"title": title, "columns": ["editor", *columns], "rows": lines})
    lines = [[name, *format_cells(at, editors[0], name, shown)] for name in names]
    tables.append({"title": editors[0], "columns": ["category", *columns[:-1]], "rows": lines})
    return {"tables": tables, "notes": notes, "figures": rows}


def read_figures(path: Path) -> list[Row]:
    """The figures from the .jsonl file of a finished file; recomputed with a warning if a line is damaged."""
    target = write_figures(path)
    rows, others = read_json_lines(target, KEYS)
    if others or not rows:
        reason = f"line {others[0]} is damaged" if others else "the file is empty"
        log.warning("note: recomputing the figures of %s: %s", target, reason)
        rows, _ = read_json_lines(write_figures(path, again=True), KEYS)
    return rows


def format_cells(at: dict[tuple[str, str, str], Row], editor: str, attribute: str, shown: list[str]) -> list[str]:
    """The cells of one row of a table: DT with its interval, then the shown metrics.

    In brackets, if below 1: the share of the categories that reach the flip rate.
    """
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


def format_cost(at: dict[tuple[str, str, str], Row], editor: str) -> str:
    """Time and memory of an editor's fit."""
    seconds, memory = (at[editor, metric, "all"]["value"] for metric in ("fit_seconds", "fit_memory"))
    text = "-" if seconds is None else f"{seconds:.1f} s"
    return text if memory is None else f"{text}, {memory / 2**20:.0f} MB"
