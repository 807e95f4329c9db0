"""benchmarks/gpu.py, the program for a machine with a card: its parts run on the CPU, on networks of a few pixels."""

import argparse
import json
import time
from pathlib import Path
from types import ModuleType

import pytest
import torch

from gmmedit import artifacts, generators
from gmmedit.runtime.execution import Execution

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import gpu

    return gpu


def test_synthesis_is_compared_with_its_convolutions(gpu: ModuleType) -> None:
    synthesis, meter = gpu.synthesis, gpu.Meter("cpu", 0.0)
    rows = synthesis.measure_case(synthesis.QUICK[0], "bf16", meter, peak=1e12)
    assert [row["way"] for row in rows] == ["channels last", "NCHW"]
    for row in rows:
        assert 0 < row["rms_error"] < 0.05 and row["seconds"] > 0 and row["peak_mb"] is None
        assert 0 < row["convolutions"]["dense"] <= row["convolutions"]["all"]
        assert row["of_its_convolutions"] == pytest.approx(row["convolutions"]["dense"] / row["seconds"])
        assert row["of_the_peak"] == pytest.approx(row["images_per_second"] * row["gflop_an_image"] / 1e3)
    broken = synthesis.try_row(rows[0] | {"peak": 1.0}, "CUDA graph", lambda: [][0], meter)
    assert broken["error"] == "list index out of range" and broken["way"] == "CUDA graph"
    network, w = synthesis.open_case(synthesis.QUICK[0], "cpu")
    with torch.no_grad(), synthesis.Convolutions() as noted:
        network.synthesize(w)
    assert len(noted.calls) == 7 + 3 + 3, "3x3 convolutions, low-passes after four of them but one, and of the image"


def test_steps_and_edits_of_a_run_are_timed(gpu: ModuleType, run: Path) -> None:
    runs, meter = gpu.runs, gpu.Meter("cpu", 0.0)
    step = runs.time_fit_step(run, meter, 4)
    assert step["batch"] == 4 and step["networks_alone"] > 0 and step["seconds"] > 0
    edit = runs.time_edit(run, meter, runs.embedded(600), polish=0)
    assert edit["images"] == 8 and edit["at_once"] == 1 and edit["seconds"] > 0


def test_a_large_network_gets_a_classifier_that_is_in_two_minds(gpu: ModuleType, tmp_path: Path) -> None:
    subject = gpu.runs.make_large(tmp_path, 32, 512, "cpu", 64)
    gpu.runs.draw_and_label(tmp_path / "run", subject, Execution())
    with artifacts.open(tmp_path / "run/labels.h5", "labels") as labels:
        assert all(0.2 < share < 0.8 for share in labels["labels"].mean(0))
    assert gpu.runs.mean_difference(tmp_path / "run", tmp_path / "run", "labels", "logits") == 0


def test_the_generator_is_trained_on(gpu: ModuleType, tmp_path: Path) -> None:
    found = gpu.training.train_on(tmp_path, "cpu", 600, quick=True)
    assert (found["step"], found["size"]) == (4, 16)
    assert gpu.training.train_on(tmp_path, "cpu", 600, quick=True)["step"] == 4, "and resumed"
    assert generators.load(str(tmp_path / "so-far.safetensors")).image_shape == (3, 16, 16)
    settings = gpu.training.longer_settings()
    assert settings.schedule[-1].images == settings.phases[-1][1] == 4 * 380_000


def test_parts_are_written_one_by_one(gpu: ModuleType, tmp_path: Path) -> None:
    path, found = tmp_path / "gpu.json", {"seconds": {}}
    budget, late = gpu.Budget(100.0, time.monotonic()), gpu.Budget(100.0, time.monotonic() - 95)
    gpu.measure_part(gpu.Part("fit", 10, lambda: {"seconds": 1.0}), found, budget, path)
    gpu.measure_part(gpu.Part("edit", 10, lambda: [][0]), found, budget, path)
    gpu.measure_part(gpu.Part("synthesis", 10, lambda: 1 / 0), found, late, path)
    written = json.loads(path.read_text())
    assert written["fit"] == {"seconds": 1.0} and written["edit"]["error"] == "IndexError: list index out of range"
    assert found["synthesis"] is None, "left out: there was no time"
    assert set(gpu.judge(found).values()) == {None}
    found = {
        "correct": {"w": {"ok": True}, "images": {"ok": False}}, "labelling": {"embedded": {"of_the_bare_loop": 0.97}},
        "edit": {"large": {"seconds": 12.0}},
        "synthesis": {"rows": [{"network": "a", "way": "channels last", "of_its_convolutions": 0.6}]},
    }  # fmt: skip
    assert list(gpu.judge(found).values()) == [False, True, True, False]
    options = argparse.Namespace(device="cpu", quick=False, compile=True)
    parts = gpu.list_parts(options, tmp_path, budget)
    assert [part.name for part in parts] == ["correct", "labelling", "fit", "edit", "synthesis"]
