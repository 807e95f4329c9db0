"""Factory functions in a user's Python file: `my_gan.py:load`."""

import re
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType
from typing import Any

from gmmedit.errors import InputError
from gmmedit.runtime import trust

PATTERN = re.compile(r"(?P<file>.+\.py):(?P<name>\w+)")


class FromSource(SourceFileLoader):
    """Compiles the content that was checked; a .pyc beside the file is ignored, as it may hold something else."""

    def __init__(self, name: str, path: str, content: bytes) -> None:
        super().__init__(name, path)
        self.content = content

    def get_code(self, fullname: str) -> CodeType:
        """The code of `content`, compiled now."""
        return self.source_to_code(self.content, self.path)


def call_factory(name: str, trusted: bool, example: str = "my_gan.py:load") -> Any:
    """What the function returns, called without arguments.

    trusted: whether the user named it, not a file (see trust.py); example: such a name, for hints. InputError: there
    is no such file or function, the function fails, or the file is neither trusted nor on the user's list.
    """
    hint = f"give a Python file and a function in it: {example}"
    match = PATTERN.fullmatch(name)
    if not match:
        raise InputError(f"{name!r} is not a function in a Python file", hint=hint)
    path, function_name = Path(match["file"]), match["name"]
    if not path.is_file():
        raise InputError(f"there is no file {path}", hint=hint)
    loader = FromSource(f"gmmedit_user_{path.stem}", str(path), trust.read_program(path, trusted))
    spec = spec_from_file_location(loader.name, path, loader=loader)
    assert spec and spec.loader  # as the suffix is .py
    module = module_from_spec(spec)
    sys.path.insert(0, str(path.parent.resolve()))  # as `python my_gan.py` would find its neighbours
    try:
        spec.loader.exec_module(module)
        function = getattr(module, function_name, None)
        if not callable(function):
            raise InputError(f"{path} has no function {function_name!r}", hint=hint)
        return function()
    except InputError:
        raise
    except Exception as error:  # the user's own code
        text = " ".join(str(error).split())
        raise InputError(f"{name} fails with {type(error).__name__}: {text}", hint="--debug shows where") from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
