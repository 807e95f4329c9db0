"""SIGINT and SIGTERM request that a command stop where no work is lost; a second signal stops it at once.

The request belongs to the command's `Execution`: a loop asks `execution.stop.check()` where it may stop. Only what
signals do is the process's.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from gmmedit.errors import GmmeditError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(GmmeditError):
    """A signal stopped the command; the exit code is 128 + its number."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(f"stopped by {number.name}: finished work is kept; run the same command to resume")
        self.exit_code = 128 + number


class StopRequest:
    """Whether one command has been asked to stop, by a signal or by another thread."""

    def __init__(self) -> None:
        self._number: signal.Signals | None = None

    @property
    def asked(self) -> bool:
        """Whether it has."""
        return self._number is not None

    def ask(self, number: signal.Signals = signal.SIGINT) -> None:
        """Let the command end where nothing is lost, with the exit code of that signal. The first request counts."""
        self._number = self._number or number

    def withdraw(self) -> None:
        """Forget the request: the command has ended."""
        self._number = None

    def check(self) -> None:
        """Stopped: it has been asked to. Everything finished must have been saved."""
        if self._number is not None:
            raise Stopped(self._number)


@contextmanager
def stoppable(stop: StopRequest) -> Iterator[None]:
    """Make signals requests to `stop` within the block. Stopped: one came and was not checked before the end."""
    if threading.current_thread() is not threading.main_thread():
        yield  # no other thread may set what signals do
        return

    def ask(number: int, frame: FrameType | None) -> None:
        stop.ask(signal.Signals(number))
        if sys.stderr.isatty():  # a progress bar has hidden the cursor, and would not get to show it again
            text = b"\x1b[?25h\nstopping when this chunk or step is done; a second signal stops at once\n"
            os.write(sys.stderr.fileno(), text)
        # The same one again ends the process even in the middle of a long computation. The other one may be under way
        # to Python already, which then must find a handler of Python's.
        for other in SIGNALS:
            if signal.getsignal(other) is ask:
                signal.signal(other, signal.SIG_DFL if other == number else _stop_at_once)

    heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # nohup ignores them
    before = {number: signal.signal(number, ask) for number in heeded}
    try:
        yield
        stop.check()
    finally:
        stop.withdraw()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Let signals end the process within the block: for a call that waits outside of Python, where no handler runs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, signal.SIG_DFL) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop_at_once(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
