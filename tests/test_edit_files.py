"""What goes into an edit and comes out: draws, files of latents, another generator, locks, exported files."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import check, done, gmmedit, untouched

from gmmedit import artifacts, disk
from gmmedit.errors import RunError
from gmmedit.stages import edit

Edit = Callable[..., artifacts.Artifact]


@pytest.fixture
def edited(run: Path, tmp_path: Path) -> Edit:
    """`edited("--attr", "smile")` runs gmmedit edit, unpolished, on the shared run and opens its edits.h5."""
    count = itertools.count()

    def command(*words: object, folder: Path = run) -> artifacts.Artifact:
        out = tmp_path / f"edit{next(count)}"
        done("edit", "--run", folder, "--out", out, "--polish", 0, *words)
        return artifacts.open(out / "edits.h5", "edits")

    return command


# Draws


def test_the_draw_of_an_image_depends_on_the_seed_and_the_image_alone(edited: Edit) -> None:
    words = ("--attr", "hair_color=red", "--attr", "glasses:-1", "--draw", "sample")
    many = edited(*words, "--index", "0-7")["latents"][0]
    for index, rows in (("3", [3]), ("5,3,7,1,0", [5, 3, 7, 1, 0]), ("6-7", [6, 7])):
        assert np.array_equal(edited(*words, "--index", index)["latents"][0], many[rows]), index


def test_the_draw_of_a_row_is_that_of_its_seed(edited: Edit) -> None:
    words = ("--attr", "smile", "--draw", "sample")
    rows, seeds = (edited(*words, source, "2,9")["latents"] for source in ("--index", "--seeds"))
    assert np.allclose(rows, seeds, atol=1e-3)


def test_no_two_images_or_seeds_share_a_draw(run: Path, edited: Edit, tmp_path: Path) -> None:
    """Of equal latents, so that nothing but the draw can differ."""
    with artifacts.open(run / "samples.h5") as samples:
        np.savez(tmp_path / "same.npz", w=np.repeat(samples["w"][:1], 12, 0))
    words = ("--attr", "hair_color=red", "--draw", "sample", "--latents", tmp_path / "same.npz")
    latents = [edited(*words, "--seed", seed)["latents"][0] for seed in (0, 4)]
    drawn = np.concatenate(latents).reshape(24, -1)
    assert len(np.unique(drawn, axis=0)) == 24


# Two edits into one folder, and options without effect


def test_images_are_written_while_the_lock_is_held(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a new edit, and of one that is done already."""
    words, real, refused = (
        ("edit", "--run", run, "--out", tmp_path, "--attr", "smile", "--polish", 0),
        edit.write_pictures,
        [],
    )

    def write(path: Path, title: str) -> list[Path]:
        with pytest.raises(RunError, match="is being written by another process"), disk.alone(path):
            pass
        refused.append(title)
        return real(path, title)

    monkeypatch.setattr(edit, "write_pictures", write)
    for _ in range(2):
        done(*words, "--index", "1")
    assert refused == ["smile", "smile"] and not (tmp_path / "edits.h5.lock").exists()


def test_an_edit_waits_for_no_other_and_changes_none_of_its_images(run: Path, tmp_path: Path) -> None:
    words = ("edit", "--run", run, "--out", tmp_path, "--attr", "smile", "--index", "1", "--polish", 0)
    done(*words)
    with disk.alone(tmp_path / "edits.h5"), untouched(tmp_path):
        for more in ((), ("--alpha", 0.5)):
            check(gmmedit(*words, *more), "is being written by another process", code=1)


def test_images_that_a_killed_process_did_not_write_are_written_when_it_runs_again(run: Path, tmp_path: Path) -> None:
    words = ("edit", "--run", run, "--out", tmp_path, "--attr", "smile", "--index", "0-2", "--polish", 0)
    done(*words)
    folder = tmp_path / "edits"
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "sheet.png").unlink()
    (folder / "image_1.png").unlink()
    (folder / "image_2.png").write_bytes(b"of an older edit")
    (folder / "image_77.png.tmp").write_bytes(b"of a killed process")
    done(*words)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole


def test_options_without_effect_are_taken_and_not_offered(run: Path, tmp_path: Path) -> None:
    words = ("edit", "--run", run, "--out", tmp_path, "--attr", "smile", "--index", "1", "--polish", 0)
    said = done(*words, "--batch", 4, "--force").stderr.splitlines()
    assert said == ["note: --batch has no effect on edit", "note: --force has no effect on edit"]
    for command, options in (("edit", ("--batch", "--force")), ("report", ("--batch",))):
        text = done(command, "--help").stdout
        assert not any(option in text for option in options)
