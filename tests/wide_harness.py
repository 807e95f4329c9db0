"""Commands done by several processes, killed and spoiled: a JSON object on the last line says what came of each trial.

    python tests/wide_harness.py [TRIAL ...]

Importing torch takes two seconds a process, torchrun some more. So this one imports everything once and forks the
processes, with the environment that torchrun gives them: a store that outlives them, and SIGTERM for the others as
soon as one has failed. test_torchrun.py has the real one.
"""

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # no threads before a fork

import kill_harness
import torch
import torch.distributed as dist
from kill_harness import Progress, check_whole, finish, results, same, start, write_settings
from small_data import write_images, write_table

from gmmedit.errors import RunError
from gmmedit.runtime import process_group as several
from gmmedit.runtime import torchrun as launched
from gmmedit.stages import label, sample

RUN = ("--config", "small.yaml", "--run", "run")
STAGES = ("sample", "label", "fit-single", "fit-mixture", "evaluate")
MADE = dict(zip(STAGES, ("samples", "labels", "single", "mixture", "evaluation"), strict=True))
ENDED_WITHIN = 120.0  # seconds, on a busy machine too
AGENT = {"TORCHELASTIC_RUN_ID": "test", "TORCHELASTIC_USE_AGENT_STORE": "True", "MASTER_ADDR": "127.0.0.1"}

Ends = list[tuple[int, str]]  # exit code and output of each process
launches = 0


