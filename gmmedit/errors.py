"""The one family of errors that a user sees as a line and an exit code instead of a traceback."""

from collections.abc import Iterable
from difflib import get_close_matches

SHOWN_OPTIONS = 20


class GmmeditError(Exception):
    """What went wrong, naming the file or value, and what to do about it: one line each."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")


class InputError(GmmeditError):
    """The given files, names or values cannot be used."""

    exit_code = 2


class RunError(GmmeditError):
    """The input was fine and the run failed all the same: a full disk, a lock, a collapsed fit."""


def nearest(name: str, options: Iterable[str]) -> str:
    """Text for an unknown `name`: "did you mean 'smile'? there are: smile, gender, ..."."""
    known = list(options)
    if not known:
        return "there are none"
    close = get_close_matches(name.lower(), known, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    rest = ", ..." if len(known) > SHOWN_OPTIONS else ""
    return f"{guess}there are: {', '.join(known[:SHOWN_OPTIONS])}{rest}"
