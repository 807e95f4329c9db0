"""Finished artifacts as tables or JSON. Commands import this late: rich is slow to import."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from gmmedit.cli.output import print_logged, print_written
from gmmedit.errors import printable

if TYPE_CHECKING:
    from gmmedit.stages.verify import Check

# Without a terminal, tables need not fit into 80 columns.
console = Console() if Console().is_terminal else Console(width=160)
MEANING_OF_INVERSIONS = (
    "larger than 90%: than the errors of so many of the generator's own samples; density: mean squared "
    "coordinate of the latent, 1 for a sample, far above 1 for images that the generator hardly makes"
)
SHOWN_INVERSIONS = 40  # rows of a table
CELL_MARGIN = 3  # width of a cell beyond its text: a border and two blanks


def show_readings(path: Path) -> None:
    """Print what the encoder of the generator's own file reads in samples that an intervention made."""
    from gmmedit import artifacts

    with artifacts.open(path, "samples") as samples:
        for line in samples.attrs.get("reading", []):
            typer.echo(line)


def show_labels(path: Path, quiet: bool, as_json: bool, kept: bool = False) -> None:
    """Print the rates, confidence and correlations of labels.h5, and warnings about values that cannot be fitted."""
    from gmmedit.report.labels import describe_robustness, label_report

    if quiet and not as_json:
        return
    report = label_report(path)
    if as_json:
        typer.echo(json.dumps(report, indent=1))
    else:
        print_tables(report["tables"])
        if report["robustness"]:
            typer.echo(describe_robustness(report["robustness"]))
        for note in report["notes"]:
            print_logged(f"note: {note}", path.parent)
        for warning in report["warnings"]:
            print_logged(f"warning: {warning}", path.parent)
        print_written(path, quiet, kept)


def show_fit(path: Path, quiet: bool, as_json: bool, kept: bool = False) -> None:
    """Print the accuracy and separation of each attribute of a fit, and the closest other subspace."""
    from gmmedit.report.summaries import fit_report

    report = fit_report(path)
    if as_json:
        typer.echo(json.dumps(report, indent=1))
    elif not quiet:
        table = Table("attribute", "accuracy", "separation", "closest", "angle", "rates")
        for row in report["attributes"]:
            table.add_row(
                row["attribute"], f"{row['accuracy']:.3f}", f"{row['separation']:.2f}",
                row["closest"] or "-", "-" if row["angle"] is None else f"{row['angle']:.0f}°", row["rates"],
            )  # fmt: skip
        console.print(table)
        if report["edits"]:
            print_tables([edits_table(report["edits"])])
        typer.echo(report["verdict"])
        for note in report["notes"]:
            print_logged(f"note: {note}", path.parent)
        print_written(path, quiet, kept)