def host() -> tuple[int, int]:
    """The pid and the port of a process that keeps the store, as torchrun does."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        kept = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        os.write(write, str(kept.port).encode())
        time.sleep(3600)
    return pid, int(os.read(read, 16))


def launch(count: int, words: tuple[str, ...], folder: Path) -> list[int]:
    """The pids of the processes of one command; of one process that knows of no others, if the count is 1."""
    global launches
    launches += 1
    pids = []
    for rank in range(count):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "TORCHELASTIC_RESTART_COUNT": launches}
        told = {**AGENT, **{name: str(value) for name, value in place.items()}} if count > 1 else {}
        os.environ.update(told)
        pids.append(start(words, folder, f"output{rank}.txt"))
        for name in told:
            del os.environ[name]
    return pids


def ends(pids: list[int], folder: Path) -> Ends:
    """Wait for all; once one has failed, the others are asked to end, and must do so in time."""
    codes: dict[int, int] = {}
    until = time.monotonic() + 10 * ENDED_WITHIN
    while len(codes) < len(pids):
        for pid in set(pids) - codes.keys():
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                codes[pid] = os.waitstatus_to_exitcode(status)
                if codes[pid]:
                    until = min(until, time.monotonic() + ENDED_WITHIN)
                    for other in set(pids) - codes.keys():
                        os.kill(other, signal.SIGTERM)
        if time.monotonic() > until:
            for pid in set(pids) - codes.keys():
                os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"{len(pids) - len(codes)} processes did not end")
        time.sleep(0.005)
    return [(codes[pid], (folder / f"output{rank}.txt").read_text()) for rank, pid in enumerate(pids)]


def wait_for(happened: Callable[[], object]) -> None:
    """Wait in a child, which ends with an error if it does not happen."""
    until = time.monotonic() + ENDED_WITHIN
    while not happened():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.005)


def done(count: int, command: str, folder: Path, *words: str) -> None:
    found = ends(launch(count, (command, *RUN, *words), folder), folder)
    assert not any(code for code, _ in found), f"{command} by {count} processes: {found}"
    assert not any(output for _, output in found[1:]), f"{command} by {count} processes: {found}"


def fresh(place: Path, name: str, source: Path | None = None, *without: str) -> Path:
    """A folder to run commands in, with a copy of the artifacts there are, or some."""
    folder = place / name
    (folder / "run").mkdir(parents=True)
    (folder / "small.yaml").write_text((place / "world" / "small.yaml").read_text())
    for path in (source / "run").glob("*.h5") if source else ():
        if path.name not in without:
            shutil.copy(path, folder / "run")
    return folder


def two_and_four(place: Path, calm: Path) -> None:
    """As one process: the bytes of all stages."""
    for count, stages in ((2, STAGES), (4, ("sample", "label", "fit-mixture"))):
        folder = fresh(place, f"wide{count}", calm, *(f"{MADE[stage]}.h5" for stage in stages))
        for stage in stages:
            done(count, stage, folder)
        mine, theirs = results(folder / "run"), results(calm / "run")
        different = [name for name in mine if not same(mine[name], theirs[name])]
        assert not different, f"{different} differ by {count} processes"


def killed(place: Path, calm: Path) -> None:
    """One of the processes dies at any instant; the command, by any number of them, goes on to the same bytes."""
    seed = random.SystemRandom().randrange(10**6)
    chance, hits = random.Random(seed), 0
    for stage in ("sample", "label", "fit-mixture"):
        made = MADE[stage]
        folder = fresh(place, f"killed-{stage}", calm, f"{made}.h5")
        before = Progress.of(folder / "run")
        for _ in range(3):
            pids = launch(3, (stage, *RUN), folder)
            time.sleep(chance.uniform(0.02, 1.5))
            victim = chance.choice(pids)
            os.kill(victim, signal.SIGKILL)
            found = ends(pids, folder)
            told = "".join(output for _, output in found)
            assert "Traceback" not in told, f"seed {seed}, {stage}: {told}"
            assert told.count("\nerror:") + told.startswith("error:") <= 1, f"seed {seed}, {stage}: {told}"
            hits += any(code for code, _ in found)
            check_whole(folder / "run")
            now = Progress.of(folder / "run")
            before.kept_in(now, folder / "run")
            before = now
        done(chance.choice((1, 2, 3)), stage, folder)
        path = Path("run", f"{made}.h5")
        assert same(folder / path, calm / path), f"seed {seed}: {path} differs"
    assert hits, f"seed {seed}: no kill hit anything"


def stopped(place: Path, calm: Path) -> None:
    """All are asked to end, as torchrun does: a line, and code 143; the fit has saved the step it was at."""
    folder, shrink = fresh(place, "stopped", calm, "labels.h5"), kill_harness.shrink

    def hold() -> None:
        """Every process labels one chunk and holds the next until it is asked to stop."""
        shrink()
        real = label.make_row_classifier

        def make_row_classifier(run_folder, *args):  # type: ignore[no-untyped-def]
            classify_rows, calls = real(run_folder, *args), iter(range(9))

            def hold_rows(*rows):  # type: ignore[no-untyped-def]
                if next(calls):
                    wait_for(lambda: run_folder.execution.stop.asked)
                return classify_rows(*rows)

            return hold_rows

        label.make_row_classifier = make_row_classifier

    kill_harness.shrink = hold
    try:
        pids = launch(2, ("label", *RUN), folder)
    finally:
        kill_harness.shrink = shrink
    until = time.monotonic() + ENDED_WITHIN
    while not (chunks := Progress.of(folder / "run").chunks.get("labels.h5.partial")):
        assert time.monotonic() < until, (folder / "output0.txt").read_text()
        time.sleep(0.01)
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    found = ends(pids, folder)
    assert {code for code, _ in found} <= {143, -15} and 143 in {code for code, _ in found}, found
    assert "".join(output for _, output in found).count("stopped by SIGTERM") == 1, found
    assert chunks <= Progress.of(folder / "run").chunks["labels.h5.partial"]
    done(2, "label", folder)
    assert same(folder / "run" / "labels.h5", calm / "run" / "labels.h5")


def one_fails(place: Path, calm: Path) -> None:
    """What one process alone meets is said once, and ends all with its code."""
    shrink = kill_harness.shrink
    for spoiled in (0, 1):
        folder = fresh(place, f"spoiled{spoiled}")

        def spoil(rank: int = spoiled) -> None:
            shrink()
            real, failed = sample.draw_rows, Path("failed")

            def draw_rows(*args):  # type: ignore[no-untyped-def]
                Path(f"begun{launched.rank()}").touch()
                if launched.rank() == rank:
                    wait_for(lambda: len(list(Path().glob("begun*"))) == 3)
                    failed.touch()
                    raise RunError("no luck", hint="try it elsewhere")
                wait_for(failed.exists)
                return real(*args)

            sample.draw_rows = draw_rows

        kill_harness.shrink = spoil
        try:
            found = ends(launch(3, ("sample", *RUN), folder), folder)
        finally:
            kill_harness.shrink = shrink
        assert found[spoiled][0] == 1 and {code for code, _ in found} <= {1, 143, -15}, (
            found
        )  # or by torchrun's SIGTERM
        assert [output for _, output in found if output] == ["error: no luck\n hint: try it elsewhere\n"], found
        done(2, "sample", folder)
        assert same(folder / "run" / "samples.h5", calm / "run" / "samples.h5")


def all_fail(place: Path, calm: Path) -> None:
    """A wrong name, option or setting, and a command that is not for several processes: one line from one of them."""
    folder = fresh(place, "wrong", calm)
    (folder / "bad.yaml").write_text("sample: {nn: 3}\n")
    for words, says in (
        (("sample", *RUN, "--gan", "nobody", "--force"), "nobody"),
        (("sample", "--run", "run", "--config", "bad.yaml"), "nn"),
        (("sample", "--nonsense"), "--nonsense"),
        (("edit", *RUN, "--attr", "smile"), "torchrun started 2 processes, this command runs in one"),
        (("report", "--run", "run"), "torchrun started 2 processes, this command runs in one"),
    ):
        found = ends(launch(2, words, folder), folder)
        codes, told = {code for code, _ in found}, [output for _, output in found if output]
        assert 2 in codes <= {2, -15}, found  # torchrun stops the others with SIGTERM once one has ended
        assert len(told) == 1 and told[0].startswith("error: ") and says in told[0], found
        assert len(told[0].splitlines()) == 2, found


def handed_out(place: Path, calm: Path) -> None:
    """A process that is slow does not hold the others: they do what it has no time for."""
    folder, shrink, drawn = fresh(place, "slow"), kill_harness.shrink, Path("drawn.txt")

    def slow() -> None:
        shrink()
        real = sample.draw_rows

        def draw_rows(*args):  # type: ignore[no-untyped-def]
            with drawn.open("a") as file:
                file.write(f"{launched.rank()}\n")
            # The slow one holds its chunk until the other has done three, which begins once that is so.
            wait_for(lambda: drawn.read_text().count("0") >= 3 if launched.rank() == 1 else "1" in drawn.read_text())
            return real(*args)

        sample.draw_rows = draw_rows

    kill_harness.shrink = slow
    try:
        done(2, "sample", folder)
    finally:
        kill_harness.shrink = shrink
    chunks = (folder / drawn).read_text().split()
    assert len(chunks) == 5 and chunks.count("0") > chunks.count("1") > 0, chunks
    assert same(folder / "run" / "samples.h5", calm / "run" / "samples.h5")


def alone_again(place: Path, calm: Path) -> None:
    """A process of its own is Processes, and torch.distributed has no group."""
    assert launched.count() == 1 and not dist.is_initialized() and several.Processes().main


def trainings(place: Path, calm: Path) -> None:
    """Gradients are added up in the same order by one, two and four processes; and goes on after a kill."""
    folder = fresh(place, "trained")
    write_table(folder / "data" / "labels.csv", write_images(folder / "data", 96))
    for name, words, counts in (
        ("classifier", ("--data", "data", "--size", "16", "--images", "384"), (2, 4)),
        ("stylegan2", ("--data", "data", "--size", "16", "--images", "48"), (2,)),
        ("encoder", ("--gan", str(place / "world" / "generator.pkl"), "--images", "48"), (2,)),
    ):
        made = {"stylegan2": "generator"}.get(name, name)
        for count in (1, *counts):
            words_out = ("train", name, *words, "--out", f"{name}{count}")
            if count == 2:  # after a few steps by one process that is killed
                (pid,) = launch(1, words_out, folder)
                wait_for((folder / f"{name}2" / f"{made}.checkpoint").exists)
                os.kill(pid, signal.SIGKILL)
                finish(pid)
            found = ends(launch(count, words_out, folder), folder)
            assert not any(code for code, _ in found), found
            result = folder / f"{name}{count}" / f"{made}.safetensors"
            assert result.read_bytes() == (folder / f"{name}1" / result.name).read_bytes(), f"{name} by {count}"
    found = ends(launch(3, ("train", "classifier", "--data", "data", "--size", "16", "--out", "no"), folder), folder)
    assert 2 in {code for code, _ in found}, found
    assert "a step of this training has 4 parts" in "".join(output for _, output in found), found


TRIALS = (two_and_four, killed, stopped, one_fails, all_fail, handed_out, alone_again, trainings)


def harness() -> None:
    torch.set_num_threads(1)
    pid, port = host()
    AGENT["MASTER_PORT"] = str(port)
    report = {}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write_settings(place / "world")
        calm = fresh(place, "calm")
        chosen = [trial for trial in TRIALS if trial.__name__ in sys.argv[1:] or len(sys.argv) == 1]
        for stage in STAGES if two_and_four in chosen else STAGES[:-1]:  # no other trial evaluates
            done(1, stage, calm)
        for trial in chosen:
            began = time.monotonic()
            try:
                trial(place, calm)
                report[trial.__name__] = "ok"
            except Exception:
                report[trial.__name__] = traceback.format_exc()
            print(f"{trial.__name__}: {time.monotonic() - began:.1f} s", flush=True)
    os.kill(pid, signal.SIGKILL)
    finish(pid)
    print(json.dumps(report))


if __name__ == "__main__":
    harness()
