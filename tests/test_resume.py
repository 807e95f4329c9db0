"""What survives a kill, a full disk and a second writer, and what is never continued."""

import random
import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_artifacts import SAMPLES, SINGLE, SMILE, begin_samples, write_samples, z_rows

from gmmedit import artifacts
from gmmedit.artifacts import fill_rows
from gmmedit.artifacts.rows import SharedRows
from gmmedit.errors import InputError, RunError
from gmmedit.runtime.execution import Execution

# Killed, full, locked

WRITER = """
import sys, time
import numpy as np
from gmmedit import artifacts
path, order = sys.argv[1:]
spec = artifacts.RunSpec("samples", n=120, sizes={"z_dim": 3}, config={"psi": 1.0})
print("ready", flush=True)
with artifacts.create_rows(path, spec, chunk=2) as out:
    for start, stop in sorted(out.pending(), reverse=order == "down"):
        out.write(start, stop, {"z": np.arange(start, stop)[:, None] + np.zeros(3)})
        time.sleep(0.004)
    out.finish()
"""


def start_writer(path: Path, order: str) -> subprocess.Popen:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path), order], stdout=subprocess.PIPE)
    assert writer.stdout is not None and writer.stdout.readline() == b"ready\n"
    return writer


def chunks_done(partial: Path) -> int:
    return artifacts.describe(partial)["chunks"]["done"] if partial.exists() else 0


def test_killed_writers_end_with_the_same_bytes(tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed.h5", tmp_path / "killed.h5"
    partial = tmp_path / "killed.h5.partial"
    with start_writer(undisturbed, "up") as writer:
        assert writer.wait() == 0
    rng = random.Random(5)
    survived = []
    for order, beginning in (("up", True), ("down", True), ("up", False), ("down", False), ("up", False)):
        before = chunks_done(partial)
        with start_writer(killed, order) as writer:
            while not beginning and chunks_done(partial) == before and writer.poll() is None:
                pass
            time.sleep(rng.uniform(0.0, 0.03))
            writer.send_signal(signal.SIGKILL)
        survived.append(chunks_done(partial))
    assert any(0 < done < 60 for done in survived)
    with start_writer(killed, "down") as writer:
        assert writer.wait() == 0
    assert killed.read_bytes() == undisturbed.read_bytes()


def test_killed_before_the_draft_got_its_name(tmp_path: Path) -> None:
    (tmp_path / "samples.h5.partial.tmp").write_bytes(b"\x89HDF half a structure")
    written = write_samples(tmp_path / "samples.h5")
    assert list(tmp_path.iterdir()) == [written]


def test_a_full_disk_keeps_the_finished_chunks(tmp_path: Path) -> None:
    spec = replace(SAMPLES, n=20_000)
    path = tmp_path / "samples.h5"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:
        with artifacts.create_rows(path, spec, chunk=5_000) as out:
            for start, stop in out.pending():
                out.write(start, stop, {"z": np.full((stop - start, 4), start)})
            out.finish()

    with artifacts.create_rows(path, spec, chunk=5_000):
        pass
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(RunError, match="no space left") as caught:
            fill()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "run the same command again" in caught.value.hint
    assert artifacts.describe(f"{path}.partial")["chunks"]["done"] == 2
    fill()
    with artifacts.open(path) as samples:
        assert np.array_equal(samples["z"][::5_000, 0], [0, 5_000, 10_000, 15_000])


def test_two_writers_do_not_meet_in_one_file(tmp_path: Path) -> None:
    with artifacts.create_rows(tmp_path / "samples.h5", SAMPLES):
        for options in ({}, {"restart": True}):
            with pytest.raises(RunError, match=r"samples\.h5 is being written by another process"):
                write_samples(tmp_path / "samples.h5", **options)
    write_samples(tmp_path / "samples.h5", restart=True)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for write in (
        write_samples,
        lambda path: artifacts.write_whole(path, SINGLE, {"history/step": np.arange(2)}),
    ):
        with pytest.raises(InputError, match=f"cannot write in the folder {tmp_path}/file"):
            write(tmp_path / "file" / "samples.h5")


# The same spec


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        ({"config": {"psi": 0.5}}, ": psi is 0.7 there and 0.5 now"),
        ({"config": {"psi": 0.7, "fit": {"lr": 0.1}}}, ": fit.lr is absent there and 0.1 now"),
        ({"seed": 4}, "seed is 3 there and 4 now"),
        ({"n": 11}, "n is 10 there and 11 now"),
        ({"sizes": {"z_dim": 4, "w_dim": (2, 4)}}, "sizes.w_dim is absent there and [2, 4] now"),
        ({"parents": {"samples": "b" * 64}}, "parents.samples is absent there and bbbbbbbbbbbb... now"),
        (
            {"generator": {"name": "avatars", "fingerprint": "c" * 64}},
            "generator.fingerprint is aaaaaaaaaaaa... there and cccccccccccc... now",
        ),
        ({"attributes": SMILE}, 'attributes.0 is absent there and ["smile", ["no", "yes"]] now'),
        (
            {"config": {"psi": 0.7}, "generator": None, "seed": 9},
            "generator.fingerprint is aaaaaaaaaaaa... there and absent now",
        ),
        ({"config": {name: 1 for name in "abcd"}}, "c is absent there and 1 now (and 1 more)"),
    ],
)
def test_another_question_is_not_answered(tmp_path: Path, change: dict, phrase: str) -> None:
    path = tmp_path / "samples.h5"
    other = replace(SAMPLES, **change)
    partial = begin_samples(path)
    before = partial.read_bytes()
    with pytest.raises(InputError) as caught:
        write_samples(path, other)
    assert phrase in caught.value.message and str(partial) in caught.value.message
    assert "--restart" in caught.value.hint and partial.read_bytes() == before

    write_samples(path)
    assert artifacts.is_finished(path, SAMPLES) and artifacts.is_finished(path, SAMPLES, force=True)
    with pytest.raises(InputError) as caught:
        artifacts.is_finished(path, other)
    assert phrase in caught.value.message and "--force" in caught.value.hint
    assert not artifacts.is_finished(path, other, force=True)


