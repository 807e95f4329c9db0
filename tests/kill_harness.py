"""Kill every command at random instants, start it again until it is done, and require the undisturbed result.

    python tests/kill_harness.py --kills 200 --seed 7 [--only label --only train]

A process takes two seconds to import torch. So this one imports everything once, computes nothing, and forks: the
child runs the command line's own `app` on its words. A kill costs milliseconds, and hits the work, not the import.
What a child changes (smaller chunks, more checkpoints, a small network to train) it changes in itself.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # no threads before a fork

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from small_world import EVALUATION, write_world

from gmmedit import artifacts
from gmmedit.__main__ import main
from gmmedit.artifacts import row_writer
from gmmedit.editors.base import Editor
from gmmedit.evaluation import fidelity, figures
from gmmedit.evaluation import results as figuring
from gmmedit.evaluation import sweep as scoring
from gmmedit.fitting import data
from gmmedit.fitting import loop as fitting
from gmmedit.mixture import optimisation
from gmmedit.run import robustness
from gmmedit.runtime import batching, execution
from gmmedit.stages import compare, edit, evaluate, fit_mixture, fit_single, label, sample, verify  # noqa: F401
from gmmedit.training import checkpoints, embedded
from gmmedit.training import loop as training
from gmmedit.training.stylegan2_settings import GANSettings

SCORED = f"evaluate: {{n: 32, starts: 2, editors: [random, none], classifier: FOLDER/{EVALUATION}}}\n"
CHUNK = 64
RUN = ("--config", "small.yaml", "--run")
COMMANDS = {
    "sample": ("sample", *RUN, "run"),
    "label": ("label", *RUN, "run"),
    "fit-single": ("fit-single", *RUN, "run"),
    "fit-mixture": ("fit-mixture", *RUN, "run"),
    "edit": ("edit", "--attr", "smile", "--index", "0-15", "--polish", "1", *RUN, "run"),
    "evaluate": ("evaluate", *RUN, "run"),
    "train": ("train", "classifier", "--out", "run/train"),
    "train-generator": ("train", "generator", "--out", "run/gan", "--phases", "16:48,32:24"),
}
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
UNFINISHED = (".partial", ".tmp", ".lock")
UNKEPT = {"costs.jsonl", "gmmedit.log"}  # times, which no two runs share
MEASURED = ("images_per_second",)


def shrink() -> None:
    """In the child: small chunks, a checkpoint at every other step, and networks that train in seconds."""
    row_writer.create_rows.__wrapped__.__defaults__ = (None, CHUNK, False, None, False, False, False)  # type: ignore[attr-defined]
    row_writer.join_rows.__wrapped__.__defaults__ = (None, CHUNK, None)  # type: ignore[attr-defined]
    figures.DRAWS = figuring.DRAWS = 20
    data.FEWEST_OF_A_VALUE = 1
    fidelity.DRAWS, optimisation.STRENGTHS, optimisation.SHARES = 2, (1.0,), (1.0,)
    batching.TILE = execution.TILE = robustness.TILE = 4  # fewer rows are padded
    robustness.MEASURED_ON = 8
    for editor in (Editor, *Editor.__subclasses__()):
        editor.strengths = (0.0, 1.0)
    fitting.CHECKPOINT_EVERY, scoring.SAVED_EVERY = 2, 0
    training.CHECKPOINT_EVERY, training.LOG_EVERY, training.SHEET_EVERY = 2, 1, 5
    name, settings = embedded.NETWORKS["labelling"]
    network = replace(settings.network, widths=(4, 8), features=8)
    embedded.NETWORKS["labelling"] = (name, replace(settings, network=network, images=320, batch=8))
    network = replace(embedded.CRITIC.network, widths=(4, 8), features=8)
    embedded.CRITIC = replace(embedded.CRITIC, network=network, images=64, batch=8)
    GANSettings.__init__.__defaults__ = tuple(  # type: ignore[misc]
        {"batch": 8, "pool": 64}.get(name, value)
        for name, value in zip(GANSettings.__dataclass_fields__, GANSettings.__init__.__defaults__ or (), strict=True)
    )


def write_settings(folder: Path) -> str:
    """The text of the settings of the runs, whose networks a child writes into the folder."""
    folder.mkdir()
    pid = os.fork()
    if not pid:
        write_world(folder, SCORED)
        os._exit(0)
    assert finish(pid) == 0
    return (folder / "small.yaml").read_text()


def start(words: tuple[str, ...], folder: Path, output: str = "output.txt") -> int:
    """The pid of a child that runs the command in the folder."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        os.chdir(folder)
        out = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        shrink()
        sys.argv = ["gmmedit", *words]
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def finish(pid: int) -> int:
    """The child's exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def wait(pid: int, seconds: float) -> int | None:
    """The same, if it ends within the seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    return None


