"""Progress lines and the run's log: what is said, how often, and that no result depends on it."""

import logging
import re
import threading
from pathlib import Path

import pytest
from conftest import check, done, gmmedit

from gmmedit.cli.output import open_execution
from gmmedit.runtime import log as logbook
from gmmedit.runtime import progress
from gmmedit.runtime.progress import Pace

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[\d+\] (.*)")


def log_of(folder: Path) -> list[str]:
    return [LINE.fullmatch(line)[1] for line in (folder / logbook.FILE).read_text().splitlines()]  # type: ignore[index]


def test_the_pace_is_that_of_this_piece_of_work() -> None:
    times = iter([100.0, 102.0, 104.0, 110.0, 120.0, 121.0])
    pace = Pace("cuda:0", lambda: next(times))
    assert pace.words(500, 1000) == "500 of 1000, on cuda:0"  # resumed there
    assert pace.words(550, 1000) == "550 of 1000, 25/s, 0:00:18 left, on cuda:0"
    assert pace.words(600, 1000) == "600 of 1000, 25/s, 0:00:16 left, on cuda:0"
    assert pace.words(3, 17) == "3 of 17, on cuda:0"
    assert pace.words(4, 17) == "4 of 17, 0.1/s, 0:02:10 left, on cuda:0"
    assert pace.words(1, 17) == "1 of 17, on cuda:0"


def test_hours() -> None:
    assert [progress.hours(it) for it in (0.4, 59.6, 3599, 90061)] == ["0:00:00", "0:01:00", "0:59:59", "25:01:01"]


def test_plain_lines_and_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    monkeypatch.setattr("sys.argv", ["gmmedit", "sample", "-n", "600"])
    result = done("sample", "-n", 600, "--run", tmp_path / "run")
    said = result.stderr.splitlines()
    assert len(said) == 3 and said[0] == "samples: 256 of 600, on cpu"
    assert re.fullmatch(r"samples: 600 of 600, \d+/s, 0:00:00 left, on cpu", said[2])
    began, *lines, ended = log_of(tmp_path / "run")
    assert began.startswith("began: gmmedit sample -n 600 (version ") and began.endswith(", cpu)")
    assert lines == said and ended.startswith("ended: done, 0:00:")


def test_a_bar_is_shown_only_once_there_is_progress(capsys: pytest.CaptureFixture[str],
                                                     monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """A finished file leaves nothing to do, and nothing is to be seen of it."""
    monkeypatch.setenv("FORCE_COLOR", "1")  # to rich, a terminal
    monkeypatch.setenv("TERM", "xterm")
    with progress.shown_ticks(Pace(), quiet=False):
        pass
    assert capsys.readouterr().err == ""
    with progress.shown_ticks(Pace(), quiet=False) as tick:
        tick(1, 2, "samples")
    assert "samples" in capsys.readouterr().err


def test_quiet_is_kept_in_the_log_too(tmp_path: Path) -> None:
    result = done("sample", "-n", 20, "--run", tmp_path / "run", "--quiet")
    assert result.output == "" and len(log_of(tmp_path / "run")) == 2


def test_errors_and_warnings_are_in_the_log(tmp_path: Path) -> None:
    run = tmp_path / "run"
    done("sample", "-n", 20, "--run", run)
    check(gmmedit("sample", "-n", 7, "--run", run), "was created with different settings")
    result = done("label", "--run", run)
    warnings = [line for line in result.stdout.splitlines() if line.startswith("warning: ")]
    lines = log_of(run)
    assert (
        lines[3].startswith("ended: ") and "was created with different settings" in lines[3] and "(--force" in lines[3]
    )
    assert warnings and [line for line in lines if line.startswith("warning: ")] == warnings


def test_what_is_logged_reaches_the_terminal_and_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("gmmedit")
    before = (log.level, list(log.handlers))
    with open_execution(tmp_path, "cpu", 16, False, False, quiet=True):
        log.warning("note: %s of\nthem", "two")
        log.info("a detail")
        assert capsys.readouterr().err == "note: two of them\n"
    assert log_of(tmp_path)[1:-1] == ["note: two of them", "a detail"]
    assert (log.level, list(log.handlers)) == before
    log.info("of another command")
    assert len(log_of(tmp_path)) == 4


def test_no_log_before_there_is_a_run_folder(tmp_path: Path) -> None:
    assert gmmedit("sample", "--gan", "nobody", "--run", tmp_path / "run").exit_code == 2
    assert gmmedit("label", "--run", tmp_path / "run").exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "run" / logbook.FILE).mkdir(parents=True)
    done("sample", "-n", 20, "--run", tmp_path / "run")
    assert (tmp_path / "run" / "samples.h5").exists()


def test_commands_in_several_threads_keep_their_logs_apart(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folders, together, logger = [tmp_path / "a", tmp_path / "b"], threading.Barrier(2), logging.getLogger("gmmedit")

    def command(folder: Path) -> None:
        folder.mkdir()
        with logbook.logging_to(folder):
            together.wait()
            with logbook.logging_to(None):
                logger.warning("in %s", folder.name)
            together.wait()
            if folder.name == "b":
                together.wait()
                logger.info("b is the last")
        if folder.name == "a":
            together.wait()

    level, handlers = logger.level, list(logger.handlers)
    threads = [threading.Thread(target=command, args=[folder]) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    texts = [(folder / logbook.FILE).read_text() for folder in folders]
    assert texts[0].endswith("in a\n") and texts[0].count("\n") == 1
    assert texts[1].endswith("b is the last\n") and texts[1].count("\n") == 2 and "in b" in texts[1]
    assert logger.level == level and logger.handlers == handlers
    assert sorted(set(capsys.readouterr().err.split("\n"))) == ["", "in a", "in b"]
    with logbook.logging_to(tmp_path / "a"):
        helper = threading.Thread(target=logger.info, args=["a helper's"])
        helper.start()
        helper.join()
    assert (tmp_path / "a" / logbook.FILE).read_text().endswith("a helper's\n")
