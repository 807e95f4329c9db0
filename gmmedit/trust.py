"""Which Python files may run: those that the user has named, not those that a file of somebody else names.

An artifact keeps `my_gan.py:load` as the source of its pictures, and later steps run that again. Whoever names a
Python file himself (`--gan`, `--classifier`, a YAML file that he gives) trusts it: its place and its SHA-256 are
kept in a list in the user's state folder. What only an artifact names has to be on that list, unchanged, or needs
`--trust`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gmmedit.errors import InputError

state = {"trusting": False, "named by an artifact": False}


def switch_trusting(on: bool) -> bool:
    """For `--trust`: what artifacts name is run as if the user had named it."""
    state["trusting"] = on
    return on


@contextmanager
def named_by_an_artifact() -> Iterator[None]:
    """Inside, Python files run only if the user has named them before."""
    before = state["named by an artifact"]
    state["named by an artifact"] = True
    try:
        yield
    finally:
        state["named by an artifact"] = before


def check(path: Path) -> None:
    """To be called before a Python file runs. InputError: nobody but an artifact has named it, or it has changed."""
    from hashlib import sha256  # here, for the option `--trust` is known to commands that check nothing

    line = f"{sha256(path.read_bytes()).hexdigest()}  {path.resolve()}"
    known = known_lines()
    if line in known:
        return
    if state["named by an artifact"] and not state["trusting"]:
        changed = any(it.endswith(f"  {path.resolve()}") for it in known)
        reason = "has changed since you named it" if changed else "is named by a file of the run and not by you"
        raise InputError(f"{path} is a program that {reason}: it was not run", hint="read it; --trust runs it")
    if "\n" in line:
        return  # it would be two lines of the list
    with suppress(OSError):  # no home to write to: then --trust is needed each time
        remember([*(it for it in known if not it.endswith(f"  {path.resolve()}")), line])


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
