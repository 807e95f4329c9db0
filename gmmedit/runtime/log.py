"""Where gmmedit's log messages go: standard error, and RUN/gmmedit.log, which records what was done in a run folder.

Messages are those of the logger "gmmedit". No result depends on them.
"""

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from threading import Lock

from gmmedit.errors import printable, refuse_link

FILE = "gmmedit.log"
# Through no link, which might lead to any file; a pipe that nobody reads must not halt the command.
WRITTEN = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
OPEN: ContextVar[tuple[logging.Handler, ...]] = ContextVar("open", default=())  # handlers of the blocks we are in
CHANGING = Lock()  # held while handlers and level of the logger change
log = logging.getLogger("gmmedit")


def as_line(text: str) -> str:
    """The text in one line without control characters; undecodable bytes of a file's name are escaped."""
    return printable(text.encode(errors="backslashreplace").decode())


class StderrHandler(logging.Handler):
    """Writes notes and warnings to standard error, whatever that is at the moment: a progress bar redirects it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.level_before = logging.NOTSET  # of the logger, before the first of the handlers that overlap

    def emit(self, record: logging.LogRecord) -> None:
        """Write the message as a line without control characters."""
        print(as_line(self.format(record)), file=sys.stderr)


class RunLogHandler(logging.Handler):
    """Writes messages of level INFO and above to the gmmedit.log of a run folder, each as one line with time and pid.

    Lines wait until the folder exists: a command that fails before leaves neither folder nor file.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(logging.Formatter("%(asctime)s [%(process)d] %(message)s", "%Y-%m-%d %H:%M:%S"))
        self._folder, self._waiting = folder, ""

    def emit(self, record: logging.LogRecord) -> None:
        """Append the line in a single write, so that lines of several processes stay whole. OSErrors are ignored."""
        self._waiting += f"{' '.join(as_line(self.format(record)).split())}\n"
        if not self._folder.is_dir():
            return
        with suppress(OSError):
            handle = os.open(self._folder / FILE, WRITTEN, 0o666)
            try:
                os.write(handle, self._waiting.encode())
            finally:
                os.close(handle)
        self._waiting = ""


@contextmanager
def logging_to(folder: Path | None) -> Iterator[None]:
    """Send messages to standard error and to the log of a run folder; None: to no file.

    Blocks may overlap in several threads: what is logged inside a block goes where that block, and those around it,
    send it. A thread that has no block of its own is a helper of any of them, so its messages go to all.

    InputError: the log is a symbolic link.
    """
    if folder:
        refuse_link(folder / FILE)
    handlers = [StderrHandler(), *([RunLogHandler(folder)] if folder else [])]
    for handler in handlers:
        handler.addFilter(partial(concerns, handler))
    add_handlers(handlers)
    token = OPEN.set((*OPEN.get(), *handlers))
    try:
        yield
    finally:
        OPEN.reset(token)
        remove_handlers(handlers)


def concerns(handler: logging.Handler, record: logging.LogRecord) -> bool:
    """Whether a message of this thread goes to the handler, whatever it says."""
    return not OPEN.get() or handler in OPEN.get()


def add_handlers(handlers: Sequence[logging.Handler]) -> None:
    """Add them to the logger, and make it pass messages of level INFO; DEBUG stays."""
    with CHANGING:
        first = next((handler for handler in log.handlers if isinstance(handler, StderrHandler)), None)
        for handler in handlers:
            if isinstance(handler, StderrHandler):
                handler.level_before = first.level_before if first else log.level
            log.addHandler(handler)
        log.setLevel(min(log.level or logging.INFO, logging.INFO))


def remove_handlers(handlers: Sequence[logging.Handler]) -> None:
    """Remove them from the logger, which gets back the level that it had before the first of all that overlap."""
    with CHANGING:
        for handler in handlers:
            log.removeHandler(handler)
            last = not any(isinstance(other, StderrHandler) for other in log.handlers)
            if last and isinstance(handler, StderrHandler):
                log.setLevel(handler.level_before)
