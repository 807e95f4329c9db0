"""How far a command is: a progress bar, or plain lines without a terminal, and lines in the run's log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from gmmedit import __version__
from gmmedit.errors import GmmeditError
from gmmedit.runtime.log import Logbook

PLAIN_SECONDS = 10.0  # between progress lines where there is no terminal
LOG_SECONDS = 30.0  # between progress lines of the log

Tick = Callable[[int, int, str], None]  # done, total, a few words


class Pace:
    """How fast it goes, on average since the first tick of a piece of work: what came before was done in no time."""

    def __init__(self, device: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self._device, self._clock = device, clock
        self._done = self._total = -1

    def words(self, done: int, total: int) -> str:
        """ "300 of 1000, 25/s, 0:00:28 left, on cuda:0"; a rate only once there is one."""
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
    """0:00:28"""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


@contextmanager
def shown_ticks(pace: Pace, log: Logbook, quiet: bool) -> Iterator[Tick]:
    """A function of work done, the whole and a few words."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    errors = Console(stderr=True)
    kept = now_and_then(log.write, LOG_SECONDS)
    if errors.is_terminal and not quiet:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[pace]}"))
        with Progress(*columns, console=errors, transient=True) as progress:
            task = progress.add_task("", total=None, pace="")

            def draw(done: int, total: int, text: str) -> None:
                words = pace.words(done, total)
                progress.update(task, completed=done, total=total, description=text, pace=words)
                kept(f"{text}: {words}")

            yield draw
    else:
        said = (lambda line: None) if quiet else now_and_then(lambda line: typer.echo(line, err=True), PLAIN_SECONDS)

        def say(done: int, total: int, text: str) -> None:
            line = f"{text}: {pace.words(done, total)}"
            said(line)
            kept(line)

        yield say


def now_and_then(write: Callable[[str], None], seconds: float) -> Callable[[str], None]:
    """Writes a line if the last one, or the beginning, is so long ago."""
    last = time.monotonic()

    def maybe(line: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= seconds:
            last = now
            write(line)

    return maybe


@contextmanager
def logged(log: Logbook, device: str) -> Iterator[None]:
    """The log says when the command began, which one it is, and how it ended; unless it is killed."""
    began = time.monotonic()
    log.write(f"began: gmmedit {' '.join(sys.argv[1:])} (version {__version__}, {device})")
    try:
        yield
    except GmmeditError as error:
        log.write(f"ended: {error.message or 'another process has failed'} ({error.hint})".removesuffix(" ()"))
        raise
    except BaseException as error:
        log.write(f"ended: {type(error).__name__}: {error}")
        raise
    log.write(f"ended: done, {hours(time.monotonic() - began)}")
