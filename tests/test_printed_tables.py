"""Tables on a terminal: what is printed where it is narrow."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from gmmedit.cli import tables
from gmmedit.report import summaries

LABELS = ["smile=yes", *(f"hair_color={value}" for value in ("black", "blond", "red", "brown", "grey"))]


def printed(monkeypatch: pytest.MonkeyPatch, width: int, headings: list[str]) -> str:
    means = [(i % 100) / 100 for i in range(len(headings) + 1)]
    rows = [{"label": label, "edited": label == "smile=yes", "means": means} for label in LABELS]
    report = {"headings": headings, "labels": rows, "verdicts": [], "changes": [], "files": []}
    text = StringIO()
    monkeypatch.setattr(summaries, "edit_report", lambda path: report)
    monkeypatch.setattr(tables, "console", Console(width=width, file=text))
    tables.show_edit(Path("edits.h5"), quiet=False, as_json=False)
    return text.getvalue()


@pytest.mark.parametrize(("width", "blocks"), [(80, 3), (40, 11), (160, 1)])
def test_a_wide_edit_is_printed_in_blocks(monkeypatch: pytest.MonkeyPatch, width: int, blocks: int) -> None:
    headings = [f"alpha {i / 10:g}" for i in range(11)]
    text = printed(monkeypatch, width, headings)
    assert all(len(line) <= width for line in text.splitlines())
    assert "\u2026" not in text, "nothing is clipped"
    assert all(text.count(label) == blocks for label in LABELS), "labels are in every block"
    assert text.count("before") == 1 and all(f" {heading} " in text for heading in headings)
    (first, *_) = [line for line in text.splitlines() if "smile=yes" in line]
    assert "0.00" in first and text.count("0.11") == len(LABELS)


def test_a_table_that_fits_is_printed_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert printed(monkeypatch, 80, ["alpha 1"]).count("smile=yes") == 1


def test_long_headings_are_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(monkeypatch, 24, ["hair_color=blond:0.25"])
    assert "\u2026" not in text and all(len(line) <= 24 for line in text.splitlines())


def test_columns_are_split_where_they_no_longer_fit() -> None:
    assert tables.split_columns([4, 4, 4], 8) == [slice(0, 2), slice(2, 3)]
    assert tables.split_columns([9, 9], 8) == [slice(0, 1), slice(1, 2)]
