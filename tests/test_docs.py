"""README, CHANGELOG and docs/*.md: the files, links, commands, options and targets that they name exist."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from gmmedit.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
WRITTEN = [path for path in PAGES if path.name != "artifacts.md"]  # that page is generated
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
PATH = re.compile(r"(?<![\w./-])(?:gmmedit|benchmarks|configs|docs|tests)/[\w./-]*\w")
CODE = re.compile(r"`([^`]+)`")
OLD_WORDS = re.compile(r"\b(picture|paint|rival|judge)", re.IGNORECASE)


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def anchors(path: Path) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", read(path)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def code_lines(path: Path) -> Iterator[str]:
    """Lines of code blocks without their comments, and code inside of text."""
    text = read(path)
    for block in FENCE.findall(text):
        yield from (line.partition("#")[0] for line in block.splitlines()[1:-1])
    yield from (" ".join(code.split()) for code in CODE.findall(FENCE.sub("", text)))


@cache
def gmmedit() -> Any:
    """The command with all its commands, which take half a second to make."""
    return typer.main.get_command(app)


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words after `gmmedit` name, and the words after it."""
    command = gmmedit()
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        assert words[0] in command.commands, words[0]
        command, words = command.commands[words[0]], words[1:]
    return command, words


def options(command: Any) -> set[str]:
    return {"--help"} | {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


def every_option(command: Any) -> set[str]:
    return options(command).union(*map(every_option, getattr(command, "commands", {}).values()))


def calls(path: Path) -> Iterator[list[str]]:
    """The words after `gmmedit` in each call of the command."""
    for line in code_lines(path):
        for call in re.split(r"&&|;|\|\|| \| ", line):
            words = call.split()
            if "gmmedit" in words and words[0] in ("gmmedit", "torchrun", "python", ".venv/bin/gmmedit"):
                words = words[words.index("gmmedit") + 1 :]
                yield [word for word in words if word not in ("--", "...")]


def test_the_readme_is_short() -> None:
    assert len(read(ROOT / "README.md").splitlines()) < 150


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_resolve(path: Path) -> None:
    for target, anchor in LINK.findall(read(path)):
        found = path.parent / target if target else path
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), f"{target}#{anchor}"


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_files_that_are_named_exist(path: Path) -> None:
    text = re.sub(r"https?://\S+", "", read(path))
    assert [name for name in PATH.findall(text) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_commands_and_options_exist(path: Path) -> None:
    known = every_option(gmmedit())
    for words in calls(path):
        if words and (words[0].isupper() or "|" in words[0]):  # COMMAND; sample|label
            continue
        command, rest = command_of(words)
        given = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
        assert given <= options(command), (command.name, given - options(command))
    for code in CODE.findall(FENCE.sub("", read(path))):
        given = {word for word in code.split() if re.match(r"--[a-z]", word)} if code.startswith("--") else set()
        assert given <= known, given - known


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_make_targets_exist(path: Path) -> None:
    targets = set(re.findall(r"^(\w+):", read(ROOT / "Makefile"), re.MULTILINE))
    named = {line.split()[1] for line in code_lines(path) if re.match(r"make \w", line)}
    assert named <= targets, named - targets


@pytest.mark.parametrize("path", [path for path in WRITTEN if path.name != "CHANGELOG.md"], ids=lambda path: path.name)
def test_one_word_for_one_thing(path: Path) -> None:
    """Image, generate, baseline, evaluation classifier; names of settings and files are code."""
    prose = CODE.sub("", FENCE.sub("", read(path)))
    assert [line for line in prose.splitlines() if OLD_WORDS.search(line)] == []
