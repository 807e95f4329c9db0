"""The cost of a piece of work: seconds, and memory in addition to what was in use before."""

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
from gmmedit.runtime.storage import read_unlinked, write_file

log = logging.getLogger("gmmedit")

FILE = "costs.jsonl"  # in a run folder: a line for every fit that ran to its end without being resumed
STATM = Path("/proc/self/statm")  # Linux only
PAGE = 4096
PERIOD = 0.02  # seconds between measurements


@dataclass
class Cost:
    """Wall-clock seconds, and the peak of resident memory in bytes above that at the start; NaN if not known."""

    seconds: float = float("nan")
    memory: float = float("nan")


@contextmanager
def measure_cost() -> Iterator[Cost]:
    """A Cost that holds the block's values once the block has ended."""
    cost, began, before = Cost(), time.monotonic(), resident_bytes()
    peak, done = [before], threading.Event()

    def watch() -> None:
        while not done.wait(PERIOD):
            peak.append(max(peak.pop(), resident_bytes()))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield cost
    finally:
        done.set()
        watcher.join()
        cost.seconds, cost.memory = time.monotonic() - began, max(peak[0], resident_bytes()) - before


def resident_bytes() -> float:
    """Resident memory of this process; NaN where the system does not report it."""
    return int(STATM.read_text().split()[1]) * PAGE if STATM.exists() else float("nan")


def write_cost(folder: Path, fit: str, cost: Cost) -> None:
    """Append a line to folder/costs.jsonl: fit, seconds, memory. Errors as in `errors.writing`."""
    path = folder / FILE
    with writing(path):
        before = read_unlinked(path)
        before += b"\n" if before and not before.endswith(b"\n") else b""
        write_file(path, before + json.dumps({"fit": fit, **asdict(cost)}).encode() + b"\n")


def cost_of_fits(folder: Path) -> Cost:
    """The cost of a run's last fit-single and fit-mixture together: seconds are summed, memory is the larger."""
    last = {str(row["fit"]): row for row in read_costs(folder)}
    fits = [last.get(fit, {}) for fit in ("single", "mixture")]
    return Cost(sum(number_of(fit, "seconds") for fit in fits), max(number_of(fit, "memory") for fit in fits))


def number_of(fit: dict[str, Any], key: str) -> float:
    """The value of a record's key; NaN where it has none or it is not a number."""
    value = fit.get(key)
    return float(value) if isinstance(value, int | float) else float("nan")


def read_costs(folder: Path) -> list[dict[str, Any]]:
    """The records of folder/costs.jsonl; a warning names the lines that are not records, which are left out."""
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
        log.warning("note: left out line %s of %s: not a record of a fit", lines, path)
    return rows
