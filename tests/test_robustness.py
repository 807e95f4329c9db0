"""What `label` stores beside the labels: thumbnails, and how much disturbance the classifier bears."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import check, done, gmmedit, untouched
from torch import Tensor

from gmmedit import artifacts
from gmmedit.config import EditSettings
from gmmedit.editing.session import open_session
from gmmedit.errors import InputError
from gmmedit.pictures.pixels import from_bytes
from gmmedit.report.labels import describe_robustness
from gmmedit.run.folder import RunFolder
from gmmedit.run.recorded import read_robustness
from gmmedit.run.rendering import make_thumbnails
from gmmedit.run.robustness import NOISES, make_rungs, measure_contrast, measure_robustness, standing_rungs
from gmmedit.runtime.execution import Execution


@dataclass(frozen=True)
class Shown:
    """Images (N, 1, H, W) and the log-odds of one attribute."""

    images: Tensor
    odds: Callable[[Tensor], Tensor]

    def read(self, start: int, stop: int) -> Tensor:
        return self.images[start:stop]

    def show(self, rows: Tensor) -> Tensor:
        return rows

    def classify(self, images: Tensor) -> Tensor:
        odds = self.odds(images)
        return torch.stack([-odds, odds], 1)


def measured(images: Tensor, odds: Callable[[Tensor], Tensor]) -> dict:
    rungs = make_rungs(images.shape[-2:])
    return measure_robustness(Shown(images, odds), rungs, [2], len(images), Execution())


def halves(n: int = 200) -> Tensor:
    """Grey images (n, 1, 64, 32); in every other one the right half is light, in the others the left."""
    light = torch.zeros(n, 1, 64, 32)
    light[::2, ..., 16:], light[1::2, ..., :16] = 1, 1
    return light


def test_what_sees_the_whole_picture_bears_all_but_mirroring() -> None:
    found = measured(halves(), lambda images: images[..., 16:].mean((1, 2, 3)) - images[..., :16].mean((1, 2, 3)))
    assert found == {"shift": 1 / 32, "noise": 0.3, "mirror": False, "contrast": 1.0, "bands": [0.0, 0.0, 1.0]}


def test_what_looks_at_a_border_or_a_pixel_bears_less() -> None:
    edge = measured(halves(), lambda images: images[..., 16].mean((1, 2)) - 0.5)
    assert edge["shift"] == 0 and edge["noise"] == 0.3, "a pixel to the left already moves the border"
    pixel = measured(halves(), lambda images: images[:, 0, 0, 31] - 0.95)
    assert pixel["noise"] in NOISES[:4] and pixel["shift"] == 1 / 32 and not pixel["mirror"]
    even = measured(halves(), lambda images: images.mean((1, 2, 3)) - 0.4)
    assert even["mirror"] and even["noise"] == 0.3


def test_the_largest_is_the_one_before_the_first_that_fails() -> None:
    rungs = make_rungs((128, 128))
    assert [rung.size for rung in rungs if rung.name == "shift"] == [p / 128 for p in (1, 2, 3, 4)]
    lost = torch.zeros(len(rungs), 2, dtype=torch.int64)
    lost[2], lost[4, 0] = torch.tensor([0, 33]), 99
    standing = standing_rungs(rungs, lost, 160)
    assert [rungs[i].size * 128 for i in standing if rungs[i].name == "shift"] == [1, 2], "16.5 of 160 are too many"
    lost[2, 1] = 32
    assert [rungs[i].size * 128 for i in standing_rungs(rungs, lost, 160)][:5] == [1, 2, 3, 4, 128]  # and mirrored
    assert not [rung for rung in make_rungs((8, 8)) if rung.name == "shift"], "a pixel is too much of 8"


def test_contrast() -> None:
    found = measure_contrast(torch.tensor([0.0, 1.0, -1.0]).view(3, 1, 1, 1))
    assert found == {"contrast": pytest.approx((1 + 1 + 2) / 3, abs=1e-6), "bands": [0, 0, pytest.approx(4 / 3)]}
    assert measure_contrast(torch.ones(1, 3, 4, 4)) == {"contrast": 0, "bands": [0, 0, 0]}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with images and labels."""
    folder = tmp_path_factory.mktemp("stored") / "run"
    done("sample", "--run", folder, "-n", 40, "--images", "--seed", 5)
    done("label", "--run", folder)
    return folder


def test_thumbnails_are_those_of_the_images(stored: Path) -> None:
    with artifacts.open(stored / "samples.h5") as samples, artifacts.open(stored / "labels.h5") as labels:
        assert labels["thumbnails"].shape == (40, 16, 16, 3)
        assert np.array_equal(labels["thumbnails"], make_thumbnails(from_bytes(samples["images"])).numpy())
        assert labels.attrs["robustness"].keys() == {"shift", "noise", "mirror", "contrast", "bands"}