def edits_table(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The rows of `edit_rows` as a table for `print_tables`; a dash where nothing was measured."""
    names = ("arrived", "kept", "change")
    cells = [["-" if row[name] is None else f"{row[name]:.2f}" for name in names] for row in rows]
    return {
        "title": "edits of held-out samples, one pass",
        "columns": ["value", "arrived", "others kept", "image change"],
        "rows": [[escape(row["label"]), *cell] for row, cell in zip(rows, cells, strict=True)],
    }


def show_edit(path: Path, quiet: bool, as_json: bool) -> None:
    """Print the mean labels before and after an edit, and the change of the target and of the others."""
    from gmmedit.report.summaries import edit_report

    report = edit_report(path)
    if as_json:
        typer.echo(json.dumps(report, indent=1))
    elif not quiet:
        rows = [[row["label"], *(f"{value:.2f}" for value in row["means"])] for row in report["labels"]]
        styles = ["bold" if row["edited"] else "" for row in report["labels"]]
        if rows:
            print_in_blocks([["label", "before", *report["headings"]], *rows], ["", *styles])
        for line in [*report["verdicts"], *report["changes"]]:
            typer.echo(line)
        for name in report["files"]:
            typer.echo(f"wrote {name}")


def show_inversions(path: Path, quiet: bool, as_json: bool, kept: bool = False) -> None:
    """Print the error of each inversion beside those of the generator's own samples."""
    from gmmedit.report.summaries import inversion_report

    report = inversion_report(path)
    if as_json:
        typer.echo(json.dumps(report, indent=1))
    elif not quiet:
        table = Table("image", "start", "error", "larger than of own samples", "density", "")
        for row in report["images"][:SHOWN_INVERSIONS]:
            share = row["percentile"]
            beside = "-" if share is None else "all" if share == 1 else f"{share:.0%}"
            errors = (f"{row[name]:.3f}" for name in ("start_error", "error"))
            table.add_row(escape(printable(row["file"])), *errors, beside, f"{row['density']:.2f}", row["verdict"])
        console.print(table)
        typer.echo(MEANING_OF_INVERSIONS)
        for line in report["lines"]:
            typer.echo(line)
        for name in report["files"]:
            print_written(Path(name), quiet, kept)


def show_scores(path: Path, quiet: bool, as_json: bool, kept: bool = False) -> None:
    """Print the scores of all editors, and those of the first editor by category."""
    from gmmedit.evaluation.tables import score_tables

    report = score_tables(path)
    if as_json:
        typer.echo(json.dumps({"figures": report["figures"], "notes": report["notes"]}, indent=1))
    elif not quiet:
        print_tables([*report["tables"], *report["categories"]])
        for note in report["notes"]:
            print_logged(f"note: {note}", path.parent)
        print_written(path, quiet, kept)
        print_written(path.with_suffix(".jsonl"), quiet, kept)


def show_inverted_scores(path: Path, quiet: bool, as_json: bool, kept: bool = False) -> None:
    """Print the scores of edits of photographs."""
    from gmmedit.evaluation.inverted import inverted_tables

    report = inverted_tables(path)
    if as_json:
        typer.echo(json.dumps({"figures": report["figures"], "notes": report["notes"]}, indent=1))
    elif not quiet:
        print_tables(report["tables"])
        for line in report["lines"]:
            typer.echo(line)
        for note in report["notes"]:
            print_logged(f"note: {note}", path.parent)
        print_written(path, quiet, kept)
        print_written(path.with_suffix(".jsonl"), quiet, kept)


def show_models(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Print the named generators: a table for each licence and page."""
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    for (licence, page, by_hand), group in groupby(rows, key=itemgetter("licence", "page", "by_hand")):
        source = f"{page}{' (download with a browser)' if by_hand else ''}"
        console.print(f"\n{licence}\n{source}".rstrip(), highlight=False, markup=False, soft_wrap=True)
        table = Table("name", "family", "pixels", "MB", "on disk")
        for row in group:
            size = f"about {row['megabytes']}" if row["megabytes"] else ""
            table.add_row(row["name"], row["family"], str(row["pixels"]), size, row["on_disk"])
        console.print(table)
    typer.echo("\nDownload one with: gmmedit models fetch NAME")


def show_checks(checks: Sequence[Check], commands: Sequence[str], quiet: bool, as_json: bool) -> None:
    """Print a row for each check, and the commands that mend what failed; with `quiet` only the failed ones."""
    if as_json:
        ok = all(check.result != "failed" for check in checks)
        typer.echo(json.dumps({"ok": ok, "checks": [asdict(check) for check in checks]}, indent=1))
        return
    table = Table("file", "check", "result", "")
    one_folder = len({Path(check.file).parent for check in checks}) == 1
    for check in checks:
        if check.result == "failed" or not quiet:
            file = Path(check.file).name if one_folder else check.file
            style = "bold red" if check.result == "failed" else ""
            table.add_row(escape(file), check.check, check.result, escape(check.detail), style=style)
    if table.rows:
        console.print(table)
    counts = Counter(check.result for check in checks)
    if not quiet:
        typer.echo(
            f"{len(checks)} checks, {counts['failed']} failed, {counts['skipped']} skipped (missing file, parents)"
        )
        if commands:
            typer.echo(f"run: {' && '.join(commands)}")


def show_description(facts: dict[str, Any]) -> None:
    """Print facts about a file: lists of dictionaries as tables, everything else as `key  value`."""
    for key, value in facts.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            columns = list(dict.fromkeys(name for row in value for name in row))
            table = Table(*columns, title=key, title_justify="left")
            for row in value:
                table.add_row(*(format_value(row.get(name, "")) for name in columns))
            console.print(table)
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            lines = "\n".join(map(printable, text.strip().split("\n")))  # a received file may hold control characters
            console.print(f"[bold]{escape(printable(key))}[/bold]  {escape(lines)}", highlight=False, soft_wrap=True)


def print_tables(parts: Sequence[Mapping[str, Any]]) -> None:
    """Print tables given as `title`, `columns` and `rows` of text."""
    for part in parts:
        table = Table(*part["columns"], title=part["title"])
        for row in part["rows"]:
            table.add_row(*row)
        console.print(table)


def print_in_blocks(rows: Sequence[Sequence[str]], styles: Sequence[str]) -> None:
    """Print rows, headings first, as tables that fit the console, each with the first column; nothing is clipped."""
    widths = [max(map(cell_len, cells)) + CELL_MARGIN for cells in zip(*rows, strict=True)]
    for block in split_columns(widths[1:], console.width - 1 - widths[0]):
        cells = [[row[0], *row[1:][block]] for row in rows]
        table = Table(*(Column(escape(heading), overflow="fold") for heading in cells[0]))
        for row, style in zip(cells[1:], styles[1:], strict=True):
            table.add_row(*map(escape, row), style=style)
        console.print(table)


def split_columns(widths: Sequence[int], room: int) -> list[slice]:
    """Consecutive columns whose widths sum to at most `room`; at least one in each slice."""
    starts, used = [0], 0
    for i, width in enumerate(widths):
        if i > starts[-1] and used + width > room:
            starts.append(i)
            used = 0
        used += width
    return [slice(first, last) for first, last in zip(starts, [*starts[1:], len(widths)], strict=True)]


def format_value(value: Any) -> str:
    """A cell of a table: floats with four digits, other values as text with rich's markup escaped."""
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))
