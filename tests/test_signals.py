"""SIGTERM and SIGINT stop a command where nothing is lost; a second one at once; and locks name who has them."""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import check, done, gmmedit

from gmmedit import artifacts
from gmmedit.config import SampleSettings
from gmmedit.errors import RunError
from gmmedit.fitting import loop as fitting
from gmmedit.networks import silence_libraries
from gmmedit.runtime import storage as disk
from gmmedit.runtime.execution import Execution
from gmmedit.runtime.signals import Stopped, StopRequest, stoppable
from gmmedit.stages import sample

GIVEN_UP_AFTER = 60.0  # seconds


def start(*words: object) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "gmmedit", *map(str, words)], stderr=subprocess.PIPE, text=True)


def until(happened: object, process: subprocess.Popen) -> None:
    """Wait until the function says yes."""
    end = time.monotonic() + GIVEN_UP_AFTER
    while not happened():  # type: ignore[operator]
        assert process.poll() is None and time.monotonic() < end, process.stderr and process.stderr.read()
        time.sleep(0.005)


def test_a_training_that_is_asked_to_stop(tmp_path: Path) -> None:
    """Real processes: the second is refused at once and told whom to wait for; a signal ends the first, saved."""
    words = ("train", "classifier", "--out", tmp_path)
    note, checkpoint = tmp_path / "classifier.safetensors.lock", tmp_path / "classifier.checkpoint"
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        with start(*words) as process:
            until(lambda: note.exists() and note.read_text(), process)
            holder = f"(pid {process.pid} on {socket.gethostname()})"
            check(
                gmmedit(*words), f"is being written by another process {holder}", "wait until it has finished", code=1
            )
            process.send_signal(number)
            told = process.communicate(timeout=GIVEN_UP_AFTER)[1]
            assert process.returncode == code, told
        assert told.splitlines()[-1] == (
            f"stopped by {number.name}: finished work is kept; run the same command to resume"
        )
        assert checkpoint.exists() and not note.exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_rows_stop_after_a_chunk(
    number: signal.Signals, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gmmedit.stages import sample

    real = sample.draw_rows

    def draw(*args):
        if args[1] == 256:
            os.kill(os.getpid(), number)
        return real(*args)

    words = ("sample", "-n", 800, "--quiet", "--run")
    with monkeypatch.context() as patch:
        patch.setattr(sample, "draw_rows", draw)
        result = gmmedit(*words, tmp_path / "run")
    assert result.exit_code == code and result.stdout == "" and len(result.stderr.splitlines()) == 1
    assert artifacts.describe(tmp_path / "run" / "samples.h5.partial")["chunks"]["done"] == 2
    for folder in ("run", "calm"):
        done(*words, tmp_path / folder)
    assert (tmp_path / "run" / "samples.h5").read_bytes() == (tmp_path / "calm" / "samples.h5").read_bytes()


def test_a_fit_saves_the_step_that_it_was_at(own_run: Path, settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = own_run / "single.h5"
    undisturbed = path.read_bytes()
    path.unlink()
    real, steps = fitting.record_step, []

    def record_step(history, values):
        steps.append(values["step"])
        if values["step"] == 10:
            os.kill(os.getpid(), signal.SIGTERM)
        real(history, values)

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "record_step", record_step)
        assert gmmedit("fit-single", "--run", own_run, "--config", settings).exit_code == 143
        done("fit-single", "--run", own_run, "--config", settings)
    assert steps == sorted(set(steps)), "no step was taken twice"
    assert path.read_bytes() == undisturbed


DEAF = """
import time
from gmmedit.runtime.signals import StopRequest, stoppable
with stoppable(StopRequest()):
    print("ready", flush=True)
    while True:
        time.sleep(0.01)
"""


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_stops_at_once(second: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        try:
            process.send_signal(signal.SIGINT)
            time.sleep(0.1)
            assert process.poll() is None
            process.send_signal(second)
            assert process.wait(10) == -second
        finally:
            process.kill()  # does nothing to one that has ended


def test_two_signals_that_come_together_stop_at_once() -> None:
    """Both are under way before Python sees either: CPython complained of a race once, with a traceback."""
    busy = "time.sleep(0.01)"
    together = "signal.pthread_sigmask(signal.SIG_BLOCK, {2, 15}); os.kill(os.getpid(), 2); os.kill(os.getpid(), 15); "
    together += "signal.pthread_sigmask(signal.SIG_UNBLOCK, {2, 15}); "
    program = "import os, signal\n" + DEAF.replace(busy, together + busy)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=GIVEN_UP_AFTER)
    assert result.returncode == -signal.SIGTERM and result.stderr == ""


WAITING = """
from datetime import timedelta

import torch.distributed as dist

from gmmedit.runtime.signals import StopRequest, ending_at_once, stoppable

with stoppable(StopRequest()), ending_at_once():
    store = dist.TCPStore("127.0.0.1", 0, 1, True, timeout=timedelta(seconds=600))
    print("waiting", flush=True)
    store.get("what nobody sets")
"""


def test_a_wait_outside_of_python_ends_at_once() -> None:
    with subprocess.Popen([sys.executable, "-c", WAITING], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "waiting\n"
        process.terminate()
        assert process.wait(GIVEN_UP_AFTER) == -signal.SIGTERM


def test_signals_are_what_they_were_afterwards() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    stop, others = StopRequest(), StopRequest()
    with pytest.raises(Stopped, match="SIGTERM") as caught, stoppable(stop):
        os.kill(os.getpid(), signal.SIGTERM)
        others.check()  # another command of the process goes on
        stop.check()
    assert caught.value.exit_code == 143
    with pytest.raises(Stopped), stoppable(stop):  # nobody heeded it before the end
        os.kill(os.getpid(), signal.SIGINT)
    stop.check()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


HOLDER = """
import sys, time
from dataclasses import replace
from pathlib import Path
from gmmedit.runtime.storage import lock
with lock(Path(sys.argv[1])):
    print("ready", flush=True)
    time.sleep(600)
"""


def test_a_note_counts_only_where_the_lock_is_refused(tmp_path: Path) -> None:
    path, note = tmp_path / "samples.h5", tmp_path / "samples.h5.lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        with pytest.raises(RunError, match=rf"another process \(pid {process.pid} on "), disk.lock(path):
            pass
        process.kill()
    assert note.read_text().startswith(f"pid {process.pid} on "), "the killed process has left it behind"
    with disk.lock(path):
        assert note.read_text().startswith(f"pid {os.getpid()} on ")
    assert not note.exists()
    note.write_text(f"pid {os.getppid()} on {socket.gethostname()}")  # alive, and without the lock
    with disk.lock(path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_another_thread_may_ask(tmp_path: Path) -> None:
    """One command of a process ends after its chunk, the other goes on."""
    stopped, other = Execution(), Execution()
    asking = replace(stopped, tick=lambda *_: stopped.stop.ask())
    with pytest.raises(Stopped) as caught:
        sample.run(tmp_path / "one", SampleSettings(n=600), asking)
    assert caught.value.exit_code == 130
    assert artifacts.describe(tmp_path / "one" / "samples.h5.partial")["chunks"]["done"] == 1
    assert sample.run(tmp_path / "two", SampleSettings(n=600), other).is_file()


def test_what_libraries_log_is_hidden_in_one_thread_only(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("torch.export")
    entered, leave = threading.Event(), threading.Event()

    def read_file() -> None:
        with silence_libraries():
            log.error("hidden")
            entered.set()
            leave.wait()

    thread = threading.Thread(target=read_file)
    thread.start()
    entered.wait()
    with silence_libraries():
        log.error("hidden")
        leave.set()
        thread.join()
        log.error("hidden, though the other thread has left")
    log.error("shown")
    assert [record.getMessage() for record in caplog.records] == ["shown"]
