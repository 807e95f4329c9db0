"""`evaluate` and `compare`, as a user would run them, on a small world and on the embedded model."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import done, gmmedit, untouched
from small_world import EVALUATION
from test_bad_input import check
from test_pipeline import Stopped

from gmmedit import artifacts, config
from gmmedit.editors import catalogue
from gmmedit.editors.base import Editor, Unsuitable
from gmmedit.editors.baselines import flow
from gmmedit.editors.baselines.linear import LinearEditor
from gmmedit.evaluation import sweep as scoring
from gmmedit.evaluation.judge import Judge
from gmmedit.evaluation.results import read_figures
from gmmedit.generators import Generator
from gmmedit.run.folder import RunFolder
from gmmedit.runtime.execution import Execution
from gmmedit.runtime.registry import Registry
from gmmedit.stages import compare, evaluate

KEYS = {"method", "space", "metric", "attribute", "value", "low", "high", "n", "strength"}
pytestmark = pytest.mark.usefixtures("little_work")

SPECIAL = ("counterfactual", "code", "structural", "direction")  # of runs with a graph, a trained system, directions


@pytest.fixture(autouse=True)
def few_strengths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Editor, "strengths", (0.0, 0.5, 1.0))
    monkeypatch.setattr(LinearEditor, "strengths", (0.0, 0.5, 1.0))
    monkeypatch.setattr(flow, "STEPS", 20)


@pytest.fixture
def few(quick_world: Path) -> config.EvaluateSettings:
    return config.EvaluateSettings(n=24, starts=4, polish=1, classifier=str(quick_world / EVALUATION))


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_evaluation_resumes_and_tells_figures(
    own_quick_run: Path, few: config.EvaluateSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "SAVED_EVERY", 0)
    settings = few.model_copy(update={"editors": ["mixture", "random"], "precision": "bf16"})
    seen: list[tuple[int, str]] = []

    def tick(done: int, total: int, text: str) -> None:
        seen.append((done, text))
        if seen[-1] == (3, "random"):
            raise Stopped

    with pytest.raises(Stopped):
        evaluate.run(own_quick_run, settings, Execution(batch=64, tick=tick))
    assert artifacts.describe(own_quick_run / "evaluation.h5.partial")["state"] == "checkpoint"
    seen.clear()
    path = evaluate.run(own_quick_run, settings, Execution(batch=16, tick=lambda *words: seen.append(words[::2])))
    assert seen[0] == (2, "random"), "it goes on with the category that it was at"
    whole = {it["metric"]: it for it in read(path.with_suffix(".jsonl"))}
    rows = read(path.with_suffix(".jsonl"))
    assert all(row.keys() == KEYS for row in rows) and {"dt", "fidelity", "ad_mean@1sd", "drift@0.8"} <= whole.keys()
    path.unlink()
    evaluate.run(own_quick_run, settings, Execution(batch=64))
    again = read(path.with_suffix(".jsonl"))
    same = [row for row in rows if row["metric"] not in ("fit_seconds", "fit_memory")]
    assert same == [row for row in again if row["metric"] not in ("fit_seconds", "fit_memory")]

    with artifacts.open(path) as scored:
        flipped = scored["seen/mixture/1/logits"][..., :2].argmax(-1) == 1
        assert scored["seen/mixture/1/logits"].shape[:2] == (3, 4) and not flipped[0].any()
    best = next(
        row for row in rows if (row["method"], row["metric"], row["attribute"]) == ("mixture", "flip_best", "smile=yes")
    )
    assert best["value"] == pytest.approx(flipped.mean(1).max()) and best["n"] == 4 and best["space"] == "w"


@torch.no_grad()
def test_what_the_judge_sees_does_not_depend_on_the_batch(run: Path) -> None:
    seen = []
    for batch in (1, 16, 64):
        execution = Execution(batch=batch)
        with RunFolder(run, execution) as folder:
            judge = Judge(folder.renderer, "w", folder.classifier, None, "bf16", execution, [], True, [])
            seen.append(judge.observe(torch.from_numpy(folder.samples.rows("w", 0, 44))))
    for outputs in seen[1:]:
        assert all(torch.equal(one, other) for one, other in zip(outputs, seen[0], strict=True))


def test_every_editor_is_compared_and_what_evaluate_has_seen_is_used(
    own_quick_run: Path, few: config.EvaluateSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for editor in (Editor, LinearEditor):
        monkeypatch.setattr(editor, "strengths", (0.0, 1.0))
    evaluate.run(own_quick_run, few.model_copy(update={"editors": ["mixture"]}), Execution(batch=64))
    seen = []
    path = compare.run(own_quick_run, few, Execution(batch=64, tick=lambda *words: seen.append(words[-1])))
    names = [name for name in catalogue.names() if name not in SPECIAL]
    assert set(seen) == {*catalogue.names()} - {"mixture"}
    with artifacts.open(path, "comparison") as scored:
        assert scored.attrs["editors"] == names and len(scored.attrs["notes"]) == len(SPECIAL)
        moved = [scored[f"seen/{name}/1/logits"][-1].tobytes() for name in names]
        assert len(set(moved)) == len(moved), "no two editors do the same"
        for name in names:
            assert np.isfinite(scored[f"seen/{name}/1/logits"]).all()
        assert np.array_equal(scored["seen/none/1/logits"][0], scored["seen/none/1/logits"][-1])
    none = {
        row["metric"]: row["value"]
        for row in read_figures(path)
        if (row["method"], row["attribute"]) == ("none", "all")
    }
    assert none["dt"] == 0 and none["flip_best"] == 0 and none["path_length"] == 0

    with untouched(own_quick_run):
        words = ("compare", "--run", own_quick_run, "--config", settings_of(tmp_path, few))
        told = json.loads(done(*words, "--json").stdout)
        text = done(*words).stdout
    assert {row["method"] for row in told["figures"]} == {*names, "samples"}
    assert "two-valued attributes" in text and "many-valued attributes" in text and "mixture-polished" in text
    assert text.endswith(f"{path} is up to date\n{path.with_suffix('.jsonl')} is up to date\n")


def settings_of(folder: Path, settings: config.EvaluateSettings) -> Path:
    path = folder / "few.yaml"
    path.write_text(f"compare: {settings.model_dump_json(exclude_unset=True)}\n")
    return path


def test_the_judge_is_named_where_he_has_made_the_labels(own_run: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = ("evaluate", "--run", own_run, "-n", 24, "--editors", "random", "--classifier", "avatars")
    assert "note: evaluated by avatars, which also made the labels: all figures are optimistic" in done(*words).stdout
    figures = own_run / "evaluation.jsonl"
    rows, whole = read(figures), figures.read_bytes()
    assert any(row["metric"] == "identity@0.5" or row["metric"] == "identity@0.8" for row in rows)
    figures.write_bytes(whole.replace(b"}", b"", 1))
    with caplog.at_level(logging.WARNING):
        assert read_figures(own_run / "evaluation.h5") == rows and figures.read_bytes() == whole
    assert caplog.messages[-1] == f"note: recomputing the figures of {figures}: line 1 is damaged"
    figures.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    with caplog.at_level(logging.WARNING):
        assert read_figures(own_run / "evaluation.h5") == rows and figures.read_bytes() == whole
    assert caplog.messages[-1] == f"note: recomputing the figures of {figures}: lines are missing"


def unsuitable(_: object) -> None:
    raise Unsuitable("sefa edits W, this run is in z", hint="--editors mixture")


def test_editors_that_do_not_suit_are_left_out_or_refused(
    own_quick_run: Path, few: config.EvaluateSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"sefa": f"{__name__}:unsuitable", "random": catalogue.ENTRIES["random"].target, "numpy": "numpy:array"}
    monkeypatch.setattr(catalogue, "REGISTRY", Registry("editor", known, "gmmedit.editors"))
    check(
        gmmedit("compare", "--run", own_quick_run, "--editors", "numpy"), "editor 'numpy' is a ndarray, not an Editor"
    )
    del catalogue.REGISTRY.builtin["numpy"]
    path = compare.run(own_quick_run, few, Execution(batch=64))
    with artifacts.open(path) as scored:
        assert scored.attrs["editors"] == ["random"]
        assert scored.attrs["notes"] == ["omitted: sefa edits W, this run is in z"]
    path.unlink()
    check(gmmedit("compare", "--run", own_quick_run, "--editors", "sefa"), "sefa edits W, this run is in z")


def test_samples_that_all_have_a_value(own_quick_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    same = torch.ones(4, 8)
    monkeypatch.setattr(Generator, "draw", lambda *_: same)
    check(gmmedit("evaluate", "--run", own_quick_run, "-n", 4), "all 4 evaluation samples already have", "-n 1000")
