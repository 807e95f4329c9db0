"""SIGINT and SIGTERM request that a command stop where no work is lost; a second signal stops it at once.

The state is the process's, as its signals are: a loop asks `stop_if_asked()` where it may stop.
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
_asked: list[signal.Signals] = []


class Stopped(GmmeditError):
    """A signal stopped the command; the exit code is 128 + its number."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(f"stopped by {number.name}: finished work is kept, the same command goes on from there")
        self.exit_code = 128 + number


@contextmanager
def stoppable() -> Iterator[None]:
    """Make signals requests to stop within the block. Stopped: one came and was not checked before the end."""
    if threading.current_thread() is not threading.main_thread():
        yield  # no other thread may set what signals do
        return
    heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # nohup ignores them
    before = {number: signal.signal(number, _ask) for number in heeded}
    try:
        yield
        stop_if_asked()
    finally:
        _asked.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


def _ask(number: int, frame: FrameType | None) -> None:
    _asked.append(signal.Signals(number))
    if sys.stderr.isatty():  # a progress bar has hidden the cursor, and would not get to show it again
        os.write(
            sys.stderr.fileno(), b"\x1b[?25h\nstopping when this chunk or step is done; a second signal stops at once\n"
        )
    # The same one again ends the process even in the middle of a long computation. The other one may be under way to
    # Python already, which then must find a handler of Python's.
    for it in SIGNALS:
        if signal.getsignal(it) is _ask:
            signal.signal(it, signal.SIG_DFL if it == number else _stop_at_once)


def _stop_at_once(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def asked() -> bool:
    """Whether a signal has requested a stop."""
    return bool(_asked)


def stop_if_asked() -> None:
    """Stopped: a signal has requested it. To be called only where all finished work has been saved."""
    if _asked:
        raise Stopped(_asked[0])
