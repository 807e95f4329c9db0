"""`train stylegan2` and `train classifier` on a user's images: what comes out opens, and resumes to the same bytes."""

import copy
import json
import signal
from collections.abc import Callable
from dataclasses import asdict, make_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import done, gmmedit
from PIL import Image
from small_data import write_idx, write_images, write_table

from gmmedit import classifiers, datasets, generators
from gmmedit.classifiers.convnet import ConvNet
from gmmedit.discovery.training import read_history
from gmmedit.errors import InputError
from gmmedit.runtime.execution import Execution
from gmmedit.runtime.signals import Stopped, StopRequest
from gmmedit.training import from_data, loop
from gmmedit.training.checkpoints import read_checkpoint
from gmmedit.training.from_data import DataRequest, open_data, size_classifier, size_generator
from gmmedit.training.stylegan2 import GANTraining

SMALL = ("--images", 128, "--quiet")


def write_stripes(folder: Path, n: int = 120, size: int = 20) -> None:
    """Images with a bright half, left or right, and the side in a table, but for the last line."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["file,side,constant"]
    for i in range(n):
        pixels = np.random.default_rng(i).integers(0, 100, (size, size, 3), dtype=np.uint8)
        half = slice(0, size // 2) if i % 2 else slice(size // 2, None)
        pixels[:, half] += 120
        Image.fromarray(pixels).save(folder / f"{i:03}.png")
        lines.append(f"{i:03}.png,{'' if i == n - 1 else 'left' if i % 2 else 'right'},1")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step is logged and saved, and networks compute in float32, as everywhere."""
    for name in ("LOG_EVERY", "CHECKPOINT_EVERY", "SHEET_EVERY"):
        monkeypatch.setattr(loop, name, 1)
    monkeypatch.setattr(from_data, "gains_from_bf16", lambda device: False)


@pytest.mark.usefixtures("quick")
def test_a_classifier_learns_a_folder_and_opens_again(tmp_path: Path) -> None:
    write_stripes(tmp_path / "data")
    out = tmp_path / "out"
    words = ("train", "classifier", "--data", tmp_path / "data", "--attr", "side", "--size", 16, "--out", out)
    result = done(*words, "--images", 4096)
    assert f"wrote {out / 'classifier.safetensors'}" in result.output
    network = classifiers.load(str(out / "classifier.safetensors"))
    assert [(a.name, a.values) for a in network.attributes] == [("side", ("left", "right"))]
    data = datasets.load(str(tmp_path / "data"), 16)
    held_out = [row for row in data.held_out() if row != 119]  # that one has no label
    images, labels, _ = data.batch(held_out)
    share = (network.logits(images).argmax(1) == labels[:, 0]).float().mean().item()
    assert share > 0.9
    facts = json.loads(done("inspect", out / "classifier.safetensors", "--json").output)
    assert facts["training_held_out_accuracy"] == {"side": round(share, 4)}
    assert facts["training_held_out_images"] == len(held_out)
    assert facts["family"] == "classifier" and facts["training_images_shown"] == 4096
    assert f"on {len(held_out)} held-out images: side {share:.3f}" in result.output
    assert "train longer" not in result.output


@pytest.mark.usefixtures("quick")
def test_a_classifier_that_has_learned_nothing_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_stripes(tmp_path / "data")
    words = ("train", "classifier", "--data", tmp_path / "data", "--attr", "side", "--size", 16, "--images", 8)
    done(*words, "--out", tmp_path / "out")
    (said,) = [message for message in caplog.messages if "train longer (--images)" in message]
    assert said.startswith("note: side is right in 0.") and "its most frequent value alone" in said


@pytest.mark.usefixtures("quick")
def test_a_generator_of_a_folder_opens_and_is_described(tmp_path: Path) -> None:
    write_idx(tmp_path / "data", "train", 80, zipped=True)
    done("train", "stylegan2", "--data", tmp_path / "data", "--size", 16, "--out", tmp_path / "out", *SMALL)
    path = tmp_path / "out" / "generator.safetensors"
    network = generators.load(str(path))
    assert network.image_shape == (1, 16, 16)
    assert network.synthesize(network.map(network.draw([0, 1]))).shape == (2, 1, 16, 16)
    facts = json.loads(done("inspect", path, "--json").output)
    assert facts["family"] == "StyleGAN2" and facts["training_data"] == "data" and facts["training_data_images"] == 80
    for name in ("samples.png", "samples_0000064.png", "generator.png"):
        with Image.open(tmp_path / "out" / name) as image:
            assert image.size[0] > 100
    done("sample", "--gan", path, "-n", 8, "--run", tmp_path / "run", "--quiet")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("system", ["stylegan2", "classifier"])
