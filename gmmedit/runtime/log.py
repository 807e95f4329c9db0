"""Where gmmedit's log messages go: standard error, and RUN/gmmedit.log, which records what was done in a run folder.

Messages are those of the logger "gmmedit". No result depends on them.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gmmedit.errors import refuse_link

FILE = "gmmedit.log"
# Through no link, which might lead to any file; a pipe that nobody reads must not halt the command.
WRITTEN = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
log = logging.getLogger("gmmedit")


class StderrHandler(logging.Handler):
    """Writes notes and warnings to standard error, whatever that is at the moment: a progress bar redirects it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the message as a line."""
        print(self.format(record), file=sys.stderr)


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
        self._waiting += f"{' '.join(self.format(record).split())}\n"
        if not self._folder.is_dir():
            return
        with suppress(OSError):
            handle = os.open(self._folder / FILE, WRITTEN, 0o666)
            try:
                os.write(handle, self._waiting.encode(errors="backslashreplace"))
            finally:
                os.close(handle)
        self._waiting = ""


@contextmanager
def logging_to(folder: Path | None) -> Iterator[None]:
    """Send messages to standard error and to the log of a run folder; None: to no file.

    InputError: the log is a symbolic link.
    """
    if folder:
        refuse_link(folder / FILE)
    handlers = [StderrHandler(), *([RunLogHandler(folder)] if folder else [])]
    level = log.level
    log.setLevel(min(level or logging.INFO, logging.INFO))  # DEBUG stays
    for handler in handlers:
        log.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            log.removeHandler(handler)
        log.setLevel(level)
