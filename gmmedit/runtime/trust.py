"""Which Python files may run: those that the user has named, not those that a file of somebody else names.

An artifact keeps `my_gan.py:load` as the source of its images, and later steps run that again. Whoever names a
Python file himself (`--gan`, `--classifier`, a YAML file that he gives) trusts it: its place and its SHA-256 are
kept in a list in the user's state folder. What only an artifact names has to be on that list, unchanged, or needs
`--trust`.

So everything that loads a network takes `trusted`: whether the user answers for the name. It is handed on from the
stage to `read_program`, in arguments: a variable of the module would be another's in a server, and a context variable
does not reach the threads that a stage starts.
"""

import os
from contextlib import suppress
from pathlib import Path

from gmmedit.errors import InputError


def read_program(path: Path, trusted: bool) -> bytes:
    """The content of a Python file that is about to run. A trusted one is on the user's list from now on.

    trusted: the user names it himself, or says `--trust`. InputError: he does not, and it is not on his list, or not
    as it is now.
    """
    from hashlib import sha256  # here, for the command line imports this module and checks nothing

    content = path.read_bytes()
    line = f"{sha256(content).hexdigest()}  {path.resolve()}"
    known = known_lines()
    if line in known:
        return content
    others = [it for it in known if not it.endswith(f"  {path.resolve()}")]
    if not trusted:
        reason = (
            "has changed since you named it"
            if len(others) < len(known)
            else "is named by a file of the run and not by you"
        )
        raise InputError(f"{path} is a program that {reason}: it was not run", hint="read it; --trust runs it")
    if "\n" not in line:  # it would be two lines of the list
        with suppress(OSError):  # no home to write to: then --trust is needed each time
            remember([*others, line])
    return content


def list_path() -> Path:
    """GMMEDIT_STATE/trusted, else in the user's own state folder."""
    import platformdirs

    folder = os.environ.get("GMMEDIT_STATE")
    return (Path(folder).expanduser() if folder else platformdirs.user_state_path("gmmedit")) / "trusted"


def known_lines() -> list[str]:
    """`SHA-256  PATH` of the programs that the user has named."""
    try:
        return list_path().read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []


def remember(lines: list[str]) -> None:
    path = list_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="surrogateescape")
    partial.replace(path)
