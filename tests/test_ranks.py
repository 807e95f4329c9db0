"""One command by several processes: the same bytes, whoever dies; and one line, whoever fails (wide_harness.py)."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

HARNESS = Path(__file__).with_name("wide_harness.py")

TOGETHER = ("two_and_four",), ("killed", "stopped", "one_fails", "all_fail", "handed_out", "alone_again", "trainings")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks as on Linux")


@cache
def reports(trials: tuple[str, ...]) -> dict[str, str]:
    """What came of the trials; all of them in one process of their own, which forks before it computes."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run([sys.executable, str(HARNESS), *trials], capture_output=True, text=True, env=environment)
    print(result.stdout, result.stderr)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def outcome(trial: str) -> str:
    """`ok`, or a traceback."""
    return next(reports(trials) for trials in TOGETHER if trial in trials)[trial]


def test_two_and_four_processes_make_what_one_makes() -> None:
    assert outcome("two_and_four") == "ok"


def test_a_killed_process_and_the_next_run() -> None:
    assert outcome("killed") == "ok"


def test_processes_that_are_asked_to_stop() -> None:
    assert outcome("stopped") == "ok"


def test_one_fails_and_all_end_with_its_line() -> None:
    assert outcome("one_fails") == "ok"


def test_what_all_would_say_is_said_once() -> None:
    assert outcome("all_fail") == "ok"


def test_a_slow_process_does_not_hold_the_others() -> None:
    assert outcome("handed_out") == "ok"


def test_trainings_by_several_processes_end_with_the_bytes_of_one() -> None:
    assert outcome("trainings") == "ok"


def test_one_process_has_no_group() -> None:
    assert outcome("alone_again") == "ok"
