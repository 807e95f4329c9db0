"""Which Python files may run: those that the user has named, and not those that only an artifact names.

An artifact records `my_gan.py:load` as the source of its images, and later stages run it again. A Python file that the
user names (`--gan`, `--classifier`, a YAML file) is trusted: its path and SHA-256 are kept in a list in the user's
state folder. A file that only an artifact names must be on that list, unchanged, or needs `--trust`.

So everything that loads a network takes `trusted`, whether the user named it. It is passed on as an argument from the
stage to `read_program`: a variable of the module would be shared by all commands of a server, and a context variable
does not reach the threads that a stage starts.
"""

import os
from contextlib import suppress
from pathlib import Path

from gmmedit.errors import InputError
from gmmedit.runtime.regular_files import expand_home


def read_program(path: Path, trusted: bool) -> bytes:
    """The content of a Python file that is about to run. A trusted one is added to the user's list.

    trusted: the user named the file, or gave `--trust`. InputError: it is not trusted, and the list does not have it or
    has it with other contents.
    """
    from hashlib import sha256  # imported here to keep the command line's start fast

    content = path.read_bytes()
    line = f"{sha256(content).hexdigest()}  {path.resolve()}"
    known = read_list()
    if line in known:
        return content
    others = [other for other in known if other.partition("  ")[2] != str(path.resolve())]
    if not trusted:
        reason = (
            "has changed since you named it"
            if len(others) < len(known)
            else "is named by a file of the run, and not by you"
        )
        raise InputError(f"{path} is a program that {reason}: it was not run", hint="read it; --trust runs it")
    if len(line.splitlines()) == 1:  # a name with a line break of any kind could pass for a second line
        with suppress(OSError):  # without a writable state folder --trust is needed each time
            write_list([*others, line])
    return content


def list_path() -> Path:
    """The path of the list: GMMEDIT_STATE/trusted, by default in the user's state folder.

    InputError: it is ~USER of an unknown user.
    """
    import platformdirs

    folder = os.environ.get("GMMEDIT_STATE")
    return (expand_home(Path(folder)) if folder else platformdirs.user_state_path("gmmedit")) / "trusted"


def read_list() -> list[str]:
    """`SHA-256  PATH` of each program that the user has named; empty if there is no list.

    Only the line feed ends a line: `str.splitlines` ends it at other characters too, which a folder's name may hold.
    """
    try:
        content = list_path().read_bytes()
    except OSError:
        return []
    return [line.decode(errors="surrogateescape") for line in content.split(b"\n") if line]


def write_list(lines: list[str]) -> None:
    """Replace the list. OSError: it cannot be written."""
    path = list_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_bytes("".join(f"{line}\n" for line in lines).encode(errors="surrogateescape"))
    partial.replace(path)
