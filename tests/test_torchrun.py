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
GIVEN_UP_AFTER = 200.0  # seconds


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
def test_a_process_of_torchrun_is_killed(own_run: Path) -> None:
    path, partial = own_run / "labels.h5", own_run / "labels.h5.partial"
    calm = path.read_bytes()
    path.unlink()
    with torchrun("label", "--run", own_run) as process:
        end = time.monotonic() + GIVEN_UP_AFTER
        while not partial.exists() or not artifacts.describe(partial)["chunks"]["done"]:
            assert process.poll() is None and time.monotonic() < end, process.stderr and process.stderr.read()
            time.sleep(0.01)
        os.kill(children(process.pid)[-1], signal.SIGKILL)
        told, warned = process.communicate(timeout=GIVEN_UP_AFTER)
    assert process.returncode == 1 and told == "" and "Signal 9" in warned
    assert not path.exists() and artifacts.describe(partial)["chunks"]["done"] > 0
    with torchrun("label", "--run", own_run, "--quiet") as process:
        told, warned = process.communicate(timeout=GIVEN_UP_AFTER)
    assert (process.returncode, told) == (0, ""), warned
    assert path.read_bytes() == calm and not partial.exists()
    done("label", "--run", own_run)
