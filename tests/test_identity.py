"""What is the same result and what is not: precision elsewhere, a network at another path, seeds seen before."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import check, done, gmmedit, untouched
from small_run import write_run
from test_pipeline import Stopped

from gmmedit import artifacts, config
from gmmedit.artifacts.spec import RunSpec, differences
from gmmedit.editors.baselines.linear import LinearEditor
from gmmedit.errors import InputError
from gmmedit.fitting import loop as fitting
from gmmedit.run.hold_out import first_unseen
from gmmedit.runtime.execution import Execution
from gmmedit.stages import evaluate, fit_mixture

ASKED = RunSpec("mixture", 10, config={"precision": "auto"})
FIT = config.FitMixtureSettings(steps=5, batch=8)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Whether the processor multiplies bf16, as torch sees it."""

    def has_bf16(answer: bool) -> None:
        monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: answer)

    return has_bf16


# Precision


@pytest.mark.parametrize(("there", "now", "same"), [
    (replace(ASKED, resolved={"precision": "bf16"}), ASKED, True),
    (replace(ASKED, resolved={"precision": "bf16"}), replace(ASKED, config={"precision": "bf16"}), True),
    (replace(ASKED, resolved={"precision": "bf16"}), replace(ASKED, config={"precision": "fp32"}), False),
    (replace(ASKED, config={"precision": "bf16"}), ASKED, True),  # as earlier versions wrote it
    (replace(ASKED, config={"precision": "bf16"}), replace(ASKED, config={"precision": "fp32"}), False),
    (replace(ASKED, config={"read": "linear"}), replace(ASKED, config={"read": "auto"}), False),
])  # fmt: skip
def test_auto_is_whatever_it_came_to(there: RunSpec, now: RunSpec, same: bool) -> None:
    assert (differences(there.facts(), now.facts()) == []) == same
    assert RunSpec.from_record(there.record()).resolved == there.resolved


def test_a_fit_is_done_on_another_machine_too(own_quick_run: Path, machine) -> None:
    machine(True)
    (own_quick_run / "mixture.h5").unlink()
    path = fit_mixture.run(own_quick_run, FIT, Execution())
    with artifacts.open(path) as mixture:
        assert mixture.spec.config["precision"] == "auto" and mixture.spec.resolved == {"precision": "bf16"}
    machine(False)
    with untouched(own_quick_run):
        fit_mixture.run(own_quick_run, FIT, Execution())
        fit_mixture.run(own_quick_run, FIT.model_copy(update={"precision": "bf16"}), Execution())
        with pytest.raises(InputError, match='precision is "bf16" there and "fp32" now'):
            fit_mixture.run(own_quick_run, FIT.model_copy(update={"precision": "fp32"}), Execution())
    assert artifacts.describe(path)["resolved"] == {"precision": "bf16"}


