"""Is a run still what it says it is: structure, checksums, parents, weights, and rows made once more.

Reads every artifact of a run, and the networks; writes nothing.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gmmedit import artifacts
from gmmedit.artifacts import Artifact
from gmmedit.artifacts.schema import KINDS
from gmmedit.errors import InputError
from gmmedit.run.folder import RunFolder
from gmmedit.runtime.execution import Execution, prepare
from gmmedit.verification.recompute import (
    NotHere,
    compare_rows,
    compare_weights,
    regenerate,
    relabel,
    resample,
)

SHOWN = 3  # damaged places of a file that are named
RECOMPUTED = {"samples": resample, "labels": relabel, "edits": regenerate}
OK, FAILED, SKIPPED = "ok", "failed", "skipped"


@dataclass(frozen=True)
class Check:
    """One line of the result: `result` is ok, failed or skipped (what it needs is not there)."""

    file: str
    check: str
    result: str
    detail: str


def run(folder: Path, files: Sequence[Path], rows: int, seed: int, execution: Execution) -> list[Check]:
    """Check the files, by default all artifacts of the folder, finished or not, with those that lie beside them.

    rows: how many rows of samples, labels and edits are made once more, drawn from `seed`; 0: none.
    InputError: the folder holds no artifact. A file that is named and not there is a check that failed.
    """
    prepare(execution)
    paths = list(files) or found_in(folder)
    found: list[Check] = []
    with ExitStack() as stack:
        runs: dict[Path, RunFolder] = {}
        for done, path in enumerate(paths):
            execution.stop.check()
            execution.tick(done, len(paths), f"verify {path.name}")
            if path.parent not in runs:
                runs[path.parent] = stack.enter_context(RunFolder(path.parent, execution))
            beside = runs[path.parent]
            found += check_unfinished(path) if path.suffix == ".partial" else check(path, beside, rows, seed)
    return found


def found_in(folder: Path) -> list[Path]:
    names = [f"{kind}.h5{suffix}" for kind in KINDS for suffix in ("", ".partial")]
    paths = [folder / name for name in names if os.path.lexists(folder / name)]
    if not paths:
        raise InputError(f"{folder} holds no artifact to verify", hint="gmmedit sample makes the first, or give --run")
    return paths


def check_unfinished(path: Path) -> list[Check]:
    """A partial file or a checkpoint: only what is finished of it."""
    return [verdict(path, "structure", lambda: progress(path)), verdict(path, "checksums", lambda: intact(path))]


def check(path: Path, beside: RunFolder, rows: int, seed: int) -> list[Check]:
    """A finished file. Where it cannot be read, nothing else is said of it."""
    structure = verdict(path, "structure", lambda: described(path))
    if structure.result == FAILED:
        return [structure]
    checksums = verdict(path, "checksums", lambda: intact(path))
    with artifacts.open(path) as artifact:
        checks = [structure, checksums]
        if artifact.spec.parents:
            checks.append(verdict(path, "parents", lambda: descent(artifact, beside)))
        checks.append(verdict(path, "weights", lambda: compare_weights(artifact, beside)))
        recompute = RECOMPUTED.get(artifact.kind.name)
        if recompute and rows and checksums.result == OK:
            chosen = np.random.default_rng(seed).choice(artifact.spec.n, min(rows, artifact.spec.n), False)
            chosen.sort()
            checks.append(
                verdict(path, "rows", lambda: compare_rows(artifact, chosen, recompute(artifact, chosen, beside)))
            )
    return checks


def verdict(path: Path, name: str, look: Callable[[], str]) -> Check:
    """`look` answers what it saw; InputError says what is wrong."""
    try:
        return Check(str(path), name, OK, look())
    except NotHere as missing:
        return Check(str(path), name, SKIPPED, str(missing))
    except InputError as error:
        return Check(str(path), name, FAILED, error.message.replace(f"{path} is damaged: ", ""))


def described(path: Path) -> str:
    with artifacts.open(path) as artifact:
        return f"{artifact.kind.name}, schema {artifact.kind.version}, {len(artifact.names)} datasets"


def progress(path: Path) -> str:
    facts = artifacts.describe(path)
    done, total = facts["chunks"]["done"], facts["chunks"]["total"]
    return f"{facts['kind']}, {facts['state']}" + (f", {done} of {total} chunks" if total else "")


def intact(path: Path) -> str:
    """InputError names the datasets and rows that are damaged."""
    found = artifacts.find_damages(path)
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise InputError(f"{path} is damaged: {', '.join(map(str, found[:SHOWN]))}{more}")
    return "every chunk as it was written"


def descent(artifact: Artifact, beside: RunFolder) -> str:
    """InputError: it was not made from the artifacts beside it. NotHere: one is not there."""
    parents = artifact.spec.parents
    there = [name for name in parents if beside.file(name).is_file()]
    for name in [*there, *(["samples"] if beside.file("samples").is_file() else [])]:
        beside.check_descent(artifact, {name: beside.artifact(name)})
    missing = [f"{name}.h5" for name in parents if name not in there]
    if missing:
        raise NotHere(f"{', '.join(missing)} not there")
    return ", ".join(f"{name}.h5" for name in parents)
