"""A command in a process of its own, with stopwatches around its networks and its writing.

`inside` starts this file as `python harness.py CLOCK BEGAN REPORT COMMAND ...`; the process writes REPORT, as JSON.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
NETWORKS = {"generator": ("map", "synthesize"), "classifier": ("logits", "features", "read")}
OURS = "ours"  # whatever is none of the others

Call = Callable[..., Any]


@dataclass(frozen=True)
class Inside:
    """Where the time of a command goes. All seconds are of one clock."""

    whole: float  # as the caller sees it
    loaded: float  # until the last network was loaded
    ended: float  # until the command had done its work
    parts: dict[str, float]  # of the time between: generator, classifier, backward, writing, ours
    generated: int  # images
    memory: int  # bytes, at its peak
    written: int  # bytes

    @property
    def work(self) -> float:
        """Seconds after loading."""
        return self.ended - self.loaded

    @property
    def networks(self) -> float:
        return sum(self.parts.get(name, 0.0) for name in (*NETWORKS, "backward"))

    @property
    def overhead(self) -> float:
        """Over the networks' own time, as a share of that."""
        return self.work / self.networks - 1


def inside(words: list[str], clock: str) -> Inside:
    """Run `gmmedit WORDS`. CalledProcessError: it failed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        before, began = os.times(), time.perf_counter()
        start = began if clock == "wall" else 0.0  # both of a clock that the process has too
        here = [sys.executable, __file__, clock, str(start), str(report), *words]
        subprocess.run(here, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": str(ROOT)})
        after = os.times()
        whole = time.perf_counter() - began
        if clock == "processor":
            whole = after.children_user + after.children_system - before.children_user - before.children_system
        return Inside(whole=whole, **json.loads(report.read_text()))


class Stopwatches:
    """Seconds by name; what runs inside something else counts for itself only."""

    def __init__(self, clock: str, device: str) -> None:
        from machine import CLOCKS

        self.clock, self.device = CLOCKS[clock], device
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.running = [OURS]
        self.since = self.clock()
        self.rows = 0

    def turn(self) -> None:
        """Give the running one its seconds up to now."""
        from machine import wait

        wait(self.device)
        now = self.clock()
        self.seconds[self.running[-1]] += now - self.since
        self.since = now

    def around(self, name: str, function: Call) -> Call:
        def timed(*values: Any, **named: Any) -> Any:
            self.turn()
            self.running.append(name)
            try:
                return function(*values, **named)
            finally:
                self.turn()
                self.running.pop()

        return timed

    def network(self, kind: str, load: Call) -> Call:
        """Like `load`, with stopwatches in what it loads. All seconds before belong to the start."""

        def loaded(*values: Any, **named: Any) -> Any:
            network = load(*values, **named)
            for method in NETWORKS[kind]:
                if hasattr(network, method):
                    setattr(network, method, self.around(kind, getattr(network, method)))
            if kind == "generator":
                network.synthesize = self.counted(network.synthesize)
            self.turn()
            self.seconds.clear()
            return network

        return loaded

    def counted(self, synthesize: Call) -> Call:
        def generated(w: Any) -> Any:
            self.rows += len(w)
            return synthesize(w)

        return generated


def put(watches: Stopwatches) -> None:
    """Stopwatches to where the stages call."""
    import torch

    from gmmedit import artifacts, classifiers, generators
    from gmmedit.artifacts.row_writer import RowWriter
    from gmmedit.evaluation import judge as judging
    from gmmedit.stages import edit

    for module, name, kind in (
        (generators, "load", "generator"), (classifiers, "load", "classifier"),
        (judging, "load_embedder", "classifier"),
    ):  # fmt: skip
        setattr(module, name, watches.network(kind, getattr(module, name)))
    for place, name, part in (
        (torch.autograd, "grad", "backward"), (torch.Tensor, "backward", "backward"),
        (RowWriter, "write", "writing"), (RowWriter, "finish", "writing"),
        (artifacts, "write_whole", "writing"), (artifacts, "save_checkpoint", "writing"),
        (edit, "write_images", "writing"),
    ):  # fmt: skip
        setattr(place, name, watches.around(part, getattr(place, name)))


def written() -> int:
    """Bytes that this process has written to files, pipes and terminals; 0 where the system does not tell."""
    file = Path("/proc/self/io")
    lines = file.read_text().splitlines() if file.is_file() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("wchar")), 0)


def main() -> None:
    clock, began, report, *words = sys.argv[1:]
    device = words[words.index("--device") + 1] if "--device" in words else "cpu"
    watches = Stopwatches(clock, device)
    put(watches)
    from gmmedit.cli.app import app

    try:
        app(words, standalone_mode=False)
    finally:
        watches.turn()
        ended = watches.since - float(began)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        parts = dict(watches.seconds)
        facts = {"loaded": ended - sum(parts.values()), "ended": ended, "parts": parts}
        facts |= {"generated": watches.rows, "memory": memory, "written": written()}
        Path(report).write_text(json.dumps(facts))


if __name__ == "__main__":
    main()
