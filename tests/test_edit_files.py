"""What goes into an edit and comes out: draws, files of latents, another generator, locks, exported files."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import done

from gmmedit import artifacts

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
