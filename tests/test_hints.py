"""Hints name commands that can be pasted: on the same run, the oldest step first."""

import logging
from pathlib import Path

import pytest
from conftest import refuse, rewrite
from small_run import write_run

from gmmedit import artifacts, classifiers
from gmmedit.artifacts.spec import differences
from gmmedit.artifacts.stale import commands_to_redo
from gmmedit.errors import InputError
from gmmedit.run.network_checks import check_fingerprint, check_there
from gmmedit.runtime.commands import on_run
from gmmedit.runtime.log import logging_to


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


def test_a_table_that_is_gone_is_put_back(tmp_path: Path) -> None:
    with artifacts.open(write_run(tmp_path) / "labels.h5") as labels:
        with pytest.raises(InputError, match="was made with own/labels.csv, which is not there") as caught:
            check_there(labels, "own/labels.csv")
        assert caught.value.hint.startswith("put labels.csv back")
        for name in ("avatars", "org/model-1.5", "factory.py:make"):
            check_there(labels, name)


def test_errors_are_of_bounded_length(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(f"{'x' * 70_000}\nno number\n")
    with pytest.raises(InputError, match="'no number' is not a number") as caught:
        classifiers.load(str(tmp_path / "labels.csv"))
    assert len(caught.value.message) < 2100 and len(caught.value.hint) < 2100
    files = [f"photo-{number}.jpg" for number in range(1000)]
    (found,) = differences({"files": str(files)}, {"files": str(files[::-1])})
    assert len(found) < 700


def test_notes_and_logs_hold_no_control_characters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to(tmp_path):
        logging.getLogger("gmmedit").warning("note: left out: %s", "a\x1b[31m\nb\r.png")
    assert capsys.readouterr().err == "note: left out: a?[31m b .png\n"
    assert (tmp_path / "gmmedit.log").read_text().endswith("left out: a?[31m b .png\n")
