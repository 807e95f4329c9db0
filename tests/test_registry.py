"""Names to plug-ins: lazily, with help for typing errors, and from other installed packages."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gmmedit.errors import InputError, nearest
from gmmedit.runtime.registry import Registry

BUILTIN = {"smile": "json:loads", "gender": "colorsys:rgb_to_hsv", "nested": "json:JSONDecoder.decode"}


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A registry beside an installed package that offers plug-ins of its own."""
    info = tmp_path / "outsider-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outsider\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[gmmedit.tests]\n"
        "theirs = outsider_module:part\nsmile = outsider_module:part\n"
        "broken = outsider_module:absent\nunmet = outsider_needs:part\n"
    )
    (tmp_path / "outsider_module.py").write_text("part = 'the outsider'\n")
    (tmp_path / "outsider_needs.py").write_text("import surely_not_installed.inner\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield Registry("test part", BUILTIN, "gmmedit.tests")
    sys.modules.pop("outsider_module", None)


def test_built_in_names_load_their_object(outside: Registry) -> None:
    assert outside.load("smile")("[1]") == [1]
    assert outside.load("nested").__name__ == "decode"


def test_names_are_listed_without_any_import(outside: Registry) -> None:
    assert outside.names() == ["smile", "gender", "nested", "broken", "theirs", "unmet"]
    assert "outsider_module" not in sys.modules
    assert outside.load("theirs") == "the outsider"


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("smle", "there is no test part called 'smle'", "did you mean 'smile'? there are: smile, gender"),
        ("unmet", "test part 'unmet' cannot be imported", "pip install surely_not_installed"),
        ("broken", "test part 'broken'", "correct the entry point in 'gmmedit.tests'"),
    ],
)
def test_names_that_cannot_be_loaded(outside: Registry, name: str, message: str, hint: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        outside.load(name)
    assert hint in caught.value.hint and caught.value.exit_code == 2


def test_nearest() -> None:
    assert nearest("Smile", ["smile", "age"]) == "did you mean 'smile'? there are: smile, age"
    assert nearest("xyz", ["smile", "age"]) == "there are: smile, age"
    assert nearest("xyz", (f"name{i}" for i in range(99))).endswith("name19, ...")
    assert nearest("xyz", []) == "there are none"
