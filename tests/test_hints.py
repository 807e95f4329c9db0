"""Hints name commands that can be pasted: on the same run, the oldest step first."""

from pathlib import Path

import pytest
from conftest import refuse, rewrite

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
    refuse(own_run, "edit", "--attr", "smile", says=(f" hint: run: {' && '.join(steps)}\n",))
    (own_run / "single.h5").unlink()
    steps[1] = f"gmmedit fit-single --run {own_run}"
    refuse(own_run, "edit", "--attr", "smile", says=(f" hint: run: {' && '.join(steps)}\n",))
