"""Files that a user named: their names expanded, only regular ones opened, invalid JSON lines left out."""

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

from gmmedit.errors import InputError

LARGEST_TEXT = 1 << 18  # bytes of a file of settings; PyYAML reads about 100,000 a second

VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")


def expand_path(name: str, base: Path = Path()) -> str:
    """A file's name with ~ and $VARIABLES replaced, as by a shell, unless `base` contains a file of that very name.

    InputError: a variable is not set.
    """
    if (not name.startswith("~") and "$" not in name) or os.path.lexists(base / name):
        return name
    for match in VARIABLE.finditer(name):
        variable = match[1] or match[2]
        if variable not in os.environ:
            raise InputError(f"{name}: the variable {variable} is not set", hint=f"export {variable}=...")
    return os.path.expandvars(os.path.expanduser(name))


def expand_home(path: Path) -> Path:
    """A path with a leading ~ or ~USER replaced. InputError: there is no such user, or no home folder."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        message = f"{path}: {path.parts[0]} is no user's home folder"
        raise InputError(message, hint=f"./{path} for a file of that name") from error


def check_utf8(path: Path, library: str) -> None:
    """InputError: the path is not UTF-8, which the library that reads the file requires."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        message = f"{path}: its name or that of its folder is not UTF-8, which {library} requires"
        raise InputError(message, hint="rename it") from error


def check_regular(path: Path, hint: str, limit: int | None = None) -> None:
    """InputError: the file is missing, a folder, a pipe or a device, or has more than `limit` bytes."""
    try:
        found = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read {path}: {reason.lower()}", hint=hint) from error
    if stat.S_ISDIR(found.st_mode):
        raise InputError(f"cannot read {path}: is a folder, not a file", hint=hint)
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"cannot read {path}: is a pipe or a device, not a file", hint=hint)
    if limit is not None and found.st_size > limit:
        raise InputError(f"{path} has {found.st_size} bytes, at most {limit} are read", hint=hint)


def read_json_lines(path: Path, keys: set[str]) -> tuple[list[dict[str, Any]], list[int]]:
    """The JSON objects that have at least these keys, one a line, and the numbers of the other lines, from 1.

    Empty lines are neither. OSError: it cannot be read.
    """
    objects, others = [], []
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict) and keys <= value.keys():
            objects.append(value)
        else:
            others.append(number)
    return objects, others