@dataclass
class Progress:
    """Work that is finished and must not be done again: chunks that are marked, steps that a checkpoint has."""

    chunks: dict[str, set[int]] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Path) -> "Progress":
        found = cls()
        for path in sorted(run.rglob("*")):
            if path.name.endswith(".h5.partial"):
                found.look_into(path)
            elif path.suffix == ".checkpoint":
                saved = checkpoints.read_checkpoint(path)
                assert saved is not None and saved["adam" if "adam" in saved else "g_adam"]["state"], (
                    "no optimizer state"
                )
                found.steps[path.name] = 10_000 * saved.get("phase", 0) + saved["step"]
        return found

    def look_into(self, path: Path) -> None:
        import h5py

        assert artifacts.find_damages(path) == [], f"{path} is damaged"
        with h5py.File(path, "r", locking=False) as file:
            if "done" in file:
                self.chunks[path.name] = set(np.flatnonzero(file["done"][:]).tolist())
            elif "history/step" in file:
                self.steps[path.name] = int(file["history/step"][-1])
            else:
                self.steps[path.name] = len(artifacts.describe(path)["fields"])

    def kept_in(self, later: "Progress", run: Path) -> None:
        """AssertionError: something that was finished is not there any more."""
        for name, chunks in self.chunks.items():
            final = (run / name.removesuffix(".partial")).exists()
            assert final or chunks <= later.chunks.get(name, set()), f"marks of {name} went backward"
        for name, step in self.steps.items():
            final = (run / name.removesuffix(".partial")).exists() and name.endswith(".partial")
            assert final or step <= later.steps.get(name, -1), f"{name} went backward"


def check_whole(run: Path) -> None:
    """AssertionError, or what the readers raise: a file with a final name is there by half."""
    for path in sorted(run.rglob("*")):
        if not path.is_file() or path.name.endswith(UNFINISHED):
            continue
        if path.suffix == ".h5":
            with artifacts.open(path):
                assert artifacts.find_damages(path) == []
        elif path.suffix == ".png":
            Image.open(path).load()
        elif path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                assert list(file.keys())
        elif path.suffix == ".npy":
            np.load(path)
        elif path.suffix == ".jsonl" and not path.with_suffix(".checkpoint").exists():
            lines = path.read_text().splitlines()  # a log of a training is cut when the training goes on
            assert all(json.loads(line) for line in lines)


def same(path: Path, other: Path) -> bool:
    """Byte for byte; but what was measured with a clock is left out."""
    if path.suffix == ".jsonl":
        mine, theirs = ([json.loads(line) for line in it.read_text().splitlines()] for it in (path, other))
        drop = lambda rows: [{k: v for k, v in row.items() if k not in MEASURED} for row in rows]  # noqa: E731
        timed = lambda row: str(row.get("metric", "")) in ("fit_seconds", "fit_memory", "fit_megabytes")  # noqa: E731
        return drop([r for r in mine if not timed(r)]) == drop([r for r in theirs if not timed(r)])
    if path.name in ("evaluation.h5", "do_evaluation.h5", "comparison.h5"):  # the costs of fits
        with artifacts.open(path) as mine, artifacts.open(other) as theirs:
            names = [name for name in mine.names if not name.startswith("cost/")]
            return mine.names == theirs.names and all(
                np.array_equal(mine[name], theirs[name], equal_nan=True) for name in names
            )
    if path.suffix == ".checkpoint":
        return True
    return path.read_bytes() == other.read_bytes()


