"""A program that only an artifact names: no command runs it, whichever artifact names it, in whichever way."""

import ast
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from conftest import done, gmmedit, refuse
from small_run import seen, write_run

from gmmedit import artifacts
from gmmedit.config import EvaluateSettings
from gmmedit.errors import InputError
from gmmedit.networks import python
from gmmedit.run.folder import RunFolder
from gmmedit.runtime.execution import Execution

PACKAGE = Path(__file__).parents[1] / "gmmedit"
PROGRAM = """
import pathlib
pathlib.Path({ran!r}).touch()
def generator():
    from gmmedit import generators
    return generators.load("avatars")
def classifier():
    from gmmedit import classifiers
    return classifiers.load("avatars")
def features():
    return classifier()
"""
DESCRIPTION = """file: evil.py:classifier
input: {size: 32}
attributes: {a: {}, b: {}}
"""
COMMANDS: dict[str, list[str]] = {
    "label": ["label", "--classifier", "avatars", "--force"],
    "fit-mixture": ["fit-mixture", "--force"],
    "edit": ["edit", "--attr", "smile", "--index", "0", "--polish", "0"],
    "evaluate": ["evaluate", "-n", "20", "--editors", "none", "--force"],
    "compare": ["compare", "-n", "20", "--editors", "none", "--force"],
    "report": ["report"],
    "verify": ["verify", "--rows", "2"],
}
READERS = {
    "samples": ["label", "fit-mixture", "edit", "evaluate", "compare", "report", "verify"],
    "labels": ["fit-mixture", "edit", "evaluate", "compare", "report", "verify"],
    "evaluation": ["report", "verify", "compare"],
    "comparison": ["report", "verify"],
    "edits": ["report", "verify"],
}
WAYS = {"samples": ["program"], "labels": ["program", "description"], "evaluation": ["program", "description"]}
CASES = [
    (kind, reader, way)
    for kind, readers in READERS.items()
    for reader in readers
    for way in WAYS.get(kind, ["program"])
]


def forge(folder: Path, kind: str, **config: object) -> None:
    """Rewrite an artifact with another config; those made from it say that they were made from the new one."""
    path = folder / f"{kind}.h5"
    with artifacts.open(path) as old:
        spec, arrays, attrs = old.spec, {name: old[name] for name in old.names}, old.attrs
        before = old.fingerprint
    spec = replace(spec, config={**spec.config, **config})
    path.unlink()
    store(path, spec, arrays, attrs)
    adopt(folder, kind, before)


def adopt(folder: Path, kind: str, before: str) -> None:
    now = artifacts.file_fingerprint(folder / f"{kind}.h5")
    for path in folder.glob("*.h5"):
        with artifacts.open(path) as child:
            spec, arrays, attrs = child.spec, {name: child[name] for name in child.names}, child.attrs
            own = child.fingerprint
        if spec.parents.get(kind) == before:
            path.unlink()
            store(path, replace(spec, parents={**spec.parents, kind: now}), arrays, attrs)
            adopt(folder, spec.kind, own)


def store(path: Path, spec: artifacts.RunSpec, arrays: dict, attrs: dict) -> None:
    if not spec.table.rows:
        artifacts.write_whole(path, spec, arrays, attrs)
        return
    axes = {name: spec.table.row_axis(name) for name in arrays}
    constants = {name: array for name, array in arrays.items() if axes[name] is None}
    with artifacts.create_rows(path, spec, constants, attrs=attrs) as out:
        for start, stop in out.pending():
            rows = {name: array for name, array in arrays.items() if axes[name] is not None}
            out.write(start, stop, {n: it.take(range(start, stop), axes[n]) for n, it in rows.items()})
        out.finish()


