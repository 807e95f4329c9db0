"""One command by several processes: the same bytes, whoever dies; and one line, whoever fails (wide_harness.py)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).with_name("wide_harness.py")

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="forks as on Linux"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def report() -> dict[str, str]:
    """What came of each trial; all of them in one process of their own, which forks before it computes."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run([sys.executable, str(HARNESS)], capture_output=True, text=True, env=environment)
    print(result.stdout, result.stderr)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_two_and_four_processes_make_what_one_makes(report: dict[str, str]) -> None:
    assert report["two_and_four"] == "ok"


def test_a_killed_process_and_the_next_run(report: dict[str, str]) -> None:
    assert report["killed"] == "ok"


def test_processes_that_are_asked_to_stop(report: dict[str, str]) -> None:
    assert report["stopped"] == "ok"


def test_one_fails_and_all_end_with_its_line(report: dict[str, str]) -> None:
    assert report["one_fails"] == "ok"


def test_what_all_would_say_is_said_once(report: dict[str, str]) -> None:
    assert report["all_fail"] == "ok"


def test_a_slow_process_does_not_hold_the_others(report: dict[str, str]) -> None:
    assert report["handed_out"] == "ok"


def test_one_process_has_no_group(report: dict[str, str]) -> None:
    assert report["alone_again"] == "ok"