def test_a_fit_that_was_begun_elsewhere_goes_on_in_its_precision(
    own_quick_run: Path, machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(True)
    (own_quick_run / "mixture.h5").unlink()
    path = fit_mixture.run(own_quick_run, FIT, Execution())
    whole = path.read_bytes()
    path.unlink()
    monkeypatch.setattr(fitting, "CHECKPOINT_EVERY", 2)

    def tick(count: int, total: int, text: str) -> None:
        if count == 3:
            raise Stopped

    with pytest.raises(Stopped):
        fit_mixture.run(own_quick_run, FIT, Execution(tick=tick))
    machine(False)
    assert fit_mixture.run(own_quick_run, FIT, Execution()).read_bytes() == whole
    path.unlink()
    assert fit_mixture.run(own_quick_run, FIT, Execution()).read_bytes() != whole, "begun here it is computed in fp32"


def test_what_evaluate_has_seen_in_another_precision_is_not_used_by_compare(own_quick_run: Path, machine) -> None:
    few = config.EvaluateSettings(n=48, starts=1, editors=["none"])
    machine(False)
    evaluate.run(own_quick_run, few, Execution(batch=64))
    machine(True)
    with untouched(own_quick_run):
        evaluate.run(own_quick_run, few, Execution(batch=64))
    words = ("compare", "--run", own_quick_run, "--config", settings_of(own_quick_run), "-n", 48, "--editors", "none")
    done(*words)
    evaluation, comparison = (artifacts.open(own_quick_run / f"{kind}.h5") for kind in ("evaluation", "comparison"))
    with evaluation as one, comparison as other:
        assert (one.spec.resolved, other.spec.resolved) == ({"precision": "fp32"}, {"precision": "bf16"})
        assert not np.array_equal(one["seen/none/0/logits"], other["seen/none/0/logits"])


def settings_of(folder: Path) -> Path:
    path = folder / "few.yaml"
    path.write_text("compare: {starts: 1}\nevaluate: {starts: 1}\n")
    return path


# Networks


PROGRAM = """
def load():
    return lambda x: 9 * (x.mean([2, 3])[:, :2] - 0.5)
"""
DESCRIPTION = """file: f.py:load
input: {size: 32}
activation: sigmoid
accuracy: 0.8
rates: {red: {no: 0.5, yes: 0.5}, green: {no: 0.5, yes: 0.5}}
attributes: {red: {}, green: {}}
"""


def test_an_evaluation_classifier_is_known_by_its_fingerprint(own_quick_run: Path, tmp_path: Path) -> None:
    """It is calibrated as for the labels, wherever its file lies."""
    for place in (tmp_path / "a", tmp_path / "b"):
        place.mkdir()
        (place / "f.py").write_text(PROGRAM)
        (place / "f.yaml").write_text(DESCRIPTION)
    done("label", "--run", own_quick_run, "--classifier", tmp_path / "a" / "f.yaml", "--force")
    (tmp_path / "s.yaml").write_text("fit_single: {steps: 24, batch: 128}\nfit_mixture: {steps: 3, batch: 8}\n")
    done("fit-single", "--run", own_quick_run, "--config", tmp_path / "s.yaml", "--force")
    done("fit-mixture", "--run", own_quick_run, "--config", tmp_path / "s.yaml", "--force", "--consistency", "off")
    found = {}
    for place in "ab":
        words = ("--classifier", tmp_path / place / "f.yaml", "-n", 48, "--editors", "none", "--force")
        told = done("evaluate", "--run", own_quick_run, "--config", settings_of(own_quick_run), *words)
        assert "which also made the labels: all figures are optimistic" in told.stdout
        with artifacts.open(own_quick_run / "evaluation.h5") as scored:
            found[place] = scored["unedited/logits"]
    assert np.array_equal(found["a"], found["b"])
    with artifacts.open(own_quick_run / "labels.h5") as labels:
        assert labels.attrs["calibration"]["scale"] != [1.0] * 4, "it says something"


# Seeds


def samples_of(folder: Path, seed: int, n: int) -> artifacts.Artifact:
    spec = RunSpec("samples", n, seed=seed, sizes={"z_dim": 1})
    with artifacts.create_rows(folder / "samples.h5", spec) as out:
        for start, stop in out.pending():
            out.write(start, stop, {"z": np.zeros((stop - start, 1), np.float32)})
        out.finish()
    return artifacts.open(folder / "samples.h5")


@pytest.mark.parametrize(("seed", "n", "asked", "count", "first"), [
    (0, 40, 5_000_000, 30, 5_000_000),
    (5_000_000, 40, 5_000_000, 30, 5_000_040),
    (5_000_029, 40, 5_000_000, 30, 5_000_069),  # one of them
    (5_000_030, 40, 5_000_000, 30, 5_000_000),  # none of them
    (4_999_960, 40, 5_000_000, 30, 5_000_000),
    (4_999_961, 40, 5_000_000, 30, 5_000_001),
    (100, 40, 90, 5_000, 140),
    (2**31 - 1, 40, 2**31 - 1, 2**31 - 1, 0),
])  # fmt: skip
def test_unseen_seeds_are_none_of_the_samples(
    seed: int, n: int, asked: int, count: int, first: int, tmp_path: Path
) -> None:
    with samples_of(tmp_path, seed, n) as samples:
        assert first_unseen(asked, count, samples) == first


def test_no_seed_is_left(tmp_path: Path) -> None:
    with samples_of(tmp_path, 2**30, 40) as samples, pytest.raises(InputError, match="leaves no"):
        first_unseen(2**30, 2**32 - 2**30, samples)


def test_evaluate_does_not_judge_on_what_was_fitted(own_quick_run: Path, quick_world: Path) -> None:
    """The samples of a run from seed 5,000,000 on are the ones that evaluate would have taken."""
    few = ("--config", settings_of(own_quick_run), "-n", 48, "--editors", "none")
    made = ("--run", own_quick_run, "--config", quick_world / "small.yaml", "--force")
    done("sample", *made, "-n", 600, "--seed", 5_000_000)
    done("label", *made)
    (own_quick_run / "s.yaml").write_text("fit_single: {steps: 24, batch: 128}\nfit_mixture: {steps: 3, batch: 8}\n")
    done("fit-single", "--run", own_quick_run, "--config", own_quick_run / "s.yaml", "--force")
    done("fit-mixture", "--run", own_quick_run, "--config", own_quick_run / "s.yaml", "--force", "--consistency", "off")
    told = done("evaluate", "--run", own_quick_run, *few).stdout
    assert "note: evaluated on seeds from 5000600 on: samples.h5 contains some of those from 5000000" in told
    with (
        artifacts.open(own_quick_run / "evaluation.h5") as scored,
        artifacts.open(own_quick_run / "labels.h5") as labels,
    ):
        assert scored.spec.config["first_seed"] == 5_000_600
        assert not np.allclose(scored["unedited/logits"][:4], labels["logits"][:4], atol=1)
    with untouched(own_quick_run):
        done("evaluate", "--run", own_quick_run, *few)


def test_an_evaluation_on_fitted_samples_is_not_reported(tmp_path: Path) -> None:
    """Earlier versions made such; verify says so, and report leaves them out and says so."""
    write_run(tmp_path)
    shutil.rmtree(tmp_path / "edits", ignore_errors=True)
    with artifacts.open(tmp_path / "evaluation.h5") as old:
        spec, arrays, attrs = old.spec, {name: old[name] for name in old.names}, old.attrs
    spec = replace(spec, config={**spec.config, "first_seed": 20})
    artifacts.write_whole(tmp_path / "evaluation.h5", spec, arrays, attrs)
    told = json.loads(gmmedit("verify", tmp_path / "evaluation.h5", "--json").stdout)["checks"]
    parents = next(entry for entry in told if entry["check"] == "parents")
    assert parents["result"] == "failed" and "seeds from 20 on" in parents["detail"]
    assert "was evaluated on seeds from 20 on" in gmmedit("report", "--run", tmp_path).stdout


def test_compare_refuses_unknown_editors_before_it_works(own_run: Path) -> None:
    check(gmmedit("compare", "--run", own_run, "--editors", "nobody"), "there is no editor called 'nobody'")


def edited(folder: Path, draw: str, seed: int) -> np.ndarray:
    done("edit", "--run", folder, "--attr", "smile", "--index", "0-1", "--polish", 0, "--draw", draw, "--seed", seed)
    with artifacts.open(folder / "edits.h5") as edits:
        return edits["latents"]


def test_the_seed_of_edit_is_that_of_draws(own_run: Path) -> None:
    assert np.array_equal(edited(own_run, "coupled", 0), edited(own_run, "coupled", 1))
    assert np.array_equal(edited(own_run, "mean", 0), edited(own_run, "mean", 1))
    assert not np.array_equal(edited(own_run, "sample", 0), edited(own_run, "sample", 1))


def test_the_seed_of_compare_is_that_of_editors_and_not_of_samples(
    own_quick_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LinearEditor, "strengths", (0.0, 1.0))
    found = []
    for seed in (0, 1):
        words = ("-n", 48, "--editors", "random,none", "--seed", seed, "--force")
        done("compare", "--run", own_quick_run, "--config", settings_of(own_quick_run), *words)
        with artifacts.open(own_quick_run / "comparison.h5") as scored:
            found.append({name: scored[name] for name in scored.names})
    first, second = found
    for name in ("unedited/logits", "seen/none/1/logits", "seen/random/1/rows"):
        assert np.array_equal(first[name], second[name])
    assert not np.array_equal(first["seen/random/1/logits"][-1], second["seen/random/1/logits"][-1])


def test_a_size_that_is_also_a_setting_is_named_once() -> None:
    there, now = ({"n": n, "config.n": n} for n in ("400", "300"))
    assert differences(there, now) == ["n is 400 there and 300 now"]
