"""Verify a run: structure, checksums, parents, weights, and recomputed rows.

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
    MissingFile,
    compare_rows,
    compare_weights,
    regenerate,
    relabel,
    resample,
)

MAX_DAMAGES = 3  # damages of a file that are listed
RECOMPUTED = {"samples": resample, "labels": relabel, "edits": regenerate}
OK, FAILED, SKIPPED = "ok", "failed", "skipped"
PARENTS = "parents"  # the check, and the reason to skip what follows from its failure


@dataclass(frozen=True)
class Check:
    """One row of the result: `result` is OK, FAILED, or SKIPPED if a file that it needs is missing or stale."""

    file: str
    check: str
    result: str
    detail: str


def run(folder: Path, files: Sequence[Path], rows: int, seed: int, execution: Execution) -> list[Check]:
    """Check files, by default all artifacts of the folder, finished or not, each with the artifacts beside it.

    rows: number of rows of samples, labels and edits to recompute, selected by `seed`; 0: none. A missing file is a
    failed check. InputError: no files are given and the folder holds no artifact.
    """
    prepare(execution)
    paths = list(files) or find_artifacts(folder)
    found: list[Check] = []
    with ExitStack() as stack:
        runs: dict[Path, RunFolder] = {}
        for done, path in enumerate(paths):
            execution.stop.check()
            execution.tick(done, len(paths), f"verify {path.name}")
            if path.parent not in runs:
                runs[path.parent] = stack.enter_context(RunFolder(path.parent, execution))
            run_folder = runs[path.parent]
            if path.suffix == ".partial":
                found += check_unfinished(path)
            else:
                found += check_file(path, run_folder, rows, seed, stale_files(found))
    return found


def commands_to_mend(checks: Sequence[Check]) -> list[str]:
    """The command lines that replace what failed and what was made from it, run by run, in order."""
    failed = [Path(check.file) for check in checks if check.result == FAILED]
    return [
        command
        for folder in dict.fromkeys(path.parent for path in failed if path.suffix == ".h5" and path.is_file())
        for command in artifacts.commands_to_redo(
            folder,
            [kind for kind in KINDS if kind in artifacts.STEPS or (folder / f"{kind}.h5").is_file()],
            [path.stem for path in failed if path.parent == folder],
        )
    ]


def find_artifacts(folder: Path) -> list[Path]:
    """The artifacts of a folder, finished or partial. InputError: there are none."""
    names = [f"{kind}.h5{suffix}" for kind in KINDS for suffix in ("", ".partial")]
    paths = [folder / name for name in names if os.path.lexists(folder / name)]
    if not paths:
        raise InputError(f"{folder} holds no artifact to verify", hint="--run names another folder")
    return paths


def check_unfinished(path: Path) -> list[Check]:
    """Check the finished part of a partial file or checkpoint."""
    return [
        run_check(path, "structure", lambda: describe_progress(path)),
        run_check(path, "checksums", lambda: compare_checksums(path)),
    ]


def stale_files(checks: Sequence[Check]) -> set[Path]:
    """The files whose parents are others, or made from others."""
    return {Path(check.file) for check in checks if check.result == FAILED and check.check == PARENTS} | {
        Path(check.file) for check in checks if check.result == SKIPPED and check.detail == PARENTS
    }


def check_file(path: Path, run_folder: RunFolder, rows: int, seed: int, stale: set[Path]) -> list[Check]:
    """Check a finished file: if it cannot be read, its structure only; nothing that follows from stale parents."""
    structure = run_check(path, "structure", lambda: describe_structure(path))
    if structure.result == FAILED:
        return [structure]
    checksums = run_check(path, "checksums", lambda: compare_checksums(path))
    with artifacts.open(path) as artifact:
        checks = [structure, checksums]
        recompute = RECOMPUTED.get(artifact.kind.name)
        names = ["weights", *(["rows"] if recompute and rows else [])]
        if stale.intersection(map(run_folder.file, artifact.spec.parents)):
            return [*checks, *(Check(str(path), name, SKIPPED, PARENTS) for name in (PARENTS, *names))]
        if artifact.spec.parents:
            checks.append(run_check(path, PARENTS, lambda: compare_parents(artifact, run_folder)))
            if checks[-1].result == FAILED:
                return [*checks, *(Check(str(path), name, SKIPPED, PARENTS) for name in names)]
        checks.append(run_check(path, "weights", lambda: compare_weights(artifact, run_folder)))
        if recompute and rows and checksums.result == OK:
            chosen = np.random.default_rng(seed).choice(artifact.spec.n, min(rows, artifact.spec.n), False)
            chosen.sort()
            checks.append(
                run_check(path, "rows", lambda: compare_rows(artifact, chosen, recompute(artifact, chosen, run_folder)))
            )
    return checks


def run_check(path: Path, name: str, check: Callable[[], str]) -> Check:
    """The result of a check, which returns a description, or raises InputError or MissingFile."""
    try:
        return Check(str(path), name, OK, check())
    except MissingFile as missing:
        return Check(str(path), name, SKIPPED, str(missing))
    except InputError as error:
        message = error.message.replace(f"{path} is damaged: ", "")
        return Check(str(path), name, FAILED, message.replace(f"{path.parent}/", ""))


def describe_structure(path: Path) -> str:
    """Kind and schema of a finished file. InputError: it cannot be read."""
    with artifacts.open(path) as artifact:
        return f"{artifact.kind.name}, schema {artifact.kind.version}, {len(artifact.names)} datasets"


def describe_progress(path: Path) -> str:
    """Kind and finished chunks of a partial file. InputError: it cannot be read."""
    facts = artifacts.describe(path)
    done, total = facts["chunks"]["done"], facts["chunks"]["total"]
    return f"{facts['kind']}, {facts['state']}" + (f", {done} of {total} chunks" if total else "")


def compare_checksums(path: Path) -> str:
    """Compare the checksums of all chunks. InputError: lists the damaged datasets and rows."""
    found = artifacts.find_damages(path)
    if found:
        more = f" and {len(found) - MAX_DAMAGES} more" if len(found) > MAX_DAMAGES else ""
        raise InputError(f"{path} is damaged: {', '.join(map(str, found[:MAX_DAMAGES]))}{more}")
    return "all chunks intact"


def compare_parents(artifact: Artifact, run_folder: RunFolder) -> str:
    """Compare the recorded parents. InputError: it was made from other artifacts. MissingFile: a parent is missing."""
    parents = artifact.spec.parents
    present = [name for name in parents if run_folder.file(name).is_file()]
    for name in [*present, *(["samples"] if run_folder.file("samples").is_file() else [])]:
        run_folder.check_parents(artifact, {name: run_folder.artifact(name)})
    missing = [f"{name}.h5" for name in parents if name not in present]
    if missing:
        raise MissingFile(f"missing: {', '.join(missing)}")
    return ", ".join(f"{name}.h5" for name in parents)
