"""The one family of errors that a user sees as a line and an exit code instead of a traceback."""

import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

SHOWN_OPTIONS = 20
debugging = {"on": False}  # whether tracebacks are wanted
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FAILING = (errno.EIO, errno.ENXIO, errno.ESTALE)


def printable(text: str) -> str:
    """The text in one line that can do nothing to a terminal: names out of files may hold anything."""
    return "".join(letter if letter.isprintable() else " " if letter.isspace() else "?" for letter in text)


class GmmeditError(Exception):
    """What went wrong, naming the file or value, and what to do about it: one line each, whatever is quoted in it."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        message, hint = printable(message), printable(hint)
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")


class InputError(GmmeditError):
    """The given files, names or values cannot be used."""

    exit_code = 2


class Held(BlockingIOError):
    """A file is locked; the argument says by whom."""


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


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Errors met while `path` is written become one line: RunError, or InputError about its folder."""
    try:
        yield
    except BlockingIOError as error:
        hint = "wait until it is done, or choose another folder"
        holder = f" ({error.args[0]})" if isinstance(error, Held) and error.args[0] else ""
        raise RunError(f"{path} is being written by another process{holder}", hint=hint) from error
    except (OSError, RuntimeError) as error:
        code = errno_of(error)
        if isinstance(error, RuntimeError) and code is None:
            raise
        if code in FULL:
            hint = "finished work is kept: make room and run the same command again"
            raise RunError(f"no space left for {path}", hint=hint) from error
        if code in FAILING:
            hint = "finished work is kept: once the disk is well, run the same command again"
            message = f"the disk failed while {path} was written: {os.strerror(code).lower()}"
            raise RunError(message, hint=hint) from error
        reason = (os.strerror(code) if code else str(error)).lower()
        message = f"cannot write in the folder {path.parent}: {reason}"
        raise InputError(message, hint="choose another folder") from error


NO_MEMORY = (  # PyTorch on the CPU, C++ behind onnxruntime, onnxruntime itself
    "DefaultCPUAllocator", "bad_alloc", "Failed to allocate memory",
)  # fmt: skip


def out_of_memory(error: BaseException) -> bool:
    """Whether a library found no memory, on the CPU or another device."""
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # torch's; it stays unloaded
    return known or any(words in str(error) for words in NO_MEMORY)


def errno_of(error: Exception) -> int | None:
    """What the system answered; HDF5 tells some of it in its messages only."""
    told = re.search(r"errno = (\d+)", str(error))
    return getattr(error, "errno", None) or (int(told[1]) if told else None)
