"""Every command under kills at random instants; `make kill` does the same at length (tests/kill_harness.py)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).with_name("kill_harness.py")
STAGES = ("sample", "label", "fit-single", "fit-mixture", "edit", "evaluate")
TRAININGS = ("train", "train-generator")


@pytest.mark.skipif(sys.platform != "linux", reason="forks as on Linux")
@pytest.mark.parametrize("commands", [STAGES, TRAININGS], ids=["stages", "trainings"])
def test_kills_leave_the_same_results(commands: tuple[str, ...]) -> None:
    """In a process of its own, which forks before it computes; the seed is printed, and drawn anew every time."""
    only = [word for command in commands for word in ("--only", command)]
    words = [sys.executable, str(HARNESS), "--kills", str(2 * len(commands)), *only]
    result = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    print(result.stdout)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "every result is that of an undisturbed run" in result.stdout