def test_a_stopped_training_ends_with_the_same_bytes(system: str, tmp_path: Path) -> None:
    write_stripes(tmp_path / "data")
    request = DataRequest(str(tmp_path / "data"), 16, 96)

    def train(out: Path, execution: Execution) -> Path:
        if system == "stylegan2":
            return from_data.train_stylegan2(out, request, execution)[0]
        return from_data.train_classifier(out, request, ["side"], False, execution)[0]

    whole = train(tmp_path / "whole", Execution())
    stop = StopRequest()
    with pytest.raises(Stopped):
        train(tmp_path / "broken", Execution(tick=lambda *_: stop.ask(signal.SIGINT), stop=stop))
    assert not (tmp_path / "broken" / whole.name).exists()
    assert train(tmp_path / "broken", Execution()).read_bytes() == whole.read_bytes()
    assert train(tmp_path / "other", Execution()).read_bytes() == whole.read_bytes()
    for curves in (tmp_path / "whole").glob("*.png"):
        assert (tmp_path / "broken" / curves.name).read_bytes() == curves.read_bytes()


def test_a_checkpoint_of_other_data_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_stripes(tmp_path / "data")
    words = ("train", "classifier", "--attr", "side", "--size", 16, "--out", tmp_path / "out", *SMALL)
    done(*words, "--data", tmp_path / "data")
    (tmp_path / "data" / "000.png").unlink()
    result = gmmedit(*words, "--data", tmp_path / "data")
    assert result.exit_code == 2 and "different settings: data is" in result.stderr and "--out" in result.stderr


@pytest.mark.parametrize("saved", [{}, [1], {"settings": [], "logged": 0}, {"settings": {}, "logged": -1}])
def test_a_checkpoint_of_no_training_is_refused(saved: object, tmp_path: Path) -> None:
    torch.save(saved, tmp_path / "classifier.checkpoint")
    with pytest.raises(InputError, match="classifier.checkpoint cannot be read") as caught:
        read_checkpoint(tmp_path / "classifier.checkpoint")
    assert "remove it" in caught.value.hint


def test_a_checkpoint_without_weights_is_refused(tmp_path: Path) -> None:
    settings = size_generator(datasets.load("shapes", 16), DataRequest("shapes"))
    training = GANTraining(settings, np.zeros((8, 16, 16, 3), np.uint8))
    torch.save({"settings": asdict(settings), "logged": 0}, tmp_path / f"{training.name}.checkpoint")
    with pytest.raises(InputError, match="checkpoint cannot be read: it has no") as caught:
        loop.resume(training, tmp_path)
    assert "remove it" in caught.value.hint


def shrink_optimiser(state: dict[str, Any]) -> None:
    remembered = state["g_adam"]["state"][0]
    remembered["exp_avg"] = torch.zeros(1, 2, 3)


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: state.update(step="7"),
        lambda state: state.update(step=-1),
        lambda state: state.update(step=10**9),
        lambda state: state.update(phase=99),
        lambda state: state["settings"].update(batch="x"),
        lambda state: state["settings"].update(batch=torch.zeros(3)),
        lambda state: state["settings"].update(network=[1]),
        shrink_optimiser,
    ],
)
def test_a_damaged_state_is_refused(damage: Callable[[dict[str, Any]], None], tmp_path: Path) -> None:
    settings = size_generator(datasets.load("shapes", 16), DataRequest("shapes"))
    training = GANTraining(settings, np.zeros((8, 16, 16, 3), np.uint8))
    for parameter in training.g.parameters():
        parameter.grad = torch.zeros_like(parameter)
    training.g_adam.step()
    state = copy.deepcopy(training.state()) | {"logged": 0}
    torch.save(state, tmp_path / f"{training.name}.checkpoint")
    loop.resume(training, tmp_path)
    damage(state)
    torch.save(state, tmp_path / f"{training.name}.checkpoint")
    with pytest.raises(InputError, match="checkpoint cannot be read: ") as caught:
        loop.resume(training, tmp_path)
    assert "remove it" in caught.value.hint and "MISSING" not in caught.value.message


def test_a_checkpoint_without_a_setting_is_refused(tmp_path: Path) -> None:
    settings = make_dataclass("Settings", [("data", str), ("lr", float, 0.1)])("a")
    loop.check_settings({"data": "a"}, settings, tmp_path)
    with pytest.raises(InputError, match="cannot be read: its setting data is missing"):
        loop.check_settings({"lr": 0.1}, settings, tmp_path)


