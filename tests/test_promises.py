"""docs/reliability.md names a test for every promise, and the tests are there."""

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent
TEXT = (TESTS.parent / "docs" / "reliability.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


@cache
def names_in(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)}


def test_every_promise_names_its_test() -> None:
    promises = re.findall(r"^- (.*(?:\n  .*)*)", TEXT, re.MULTILINE)
    assert len(promises) > 20
    assert [promise for promise in promises if not NAMED.search(promise)] == []


def test_every_named_test_exists() -> None:
    named = NAMED.findall(TEXT)
    assert [name for file, name in named if not (TESTS / file).exists() or name not in names_in(TESTS / file)] == []
