"""Figures of evaluation.h5 and comparison.h5, as JSON lines."""

import json
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
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
    figure_without_interval,
    mean_figure,
    nuisance_spreads,
    rescore_labels,
)
from gmmedit.evaluation.figures_at_one import Counted, Unedited, figures_of_edits, figures_of_samples
from gmmedit.evaluation.metrics import editing
from gmmedit.mixture import Layout
from gmmedit.mixture.held import all_others_held, held_by_all, held_categories
from gmmedit.run.folder import layout_of
from gmmedit.runtime.regular_files import read_json_lines
from gmmedit.runtime.storage import write_file

AT = 0.8  # flip rate at which editors are compared by a single number
SAMPLES = "samples"  # the method of the figures of unedited samples
SWEPT = ("strengths", "logits", "nuisances", "identity", "frechet", "path")  # observations along the sweep
MATRIX = f"entanglement@{AT:g}"

# Metrics that are shares of images, each of which counts or does not; and others between 0 and 1.
COUNTED = {"flips", "label_flips", "returned", "precision", "agreement", "monotone", "fidelity", "labels"}
SHARES = {"dt", "flip_best", "preservation", "worst_preservation", "kept", "worst_kept", "reach", "fidelity_error"}

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
        unedited = unedited_of(scored)
        for editor in scored.attrs["editors"]:
            rows += figures_of_editor(scored, editor, unedited)
        rows += figures_of_unedited(scored, unedited)
        if "fidelity/labels" in scored:
            rows += figures_of_fidelity(scored)
        return rows


def category_names(scored: Artifact) -> list[str]:
    """The names of the K categories, `attribute=value`."""
    return [f"{name}={value}" for name, values in scored.attributes for value in values]


def held_of(scored: Artifact) -> Tensor:
    """held (A, A), see `gmmedit.mixture.held`: non-descendants in the mode "do", else all others."""
    recorded = scored.attrs.get("held")
    return torch.tensor(recorded) if recorded else all_others_held(len(scored.attributes))


def held_attributes(scored: Artifact, attribute: int) -> list[int]:
    """The attributes that evaluated edits of an attribute had to keep."""
    return held_by_all(held_of(scored), [attribute])


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
    prefix = f"seen/{editor}/{category}"
    names = [name for name in SWEPT if f"{prefix}/{name}" in scored]
    group = {name: torch.from_numpy(scored[f"{prefix}/{name}"]) for name in names}
    spreads = nuisance_spreads(torch.from_numpy(scored["unedited/nuisances"]))
    empty = torch.empty(0)
    return Observations(
        strengths=group["strengths"],
        logits=group["logits"],
        sigma=unedited.std(0),
        target_sigma=float(editing.log_odds(unedited, layout.columns[attribute], value).std()),
        nuisances=group["nuisances"] / spreads,
        identity=group.get("identity", empty),
        frechet=group.get("frechet", empty),
        path=group.get("path", empty),
    )


def unedited_of(scored: Artifact) -> Unedited:
    """The observations of the unedited samples."""
    group = group_of(scored, "unedited")
    return Unedited(
        logits=group["logits"],
        label_logits=group["label_logits"],
        nuisances=group["nuisances"],
        pair_pixels=group["pair_pixels"],
        pair_identity=group.get("pair_identity"),
        own=[group_of(scored, f"unedited/own/{c}") for c in range(layout_of(scored).categories)],
    )


def group_of(scored: Artifact, name: str) -> dict[str, Tensor]:
    """All arrays below a group as tensors, under their names within it."""
    return {key: torch.from_numpy(np.asarray(array)) for key, array in scored.group(name).items()}


