"""Files that somebody has named or changed: only regular ones are opened, and a bad line spoils no other."""

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

from gmmedit.errors import InputError

LARGEST_TEXT = 1 << 18  # bytes of a file of settings; PyYAML reads a hundred thousand a second

VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")


def expanded(name: str, base: Path = Path()) -> str:
    """A file's name with ~ and $VARIABLES replaced, as a shell does, unless one lies in `base` that is called so.

    InputError: a variable is not set.
    """
    if (not name.startswith("~") and "$" not in name) or os.path.lexists(base / name):
        return name
    for match in VARIABLE.finditer(name):
        variable = match[1] or match[2]
        if variable not in os.environ:
            raise InputError(f"{name}: the variable {variable} is not set", hint=f"export {variable}=...")
    return os.path.expandvars(os.path.expanduser(name))


def check_utf8(path: Path, library: str) -> None:
    """InputError: the path is not UTF-8, and the library that reads the file takes no other."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        message = f"{path}: its name or that of its folder is not UTF-8, and {library} reads no such file"
        raise InputError(message, hint="rename it") from error


def check_regular(path: Path, hint: str, most: int | None = None) -> None:
    """InputError: there is no such file, it is a folder, a pipe or a device, or has more than `most` bytes."""
    try:
        found = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read {path}: {reason.lower()}", hint=hint) from error
    if stat.S_ISDIR(found.st_mode):
        raise InputError(f"cannot read {path}: is a folder", hint=hint)
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"cannot read {path}: is a pipe or a device, and no file", hint=hint)
    if most is not None and found.st_size > most:
        raise InputError(f"{path} has {found.st_size} bytes, more than {most} are not read", hint=hint)


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