def test_restart_and_force(tmp_path: Path) -> None:
    path, other = tmp_path / "samples.h5", replace(SAMPLES, config={"psi": 0.5})
    assert not artifacts.is_finished(path, SAMPLES)
    begin_samples(path)
    write_samples(path, other, restart=True)
    assert artifacts.is_finished(path, other)
    path.write_text("someone else's")
    with pytest.raises(InputError, match="is not an HDF5 file"):
        artifacts.is_finished(path, other)
    assert not artifacts.is_finished(path, other, force=True)


def test_constants_and_chunks_belong_to_the_question(tmp_path: Path) -> None:
    begin_samples(tmp_path / "samples.h5")
    with pytest.raises(InputError, match="chunk is 4 there and 5 now"):
        with artifacts.create_rows(tmp_path / "samples.h5", SAMPLES, chunk=5):
            pass
    spec = artifacts.RunSpec(kind="edits", n=5, sizes={"S": 1, "L": 1, "D": 4, "K": 2})
    with artifacts.create_rows(tmp_path / "edits.h5", spec, {"alphas": np.array([0.5])}):
        pass
    with pytest.raises(InputError, match=r"alphas: \[0.5\], now \[0.6\]"):
        with artifacts.create_rows(tmp_path / "edits.h5", spec, {"alphas": np.array([0.6])}):
            pass


# Checkpoints and whole files


def test_checkpoints_come_back_and_leave_no_trace(tmp_path: Path) -> None:
    arrays = {"parameters/mean": np.ones((2, 4), np.float32), "history/step": np.arange(3)}
    artifacts.write_whole(tmp_path / "plain.h5", SINGLE, arrays, {"space": "w"})
    path = tmp_path / "single.h5"
    assert artifacts.load_checkpoint(path, SINGLE) is None
    for step in range(3):
        artifacts.save_checkpoint(path, SINGLE, {"adam/step": np.array(step), "rng": np.arange(3, dtype=np.uint8)})
        state = artifacts.load_checkpoint(path, SINGLE)
        assert state is not None and state["adam/step"] == step and state["rng"].tolist() == [0, 1, 2]
    with pytest.raises(InputError, match=r": fit.steps is 5 there and 6 now") as caught:
        artifacts.load_checkpoint(path, replace(SINGLE, config={"fit": {"steps": 6}}))
    assert "--restart" in caught.value.hint
    with pytest.raises(InputError, match="is not finished"):
        artifacts.open(path)
    artifacts.write_whole(path, SINGLE, arrays, {"space": "w"})
    assert path.read_bytes() == (tmp_path / "plain.h5").read_bytes()
    assert sorted(tmp_path.iterdir()) == [tmp_path / "plain.h5", path]
    with artifacts.open(path, "single") as single:
        assert single.attrs == {"space": "w"} and single.sizes["T"] == 3
        assert np.array_equal(single.group("parameters")["mean"], np.ones((2, 4)))


