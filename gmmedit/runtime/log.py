"""RUN/gmmedit.log: what was done in a run folder and how it ended, for people. No result depends on it."""

import os
import time
from contextlib import suppress
from pathlib import Path

FILE = "gmmedit.log"


class Logbook:
    """Lines that wait until the run folder is there; a command that fails before leaves none.

    None: a command without a run folder, or which leaves it as it is.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder, self._waiting = folder, ""

    def write(self, text: str) -> None:
        """Add a line to the end of the file, whole, whoever else writes there. A disk that refuses is no error."""
        if self._folder is None:
            return
        self._waiting += f"{time.strftime('%Y-%m-%d %H:%M:%S')} [{os.getpid()}] {' '.join(text.split())}\n"
        if not self._folder.is_dir():
            return
        with suppress(OSError):
            handle = os.open(self._folder / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                os.write(handle, self._waiting.encode(errors="backslashreplace"))
            finally:
                os.close(handle)
        self._waiting = ""