def test_foreign_lines_of_a_log_are_skipped(tmp_path: Path) -> None:
    good = {"images": 1, "contrast": 0.5, "entropy": 0.5, "told": 0.5, "images_per_second": 1.0}
    others = [good | {"told": "x"}, good | {"told": None}, good | {"told": 10**400}, {"images": 3}]
    lines = [json.dumps(line) for line in (good, *others, good | {"images": 2})]
    log = tmp_path / "contrast.jsonl"
    log.write_text("\n".join(["nothing", "[1]", *lines]) + "\n")
    names = ("contrast", "entropy", "told")
    assert read_history(log, names)["told"] == [0.5, 0.5]
    assert read_history(tmp_path / "none.jsonl", names)["told"] == []
    settings = size_generator(datasets.load("shapes", 16), DataRequest("shapes"))
    training = GANTraining(settings, np.zeros((8, 16, 16, 3), np.uint8))
    log.rename(tmp_path / f"{training.name}.jsonl")
    loop.show(training, tmp_path)
    assert (tmp_path / f"{training.name}.png").exists()


def make_plain(path: Path) -> None:
    write_images(path)


def make_labelled(path: Path) -> None:
    names = write_images(path, 60)
    write_table(path / "labels.csv", names)


def make_rare(path: Path) -> None:
    names = write_images(path, 60)
    rows = [f"{name},{'yes' if i < 3 else 'no'}" for i, name in enumerate(names)]
    (path / "labels.csv").write_text("\n".join(["file,smile", *rows]) + "\n")


def make_one(path: Path) -> None:
    names = write_images(path, 60)
    (path / "labels.csv").write_text("\n".join(["file,smile", *(f"{name},no" for name in names)]) + "\n")


def make_unspeakable(path: Path) -> None:
    lines = [f"{name},{i % 2}" for i, name in enumerate(write_images(path, 60))]
    (path / "labels.csv").write_text("\n".join(["file,a=b", *lines]) + "\n")


@pytest.mark.parametrize(
    ("make", "words", "message", "hint"),
    [
        (make_plain, ("classifier",), "has no attribute to train on", "docs/training.md"),
        (make_labelled, ("classifier", "--attr", "smile"), "has no attribute 'smile'", "there are: glasses, kind"),
        (make_one, ("classifier", "--attr", "smile"), "has smile=no for every image", "choose another --attr"),
        (make_rare, ("classifier",), "training images of smile=yes", "at least 8 of each value"),
        (make_unspeakable, ("classifier",), "has an attribute called 'a=b'", "rename it in the data"),
        (make_plain, ("stylegan2",), "has 22 training images, at least 64", "thousands"),
        (make_plain, ("stylegan2", "--size", "20"), "--size 20 is not one of 16, 32", "--size 64"),
    ],
)
def test_data_that_cannot_be_trained_on(
    make: Callable[[Path], None], words: tuple[str, ...], message: str, hint: str, tmp_path: Path
) -> None:
    make(tmp_path / "data")
    result = gmmedit("train", *words, "--data", tmp_path / "data", "--out", tmp_path / "out")
    assert result.exit_code == 2, result.output
    first, second = result.stderr.splitlines()
    assert first.startswith("error: ") and message in first and second.startswith(" hint: ") and hint in second
    assert not list((tmp_path / "out").glob("*.safetensors"))


def test_corrupt_files_are_counted_when_a_training_ends(tmp_path: Path) -> None:
    write_stripes(tmp_path / "data")
    (tmp_path / "data" / "000.png").write_bytes(b"nothing")
    words = ("--data", tmp_path / "data", "--attr", "side", "--size", 16, "--out", tmp_path / "out", "--images", 128)
    result = done("train", "classifier", *words)
    assert "note: 1 of 120 images left out: 000.png: cannot identify" in result.output


@pytest.mark.parametrize(("size", "images"), [(16, 600), (32, 600), (64, 600), (128, 600)])
def test_networks_are_sized_to_the_images(size: int, images: int) -> None:
    data = open_data(DataRequest("shapes", size))
    settings = size_generator(data, DataRequest("shapes", size, images))
    assert settings.network.resolution == size and len(settings.network.channels) == len(settings.network.resolutions)
    assert sum(shown for _, shown in settings.phases) == images
    training = from_data.GANTraining(settings, np.zeros((8, size, size, 3), np.uint8), phase=len(settings.phases) - 1)
    assert training.d(torch.zeros(4, 3, size, size)).shape == (4,)
    for evaluator in (False, True):
        network = size_classifier(data, data.attributes, DataRequest("shapes"), evaluator).network
        assert ConvNet(network).logits(torch.zeros(1, 3, size, size)).shape == (1, 57)


def test_images_of_odd_sizes_become_the_next_size(tmp_path: Path) -> None:
    write_idx(tmp_path, "train", 30, zipped=False)
    assert open_data(DataRequest(str(tmp_path))).image_shape == (1, 32, 32)
    write_images(tmp_path / "wide", 20, (90, 70))
    assert open_data(DataRequest(str(tmp_path / "wide"))).image_shape == (3, 64, 64)
    with pytest.raises(InputError, match="--size 48 is not one of"):
        open_data(DataRequest(str(tmp_path), 48))
