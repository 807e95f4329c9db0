"""Where the command runs: folders that are not UTF-8, terminals that are ASCII, ~ and variables, GMMEDIT_RUN."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import small_networks as small
from conftest import check, done, gmmedit, refuse, untouched

from gmmedit import artifacts, classifiers, config
from gmmedit.errors import InputError

ODD = os.fsdecode(b"caf\xe9 \xff")  # no UTF-8
PROGRAM = "def load():\n    return lambda x: 40 * (x.mean([2, 3])[:, :2] - 0.5)\n"
BODY = "input: {size: 32}\nactivation: sigmoid\nattributes: {smile: {}, age: {}}\n"
TERMINALS = {
    "ascii streams": {"PYTHONIOENCODING": "ascii"},
    "strict utf-8": {"PYTHONIOENCODING": "utf-8:strict", "LC_ALL": "C.UTF-8"},
    "the C locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


def process(*words: object, **environment: str) -> subprocess.CompletedProcess:
    """A command in a process of its own, which must end without a traceback."""
    known = {name: value for name, value in os.environ.items() if name != "PYTHONUTF8"}
    command = [sys.executable, "-m", "gmmedit", *(str(word) for word in words)]
    result = subprocess.run(command, capture_output=True, env=known | environment)
    assert b"Traceback" not in result.stderr, result.stderr
    return result


def network(folder: Path) -> None:
    """A network, and my.yaml that describes it."""
    (folder / "net.py").write_text(PROGRAM)
    (folder / "my.yaml").write_text(f"file: net.py:load\n{BODY}")


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    try:
        (tmp_path / ODD).mkdir()
    except OSError:
        pytest.skip("this file system has no such names")
    return tmp_path / ODD


def test_everything_in_a_folder_that_is_not_utf8(odd: Path, tmp_path: Path) -> None:
    """The run, its generator, its classifier, its settings and its results lie there, and every file is whole."""
    run, out = odd / "run", odd / "out"
    network(odd)
    (odd / "s.yaml").write_text(
        "sample: {gan: avatars, n: 120, images: true}\nlabel: {classifier: my.yaml}\n"
        "fit_single: {steps: 2, read: linear}\nfit_mixture: {steps: 1, batch: 4}\n"
    )
    common = ("--run", run, "--config", odd / "s.yaml")
    done("sample", *common)
    (odd / f"{ODD}.csv").write_text("seed,smile,age\n" + "".join(f"{i},{i % 2},{i % 3 / 2}\n" for i in range(120)))
    done("label", *common, "--classifier", odd / f"{ODD}.csv")
    done("label", *common, "--force", "--from-images")
    done("label", *common, "--classifier", odd / f"{ODD}.csv", "--force")
    done("fit-single", *common)
    done("fit-mixture", *common, "--consistency", "off")
    done("edit", *common, "--attr", "smile", "--index", "0-1", "--out", out, "--polish", 0)
    done("report", "--run", run)
    for path in (run / "samples.h5", run / "labels.h5", out / "edits.h5"):
        assert json.loads(done("inspect", path, "--json").stdout)["path"] == str(path)
    assert json.loads(done("verify", "--run", run, "--json").stdout)["ok"]
    with artifacts.open(run / "labels.h5") as labels:
        assert labels.spec.classifier["name"] == f"{ODD}.csv"
        assert labels.spec.config["classifier"] == str(odd / f"{ODD}.csv")
    assert (out / "edits" / "sheet.png").is_file()


def test_a_network_whose_file_is_not_utf8(odd: Path, tmp_path: Path) -> None:
    """Its name is in every artifact."""
    network(odd)
    (tmp_path / f"{ODD}.yaml").write_text(f"file: $FOLDER/net.py:load\n{BODY}")
    run = tmp_path / "run"
    done("sample", "--run", run, "-n", 120)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOLDER", str(odd))
        done("label", "--run", run, "--classifier", tmp_path / f"{ODD}.yaml")
        with artifacts.open(run / "labels.h5") as labels:
            assert labels.spec.classifier["name"] == f"{ODD}.yaml"
        assert json.loads(done("verify", "--run", run, "--json").stdout)["ok"]
    check(gmmedit("label", "--run", run, "--classifier", tmp_path / f"{ODD}.yaml", "--force"), "FOLDER is not set")


@pytest.mark.parametrize("terminal", TERMINALS)
def test_terminals_lose_nothing(terminal: str, odd: Path, run: Path) -> None:
    environment = TERMINALS[terminal]
    folder = odd / "run"
    result = process("sample", "-n", 3, "--run", folder, **environment)
    assert result.returncode == 0 and result.stdout.startswith(b"wrote ") and (folder / "samples.h5").is_file()
    assert "caf\\udce9" in (folder / "gmmedit.log").read_text(encoding="utf-8")
    assert process("inspect", folder / "samples.h5", **environment).returncode == 0
    result = process("label", "--run", folder, "--classifier", folder / "none.csv", **environment)
    assert result.returncode == 2 and result.stderr.startswith(b"error: ")
    with untouched(run):
        result = process("label", "--run", run, **environment)  # tables of lines and figures
    assert result.returncode == 0 and b"hair_color" in result.stdout


def test_a_run_from_another_terminal_that_this_one_cannot_name(tmp_path: Path) -> None:
    small.script(small.Linear(2), tmp_path / "h\u00e4ndisch.ts")
    (tmp_path / "k\u00fcrzer.yaml").write_text(f"file: h\u00e4ndisch.ts\n{BODY}", encoding="utf-8")
    table = tmp_path / "h\u00e4ndisch.csv"
    table.write_text("seed,smile\n" + "".join(f"{seed},{seed % 2}\n" for seed in range(120)), encoding="utf-8")
    done("sample", "--run", tmp_path / "run", "-n", 120)
    done("label", "--run", tmp_path / "run", "--classifier", tmp_path / "k\u00fcrzer.yaml")
    result = process("verify", "--run", tmp_path / "run", **TERMINALS["the C locale"])
    assert result.returncode in (0, 1, 2)
    words = ("label", "--run", tmp_path / "run", "--classifier", tmp_path / "k\u00fcrzer.yaml", "--force")
    assert process(*words, **TERMINALS["the C locale"]).returncode in (0, 1, 2)


# ~ and variables


def test_home_and_variables_in_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETWORKS", str(tmp_path / "networks"))
    (tmp_path / "networks").mkdir()
    small.script(small.Linear(2), tmp_path / "networks" / "net.ts")
    (tmp_path / "networks" / "my.py").write_text("def load(): return lambda x: x.mean([2, 3])[:, :2]\n")
    (tmp_path / "yaml").mkdir()
    for name in ("~/networks/net.ts", "$NETWORKS/net.ts", "${NETWORKS}/net.ts", "${NETWORKS}/my.py:load"):
        (tmp_path / "yaml" / "c.yaml").write_text(f"file: {name}\n{BODY}")
        assert len(classifiers.load(str(tmp_path / "yaml" / "c.yaml")).attributes) == 2
        (tmp_path / "yaml" / "s.yaml").write_text(
            f"sample: {{gan: '{name}'}}\nevaluate: {{features: '{name}'}}\nlabel: {{classifier: '{name}'}}\n"
        )
        settings = config.load(tmp_path / "yaml" / "s.yaml")
        wanted = str(tmp_path / "networks" / name.rpartition("/")[2])
        assert settings.sample.gan == settings.evaluate.features == settings.label.classifier == wanted
    assert config.load(sample={"gan": "~/net.pkl"}).sample.gan == f"{tmp_path}/net.pkl"
    monkeypatch.delenv("NETWORKS")
    with pytest.raises(InputError, match="NETWORKS is not set"):
        config.load(tmp_path / "yaml" / "s.yaml")
    small.script(small.Linear(2), tmp_path / "yaml" / "a$b.ts")
    (tmp_path / "yaml" / "c.yaml").write_text(f"file: a$b.ts\n{BODY}")
    assert len(classifiers.load(str(tmp_path / "yaml" / "c.yaml")).attributes) == 2, "a file that is called so"


def test_yaml_of_letters_that_are_none(run: Path, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text('file: net.ts\nattributes: {"a\\uDCE9": {}}\n')
    refuse(run, "label", "--classifier", tmp_path / "c.yaml", "--force", says=("c.yaml is not valid YAML",))


# GMMEDIT_RUN


def test_gmmedit_run(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GMMEDIT_RUN", "~/there")
    done("sample", "-n", 3)
    assert (tmp_path / "there" / "samples.h5").is_file() and not (tmp_path / "~").exists()
    done("sample", "-n", 3, "--run", "~/other")
    assert (tmp_path / "other" / "samples.h5").is_file()
    done("edit", "--run", run, "--attr", "smile", "--index", 0, "--polish", 0, "--out", "~/edited")
    assert (tmp_path / "edited" / "edits.h5").is_file() and not (tmp_path / "~").exists()
    monkeypatch.setenv("GMMEDIT_RUN", "")
    done("sample", "-n", 3)
    assert (tmp_path / "runs" / "default" / "samples.h5").is_file()
    for odd in (tmp_path / "there" / "samples.h5", "/dev/null", "a" * 300, tmp_path / "there" / "samples.h5" / "below"):
        monkeypatch.setenv("GMMEDIT_RUN", str(odd))
        for words in (("sample", "-n", 3), ("label",), ("fit-single",), ("edit", "--attr", "smile"), ("verify",),
                      ("evaluate",), ("report",)):  # fmt: skip
            result = gmmedit(*words)
            assert result.exit_code in (1, 2) and isinstance(result.exception, SystemExit), (odd, words, result.output)
            assert len(result.stderr.splitlines()) == 2


@pytest.mark.parametrize(
    "words",
    [
        ["sample", "--run", "~nosuchuser"],
        ["sample", "--config", "~nosuchuser/a.yaml"],
        ["edit", "--attr", "smile", "--out", "~nosuchuser/a"],
        ["edit", "--attr", "smile", "--latents", "~nosuchuser/a.npy"],
        ["report", "--out", "~nosuchuser/a.html"],
        ["export", "--attr", "smile", "-o", "~nosuchuser/a.npy"],
        ["export", "--edits", "~nosuchuser/edits.h5", "-o", "a.npz"],
    ],
)
def test_the_home_of_an_unknown_user(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check(gmmedit(*words), "~nosuchuser is no user's home folder", "./~nosuchuser")
    assert not list(tmp_path.iterdir())


def test_the_home_of_an_unknown_user_in_variables(
    own_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says = "~nosuchuser is no user's home folder"
    monkeypatch.setenv("GMMEDIT_CACHE", "~nosuchuser")
    check(gmmedit("models"), says)
    monkeypatch.setenv("GMMEDIT_STATE", "~nosuchuser")
    (tmp_path / "c.py").write_text("def load(): ...")
    check(gmmedit("label", "--run", own_run, "--classifier", tmp_path / "c.py:load", "--force"), says)
    monkeypatch.setenv("GMMEDIT_RUN", "~nosuchuser")
    check(gmmedit("sample"), says)
