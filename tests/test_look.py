"""`gmmedit look`: samples by label."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import done, gmmedit
from PIL import Image
from test_bad_input import check

from gmmedit import artifacts
from gmmedit.pictures.galleries import GAP, HEADING, LINE, PART_GAP, Cell, GalleryRow, make_gallery
from gmmedit.pictures.sheets import BACKGROUND, MARGIN, SMALLEST_TILE
from gmmedit.run.folder import layout_of
from gmmedit.run.hold_out import labelled_rows
from gmmedit.stages.look import describe_labels, find_values

N = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with labels and images."""
    folder = tmp_path_factory.mktemp("looked") / "run"
    done("sample", "--run", folder, "-n", N, "--images")
    done("label", "--run", folder)
    return folder


def test_the_most_and_the_least_confident_of_each_value(folder: Path) -> None:
    with artifacts.open(folder / "labels.h5") as labels:
        rows, probabilities = labelled_rows(labels), labels["labels"]
        values = find_values(labels, probabilities, rows, 4)
        assert sum(value.count for value in values) == N * len(labels.attributes)
        assert [value.column for value in values] == list(range(probabilities.shape[1]))
        most = [column.start + probabilities[:, column].argmax(1) for column in layout_of(labels).columns]
        for value in values:
            own = np.flatnonzero((np.array(most) == value.column).any(0))
            shown = [*value.most, *value.least]
            scores = probabilities[:, value.column]
            assert value.count == len(own) and len(set(shown)) == len(shown) == min(8, len(own))
            assert (np.diff(scores[shown]) <= 0).all() and set(shown) <= set(own.tolist())
            if shown:
                assert scores[shown[0]] == scores[own].max() and scores[shown[-1]] == scores[own].min()
        assert values[1].name == "smile=yes"
        line = describe_labels(labels, probabilities[0])[0]
        assert line == f"smile={'no' if probabilities[0, 0] > 0.5 else 'yes'} {probabilities[0, :2].max():.2f}"


def test_the_sheets(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "run")
    text = done("look", "--run", copy, "-k", 3).stdout
    assert text == f"wrote {copy / 'look' / 'sheet.png'}\nwrote {copy / 'look' / 'samples.png'}\n"
    with Image.open(copy / "look" / "sheet.png") as sheet:
        assert sheet.width == MARGIN + 6 * (SMALLEST_TILE + MARGIN) + PART_GAP
    first, before = (copy / "look" / "samples.png").read_bytes(), (copy / "look" / "sheet.png").read_bytes()
    done("look", "--run", copy, "-k", 4, "--quiet")
    assert (copy / "look" / "sheet.png").read_bytes() != before
    assert (copy / "look" / "samples.png").read_bytes() == first
    assert sorted(path.name for path in (copy / "look").iterdir()) == ["samples.png", "sheet.png"]


def test_generated_images_are_those_stored(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = shutil.copytree(folder, tmp_path / "run")
    done("look", "--run", copy)
    stored = (copy / "look" / "sheet.png").read_bytes()
    monkeypatch.setattr("gmmedit.stages.look.LARGEST_READ", 0)
    done("look", "--run", copy, "--batch", 32)
    assert (copy / "look" / "sheet.png").read_bytes() == stored


def test_a_table_of_many_values_some_of_which_nobody_has(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "run")
    lines = [f"{seed},{seed % 3 if seed % 5 else ''}" for seed in range(N)]
    (tmp_path / "labels.csv").write_text("\n".join(["seed,kind", *lines]) + "\n")
    body = "file: labels.csv\nattributes: {kind: {values: {0: a, 1: b, 2: c, 3: d}}}\n"
    (tmp_path / "labels.yaml").write_text(body)
    done("label", "--run", copy, "--classifier", tmp_path / "labels.yaml", "--force")
    done("look", "--run", copy)
    with artifacts.open(copy / "labels.h5") as labels:
        values = find_values(labels, labels["labels"], labelled_rows(labels), 30)
        assert [value.count for value in values] == [16, 16, 16, 0] and not values[3].most
        assert len(values[0].most) == 16 and not values[0].least


def test_what_stands_in_the_way(folder: Path, tmp_path: Path) -> None:
    check(gmmedit("look", "--run", tmp_path / "none"), "samples.h5 does not exist", "run: gmmedit sample")
    assert gmmedit("look", "--run", folder, "-k", 0).exit_code == 2
    copy = shutil.copytree(folder, tmp_path / "run")
    (copy / "look").symlink_to(tmp_path)
    check(gmmedit("look", "--run", copy), "is a symbolic link", "see where it leads")
    (copy / "look").unlink()
    (copy / "look").write_text("mine")
    check(gmmedit("look", "--run", copy), "cannot write in the folder", "choose another folder")
    assert (copy / "look").read_text() == "mine"


def test_parts_of_a_gallery_begin_at_the_same_places() -> None:
    red, blue = (Image.new("RGB", (128, 96), colour) for colour in ("red", "blue"))
    rows = [
        GalleryRow("long", [[Cell(red, ["1", "2"])] * 3, [Cell(blue, ["3"])]]),
        GalleryRow("short", [[Cell(red, ["4"])], [Cell(blue, ["5"])] * 2]),
        GalleryRow("empty", [[], []]),
    ]
    sheet = make_gallery(rows, "title", ["left", "right"])
    second = MARGIN + 3 * (128 + MARGIN) + PART_GAP
    top = 34 + HEADING + 4
    assert sheet.height == top + 3 * HEADING + 2 * 96 + 3 * LINE + 3 * GAP
    for row_top in (top + HEADING, top + 2 * HEADING + 96 + 2 * LINE + GAP):
        assert sheet.getpixel((MARGIN, row_top)) == (255, 0, 0)
        assert sheet.getpixel((second, row_top)) == (0, 0, 255) and sheet.getpixel((second - 1, row_top)) == BACKGROUND
    wide = make_gallery([GalleryRow("", [[Cell(red, ["a very long line of text below a small image"])] * 2])], "")
    assert wide.width > 2 * 200