@pytest.mark.parametrize("words", [("--from-images",), ("--batch", 3), ("--batch", 64)])
def test_the_bytes_are_the_same_whatever_the_way(stored: Path, words: tuple[object, ...]) -> None:
    wanted = (stored / "labels.h5").read_bytes()
    (stored / "labels.h5").unlink()
    done("label", "--run", stored, *words)
    assert (stored / "labels.h5").read_bytes() == wanted


def test_the_line_and_json(stored: Path) -> None:
    told = json.loads(done("label", "--run", stored, "--json").stdout)["robustness"]
    assert told["shift"] * 64 in (1, 2, 3, 4) and told["noise"] in NOISES and 0.2 < told["contrast"] < 0.5
    (line,) = [
        line for line in done("label", "--run", stored).stdout.splitlines() if line.startswith("robustness (90% ")
    ]
    assert line == describe_robustness(told)
    assert "shifts up to 0 of" in describe_robustness(told | {"shift": 0.0})


def test_a_table_has_neither(stored: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("smile\n" + "0.2\n0.7\n" * 20)
    done("sample", "--run", tmp_path / "run", "-n", 40)
    result = done("label", "--run", tmp_path / "run", "--classifier", tmp_path / "labels.csv")
    assert "robustness" not in result.stdout
    with artifacts.open(tmp_path / "run" / "labels.h5") as labels:
        assert "thumbnails" not in labels and "robustness" not in labels.attrs


WHOLE = {"shift": 0.0, "noise": 0.02, "mirror": False, "contrast": 0.4, "bands": [0.1, 0.1, 0.4]}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"bands": [0.1]}, "robustness: bands: "),
        ({"bands": None}, "robustness: bands: "),
        ({"noise": float("nan")}, "robustness: noise: "),
        ({"shift": 7}, "robustness: shift: "),
        ({"contrast": "x"}, "robustness: contrast: "),
    ],
)
def test_a_record_that_label_does_not_write(change: dict, says: str, tmp_path: Path) -> None:
    labels = SimpleNamespace(path=tmp_path / "labels.h5", attrs={"robustness": WHOLE}, again="run: gmmedit label")
    assert read_robustness(labels).bands == WHOLE["bands"]  # type: ignore[arg-type]
    labels.attrs = {"robustness": WHOLE | change}
    with pytest.raises(InputError, match=says) as caught:
        read_robustness(labels)  # type: ignore[arg-type]
    assert caught.value.hint == "run: gmmedit label"
    labels.attrs = {}
    with pytest.raises(InputError, match="a table gave the labels"):
        read_robustness(labels)  # type: ignore[arg-type]


def test_labels_that_are_up_to_date_need_no_generator(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(stored, tmp_path / "run")
    with artifacts.open(folder / "samples.h5") as samples:
        assert samples.attrs["image_shape"] == [3, 64, 64]
    monkeypatch.setattr("gmmedit.generators.load", lambda *_, **__: pytest.fail("the generator is not needed"))
    with untouched(folder):
        done("label", "--run", folder)


@pytest.mark.parametrize("shape", ["3x64x64", [64, 64], [3, 64, -1], [3, 64.0, 64], [True, 64, 64], [3, 32, 32]])
def test_a_recorded_image_shape_that_is_none(shape: object, stored: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(stored, tmp_path / "run")
    with artifacts.open(folder / "samples.h5") as old:
        spec, attrs, contents = old.spec, old.attrs, {name: old[name] for name in old.names}
    with artifacts.create_rows(folder / "samples.h5", spec, attrs=attrs | {"image_shape": shape}) as out:
        out.write(0, spec.n, contents)
        out.finish()
    (folder / "labels.h5").unlink()
    refused = gmmedit("label", "--run", folder)
    check(refused, "image_shape is" if shape != [3, 32, 32] else "of another shape", "gmmedit sample --force")


def test_samples_of_earlier_versions_record_no_shape(stored: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(stored, tmp_path / "run")
    with artifacts.open(folder / "samples.h5") as old:
        spec, attrs, contents = old.spec, dict(old.attrs), {name: old[name] for name in old.names}
    del attrs["image_shape"]
    with artifacts.create_rows(folder / "samples.h5", spec, attrs=attrs) as out:
        out.write(0, spec.n, contents)
        out.finish()
    (folder / "labels.h5").unlink()
    done("label", "--run", folder)
    with artifacts.open(folder / "labels.h5") as labels:
        assert labels["thumbnails"].shape == (40, 16, 16, 3)


def test_a_session_reads_the_record_once(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    monkeypatch.setattr("gmmedit.run.folder.read_robustness", lambda labels: read.append(1) or read_robustness(labels))
    with RunFolder(run, Execution()) as folder:
        session = open_session(folder, EditSettings())
    assert len(read) == 1 and session.optimisation is not None and session.contrast
