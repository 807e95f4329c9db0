"""People's own labels of their photographs: joined by file name, fitted, edited, looked at and verified."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import check, done, gmmedit, rewrite

from gmmedit import artifacts, classifiers
from gmmedit.artifacts import RunSpec
from gmmedit.artifacts.stale import commands_to_redo
from gmmedit.classifiers.table import Table
from gmmedit.errors import InputError
from gmmedit.evaluation.label_regression import LabelRegression
from gmmedit.run.folder import RunFolder
from gmmedit.run.hold_out import labelled_rows
from gmmedit.run.labelled import labelled_latents
from gmmedit.runtime.execution import Execution
from gmmedit.spaces import fit_chart

FILES = [f"{name}-{number}.jpg" for number in range(30) for name in ("anna", "ben", "cem", "dora")]
QUICK = "fit_single: {steps: 100, batch: 64, lr: 0.02, read: linear}\nfit_mixture: {steps: 3, consistency: 'off'}\n"


def table(folder: Path, text: str) -> Table:
    (folder / "own.csv").write_text(text)
    found = classifiers.load(str(folder / "own.csv"))
    assert isinstance(found, Table)
    return found


def test_lines_join_by_the_names_of_files(tmp_path: Path) -> None:
    found = table(tmp_path, "seed,photo,smile\n7,away/cem.jpg,1\n8,anna.jpg,0\n9,other.jpg,1\n")
    found.join_files(["anna.jpg", "ben.jpg", "cem.jpg"])
    labels = found.from_logits(found.rows(0, 3, 5))
    torch.testing.assert_close(labels[[0, 2], 1], torch.tensor([0.0, 1.0]), atol=2e-6, rtol=0)
    assert labels[1].isnan().all()
    missing, notes = found.left_out(3, 5)
    assert missing == 1 and "1 of 3 photographs have no label" in notes[0] and "(first: ben.jpg)" in notes[0]
    assert "1 of 3 lines of own.csv belong to no photograph of inversions.h5" in notes[1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file,smile\na.jpg,1\na.jpg,0\n", "line 3, file: a.jpg occurs a second time"),
        ("file,smile\na.jpg,1\nx/a.jpg,0\n", "line 3, file: x/a.jpg occurs a second time"),
        ("file,smile\na.jpg,1\n,0\n", "line 3, file: an empty cell is not a file name"),
        ("file,smile\na.jpg,1\n12,0\n", "line 3, file: 12 is not a file name"),
        ("seed,smile\n0,1\n", "has no column of file names"),
        ("smile\n1\n", "has no column of file names"),
    ],
)
def test_tables_that_name_no_photographs(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says):
        table(tmp_path, text).join_files(["a.jpg", "b.jpg"])


def test_a_table_of_other_photographs(tmp_path: Path) -> None:
    found = table(tmp_path, "file,smile\nx.jpg,1\ny.jpg,0\n")
    found.join_files(["a.jpg", "b.jpg", "c.jpg", "d.jpg"])
    says = r"has no label for any of the 4 photographs, a.jpg, b.jpg, c.jpg, \.\.\."
    with pytest.raises(InputError, match=says) as caught:
        found.left_out(4, 0)
    assert caught.value.hint == "name the files as inversions.h5 does; the first in column file is x.jpg"


def write_inversions(folder: Path) -> np.ndarray:
    """inversions.h5 of 120 photographs that the generator makes: their latents (120, L, D) in W+."""
    with artifacts.open(folder / "samples.h5") as samples:
        record, parent, latent = samples.spec.generator, samples.fingerprint, samples["w"][:120]
        gan = samples.spec.config["gan"]
    layers = classifiers_layers(gan)
    latents = np.repeat(latent[:, None], layers, 1)
    latents[:, 0] += 0.3  # the layers differ, as in W+
    spec = RunSpec(
        "inversions", 120, config={"files": FILES, "space": "w+"}, parents={"samples": parent}, generator=record,
        sizes={"L": layers, "D": latents.shape[2], "H": 4, "W": 4, "C": 3},
    )  # fmt: skip
    rows = {"latents": latents, **dict.fromkeys(("images", "reconstructions"), np.zeros((120, 4, 4, 3), np.uint8))}
    rows |= dict.fromkeys(("start_error", "error", "feature_error", "density", "percentile"), np.zeros(120, np.float32))
    with artifacts.create_rows(folder / "inversions.h5", spec) as out:
        out.write(0, 120, rows)
        out.finish()
    return latents


def classifiers_layers(gan: str) -> int:
    from gmmedit import generators

    return generators.load(gan).spaces["w"].layers


def test_own_labels_are_fitted_and_edited(run: Path, tmp_path: Path) -> None:
    place = tmp_path / "run"
    place.mkdir()
    shutil.copy(run / "samples.h5", place)
    shutil.copy(run / "labels.h5", place)
    latents = write_inversions(place)
    with RunFolder(place, Execution()) as found:
        whole = torch.from_numpy(found.samples["w"])
        chart = fit_chart(found.space("w"), whole)
    means = chart.from_x(chart.to_x(torch.from_numpy(latents)).mean(1)).numpy()
    smile = means[:, 0] > np.median(means[:, 0])
    lines = [f"{FILES[row]},{int(smile[row])}" for row in np.random.default_rng(0).permutation(120)[:116]]
    (tmp_path / "own.csv").write_text("\n".join(["file,smile", *lines]) + "\n")
    (tmp_path / "quick.yaml").write_text(QUICK)
    words = ("--run", place, "--config", tmp_path / "quick.yaml")
    (tmp_path / "few.csv").write_text("\n".join(["file,smile", *lines[:18]]) + "\n")
    said = done("label", "--inverted", "--classifier", tmp_path / "few.csv", "--force", *words).output
    assert "of 18 photographs, a fit needs 10" in said.replace("\n", " ")
    said = done("label", "--inverted", "--classifier", tmp_path / "own.csv", "--force", *words).output
    assert "4 of 120 photographs have no label" in said.replace("\n", " ")
    done("fit-single", *words)
    done("fit-mixture", *words)
    with RunFolder(place, Execution()) as found:
        assert torch.equal(found.chart().mean, chart.mean), "that of all samples, not of the photographs"
        rows = np.array([0, 7, 119])
        torch.testing.assert_close(labelled_latents(found, "w", rows, chart), torch.from_numpy(means[rows]))
        read = found.model().responsibilities(chart.to_x(torch.from_numpy(means)))[:, 1] > 0.5
        assert (read.numpy() == smile).mean() > 0.85
        with torch.no_grad():  # what evaluates edits learns photographs as they are and as reconstructed
            features, labels = LabelRegression(found, 0.1, None).read(found, labelled_rows(found.labels)[:5])
        assert len(features) == 10 and torch.equal(labels[:5], labels[5:])
    done("edit", "--inverted", "--index", "0", "--attr", "smile", "--out", tmp_path / "edits", *words)
    with artifacts.open(tmp_path / "edits" / "edits.h5") as edits:
        assert edits["labels_after"].max() <= 1
    look = done("look", "-k", "2", "--run", place).output
    assert "sheet.png" in look
    assert "labels.h5" in done("verify", "--run", place, "--rows", "3").output
    redo = commands_to_redo(place, known=("labels",))[0]
    assert redo.startswith("gmmedit label --force --run") and redo.endswith(
        f"--inverted --classifier {tmp_path}/own.csv"
    )
    rewrite(place / "inversions.h5", error=lambda error: error + 1)  # the photographs are inverted anew
    again = gmmedit("fit-single", "--force", "--seed", 1, *words)
    check(again, "labels.h5 was made from another", "--inverted --classifier")
    rewrite(place / "samples.h5", z=lambda z: z + 1)  # and other samples are drawn
    steps = [command.split(" --")[0] for command in commands_to_redo(place)]
    assert steps == ["gmmedit invert IMAGE", "gmmedit label", "gmmedit fit-single", "gmmedit fit-mixture"]


def test_networks_do_not_label_photographs(run: Path, tmp_path: Path) -> None:
    place = tmp_path / "run"
    place.mkdir()
    shutil.copy(run / "samples.h5", place)
    check(gmmedit("label", "--inverted", "--run", place, "--classifier", tmp_path / "no.csv"), "no.csv")
    write_inversions(place)
    check(gmmedit("label", "--inverted", "--run", place), "needs a table of labels", "a column of file names")
    (tmp_path / "own.csv").write_text("file,smile\nanna.jpg,1\nben.jpg,0\n")
    hint = "names of photographs: label --inverted"
    table_alone = gmmedit("label", "--run", place, "--classifier", tmp_path / "own.csv")
    check(table_alone, "does not match the other names", hint)
    (tmp_path / "own.csv").write_text(f"file,smile\n{FILES[0]},1\nben.jpg,0\n")
    table_alone = gmmedit("label", "--run", place, "--classifier", tmp_path / "own.csv")
    check(table_alone, f"own.csv labels photographs ({FILES[0]}), not samples", "hint: label --inverted")
    rewrite(place / "samples.h5", z=lambda z: z + 1)
    stale = gmmedit("label", "--inverted", "--run", place, "--classifier", tmp_path / "own.csv")
    check(stale, "inversions.h5 was made from another", "hint: run: gmmedit invert IMAGE --force --run")


def test_tables_of_image_files_are_not_rows(tmp_path: Path) -> None:
    """As 12.png, which may be row 12, where there is such an image; `by` says that it is."""
    numbered = table(tmp_path, "file,smile\n0.png,1\n1.png,0\n")
    assert numbered.find_photographs([]) is None and numbered.find_photographs(["x/1.png"]) == "1.png"
    (tmp_path / "1.png").touch()
    assert numbered.find_photographs([]) == "1.png"
    (tmp_path / "own.yaml").write_text("{file: own.csv, by: row}")
    assert classifiers.load(str(tmp_path / "own.yaml")).find_photographs(["1.png"]) is None
    of_seeds = table(tmp_path, "file,smile\nseed0.png,1\nseed1.png,0\n")
    assert of_seeds.find_photographs(["seed0.png"]) is None


@pytest.mark.parametrize(
    "text",
    [
        ",file,smile\n0,b.jpg,1\n1,a.jpg,0\n",
        "row,photo,smile\n0,b.jpg,1\n1,A.JPG,0\n",
        "row,name,smile\n0,b,1\n1,a,0\n",
        "file,smile\nimg1,1\nimg2,0\n",
    ],
)
def test_an_index_beside_names_of_photographs(text: str, tmp_path: Path) -> None:
    assert table(tmp_path, text).find_photographs(["x/a.jpg", "img1.png"]) in ("a.jpg", "A.JPG", "a", "img1")
    assert table(tmp_path, text).find_photographs(["c.jpg"]) is None


def test_values_are_not_names_of_photographs(tmp_path: Path) -> None:
    lines = "".join(f"{row},{'red' if row % 2 else 'black'}\n" for row in range(8))
    assert table(tmp_path, "row,hair\n" + lines).find_photographs(["red.jpg"]) is None


def test_damaged_inversions_are_said(run: Path, tmp_path: Path) -> None:
    shutil.copy(run / "samples.h5", tmp_path)
    (tmp_path / "inversions.h5").write_bytes(b"damaged")
    (tmp_path / "own.csv").write_text(",file,smile\n0,a.jpg,1\n1,b.jpg,0\n")
    result = gmmedit("label", "--run", tmp_path, "--classifier", tmp_path / "own.csv")
    check(result, "inversions.h5 is not an HDF5 file", "gmmedit invert IMAGE")
