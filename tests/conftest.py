"""One small run folder that every test of the pipeline shares, and the command line as a function."""

import hashlib
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_world
from typer.testing import CliRunner, Result

from gmmedit import artifacts
from gmmedit.runtime import log as logbook

# A shell that starts the tests with & lets them ignore SIGINT, and so would every command that they start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SETTINGS = """
sample: {gan: avatars, n: 600}
fit_single: {steps: 24, batch: 128}
fit_mixture: {steps: 5, batch: 8}
"""
STAGES = ("sample", "label", "fit-single", "fit-mixture")


def gmmedit(*words: object) -> Result:
    """`gmmedit("edit", "--attr", "smile")` runs that command line in this process."""
    from gmmedit.cli.app import app

    return CliRunner().invoke(app, [str(word) for word in words])


def done(*words: object) -> Result:
    """A command that must succeed."""
    result = gmmedit(*words)
    assert result.exit_code == 0, result.output
    return result


def state(folder: Path) -> dict[str, tuple[str, int]]:
    """SHA-256 and time of the last change of every file below a folder, but for the log of what was tried there."""
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != logbook.FILE
    }


@contextmanager
def untouched(folder: Path) -> Iterator[None]:
    """No file below the folder is changed, added, removed or written anew."""
    before = state(folder)
    yield
    assert state(folder) == before


def check(result: Result, *phrases: str, code: int = 2) -> None:
    """One line that says what is wrong and one what to do, on stderr alone."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit) and result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 2, result.stderr
    assert lines[0].startswith("error: ") and lines[1].startswith(" hint: ")
    assert "Traceback" not in result.stderr
    for phrase in phrases:
        assert phrase in result.stderr


def refuse(folder: Path, *words: object, says: tuple[str, ...], code: int = 2) -> None:
    """A command on a run folder that is refused and changes nothing in it."""
    command, *rest = words
    with untouched(folder):
        check(gmmedit(command, "--run", folder, *rest), *says, code=code)


def rewrite(path: Path, rows: int | None = None, parents: dict[str, str] | None = None, **arrays: Any) -> str:
    """Write an artifact of rows anew with other arrays (functions of the old ones), or its first rows only.

    The new fingerprint. The file is as sound as before; what it says is not.
    """
    with artifacts.open(path) as old:
        spec, attrs, contents = old.spec, old.attrs, {name: old[name] for name in old.names}
    contents |= {name: np.asarray(change(contents[name].copy())) for name, change in arrays.items()}
    n = rows or spec.n
    spec = replace(spec, n=n, parents={**spec.parents, **(parents or {})})
    with artifacts.create_rows(path, spec, attrs=attrs) as out:
        for start, stop in out.pending():
            out.write(start, stop, {name: array[start:stop] for name, array in contents.items()})
        out.finish()
    return artifacts.file_fingerprint(path)


def local(host: object) -> bool:
    return host in (None, "", b"", "localhost", "::1") or str(host).startswith("127.")


def local_only(connect: Any) -> Any:
    """`socket.connect` that refuses every address but this machine's own."""

    def connected(self: socket.socket, address: Any) -> Any:
        if isinstance(address, tuple) and not local(address[0]):
            raise AssertionError(f"a test reaches for the network: {address}")
        return connect(self, address)

    return connected


def known_only(getaddrinfo: Any) -> Any:
    """`socket.getaddrinfo` that asks no name server."""

    def found(host: Any, *rest: Any, **more: Any) -> Any:
        if not local(host):
            raise AssertionError(f"a test reaches for the network: {host}")
        return getaddrinfo(host, *rest, **more)

    return found


@pytest.fixture(scope="session", autouse=True)
def nothing_from_outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests choose their run folders themselves, see no progress lines on a slow machine, trust nobody for good,
    and reach no network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GMMEDIT_STATE", str(tmp_path_factory.mktemp("state")))
        patch.setattr("socket.socket.connect", local_only(socket.socket.connect))
        patch.setattr("socket.socket.connect_ex", local_only(socket.socket.connect_ex))
        patch.setattr("socket.getaddrinfo", known_only(socket.getaddrinfo))
        patch.delenv("GMMEDIT_RUN", raising=False)
        patch.setattr("gmmedit.runtime.progress.PLAIN_SECONDS", float("inf"))
        yield


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The YAML file of the shared run."""
    path = tmp_path_factory.mktemp("settings") / "small.yaml"
    path.write_text(SETTINGS)
    return path


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, settings: Path) -> Iterator[Path]:
    """A run folder with samples.h5, labels.h5, single.h5 and mixture.h5; nobody may write into it."""
    folder = tmp_path_factory.mktemp("shared") / "run"
    for stage in STAGES:
        done(stage, "--run", folder, "--config", settings, "--quiet")
    with untouched(folder):
        yield folder


@pytest.fixture(scope="session")
def quick_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of small_world.py, and the settings of a run with them in small.yaml."""
    folder = tmp_path_factory.mktemp("world")
    small_world.write_world(folder)
    return folder


@pytest.fixture(scope="session")
def quick_run(tmp_path_factory: pytest.TempPathFactory, quick_world: Path) -> Iterator[Path]:
    """As `run`, in the small world: for what takes long on the 17 values of the embedded model."""
    folder = tmp_path_factory.mktemp("quick") / "run"
    for stage in STAGES:
        done(stage, "--run", folder, "--config", quick_world / "small.yaml", "--quiet")
    with untouched(folder):
        yield folder


@pytest.fixture
def own_quick_run(quick_run: Path, tmp_path: Path) -> Path:
    """A copy of the quick run folder for one test to change."""
    return shutil.copytree(quick_run, tmp_path / "run")


@pytest.fixture
def little_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Edits and evaluations of few candidates, draws and padded rows."""
    from gmmedit.evaluation import fidelity, figures, results
    from gmmedit.mixture import optimisation
    from gmmedit.runtime import batching, execution

    monkeypatch.setattr(batching, "TILE", 4)
    monkeypatch.setattr(execution, "TILE", 4)
    monkeypatch.setattr(optimisation, "STRENGTHS", (1.0, 2.0))
    monkeypatch.setattr(fidelity, "DRAWS", 4)
    monkeypatch.setattr(figures, "DRAWS", 50)
    monkeypatch.setattr(results, "DRAWS", 50)


@pytest.fixture
def own_run(run: Path, tmp_path: Path) -> Path:
    """A copy of the shared run folder for one test to change."""
    return shutil.copytree(run, tmp_path / "run")
