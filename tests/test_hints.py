"""Hints name commands that can be pasted: on the same run, the oldest step first."""

from pathlib import Path

import pytest
from conftest import refuse, rewrite
from small_run import write_run

from gmmedit import artifacts
from gmmedit.artifacts.stale import commands_to_redo
from gmmedit.errors import InputError
from gmmedit.run.network_checks import check_fingerprint
from gmmedit.runtime.commands import on_run


def test_the_default_run_is_not_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GMMEDIT_RUN", raising=False)
    assert on_run("gmmedit label", Path("runs/default")) == "gmmedit label"
    assert on_run("gmmedit label", Path("my runs/a")) == "gmmedit label --run 'my runs/a'"
    monkeypatch.setenv("GMMEDIT_RUN", str(tmp_path))
    assert on_run("gmmedit label", tmp_path) == "gmmedit label"
    assert on_run("gmmedit label", Path("runs/default")) == "gmmedit label --run runs/default"


def test_the_oldest_stale_step_comes_first(own_run: Path) -> None:
    rewrite(own_run / "samples.h5", w=lambda w: w + 1)
    steps = [f"gmmedit {step} --force --run {own_run}" for step in ("label", "fit-single", "fit-mixture")]
    steps[0] += " --classifier avatars"
    refuse(own_run, "edit", "--attr", "smile", says=(f" hint: run: {' && '.join(steps)}\n",))
    (own_run / "single.h5").unlink()
    steps[1] = f"gmmedit fit-single --run {own_run}"
    refuse(own_run, "edit", "--attr", "smile", says=(f" hint: run: {' && '.join(steps)}\n",))


def test_hints_do_not_replace_labels_by_those_of_another_classifier(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    again = f"gmmedit label --force --run {folder} --classifier nobody"
    with artifacts.open(folder / "labels.h5") as labels, pytest.raises(InputError) as caught:
        check_fingerprint(labels, "classifier", labels.spec.classifier, "b" * 64)
    assert caught.value.hint == f"run: {again}"
    assert commands_to_redo(folder, known=("labels",))[0] == again
    (folder / "labels.h5").write_bytes(b"no longer known")
    with pytest.raises(InputError) as caught:
        artifacts.open(folder / "labels.h5")
    asked = f"gmmedit label --force --run {folder} --classifier NAME"
    assert caught.value.hint == f"with the options it was made with, run: {asked}"
    assert commands_to_redo(folder)[0] == asked
    (folder / "labels.h5").unlink()
    assert commands_to_redo(folder)[0] == f"gmmedit label --run {folder}"
