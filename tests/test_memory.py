"""Memory: a batch that is too large is halved and changes nothing; what a stage needs does not grow with N."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import check, gmmedit
from small_generators import module
from torch import Tensor

from gmmedit.errors import RunError
from gmmedit.runtime.batching import Memory, in_batches

ROOT = Path(__file__).parents[1]
IMPOSSIBLE = 1 << 50  # numbers: no machine has them

GREEDY = f"""
class load(Painter):
    def forward(self, z):
        if len(z) > LIMIT:
            torch.empty({IMPOSSIBLE})
        return super().forward(z)
"""


def greedy(rows: Tensor) -> tuple[Tensor]:
    if len(rows) > 16:
        torch.empty(IMPOSSIBLE)
    return (rows * 2,)


@pytest.mark.parametrize("n", [5, 16, 100])
def test_a_batch_that_is_too_large_is_halved(n: int, caplog: pytest.LogCaptureFixture) -> None:
    rows, memory = torch.randn(n, 3), Memory()
    with caplog.at_level(logging.WARNING):
        (found,) = in_batches(greedy, rows, 128, memory)
        assert torch.equal(found, 2 * rows)
        told = len(caplog.messages)
        assert torch.equal(in_batches(greedy, rows, 128, memory)[0], 2 * rows)
    assert len(caplog.messages) == told, "said once"
    assert all("no memory for" in line and "the result is the same" in line for line in caplog.messages)
    assert (told > 0) == (n > 16)


def test_below_a_tile_it_fails() -> None:
    with pytest.raises(RunError, match="out of memory for a batch of 16 images"):
        in_batches(lambda rows: (torch.empty(IMPOSSIBLE),), torch.zeros(40, 3), 64, Memory())


def test_other_failures_are_no_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="something else"):
        in_batches(lambda rows: throw(RuntimeError("something else")), torch.zeros(40, 3), 64, Memory())


def throw(error: Exception) -> tuple[Tensor]:
    raise error


def test_a_cpu_takes_no_more_than_a_tile(tmp_path: Path) -> None:
    name = module(tmp_path / "greedy.py", GREEDY)
    path = tmp_path / "greedy.py"
    text, bytes_of = path.read_text(), {}
    for limit in (16, 1024):
        path.write_text(text.replace("LIMIT", str(limit)))
        words = ["sample", "--gan", name, "-n", "100", "--images", "--batch", "64", "--force", "--run", "run"]
        result = subprocess.run(
            [sys.executable, "-m", "gmmedit", *words], cwd=tmp_path, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        assert "no memory" not in result.stderr
        bytes_of[limit] = (tmp_path / "run" / "samples.h5").read_bytes()
    assert bytes_of[16] == bytes_of[1024]
    path.write_text(text.replace("LIMIT", "8"))
    (tmp_path / "run" / "samples.h5").unlink()
    words = ["sample", "--gan", name, "-n", "100", "--images", "--force", "--restart", "--run", tmp_path / "run"]
    check(gmmedit(*words), "out of memory for a batch of 16 images", code=1)


def test_what_a_stage_needs_does_not_grow_with_n(tmp_path: Path) -> None:
    """benchmarks/memory.py measures it at 2,000 and 50,000."""
    command = [sys.executable, str(ROOT / "benchmarks" / "memory.py"), "600", "6000"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(result.stdout.splitlines()) == 4