def test_restart_discards_a_checkpoint_even_a_damaged_one(tmp_path: Path) -> None:
    path = tmp_path / "single.h5"
    partial = tmp_path / "single.h5.partial"
    partial.write_bytes(b"")
    with pytest.raises(InputError, match="is not an HDF5 file") as caught:
        artifacts.load_checkpoint(path, SINGLE)
    assert "--restart" in caught.value.hint and partial.exists()
    assert artifacts.load_checkpoint(path, SINGLE, restart=True) is None
    assert not partial.exists()


@pytest.mark.parametrize("damaged", [False, True])
def test_force_discards_a_checkpoint_that_cannot_be_continued(tmp_path: Path, damaged: bool) -> None:
    path, other = tmp_path / "single.h5", replace(SINGLE, config={"fit": {"steps": 6}})
    artifacts.save_checkpoint(path, SINGLE, {"step": np.array([3])})
    if damaged:
        partial = tmp_path / "single.h5.partial"
        partial.write_bytes(partial.read_bytes()[:-700])
    else:
        found = artifacts.load_checkpoint(path, SINGLE, force=True)
        assert found is not None and found["step"] == 3, "what can be continued is kept"
    with pytest.raises(InputError, match="--restart|different settings|not an HDF5 file"):
        artifacts.load_checkpoint(path, other)
    assert artifacts.load_checkpoint(path, other, force=True) is None
    assert not (tmp_path / "single.h5.partial").exists()


@pytest.mark.parametrize(
    "arrays",
    [
        {"history/step": np.zeros((2, 2), np.int64)},
        {"weights": np.zeros(2)},
        {"parameters/name": np.array(["text"])},
        {"history/step": np.arange(2.0)},
    ],
)
def test_whole_files_keep_to_the_schema(tmp_path: Path, arrays: dict) -> None:
    with pytest.raises((ValueError, TypeError)):
        artifacts.write_whole(tmp_path / "single.h5", SINGLE, {"history/step": np.arange(2)} | arrays)
    assert not list(tmp_path.iterdir())


# Stored while the next is made


def alone(out: artifacts.RowWriter) -> SharedRows:
    """The rows as a command of one process fills them."""
    return SharedRows(out, list(out.pending()), Execution())


class Slow:
    """A writer whose first chunk waits on its way to the disk until the second one is being made."""

    def __init__(self, out: SharedRows) -> None:
        self.pending, self.finish, self.stop = out.pending, out.finish, out.stop
        self.out, self.second = out, threading.Event()

    def write(self, start: int, stop: int, rows: dict[str, np.ndarray]) -> None:
        assert start > 0 or self.second.wait(30)
        self.out.write(start, stop, rows)


def test_a_chunk_is_stored_while_the_next_is_made(tmp_path: Path) -> None:
    whole, path = write_samples(tmp_path / "whole.h5"), tmp_path / "samples.h5"
    with artifacts.create_rows(path, SAMPLES, chunk=4) as out:
        slow = Slow(alone(out))

        def make(start: int, stop: int) -> dict[str, np.ndarray]:
            if start > 0:
                slow.second.set()
            return {"z": z_rows(start, stop)}

        fill_rows(slow, make)
    assert path.read_bytes() == whole.read_bytes()


def test_what_has_been_made_is_stored_when_the_next_fails(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"

    def make(start: int, stop: int) -> dict[str, np.ndarray]:
        if start > 0:
            raise RunError("no more")
        return {"z": z_rows(start, stop)}

    with pytest.raises(RunError, match="no more"), artifacts.create_rows(path, SAMPLES, chunk=4) as out:
        fill_rows(alone(out), make)
    assert chunks_done(path.with_name("samples.h5.partial")) == 1 and not path.exists()


def test_a_chunk_that_cannot_be_stored_ends_the_command(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    with pytest.raises(ValueError, match="missing"), artifacts.create_rows(path, SAMPLES, chunk=4) as out:
        fill_rows(alone(out), lambda start, stop: {})
    assert chunks_done(path.with_name("samples.h5.partial")) == 0 and not path.exists()