def results(run: Path) -> dict[str, Path]:
    """What is compared: all but what a kill may leave behind, the last draft and a lock's note."""
    files = (path for path in sorted(run.rglob("*")) if path.is_file() and path.name not in UNKEPT)
    files = (path for path in files if path.suffix not in (".lock", ".tmp"))
    return {str(path.relative_to(run)): path for path in files}


def disturb(name: str, kills: int, chance: random.Random, folder: Path, seconds: float) -> int:
    """Run one command under so many kills and then to its end; how many hit it while it worked."""
    words, run, hits = COMMANDS[name], folder / "run", 0
    before = Progress.of(run)
    for number in range(kills):
        (folder / "output.txt").write_text("")  # a child may be dead before it says anything
        pid = start(words, folder)
        which = chance.choice(SIGNALS)
        code = wait(pid, chance.uniform(0, seconds) * (0.7 if number % 2 else 1.1))
        if code is None:
            os.kill(pid, which)
            if which is not signal.SIGKILL and chance.random() < 0.2:
                time.sleep(chance.uniform(0, 0.02))
                os.kill(pid, chance.choice(SIGNALS))  # impatient: a second one stops it at once
            code, hits = finish(pid), hits + 1
        told = (folder / "output.txt").read_text()
        wanted = {0, -9, -15, -2, 128 + 15, 128 + 2}
        assert code in wanted, f"{name} ended with {code} after {which.name}: {told}"
        if code > 128:
            assert told.splitlines()[-1].startswith(("stopped", "interrupted before")), told
        assert "Traceback" not in told, told
        check_whole(run)
        now = Progress.of(run)
        before.kept_in(now, run)
        before = now
        if code == 0:  # done before the kill: once more from the beginning
            again(name, folder)
            before = Progress.of(run)
    code = finish(start(words, folder))
    assert code == 0, (folder / "output.txt").read_text()
    return hits


def again(name: str, folder: Path) -> None:
    """Remove what the command has made."""
    run = folder / "run"
    made = {"train": ["train"], "train-generator": ["gan"], "edit": ["edits", "edits.h5"]}
    made |= {"evaluate": ["evaluation.h5", "evaluation.jsonl"]}
    made |= {
        "sample": ["samples.h5"],
        "label": ["labels.h5"],
        "fit-single": ["single.h5"],
        "fit-mixture": ["mixture.h5"],
    }
    for one in made[name]:
        path = run / one
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def harness() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="over all commands")
    parser.add_argument("--seed", type=int, default=None, help="default: drawn, and printed")
    parser.add_argument("--only", action="append", choices=list(COMMANDS), help="these commands alone")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    print(f"seed {seed}", flush=True)
    chance, chosen = random.Random(seed), given.only or list(COMMANDS)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        calm, wild = Path(name, "calm"), Path(name, "wild")
        settings = write_settings(Path(name, "world"))
        for folder in (calm, wild):
            (folder / "run").mkdir(parents=True)
            (folder / "small.yaml").write_text(settings)
        total = 0
        for command, words in COMMANDS.items():
            began = time.monotonic()
            if command not in chosen and (command.startswith("train") or all(it.startswith("train") for it in chosen)):
                continue  # no other command needs it
            code = finish(start(words, calm))
            assert code == 0, (calm / "output.txt").read_text()
            seconds = time.monotonic() - began
            kills = 0
            if command in chosen:
                place = chosen.index(command)
                kills = given.kills // len(chosen) + (place < given.kills % len(chosen))
            hits = disturb(command, kills, chance, wild, seconds)
            mine, theirs = results(calm / "run"), results(wild / "run")
            assert mine.keys() == theirs.keys(), f"{sorted(mine.keys() ^ theirs.keys())} differ after {command}"
            different = [it for it in mine if not same(mine[it], theirs[it])]
            assert not different, f"{different} differ after {command}, seed {seed}"
            total += hits
            took = time.monotonic() - began
            print(
                f"{command}: {hits} of {kills} signals hit it ({seconds:.1f} s long), same result; {took:.0f} s",
                flush=True,
            )
    print(f"{total} kills, seed {seed}: every result is that of an undisturbed run")


if __name__ == "__main__":
    harness()
