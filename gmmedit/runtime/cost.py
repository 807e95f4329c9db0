"""What a piece of work costs: seconds, and memory above what was there before."""

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gmmedit.errors import writing
from gmmedit.runtime.regular_files import read_json_lines
from gmmedit.runtime.storage import write_file

log = logging.getLogger("gmmedit")

FILE = "costs.jsonl"  # in a run folder: a line for every fit that ran to its end without a stop
STATM = Path("/proc/self/statm")  # Linux only
PAGE = 4096
PERIOD = 0.02  # seconds between looks


@dataclass
class Cost:
    """Wall-clock seconds, and the most resident memory in bytes above the start (NaN where it cannot be read)."""

    seconds: float = float("nan")
    memory: float = float("nan")


@contextmanager
def metered() -> Iterator[Cost]:
    """A cost that is complete when the block ends."""
    cost, began, before = Cost(), time.monotonic(), resident()
    most, done = [before], threading.Event()

    def watch() -> None:
        while not done.wait(PERIOD):
            most.append(max(most.pop(), resident()))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield cost
    finally:
        done.set()
        watcher.join()
        cost.seconds, cost.memory = time.monotonic() - began, max(most[0], resident()) - before


def resident() -> float:
    return int(STATM.read_text().split()[1]) * PAGE if STATM.exists() else float("nan")


def write_cost(folder: Path, fit: str, cost: Cost) -> None:
    """Add a line to folder/costs.jsonl: which fit, its seconds, its bytes. What is there stays as it is."""
    path = folder / FILE
    with writing(path):
        before = path.read_bytes() if path.exists() else b""
        before += b"\n" if before and not before.endswith(b"\n") else b""
        write_file(path, before + json.dumps({"fit": fit, **asdict(cost)}).encode() + b"\n")


def cost_of_fits(folder: Path) -> Cost:
    """What the last fits of a run took together; NaN where that is not known."""
    last = {str(row["fit"]): row for row in recorded(folder)}
    fits = [last.get(fit, {}) for fit in ("single", "mixture")]
    return Cost(sum(number(fit, "seconds") for fit in fits), max(number(fit, "memory") for fit in fits))


def number(fit: dict[str, Any], key: str) -> float:
    """The value of a record; NaN where it has none."""
    value = fit.get(key)
    return float(value) if isinstance(value, int | float) else float("nan")


def recorded(folder: Path) -> list[dict[str, Any]]:
    """The records of folder/costs.jsonl; a warning names the lines that are none."""
    path = folder / FILE
    if not path.exists():
        return []
    try:
        rows, others = read_json_lines(path, {"fit", "seconds", "memory"})
    except OSError as error:
        log.warning("note: left out %s: %s", path, error.strerror)
        return []
    if others:
        lines = ", ".join(map(str, others))
        log.warning("note: left out line %s of %s, which is no record of a fit", lines, path)
    return rows
