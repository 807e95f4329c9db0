"""Figures of inverted_evaluation.h5: what inversion keeps of a photograph, and what its edits at strength 1 do."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gmmedit import artifacts
from gmmedit.artifacts import Artifact
from gmmedit.errors import writing
from gmmedit.evaluation.figures import DRAWS, Figure, figure_without_interval
from gmmedit.evaluation.metrics import editing
from gmmedit.evaluation.results import Row, category_groups, category_names, make_row
from gmmedit.mixture import Layout
from gmmedit.mixture.held import all_others_held, held_by_all
from gmmedit.run.folder import layout_of
from gmmedit.runtime.storage import write_file

INVERSION, EDITS = "inversion", "edits"  # methods
SHOWN = {
    "flips@1": "arrived (95 %)", "kept@1": "kept of the photograph",
    "kept_of_reconstruction@1": "of the reconstruction", "identity@1": "identity", "picture@1": "image change",
}  # fmt: skip


def write_inverted_figures(path: Path) -> Path:
    """Write the figures of a finished inverted_evaluation.h5 beside it as .jsonl; its path. InputError: unreadable."""
    target = path.with_suffix(".jsonl")
    with artifacts.open(path, "inverted_evaluation") as scored:
        lines = [json.dumps(row) for row in list_inverted_figures(scored)]
    with writing(target):
        write_file(target, ("\n".join(lines) + "\n").encode())
    return target


def list_inverted_figures(scored: Artifact) -> list[Row]:
    """All figures as dictionaries, with the keys of `results.list_figures`.

    Of the method `inversion`: `labels`, the share of photographs all of whose labels the reconstruction has, `kept`,
    the share of labels, and `identity`, the cosine of its features with the photograph's. Of `edits`, at strength 1, by
    category, and pooled over the edits of a group of categories: `flips@1`, the share that arrive, `kept@1`, the
    other labels that are still the photograph's, `kept_of_reconstruction@1`, those that are still the
    reconstruction's, `identity@1`, `picture@1`, the change of the image in units of two samples. n: edits.
    """
    layout, space, contrast = layout_of(scored), scored.spec.config["space"], scored.attrs.get("contrast")
    part = {name: torch.from_numpy(scored[name]) for name in scored.names}
    photograph, again = (editing.values_of(part[name], layout.columns) for name in ("photograph_logits", "logits"))
    same = (photograph == again).float()
    rows = [
        measure(INVERSION, space, name, "all", values)
        for name, values in (("labels", same.amin(1)), ("kept", same.mean(1)), ("identity", part["identity"]))
    ]
    found = [observe_category(part, layout, category, contrast or torch.nan) for category in range(layout.categories)]
    groups = category_groups(layout) | {name: [c] for c, name in enumerate(category_names(scored))}
    for group, categories in groups.items():
        for name in found[0]:
            values = torch.cat([found[c][name] for c in categories])
            rows.append(measure(EDITS, space, name, group, values))
    return rows


def observe_category(part: Mapping[str, Tensor], layout: Layout, category: int, contrast: float) -> dict[str, Tensor]:
    """The values (n,) behind the figures of the edits towards a category, by metric; n of the photographs lack it."""
    attribute, value = layout.locate(category)
    edited, held = part["edited_logits"][:, category], held_by_all(all_others_held(len(layout.values)), [attribute])
    values = {
        "flips@1": editing.flipped(edited, layout.columns, attribute, value),
        "kept@1": editing.kept(part["photograph_logits"], edited, layout.columns, held).mean(-1),
        "kept_of_reconstruction@1": editing.kept(part["logits"], edited, layout.columns, held).mean(-1),
        "identity@1": part["edited_identity"][:, category],
        "picture@1": part["edited_pixels"][:, category] / contrast,
    }
    done = edited.isfinite().all(1)
    return {name: column[done] for name, column in values.items()}


def measure(method: str, space: str, metric: str, attribute: str, values: Tensor) -> Row:
    """One figure: the mean of values (n,), with Wilson's interval where it counts images, else the bootstrap's."""
    known = values[values.isfinite()]
    if not len(known):
        return make_row(method, space, metric, attribute, figure_without_interval(torch.nan), len(values))
    strength = 1.0 if method == EDITS else torch.nan
    figure = Figure.of(editing.bootstrap_means(known, DRAWS, 0), strength)
    return make_row(method, space, metric, attribute, figure, len(known))


def inverted_tables(path: Path) -> dict[str, Any]:
    """`tables` (of the categories), `lines` (on the inversions), `notes`, and all `figures`. InputError: unreadable."""
    with artifacts.open(path, "inverted_evaluation") as scored:
        figures = list_inverted_figures(scored)
        names, notes, n = category_names(scored), scored.attrs["notes"], scored.spec.n
    at = {(row["method"], row["metric"], row["attribute"]): row for row in figures}
    rows = []
    for name in [*names, "all"]:
        cells = [at[EDITS, metric, name] for metric in SHOWN]
        if cells[0]["n"]:
            rows.append([name, str(cells[0]["n"]), *(format_cell(row) for row in cells)])
    columns = ["target", "edits", *SHOWN.values()]
    inversion = {name: at[INVERSION, name, "all"] for name in ("labels", "kept", "identity")}
    line = (
        f"reconstructions of {n} photographs: all labels of the photograph {format_cell(inversion['labels'])}, labels "
        f"{format_cell(inversion['kept'])}, identity {format_cell(inversion['identity'])}"
    )
    title = "edits of photographs at strength 1, by the evaluation classifier"
    return {"tables": [{"title": title, "columns": columns, "rows": rows}], "lines": [line], "notes": notes,
            "figures": figures}  # fmt: skip


def format_cell(row: Row) -> str:
    """A figure with three digits, and its interval where it is a share of images; "-": none."""
    if row["value"] is None:
        return "-"
    counted = row["metric"] in ("flips@1", "labels") and row["low"] is not None
    return f"{row['value']:.3f}" + (f" ({row['low']:.3f}-{row['high']:.3f})" if counted else "")
