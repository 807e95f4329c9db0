"""What a piece of work costs: seconds, and memory above what was there before."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gmmedit.errors import writing
from gmmedit.runtime.storage import write_file

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
    """Add a line to folder/costs.jsonl: which fit, its seconds, its bytes."""
    lines = [json.dumps(row) + "\n" for row in [*recorded(folder), {"fit": fit, **asdict(cost)}]]
    with writing(folder / FILE):
        write_file(folder / FILE, "".join(lines).encode())


def cost_of_fits(folder: Path) -> Cost:
    """What the last fits of a run took together; NaN where that is not known."""
    last = {row["fit"]: row for row in recorded(folder)}
    fits = [last.get(fit, asdict(Cost())) for fit in ("single", "mixture")]
    return Cost(sum(fit["seconds"] for fit in fits), max(fit["memory"] for fit in fits))


def recorded(folder: Path) -> list[dict[str, Any]]:
    """The lines of folder/costs.jsonl that can be read."""
    try:
        lines = (folder / FILE).read_text(encoding="utf-8").splitlines()
        return [row for line in lines if line and {"fit", "seconds", "memory"} <= (row := json.loads(line)).keys()]
    except (OSError, ValueError, AttributeError):
        return []