def figures_of_editor(scored: Artifact, editor: str, unedited: Unedited) -> list[Row]:
    """The figures of one editor: means over groups of categories, then each category, then the cost of its fit."""
    layout, found = layout_of(scored), []
    for category in range(layout.categories):
        observed = observations_of(scored, editor, category)
        attribute, value = layout.locate(category)
        held = held_attributes(scored, attribute)
        swept = compute_figures(observed, layout.columns, attribute, value, held, seed=category)
        n = observed.logits.shape[1]
        rows = torch.from_numpy(scored[f"seen/{editor}/{category}/rows"])
        one = group_of(scored, f"seen/{editor}/{category}/one")
        found.append(
            {name: (figure, n) for name, figure in swept.items()}
            | figures_of_edits(one, rows, unedited, layout, category, held)
        )
    others = held_categories(held_of(scored), layout)
    for category, ratio in enumerate(entanglement(rescoring_matrix(scored, editor), others)):
        n = found[category]["dt"][1]
        found[category][MATRIX] = figure_without_interval(float(ratio)), n
    seconds, memory = scored[f"cost/{editor}"].tolist()
    space, listed = scored.spec.config["space"], list_rows(editor, scored, found)
    listed.append(make_row(editor, space, "fit_seconds", "all", figure_without_interval(seconds), 0))
    listed.append(make_row(editor, space, "fit_memory", "all", figure_without_interval(memory), 0))
    return listed


def figures_of_unedited(scored: Artifact, unedited: Unedited) -> list[Row]:
    """The figures of unedited samples beside which those at strength 1 are read, as the method SAMPLES."""
    layout = layout_of(scored)
    return list_rows(SAMPLES, scored, [figures_of_samples(unedited, layout, c) for c in range(layout.categories)])


def list_rows(method: str, scored: Artifact, found: list[Counted]) -> list[Row]:
    """The figures of all categories as rows: means over groups of categories, then each category."""
    space, rows = scored.spec.config["space"], []
    for group, categories in category_groups(layout_of(scored)).items():
        for metric in found[0]:
            parts, counts = zip(*(found[c][metric] for c in categories), strict=True)
            rows.append(make_row(method, space, metric, group, mean_figure(list(parts)), sum(counts)))
        for rate in FLIP_RATES if f"preservation@{FLIP_RATES[0]:g}" in found[0] else ():
            reached = [math.isfinite(found[c][f"preservation@{rate:g}"][0].strength) for c in categories]
            share = figure_without_interval(sum(reached) / len(reached))
            n = sum(found[c]["dt"][1] for c in categories)
            rows.append(make_row(method, space, f"categories@{rate:g}", group, share, n))
    for name, figures in zip(category_names(scored), found, strict=True):
        rows += [make_row(method, space, metric, name, figure, n) for metric, (figure, n) in figures.items()]
    return rows


def make_row(method: str, space: str, metric: str, attribute: str, figure: Figure, n: int) -> Row:
    """One figure as a dictionary, see `list_figures`."""
    low, high = interval_of(metric, figure, n)
    return {
        "method": method, "space": space, "metric": metric, "attribute": attribute,
        "value": finite_or_none(figure.value), "low": finite_or_none(low), "high": finite_or_none(high), "n": n,
        "strength": finite_or_none(figure.strength),
    }  # fmt: skip


def interval_of(metric: str, figure: Figure, n: int) -> tuple[float, float]:
    """The 95 % interval: Wilson's for a share of n images, else the bootstrap's, for shares within [0, 1]."""
    name = metric.partition("@")[0]
    if name in COUNTED:
        return editing.wilson_interval(figure.value, n)
    low, high = figure.interval()
    return (min(max(low, 0.0), 1.0), min(max(high, 0.0), 1.0)) if name in SHARES else (low, high)


def is_whole(rows: list[Row], path: Path) -> bool:
    """Whether the rows are all those of the file: the first and the last of each method are there, and its flips."""
    known = {(row["method"], row["metric"], row["attribute"]) for row in rows}
    with artifacts.open(path) as scored:
        names, editors = ["all", *category_names(scored)], scored.attrs["editors"]
        drawn = {("mixture", "fidelity_error", name) for name in names} if "fidelity/labels" in scored else set()
    wanted = {(editor, metric, name) for editor in editors for metric in ("dt", "flips@1") for name in names}
    ends = {(editor, "fit_memory", "all") for editor in editors} | {(SAMPLES, "pixels@1", name) for name in names}
    return wanted | ends | drawn <= known


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


def read_figures(path: Path) -> list[Row]:
    """The figures from the .jsonl file of a finished file; made again if lines are damaged or missing."""
    target = write_figures(path)
    rows, others = read_json_lines(target, KEYS)
    if others or not is_whole(rows, path):
        reason = f"line {others[0]} is damaged" if others else "lines are missing" if rows else "the file is empty"
        log.warning("note: recomputing the figures of %s: %s", target, reason)
        rows, _ = read_json_lines(write_figures(path, again=True), KEYS)
    return rows
