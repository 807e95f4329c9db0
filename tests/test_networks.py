"""Hostile files of networks: what asks for more than a network needs is refused, and nothing of it runs."""

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from small_generators import Painter, export, script

from gmmedit.errors import InputError
from gmmedit.generators import load


def rewritten(path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """The zip with the contents of its files changed."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, change(name, content))
    return path


@pytest.mark.parametrize(
    "target", ["torch.os.system", "torch.ops.aten.from_file.default", "torch.load", "math.__loader__"]
)
def test_a_program_that_calls_anything_else_is_refused_before_it_is_loaded(tmp_path, target):
    def change(name: str, content: bytes) -> bytes:
        return content.replace(b"torch.ops.aten.relu.default", target.encode()) if "model.json" in name else content

    path = rewritten(export(Painter(), tmp_path / "gan.pt2"), change)
    with pytest.raises(InputError, match=f"gan.pt2 has target '{target}'"):
        load(str(path))


def test_a_program_with_an_expression_or_a_pickle_is_refused(tmp_path):
    trap = tmp_path / "ran"

    def evaluated(name: str, content: bytes) -> bytes:
        found = re.sub(rb'"expr_str": *"[^"]*"', b"\"expr_str\": \"open('%s', 'w')\"" % str(trap).encode(), content)
        return found if name.endswith("model.json") else content

    def pickled(name: str, content: bytes) -> bytes:
        return content.replace(b'"use_pickle": false', b'"use_pickle": true')

    for change, reason in ((evaluated, "expr_str"), (pickled, "pickled tensors")):
        path = rewritten(export(Painter(), tmp_path / "gan.pt2"), change)
        with pytest.raises(InputError, match=reason):
            load(str(path))
    assert not trap.exists()


def test_a_script_that_writes_files_is_refused(tmp_path):
    def change(name: str, content: bytes) -> bytes:
        is_code = "/code/" in name and name.endswith(".py")
        return content.replace(b"return", b'torch.save(z, "ran")\n    return') if is_code else content

    path = rewritten(script(Painter(), tmp_path / "gan.pt"), change)
    with pytest.raises(InputError, match="torch.save"):
        load(str(path))
