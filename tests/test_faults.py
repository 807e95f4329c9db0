"""Every write of a command fails once: one line says so, finished work is kept, and the same command goes on."""

import errno
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import check, done, gmmedit
from small_training import tiny_training  # noqa: F401  a fixture

from gmmedit.artifacts import row_writer
from gmmedit.fitting import loop as fitting
from gmmedit.runtime import storage as disk

WRITES = ("open", "pwrite", "fsync", "ftruncate", "truncate", "replace", "utime")
SAYS = {
    errno.ENOSPC: ("no space left for", "free some space and run the same command again"),
    errno.EDQUOT: ("no space left for", "free some space and run the same command again"),
    errno.EIO: ("disk error while writing", "input/output error", "run the same command again"),
}


class Failing:
    """The module `os`, whose `at`-th write, counted from 1, fails."""

    def __init__(self, at: int, code: int) -> None:
        self.at, self.code, self.count = at, code, 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return self.failing(real) if name in WRITES else real

    def failing(self, real: Callable) -> Callable:
        def call(*args: object, **named: object) -> object:
            self.count += 1
            if self.count == self.at:
                raise OSError(self.code, os.strerror(self.code))
            return real(*args, **named)

        return call


def attempt(monkeypatch: pytest.MonkeyPatch, at: int, code: int, words: tuple[object, ...]) -> Any:
    with monkeypatch.context() as patch:
        failing = Failing(at, code)
        patch.setattr(disk, "os", failing)
        patch.setattr(row_writer, "os", failing)
        return gmmedit(*words), failing.count >= at


def each_write_fails(
    monkeypatch: pytest.MonkeyPatch, folder: Path, words: tuple[object, ...], results: list[str], every: int = 1
) -> int:
    """Fail the first write, and once it is done again undisturbed the second, ...; how many there are.

    `folder` holds what the command reads; the command's last word is to be the folder that it writes into.
    """
    calm = shutil.copytree(folder, folder.with_name("calm"))
    done(*words, calm)
    codes = list(SAYS)
    at = 1
    while True:
        wild = shutil.copytree(folder, folder.with_name(f"wild{at}"))
        code = codes[at // every % len(codes)]
        result, hit = attempt(monkeypatch, at, code, (*words, wild))
        if not hit:
            assert result.exit_code == 0
            return at - 1
        check(result, *SAYS[code], code=1)
        done(*words, wild)
        for name in results:
            assert (wild / name).read_bytes() == (calm / name).read_bytes(), f"write {at}"
        left = {str(path.relative_to(wild)) for path in wild.rglob("*")}
        assert left == {str(path.relative_to(calm)) for path in calm.rglob("*")}, f"write {at}"
        shutil.rmtree(wild)
        at += every


def test_every_write_of_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    words = ("sample", "-n", 300, "--quiet", "--run")
    assert each_write_fails(monkeypatch, tmp_path / "run", words, ["samples.h5"]) >= 20


def test_every_write_of_a_fit(run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fitting, "CHECKPOINT_EVERY", 1)
    (tmp_path / "run").mkdir()
    for name in ("samples.h5", "labels.h5"):
        shutil.copy(run / name, tmp_path / "run")
    monkeypatch.setattr(fitting, "write_cost", lambda *_: None)  # what a fit took is no result, see below
    (tmp_path / "small.yaml").write_text("fit_single: {steps: 2, batch: 32, read: linear}\n")
    words = ("fit-single", "--config", tmp_path / "small.yaml", "--quiet", "--run")
    assert each_write_fails(monkeypatch, tmp_path / "run", words, ["single.h5"]) > 15


def test_every_write_of_an_edit_and_its_pictures(run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    words = ("edit", "--run", run, "--attr", "smile", "--index", "0", "--polish", 0, "--quiet", "--out")
    results = ["edits.h5", "edits/sheet.png", "edits/image_0.png"]
    each_write_fails(monkeypatch, tmp_path / "out", words, results, every=3)


@pytest.mark.usefixtures("tiny_training")
def test_every_write_of_a_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    words = ("train", "classifier", "--quiet", "--out")
    assert each_write_fails(monkeypatch, tmp_path / "out", words, ["classifier.safetensors"]) > 15


def test_what_a_fit_took_is_kept_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from gmmedit.errors import RunError
    from gmmedit.runtime.cost import Cost, read_costs, write_cost

    write_cost(tmp_path, "single", Cost(1.0, 2.0))
    for at in range(1, 6):
        with monkeypatch.context() as patch:
            patch.setattr(disk, "os", Failing(at, errno.ENOSPC))
            if at < 5:  # open, write, open and sync
                with pytest.raises(RunError, match="no space left for"):
                    write_cost(tmp_path, "mixture", Cost(3.0, 4.0))
        assert [row["fit"] for row in read_costs(tmp_path)] == ["single"]
    write_cost(tmp_path, "mixture", Cost(3.0, 4.0))
    assert [row["fit"] for row in read_costs(tmp_path)] == ["single", "mixture"]


def test_a_bad_line_of_the_costs_is_named_and_spoils_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from gmmedit.runtime.cost import Cost, cost_of_fits, write_cost

    path = tmp_path / "costs.jsonl"
    write_cost(tmp_path, "single", Cost(1.0, 2.0))
    path.write_bytes(path.read_bytes() + b'{"fit": "mixture", "seconds": 9\n\n[1]\n\xff\n' + b"[" * 100_000)
    spoiled = path.read_bytes()
    write_cost(tmp_path, "mixture", Cost(3.0, 4.0))
    assert path.read_bytes().startswith(spoiled), "nothing is thrown away"
    assert cost_of_fits(tmp_path) == Cost(4.0, 4.0)
    assert caplog.messages == [f"note: left out line 2, 4, 5, 6 of {path}: not a record of a fit"]


def test_costs_that_are_no_numbers_are_unknown(tmp_path: Path) -> None:
    from gmmedit.runtime.cost import cost_of_fits

    assert math.isnan(cost_of_fits(tmp_path).seconds)
    for seconds in ("null", '"soon"', "[]"):
        (tmp_path / "costs.jsonl").write_text(f'{{"fit": "single", "seconds": {seconds}, "memory": {{}}}}\n')
        assert math.isnan(cost_of_fits(tmp_path).seconds)


def test_a_folder_that_goes_away_in_the_middle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from gmmedit.stages import sample

    folder, real = tmp_path / "run", sample.draw_rows
    words = ("sample", "-n", 600, "--quiet", "--run", folder)

    def draw(*args: Any) -> Any:
        if args[1] == 256:
            shutil.rmtree(folder)
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(sample, "draw_rows", draw)
        check(gmmedit(*words), f"cannot write in the folder {folder}: no such file or directory")
    assert not folder.exists()
    done(*words)
