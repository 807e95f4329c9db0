"""The progress of a command: a bar on a terminal, otherwise plain lines, and lines in the log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from gmmedit import __version__
from gmmedit.errors import GmmeditError

log = logging.getLogger("gmmedit")

PLAIN_SECONDS = 10.0  # between progress lines where there is no terminal
LOG_SECONDS = 30.0  # between progress lines of the log

Tick = Callable[[int, int, str], None]  # done, total, what is being done


class Pace:
    """The rate of a piece of work, averaged since its first tick: what was done before that was resumed.

    device: named at the end of each line. clock: seconds, monotonic.
    """

    def __init__(self, device: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self._device, self._clock = device, clock
        self._done = self._total = -1

    def words(self, done: int, total: int) -> str:
        """ "300 of 1000, 25/s, 0:00:28 left, on cuda:0"; no rate and no time left at the first tick."""
        now = self._clock()
        if done < self._done or total != self._total:
            self._began, self._first = now, done
        self._done, self._total = done, total
        parts = [f"{done} of {total}"]
        if done > self._first and now > self._began:
            rate = (done - self._first) / (now - self._began)
            parts += [f"{rate:.0f}/s" if rate >= 10 else f"{rate:.2g}/s", f"{hours((total - done) / rate)} left"]
        return ", ".join([*parts, *([f"on {self._device}"] if self._device else [])])


def hours(seconds: float) -> str:
    """Seconds as hours, minutes and seconds: "0:00:28"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


@contextmanager
def shown_ticks(pace: Pace, quiet: bool) -> Iterator[Tick]:
    """A function of (done, total, what is being done) that shows progress on standard error, and logs it at intervals.

    quiet: it is only logged.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    errors = Console(stderr=True)
    kept = now_and_then(log.info, LOG_SECONDS)
    if errors.is_terminal and not quiet:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[pace]}"))
        progress = Progress(*columns, console=errors, transient=True)
        task = progress.add_task("", total=None, pace="")

        def update(done: int, total: int, text: str) -> None:
            words = pace.words(done, total)
            progress.update(task, completed=done, total=total, description=text, pace=words)
            progress.start()  # not before: a command with nothing left to do would show a bar without a name
            kept(f"{text}: {words}")

        try:
            yield update
        finally:
            progress.stop()
    else:
        said = (lambda line: None) if quiet else now_and_then(lambda line: typer.echo(line, err=True), PLAIN_SECONDS)

        def say(done: int, total: int, text: str) -> None:
            line = f"{text}: {pace.words(done, total)}"
            said(line)
            kept(line)

        yield say


def now_and_then(write: Callable[[str], None], seconds: float) -> Callable[[str], None]:
    """A function that writes a line unless the last one, or this call, is less than so many seconds ago."""
    last = time.monotonic()

    def maybe(line: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= seconds:
            last = now
            write(line)

    return maybe


@contextmanager
def command_logged(device: str) -> Iterator[None]:
    """Log the command line when the block begins, and how it ended."""
    began = time.monotonic()
    log.info(f"began: gmmedit {' '.join(sys.argv[1:])} (version {__version__}, {device})")
    try:
        yield
    except GmmeditError as error:
        log.info(f"ended: {error.message or 'another process has failed'} ({error.hint})".removesuffix(" ()"))
        raise
    except BaseException as error:
        log.info(f"ended: {type(error).__name__}: {error}")
        raise
    log.info(f"ended: done, {hours(time.monotonic() - began)}")
