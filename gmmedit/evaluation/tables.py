"""Figures of evaluation.h5 and comparison.h5 as tables."""

from pathlib import Path
from typing import Any

from gmmedit import artifacts
from gmmedit.evaluation.results import AT, MATRIX, SAMPLES, Row, category_groups, category_names, read_figures
from gmmedit.run.folder import layout_of

Figures = dict[tuple[str, str, str], Row]  # by method, metric and attribute

SHOWN = {
    "dt": "DT (95 %)", "flip_best": "best flip", f"preservation@{AT:g}": f"kept@{AT:g}",
    f"worst_preservation@{AT:g}": "worst kept", "ad_mean@1sd": "AD@1sd", "ad_max@1sd": "max AD",
    f"drift@{AT:g}": f"drift@{AT:g}", MATRIX: "entangled",
}  # fmt: skip
SHOWN_AT_ONE = {
    "flips@1": "flips (95 %)", "label_flips@1": "label flips", "kept@1": "kept", "identity@1": "identity",
    "picture@1": "image change", "drift@1": "drift", "precision@1": "precision (own)", "kid@1": "KID",
    "reversal@1": "reversal", "effects@1": "effects off",
}  # fmt: skip
WITH_INTERVAL, WITH_OWN = {"dt", "flips@1"}, {"precision@1"}  # with the interval; with the figure of unedited samples
REFERENCE = "unedited samples"  # the last row of the means at strength 1


def score_tables(path: Path) -> dict[str, Any]:
    """`tables` (means of all editors), `categories` (of the first one), `notes`, and all `figures`."""
    with artifacts.open(path) as scored:
        editors, notes, names = scored.attrs["editors"], scored.attrs["notes"], category_names(scored)
        groups = list(category_groups(layout_of(scored)))
    rows = read_figures(path)
    at: Figures = {(row["method"], row["metric"], row["attribute"]): row for row in rows}
    tables = []
    for group in groups[1:] or groups:
        tables += [table_at_equal_flips(at, editors, group), table_at_one(at, editors, group)]
    categories = [table_of_categories(at, editors[0], names), table_of_categories_at_one(at, editors[0], names)]
    return {"tables": tables, "categories": categories, "notes": notes, "figures": rows}


def table_at_equal_flips(at: Figures, editors: list[str], group: str) -> dict[str, Any]:
    """Means over a group of categories at equal flip rate or equal change of the target."""
    shown = shown_metrics(SHOWN, at, editors[0])
    rows = [[name, *format_cells(at, name, group, shown), format_cost(at, name)] for name in editors]
    columns = ["editor", *shown.values(), "fit"]
    return {"title": f"{group} attributes: means over categories", "columns": columns, "rows": rows}


def table_at_one(at: Figures, editors: list[str], group: str) -> dict[str, Any]:
    """Means over a group of categories at strength 1; the last row is that of unedited samples."""
    shown = shown_metrics(SHOWN_AT_ONE, at, editors[0])
    rows = [[name, *format_cells(at, name, group, shown)] for name in editors]
    rows.append([REFERENCE, *format_cells(at, SAMPLES, group, shown)])
    title, agreement = f"{group} attributes at strength 1: means over categories", at.get((SAMPLES, "agreement", group))
    if agreement:
        title += f"; the classifiers agree on {agreement['value']:.3f} of the unedited samples"
    return {"title": title, "columns": ["editor", *shown.values()], "rows": rows}


def table_of_categories(at: Figures, editor: str, names: list[str]) -> dict[str, Any]:
    """The categories of one editor at equal flip rate or equal change of the target."""
    shown = shown_metrics(SHOWN, at, editor)
    rows = [[name, *format_cells(at, editor, name, shown)] for name in names]
    return {"title": editor, "columns": ["category", *shown.values()], "rows": rows}


def table_of_categories_at_one(at: Figures, editor: str, names: list[str]) -> dict[str, Any]:
    """The categories of one editor at strength 1, beside how far the classifiers agree on unedited samples."""
    shown, agreement = shown_metrics(SHOWN_AT_ONE, at, editor), shown_metrics({"agreement": "agreement"}, at, SAMPLES)
    parts = ((SAMPLES, agreement), (editor, shown))
    rows = [[name, *(cell for who, part in parts for cell in format_cells(at, who, name, part))] for name in names]
    columns = ["category", *agreement.values(), *shown.values()]
    return {"title": f"{editor} at strength 1", "columns": columns, "rows": rows}


def shown_metrics(columns: dict[str, str], at: Figures, method: str) -> dict[str, str]:
    """The columns, by metric, of which a method has figures."""
    return {metric: title for metric, title in columns.items() if (method, metric, "all") in at}


def format_cells(at: Figures, method: str, attribute: str, shown: dict[str, str], digits: int = 3) -> list[str]:
    """The cells of one row of a table, "-" where there is no figure.

    In brackets: the interval, the figure of unedited samples, or, if below 1, the share of the categories that reach
    the flip rate.
    """
    found = []
    for metric in shown:
        row = at.get((method, metric, attribute))
        value = None if row is None else row["value"]
        text = "-" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"  # never -0.00
        if row and row["low"] is not None and metric in WITH_INTERVAL:
            text += f" ({row['low']:.{digits}f}-{row['high']:.{digits}f})"
        own = at.get((SAMPLES, metric, attribute)) if metric in WITH_OWN and method != SAMPLES else None
        if own and own["value"] is not None and text != "-":
            text += f" ({own['value']:.{digits}f})"
        share = at.get((method, f"categories@{metric.partition('@')[2]}", attribute))
        if share and share["value"] < 1 and text != "-":
            text += f" [{share['value']:.2f}]"
        found.append(text)
    return found


def format_cost(at: Figures, editor: str) -> str:
    """Time and memory of an editor's fit."""
    seconds, memory = (at[editor, metric, "all"]["value"] for metric in ("fit_seconds", "fit_memory"))
    text = "-" if seconds is None else f"{seconds:.1f} s"
    return text if memory is None else f"{text}, {memory / 2**20:.0f} MB"
