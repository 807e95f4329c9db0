"""What Tab offers: names, without torch; and nothing, rather than an error."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from gmmedit import artifacts
from gmmedit.cli.completion import complete_artifacts, complete_attributes
from gmmedit.hub import CATALOGUE


def offered(*words: str) -> list[str]:
    """What bash is told for the last word."""
    from gmmedit.cli.app import app

    environment = {
        "_GMMEDIT_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["gmmedit", *words]),
        "COMP_CWORD": str(len(words)),
    }
    result = CliRunner().invoke(app, [], prog_name="gmmedit", env=environment)
    assert result.stderr == "" and result.exit_code == 0, result.output
    return result.stdout.split()


def test_commands_and_options() -> None:
    assert offered("fit-") == ["fit-single", "fit-mixture"]
    assert "--consistency" in offered("fit-mixture", "--con") and "surrogate" in offered(
        "fit-mixture", "--consistency", ""
    )


def test_the_home_of_an_unknown_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GMMEDIT_RUN", "~nosuchuser")
    assert offered("inspect", "") == [] == offered("edit", "--attr", "")


def test_attributes_of_the_run(run: Path, own_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert offered("edit", "--run", str(run), "--attr", "sm") == ["smile=no", "smile"]
    monkeypatch.setenv("GMMEDIT_RUN", str(own_run))
    assert offered("edit", "--attr", "hair_color=bl") == ["hair_color=black", "hair_color=blond"]
    (own_run / "mixture.h5").write_bytes(b"damaged")
    assert "age" in offered("edit", "--attr", ""), "labels.h5 names them too"
    monkeypatch.setenv("GMMEDIT_RUN", str(own_run / "nothing"))
    assert offered("edit", "--attr", "") == []


def test_generators() -> None:
    assert offered("sample", "--gan", "") == list(CATALOGUE)
    assert offered("models", "fetch", "stylegan3-t-ffhq") == [n for n in CATALOGUE if n.startswith("stylegan3-t-ffhq")]
    assert "avatars" not in offered("models", "fetch", "")


def test_artifacts_of_the_run(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GMMEDIT_RUN", str(run))
    for command in ("inspect", "verify"):
        assert offered(command, "") == [str(run / f"{kind}.h5") for kind in ("labels", "mixture", "samples", "single")]
        assert offered(command, str(run / "sing")) == [str(run / "single.h5")]


def test_names_that_a_shell_might_run_are_not_offered(tmp_path: Path) -> None:
    names = ["smile", "blond hair", "größe", "smi$(touch X)", "smi`x`", "smi\nx", "smi;x", "smi'"]
    spec = artifacts.RunSpec("mixture", n=1, attributes=[(name, ["no", "yes"]) for name in names])
    spec = replace(spec, attributes=[*spec.attributes, ("age", ["young", "$(x)"])], sizes={"T": 1})
    artifacts.write_whole(tmp_path / "mixture.h5", spec, {"history/step": np.zeros(1, dtype=np.int64)}, {})
    shown = complete_attributes(SimpleNamespace(params={"run": tmp_path}), "")  # type: ignore[arg-type]
    assert shown == ["smile=no", "smile", "blond hair=no", "blond hair", "größe=no", "größe", "age=young"]
    (tmp_path / "a$(x).h5").touch()
    assert complete_artifacts(SimpleNamespace(params={"run": tmp_path}), "") == [str(tmp_path / "mixture.h5")]


def test_tab_does_not_wait_for_torch(run: Path) -> None:
    script = (
        "import sys\nsys.argv = ['gmmedit']\nfrom gmmedit.cli.app import app\ntry:\n    app()\n"
        "except SystemExit:\n    assert 'torch' not in sys.modules\n"
    )
    environment = {"_GMMEDIT_COMPLETE": "complete_bash", "COMP_WORDS": "gmmedit edit --attr ", "COMP_CWORD": "3"}
    command = [sys.executable, "-c", script]
    known = os.environ | environment | {"GMMEDIT_RUN": str(run)}
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=known)
    with artifacts.open(run / "mixture.h5") as mixture:
        assert {name for name, _ in mixture.attributes} - set(result.stdout.split()) == {"hair_color"}


def test_the_script_for_a_shell() -> None:
    from gmmedit.cli.app import app

    environment = {"_GMMEDIT_COMPLETE": "source_bash"}
    text = CliRunner().invoke(app, [], prog_name="gmmedit", env=environment).stdout
    assert "_GMMEDIT_COMPLETE=complete_bash" in text and text.rstrip().endswith("gmmedit")
    help_text = CliRunner().invoke(app, ["--help"]).stdout
    assert "--install-completion" in help_text and "--show-completion" in help_text