def write_scored(folder: Path, kind: str) -> None:
    """An evaluation of random numbers, as far as its structure goes a real one."""
    import numpy as np

    with artifacts.open(folder / "mixture.h5") as mixture:
        parents, spec = {"mixture": mixture.fingerprint}, mixture.spec
    columns = sum(len(values) for _, values in spec.attributes)
    source = np.random.default_rng(0)
    arrays = seen(spec.attributes, ["mixture"], 3 * source.normal(size=(40, columns)), source)
    if kind == "evaluation":
        arrays |= {f"fidelity/{name}": source.uniform(size=(columns, 9)) for name in ("labels", "hits", "coefficients")}
    config = EvaluateSettings(n=40, classifier="avatars").model_dump() | {"space": "w", "embedder": None}
    asked = replace(spec, kind=kind, n=40, config=config, parents=parents)
    artifacts.write_whole(folder / f"{kind}.h5", asked, arrays, {"editors": ["mixture"], "notes": []})


@pytest.fixture
def ran(tmp_path: Path, own_run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Beside a received run lies a program; the file is there once it has run. Nobody here has named it."""
    monkeypatch.setenv("GMMEDIT_STATE", str(tmp_path / "state"))
    program = own_run / "evil.py"
    program.write_text(PROGRAM.format(ran=str(tmp_path / "ran")))
    (own_run / "evil.yaml").write_text(DESCRIPTION)
    return tmp_path / "ran"


def prepare(folder: Path, kind: str, **config: object) -> None:
    if kind == "edits":
        done("edit", "--run", folder, "--attr", "smile", "--index", "0", "--polish", 0)
    if kind in ("evaluation", "comparison"):
        write_scored(folder, kind)
    forge(folder, kind, **config)


@pytest.mark.parametrize(("kind", "reader", "way"), CASES)
def test_no_command_runs_what_an_artifact_names(kind: str, reader: str, way: str, own_run: Path, ran: Path) -> None:
    evil = str(own_run / ("evil.yaml" if way == "description" else "evil.py:classifier"))
    forged: dict[str, object] = {"classifier": evil, "features": evil, "embedder": "0" * 64}
    if kind == "samples":
        forged = {"gan": str(own_run / "evil.py:generator")}
    prepare(own_run, kind, **forged)
    if reader == "report" and kind not in ("samples", "labels"):
        (own_run / "mixture.h5").unlink()  # no images then, which would take minutes
    result = gmmedit(*COMMANDS[reader], "--run", own_run)
    assert not ran.exists()
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert not Path(os.environ["GMMEDIT_STATE"], "trusted").exists()


@pytest.mark.parametrize(("kind", "key", "function"), [
    ("samples", "gan", "generator"), ("labels", "classifier", "classifier"),
    ("evaluation", "classifier", "classifier"), ("comparison", "classifier", "classifier"),
    ("evaluation", "features", "features"),
])  # fmt: skip
def test_verify_says_what_it_did_not_run_and_runs_what_is_trusted(
    kind: str, key: str, function: str, own_run: Path, ran: Path
) -> None:
    more = {"embedder": "0" * 64} if key == "features" else {}
    prepare(own_run, kind, **{key: f"{own_run / 'evil.py'}:{function}"}, **more)
    words = ("verify", own_run / f"{kind}.h5", "--rows", 0, "--json")
    checks = {check["check"]: check for check in json.loads(gmmedit(*words).stdout)["checks"]}
    assert checks["weights"]["result"] == "failed" and "is named by a file of the run" in checks["weights"]["detail"]
    assert not ran.exists()
    gmmedit(*words, "--trust")
    assert ran.exists()


def test_settings_that_there_are_not(own_run: Path) -> None:
    forge(own_run, "samples", gan="avatars", module="evil.py:generator")
    words = ("label", "--classifier", "avatars-eval", "--force")
    refuse(own_run, *words, says=("samples.h5: module", "gmmedit sample --force"))


IMPOSSIBLE = [
    ("samples", {"gan": ["a"]}, "samples.h5: gan: "),
    ("labels", {"classifier": ["a"]}, "labels.h5: classifier: "),
    ("mixture", {"space": {"a": 1}}, "mixture.h5: space: "),
    ("mixture", {"held_out": "x"}, "mixture.h5: held_out: "),
    ("mixture", {"picture": [1]}, "mixture.h5: picture: "),
    ("mixture", {"seed": True}, "mixture.h5: seed: "),
    ("evaluation", {"polish": "1"}, "evaluation.h5: polish: "),
    ("comparison", {"first_seed": None}, "comparison.h5: first_seed: "),
]


@pytest.mark.parametrize(("kind", "config", "says"), IMPOSSIBLE)
def test_settings_of_another_type(kind: str, config: dict[str, Any], says: str, tmp_path: Path) -> None:
    write_run(tmp_path)
    with RunFolder(tmp_path, Execution()) as run:
        assert run.artifact(kind).kind.name == kind, "as its stage wrote it"
    forge(tmp_path, kind, **config)
    with RunFolder(tmp_path, Execution()) as run, pytest.raises(InputError, match=says) as caught:
        run.artifact(kind)
    assert f"--force --run {tmp_path}" in caught.value.hint


def test_one_that_trusts_does_not_let_others_trust(own_run: Path, ran: Path) -> None:
    """--trust is of one command, in the same process too."""
    prepare(own_run, "samples", gan=f"{own_run / 'evil.py'}:generator")
    gmmedit("verify", own_run / "samples.h5", "--rows", 0, "--trust")
    Path(os.environ["GMMEDIT_STATE"], "trusted").unlink()
    ran.unlink()
    gmmedit(*COMMANDS["label"], "--run", own_run)
    assert not ran.exists()


def test_what_runs_is_what_was_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that changes between the check and the run does not run."""
    path, ran = tmp_path / "own.py", tmp_path / "ran"
    path.write_text("def load(): return 1\n")
    read_program = python.trust.read_program

    def checked(path: Path, trusted: bool) -> bytes:
        content = read_program(path, trusted)
        path.write_text(f"import pathlib\npathlib.Path({str(ran)!r}).touch()\ndef load(): return 2\n")
        return content

    monkeypatch.setattr(python.trust, "read_program", checked)
    assert python.call_factory(f"{path}:load", trusted=True) == 1 and not ran.exists()


@pytest.mark.parametrize("mark", ["\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_no_name_of_a_folder_makes_another_program_trusted(
    mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GMMEDIT_STATE", str(tmp_path / "state"))
    evil = tmp_path / "evil.py"
    evil.write_text("def load(): pass\n")
    folder = tmp_path / f"x{mark}{sha256(evil.read_bytes()).hexdigest()}  {evil}{mark}y"
    folder.mkdir(parents=True)
    (folder / "good.py").write_text("def load(): return 1\n")
    for program in (folder / "good.py", tmp_path / "other.py"):
        program.write_text("def load(): return 1\n")
        assert python.trust.read_program(program, trusted=True)
    assert python.trust.read_program(tmp_path / "other.py", trusted=False), "what is on the list stays there"
    stored = sha256(b"").hexdigest() + f"  {folder}/good.py\n"  # as earlier versions stored it
    with Path(os.environ["GMMEDIT_STATE"], "trusted").open("ab") as known:
        known.write(stored.encode() if mark != "\n" else b"")
    with pytest.raises(InputError, match="not by you"):
        python.trust.read_program(evil, trusted=False)


LOADERS = {"generators.load", "classifiers.load", "load_embedder", "load_from_python", "python.call_factory"}


def loads(source: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in LOADERS:
            yield node


# Whoever reads artifacts says it each time: `trusted` has a default only for those who call the library themselves.
READING = ("stages", "run", "editing", "evaluation", "report", "verification")


@pytest.mark.parametrize("path", [path for room in READING for path in sorted((PACKAGE / room).rglob("*.py"))],
                         ids=lambda path: str(path.relative_to(PACKAGE)))  # fmt: skip
def test_every_stage_says_whether_a_network_is_trusted(path: Path) -> None:
    for call in loads(path.read_text(encoding="utf-8")):
        assert any(keyword.arg == "trusted" for keyword in call.keywords), ast.unparse(call)
