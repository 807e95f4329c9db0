"""The real torchrun: one of its processes is killed in the middle, and the next run goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import done

from gmmedit import artifacts

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "gmmedit", "--")
GIVEN_UP_AFTER = 100.0  # seconds
# Once there is a partial file, every process labels one chunk of 256 rows, in 16 calls, and holds the next until there
# is a file `go`.
CLASSIFIER = """
import itertools
import time
from pathlib import Path


def load():
    calls, here = itertools.count(), Path(__file__).parent

    def outputs(images):
        if (here / "run" / "labels.h5.partial").exists():
            while next(calls) >= 20 and not (here / "go").exists():
                time.sleep(0.01)
        return images.mean((2, 3))[:, :2]

    return outputs
"""
DESCRIBED = """
file: holding.py:load
input: {size: 64, range: [-1, 1]}
activation: sigmoid
attributes: {red: {}, green: {}}
"""


def torchrun(*words: object) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}  # others round differently
    return subprocess.Popen(
        [sys.executable, *TORCHRUN, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def children(pid: int) -> list[int]:
    return [int(it) for it in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes as on Linux")
def test_a_process_of_torchrun_is_killed(tmp_path: Path) -> None:
    (tmp_path / "holding.py").write_text(CLASSIFIER)
    (tmp_path / "holding.yaml").write_text(DESCRIBED)
    run, go = tmp_path / "run", tmp_path / "go"
    path, partial = run / "labels.h5", run / "labels.h5.partial"
    done("sample", "-n", 800, "--run", run, "--quiet")
    words = ("label", "--run", run, "--classifier", tmp_path / "holding.yaml")
    with torchrun(*words) as process:
        end = time.monotonic() + GIVEN_UP_AFTER
        while not partial.exists() or not artifacts.describe(partial)["chunks"]["done"]:
            assert process.poll() is None and time.monotonic() < end, process.stderr and process.stderr.read()
            time.sleep(0.01)
        os.kill(children(process.pid)[-1], signal.SIGKILL)
        told, warned = process.communicate(timeout=GIVEN_UP_AFTER)
    assert process.returncode == 1 and told == "" and "Signal 9" in warned
    assert not path.exists() and artifacts.describe(partial)["chunks"]["done"] > 0
    go.touch()
    with torchrun(*words, "--quiet") as process:
        told, warned = process.communicate(timeout=GIVEN_UP_AFTER)
    assert (process.returncode, told) == (0, ""), warned
    assert path.exists() and not partial.exists()
    by_two = path.read_bytes()
    path.unlink()
    done(*words, "--quiet")
    assert path.read_bytes() == by_two
