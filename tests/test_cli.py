"""The command line: help, output, and the edge where errors become a line and an exit code."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import done, gmmedit, untouched

from gmmedit import __version__, artifacts

STAGES = [
    "sample", "label", "look", "fit-single", "fit-mixture", "edit", "evaluate", "compare", "report", "serve",
    "inspect", "export",
]  # fmt: skip
WITH_SETTINGS = [name for name in STAGES[:7] if name != "look"]
TRAINING = ["generator", "stylegan2", "classifier", "quality"]
HEAVY = {"torch", "numpy", "h5py", "PIL", "rich"}


def process(*words: object, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "gmmedit", *(str(word) for word in words)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)


def test_commands_stand_in_pipeline_order() -> None:
    text = done("--help").output
    places = [text.index(f"\n  {name} ") for name in STAGES]
    assert places == sorted(places)


OTHERS = [["models"], ["models", "fetch"], *(["train", name] for name in TRAINING)]


@pytest.mark.parametrize("command", [[name] for name in STAGES] + OTHERS)
def test_every_command_has_help(command: list[str]) -> None:
    text = done(*command, "--help").output
    assert " ".join(command) in text and "--debug" in text


@pytest.mark.parametrize("group", [[], ["models"], ["train"]])
def test_no_line_of_help_is_cut(group: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    _usage, *lines = done(*group, "--help").output.splitlines()
    assert max(map(len, lines)) <= 80 and not [line for line in lines if line.endswith("...")]


@pytest.mark.parametrize("command", WITH_SETTINGS)
def test_shared_options_have_one_name(command: str) -> None:
    text = done(command, "--help").output
    for option in ("--run", "--config", "--device", "--force", "--restart", "--quiet", "--debug"):
        assert (option in text) == ((command, option) != ("edit", "--force"))  # an edit replaces the last one


def test_the_version() -> None:
    result = gmmedit("--version")
    assert (result.exit_code, result.output) == (0, f"gmmedit {__version__}\n")


def test_help_is_light() -> None:
    script = (
        "import sys\n"
        "from gmmedit.cli.app import app\n"
        "try:\n"
        "    app(sys.argv[1:])\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)\n"
    )
    for words in (["--help"], ["edit", "--help"], ["train", "--help"], ["--version"]):
        command = [sys.executable, "-c", script, *words]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        assert ("Usage" in result.stdout or words == ["--version"]) and "typer" in result.stderr.split()
        assert not HEAVY & set(result.stderr.split())


def test_wrong_options_are_one_line() -> None:
    for words, phrase in (
        (["--foo"], "--foo"),
        (["--seed", "3", "edit"], "--seed"),
        (["train", "--foo"], "--foo"),
        (["edit", "--alph", "1"], "--alpha"),
        (["edti"], "'edit'"),
        (["inspect"], "'file'"),
        (["sample", "more"], "more"),
        (["sample", "-n"], "-n"),
        (["label", "--batch", "0"], "'--batch'"),
        (["fit-single", "--read", "cubic"], "'linear'"),
    ):
        result = gmmedit(*words)
        first, second = result.stderr.splitlines()
        assert result.exit_code == 2 and result.stdout == ""
        assert first.startswith("error: ") and phrase in first
        assert second.startswith(" hint: ") and second.endswith("--help")


@pytest.mark.parametrize("words", [[], ["train"]])
def test_nothing_asked_for_gives_the_help(words: list[str]) -> None:
    result = gmmedit(*words)
    assert "Usage" in result.output and "error:" not in result.output


def test_a_real_process_ends_with_one_line_and_its_exit_code(run: Path) -> None:
    with untouched(run):
        result = process("edit", "--attr", "smiel", GMMEDIT_RUN=str(run))
    assert result.returncode == 2 and result.stdout == ""
    first, second = result.stderr.splitlines()
    assert first == "error: unknown attribute 'smiel'"
    assert second.startswith(" hint: did you mean 'smile'? there are: smile, gender")


def test_debug_shows_a_traceback(tmp_path: Path) -> None:
    plain, debug = process("inspect", tmp_path), process("inspect", tmp_path, "--debug")
    assert plain.returncode == 2 and "Traceback" not in plain.stderr
    assert debug.returncode == 1 and "Traceback" in debug.stderr
    assert "InputError" in debug.stderr and str(tmp_path) in debug.stderr
    assert "error: " in gmmedit("inspect", tmp_path).stderr, "--debug holds for one command only"


def test_a_stop_from_the_keyboard(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gmmedit.stages.sample.draw_rows", stopped)
    result = gmmedit("sample", "--run", tmp_path, "-n", 5)
    assert result.exit_code == 130
    assert result.stderr == "stopped: finished work is kept; run the same command to resume\n"


def test_what_commands_say(own_run: Path, settings: Path) -> None:
    again = ("--run", own_run, "--config", settings)
    assert done("sample", *again).output == f"{own_run}/samples.h5 is up to date\n"
    assert done("sample", *again, "--quiet").output == ""
    table = done("fit-single", *again).stdout
    assert "smile" in table and "hair_color" in table and table.endswith(f"{own_run}/single.h5 is up to date\n")
    assert done("fit-single", *again, "--quiet").output == ""


@pytest.mark.parametrize("command", ["fit-single", "fit-mixture"])
def test_fits_report_what_their_artifact_holds(command: str, run: Path, settings: Path) -> None:
    told = json.loads(done(command, "--run", run, "--config", settings, "--json").stdout)
    with artifacts.open(run / f"{command.removeprefix('fit-')}.h5") as fit:
        report, history = fit.group("report"), fit.group("history")
        names = [name for name, _ in fit.attributes]
        assert [row["attribute"] for row in told["attributes"]] == names
        assert [row["accuracy"] for row in told["attributes"]] == report["accuracy"].tolist()
        assert [row["separation"] for row in told["attributes"]] == report["separation"].tolist()
        for a, row in enumerate(told["attributes"]):
            others = [angle for b, angle in enumerate(report["angles"][a]) if b != a]
            assert row["angle"] == min(others) and row["closest"] != row["attribute"]
            assert report["angles"][a, names.index(row["closest"])] == min(others)
        steps = fit.spec.config["steps"]
        assert fit.attrs["steps"] == (steps if command == "fit-mixture" else 2 * steps)
        assert f" in {'' if command == 'fit-mixture' else '2 x '}{steps} steps; " in told["verdict"]
        assert f"loss {history['loss'][0]:.4f}" in told["verdict"]


def test_fits_of_one_attribute(own_run: Path, settings: Path) -> None:
    path = own_run / "labels.h5"
    with artifacts.open(path) as labels:
        spec, arrays = labels.spec, {name: labels[name][:, :2] for name in ("labels", "logits")}
    spec = replace(spec, sizes={"K": 2}, attributes=spec.attributes[:1])
    with artifacts.create_rows(path, spec) as out:
        for start, stop in out.pending():
            out.write(start, stop, {name: array[start:stop] for name, array in arrays.items()})
        out.finish()
    for words in (["fit-single", "--steps", 2], ["fit-mixture", "--consistency", "off", "--steps", 2]):
        command = (*words, "--run", own_run, "--config", settings, "--force")
        (row,) = json.loads(done(*command, "--json").stdout, parse_constant=pytest.fail)["attributes"]
        assert (row["attribute"], row["closest"], row["angle"]) == ("smile", None, None)
        assert done(*command).stdout.count(" - ") == 2, "a dash for each in the table"


@pytest.mark.parametrize("kind", ["samples", "labels", "single", "mixture"])
def test_inspect(kind: str, run: Path) -> None:
    path = run / f"{kind}.h5"
    facts = json.loads(done("inspect", path, "--json").stdout)
    assert (facts["kind"], facts["state"], facts["n"]) == (kind, "complete", 600)
    assert facts["gmmedit_version"] == __version__
    assert facts["fingerprint"] == artifacts.file_fingerprint(path)
    assert all(field["nan"] == 0 for field in facts["fields"])
    text = done("inspect", path).stdout
    for phrase in (kind, "complete", facts["fingerprint"], facts["command"], "avatars"):
        assert phrase in text


def test_inspect_unfinished_work(own_run: Path) -> None:
    path = own_run / "samples.h5"
    with artifacts.open(path) as samples, artifacts.create_rows(own_run / "new.h5", samples.spec) as out:
        out.write(0, 256, {name: samples.rows(name, 0, 256) for name in samples.names})
    partial = own_run / "new.h5.partial"
    facts = json.loads(done("inspect", partial, "--json").stdout)
    assert facts["state"] == "partial" and facts["chunks"] == {"done": 1, "total": 3, "rows": 256}
    assert "partial" in done("inspect", partial).stdout


def test_inspect_takes_names_literally(own_run: Path) -> None:
    odd = own_run / "[bold]" / "[/x]"
    odd.mkdir(parents=True)
    (own_run / "single.h5").rename(odd / "single.h5")
    assert str(odd / "single.h5") in done("inspect", odd / "single.h5").stdout
