"""Every public function, method and class says what it does."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "gmmedit"
FILES = sorted(PACKAGE.rglob("*.py"))
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def definitions(tree: ast.Module) -> Iterator[tuple[ast.ClassDef | None, Definition]]:
    """Functions and classes of a module, and methods with their class; those inside functions are nobody's to call."""
    for node in tree.body:
        if isinstance(node, Definition):
            yield None, node
        if isinstance(node, ast.ClassDef):
            yield from ((node, inner) for inner in node.body if isinstance(inner, Definition))


TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
# What a class that inherits may leave to its base: contracts are documented once.
CONTRACTS = {"forward"} | {
    node.name for tree in TREES.values() for owner, node in definitions(tree) if owner and ast.get_docstring(node)
}


def undocumented(tree: ast.Module) -> list[str]:
    """Names of public definitions without a docstring."""
    found = []
    for owner, node in definitions(tree):
        inherits = owner is not None and bool(owner.bases) and node.name in CONTRACTS
        public = not node.name.startswith("_") and not (owner and owner.name.startswith("_"))
        if public and not inherits and not ast.get_docstring(node):
            found.append(f"{owner.name}.{node.name}" if owner else node.name)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_public_definition_has_a_docstring(path: Path) -> None:
    assert ast.get_docstring(TREES[path]), "a module says what it holds"
    assert undocumented(TREES[path]) == []


def test_the_rule_catches() -> None:
    source = "class A:\n    '''A.'''\n    def f(self): pass\n    def _g(self): pass\ndef h(): pass\n"
    assert undocumented(ast.parse(source)) == ["A.f", "h"]
