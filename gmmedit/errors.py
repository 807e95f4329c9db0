"""The errors that the command line reports as one line and an exit code instead of a traceback."""

import errno
import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

SHOWN_OPTIONS = 20
SHOWN_DIFFERENCES = 4
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FAILING = (errno.EIO, errno.ENXIO, errno.ESTALE)


def is_debugging() -> bool:
    """Whether errors keep their traceback: the level of gmmedit's log is DEBUG, which --debug sets."""
    return logging.getLogger("gmmedit").isEnabledFor(logging.DEBUG)


def printable(text: str) -> str:
    """The text in one line without control characters: names read from files may contain any."""
    return "".join(letter if letter.isprintable() else " " if letter.isspace() else "?" for letter in text)


def cut_middle(text: str, longest: int) -> str:
    """The text, or its beginning and end, `longest` characters of it and three points."""
    last = longest // 4
    return text if len(text) <= longest else f"{text[: longest - last]}...{text[-last:]}"


class GmmeditError(Exception):
    """An error of one line that names the file or value, and a hint of one line on what to do.

    Control characters in either are replaced; what is longer than `longest` characters is cut in its middle.
    """

    exit_code = 1
    longest = 2000

    def __init__(self, message: str, hint: str = "") -> None:
        message, hint = (cut_middle(printable(text), self.longest) for text in (message, hint))
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")


class InputError(GmmeditError):
    """The given files, names or values cannot be used; exit code 2."""

    exit_code = 2


class FileLocked(BlockingIOError):
    """A file is locked; the argument names the process that holds the lock."""


class Incomplete(InputError):
    """Some of the files that a command was given, each of which it names, cannot be used; the others are done."""

    longest = 1 << 20


class RunError(GmmeditError):
    """The input is valid and the run failed: a full disk, a lock, a diverged fit; exit code 1."""


def nearest(name: str, options: Iterable[str]) -> str:
    """A hint for an unknown `name`: "did you mean 'smile'? there are: smile, gender, ..."."""
    known = list(options)
    if not known:
        return "there are none"
    close = get_close_matches(name.lower(), known, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    rest = ", ..." if len(known) > SHOWN_OPTIONS else ""
    return f"{guess}there are: {', '.join(known[:SHOWN_OPTIONS])}{rest}"


def summarise_differences(found: list[str]) -> str:
    """The first differences, and how many more there are: "psi is 0.7 there and 0.5 now (and 2 more)"."""
    rest = len(found) - SHOWN_DIFFERENCES
    return ", ".join(found[:SHOWN_DIFFERENCES]) + (f" (and {rest} more)" if rest > 0 else "")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Report errors while `path` is written.

    RunError: another process is writing it, the disk is full or failing. InputError: its folder cannot be written, or a
    link or a folder is in the place of a file.
    """
    try:
        yield
    except BlockingIOError as error:
        hint = "wait until it has finished, or choose another folder"
        holder = f" ({error.args[0]})" if isinstance(error, FileLocked) and error.args[0] else ""
        raise RunError(f"{path} is being written by another process{holder}", hint=hint) from error
    except (OSError, RuntimeError) as error:
        code = errno_of(error)
        if isinstance(error, RuntimeError) and code is None:
            raise
        if code in FULL:
            hint = "finished work is kept: free some space and run the same command again"
            raise RunError(f"no space left for {path}", hint=hint) from error
        if code in FAILING:
            hint = "finished work is kept: repair the disk and run the same command again"
            message = f"disk error while writing {path}: {os.strerror(code).lower()}"
            raise RunError(message, hint=hint) from error
        _refuse_obstacle(error)
        reason = (os.strerror(code) if code else str(error)).lower()
        message = f"cannot write in the folder {path.parent}: {reason}"
        raise InputError(message, hint="choose another folder") from error


def refuse_link(place: Path) -> None:
    """InputError: the path is a symbolic link, which in a folder from elsewhere might lead to any file of the user."""
    if place.is_symlink():
        hint = "see where it leads, then remove it"
        raise InputError(f"{place} is a symbolic link, through which gmmedit does not write", hint=hint)


def _refuse_obstacle(error: Exception) -> None:
    """InputError: the error is that of a link or a folder in the place of a file; the message names it."""
    if not isinstance(error, OSError) or error.errno not in (errno.ELOOP, errno.EISDIR):
        return
    name = error.filename2 or error.filename
    if not isinstance(name, str):
        return
    place = Path(name)
    refuse_link(place)
    if place.is_dir():
        hint = "remove it, or choose another place"
        raise InputError(f"{place} is a folder, and a file is to be written there", hint=hint) from error


NO_MEMORY = (  # PyTorch on the CPU, C++ behind onnxruntime, onnxruntime itself
    "DefaultCPUAllocator", "bad_alloc", "Failed to allocate memory",
)  # fmt: skip


def out_of_memory(error: BaseException) -> bool:
    """Whether a library failed to allocate memory, on the CPU or another device."""
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return known or any(words in str(error) for words in NO_MEMORY)


def errno_of(error: Exception) -> int | None:
    """The error number of the operating system, or None; HDF5 gives it only in the text of its errors."""
    match = re.search(r"errno = (\d+)", str(error))
    return getattr(error, "errno", None) or (int(match[1]) if match else None)
