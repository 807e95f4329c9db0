"""The commands as a user runs them, each compared with the computation that it cannot avoid.

    python benchmarks/commands.py [-n 1024] [--steps 20] [--rounds 3] [--batch 1 4 16 64] [--threads 1 2]
                                  [--device cuda] [--clock processor] [--json FILE]

Three kinds of measurement: each command in a process of its own with stopwatches around its networks (harness.py),
stages and bare loops of the networks taking turns in one process (loops.py), and the start (startup.py). Ratios are
medians over rounds that take turns; the commands' rows are those of the round whose whole time is the median. The
wall's clock is what users see; that of the processor, all threads together, tells what work costs where others take
turns on the same cores, but not what waiting for a disk costs.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness import ROOT, Inside, inside
from loops import Loops, Versus
from machine import CLOCKS, copying, described, peak
from startup import ASKED, startup, without_torch

from gmmedit.runtime.execution import Execution, prepare, resolve_precision

EDIT = ("edit", "--attr", "smile", "--alpha", "0.6")
EDITED, CANDIDATES, STEPS = 8, 8, 64  # images; looks and starts of each before its optimisation; steps of that
EVALUATE = "evaluate: {n: 256, starts: 16, editors: [mixture]}\n"
SINGLE_STEPS = 100
FEW, MANY = 256, 1280  # rows of the embedded model in the loops
FEW_LARGE, MANY_LARGE, LARGE_ROUNDS = 16, 48, 2
LABELLED, LOOPED = 0.95, 0.90  # of the bare loop's throughput
OVERHEAD, SECONDS, START = 1.05, 3.0, 1.5  # at most: over the networks' time, of an edit, over bare imports


@dataclass(frozen=True)
class Command:
    """A command line, the file that it makes, and the images that it needs (None: as many as it generates)."""

    name: str
    words: tuple[str, ...]
    makes: str
    needs: int | None


@dataclass(frozen=True)
class Target:
    """The share of its upper bound that a measurement reaches, the share that it should reach, and that in words."""

    name: str
    reached: float
    target: float
    text: str


def commands(n: int, steps: int, settings: Path) -> list[Command]:
    """In an order in which each finds its inputs."""
    plain, optimised = 2 * EDITED, 1 + CANDIDATES + STEPS
    return [
        Command("sample --images", ("sample", "-n", str(n), "--images"), "samples.h5", n),
        Command("sample", ("sample", "-n", str(n)), "samples.h5", 0),
        Command("label", ("label",), "labels.h5", n),
        Command(f"fit-mixture, {steps} steps", ("fit-mixture", "--steps", str(steps)), "mixture.h5", 64 * steps),
        Command("edit --polish 0", (*EDIT, "--polish", "0"), "edits.h5", plain),
        Command("edit", EDIT, "edits.h5", plain + EDITED * optimised),
        Command("edit --index 0", (*EDIT, "--index", "0"), "edits.h5", 2 + optimised),
        Command("evaluate", ("evaluate", "--config", str(settings)), "evaluation.h5", None),
    ]


def measured(run: Path, options: argparse.Namespace) -> dict[Command, Inside]:
    """Every command, done anew in each round; fit-single, which has no networks, comes between without a stopwatch."""
    settings = run / "evaluate.yaml"
    settings.write_text(EVALUATE)
    rounds: dict[str, list[Inside]] = {}
    chosen = commands(options.n, options.steps, settings)
    for _ in range(options.rounds):
        for command in chosen:
            if command.makes == "mixture.h5" and not (run / "single.h5").exists():
                fit = ["fit-single", "--steps", str(SINGLE_STEPS), "--run", str(run), "--quiet"]
                subprocess.run([sys.executable, "-m", "gmmedit", *fit], check=True, cwd=ROOT)
            (run / command.makes).unlink(missing_ok=True)
            words = [*command.words, "--run", str(run), "--device", options.device, "--quiet"]
            rounds.setdefault(command.name, []).append(inside(words, options.clock))
    return {command: sorted(rounds[command.name], key=lambda one: one.whole)[options.rounds // 2] for command in chosen}


def against_loops(run: Path, loops: Loops, options: argparse.Namespace) -> tuple[dict[str, Versus], list[Versus]]:
    """By the network's name, and `label` by batch and threads."""
    bare = {
        "embedded 64": loops.label_all("avatars", FEW, MANY, 16, options.rounds),
        "StyleGAN2 256": loops.label_all(loops.large(), FEW_LARGE, MANY_LARGE, 16, LARGE_ROUNDS),
        "embedded 64, edits": loops.consistency(run, 4 * options.rounds),
        "StyleGAN2 256, edits": loops.consistency(run, LARGE_ROUNDS, large=True),
    }
    growth, before = [], torch.get_num_threads()
    for threads in options.threads or sorted({1, before}):
        torch.set_num_threads(threads)
        growth += [loops.label_only("avatars", FEW, 3 * FEW, batch, options.rounds) for batch in options.batch]
    torch.set_num_threads(before)
    return bare, growth


def targets(rows: dict[str, Inside], bare: dict[str, Versus], start: dict[str, float]) -> list[Target]:
    found = []
    for name, versus in bare.items():
        wanted = LOOPED if versus.stricter else LABELLED
        text = f"at least {wanted:.0%} of the bare loop's throughput"
        found.append(Target(f"{versus.name}, {name}", versus.share(), wanted, text))
    for name in ("edit --polish 0", "edit", "edit --index 0"):
        text = f"at most {OVERHEAD - 1:.0%} over the networks' time, once they are loaded"
        found.append(Target(f"{name}: work", 1 / (1 + rows[name].overhead), 1 / OVERHEAD, text))
        text = f"the whole command within {SECONDS:g} s ({rows[name].whole:.2f} s)"
        found.append(Target(f"{name}: command", SECONDS / rows[name].whole, 1.0, text))
    for name in ASKED:
        times = start[name] / start["bare"]
        text = f"within {START} x of importing typer and rich ({times:.2f} x)"
        found.append(Target(f"start: {name}", 1 / times, 1 / START, text))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=1024, help="samples of the embedded model")
    parser.add_argument("--steps", type=int, default=20, help="of fit-mixture")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4, 16, 64], help="of label")
    parser.add_argument("--threads", type=int, nargs="+", help="of label; default: one, and as many as there are")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(f"{described(options.device)}, {torch.get_num_threads()} threads, the {options.clock}'s clock\n")
    start, light = startup(5 * options.rounds, options.clock), without_torch()
    with tempfile.TemporaryDirectory() as name:
        run = Path(name)
        rows = measured(run, options)
        prepare(Execution(options.device))
        precision = resolve_precision("auto", options.device)
        peaks = {kind: peak(kind, options.device, options.clock) for kind in ("fp32", precision)}
        copies = copying(options.device, options.clock)
        bare, growth = against_loops(run, Loops(run, options.device, options.clock), options)
    reached = targets({command.name: row for command, row in rows.items()}, bare, start)
    print(target_table(reached), inside_table(rows, copies), sep="\n\n", end="\n\n")
    print(loop_table(bare, peaks, precision), growth_table(growth), sep="\n\n", end="\n\n")
    print(
        ", ".join(f"{name}: {1000 * seconds:.0f} ms" for name, seconds in start.items())
        + ("" if light else "; with torch!")
    )
    if options.json:
        facts = {
            "machine": described(options.device), "clock": options.clock, "threads": torch.get_num_threads(),
            "peaks": peaks, "copying": copies, "start": start, "start_without_torch": light,
            "targets": [asdict(row) for row in reached],
            "inside": [{"command": name.name, "needs": name.needs} | asdict(row) for name, row in rows.items()],
            "loops": [{"network": name} | asdict(versus) for name, versus in bare.items()],
            "growth": [asdict(row) for row in growth],
        }  # fmt: skip
        options.json.write_text(json.dumps(facts, indent=1))


def markdown(head: str, rows: Iterable[list[str]]) -> str:
    names = head.split("|")
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [names, ["---"] * len(names), *rows])


def target_table(reached: list[Target]) -> str:
    return markdown(
        "what|reached|target|met|the target in words",
        [
            [
                row.name,
                f"{row.reached:.0%}",
                f"{row.target:.0%}",
                "yes" if row.reached >= row.target else "**no**",
                row.text,
            ]
            for row in reached
        ],
    )


def inside_table(rows: dict[Command, Inside], copies: float) -> str:
    """`work` is what comes after loading; shares are of that."""
    parts = ("generator", "classifier", "backward", "writing", "ours")
    head = f"command|whole s|until loaded|work|{'|'.join(parts)}|generated (needed)|images/s|peak MB|MB written"
    cells = []
    for command, row in rows.items():
        shares = [f"{row.parts.get(part, 0) / row.work:.1%}" for part in parts]
        needed = row.generated if command.needs is None else command.needs
        generated = f"{row.generated} ({needed})"
        sizes = [f"{row.memory / 1e6:.0f}", f"{row.written / 1e6:.2f}"]
        seconds = [f"{row.whole:.2f}", f"{row.loaded:.2f}", f"{row.work:.2f}"]
        cells.append([command.name, *seconds, *shares, generated, f"{needed / row.work:.0f}", *sizes])
    kept = next(row for command, row in rows.items() if command.name == "sample --images")
    speed = kept.written / kept.parts["writing"]
    note = f"sample --images writes {speed / 1e9:.2f} GB/s while it writes, {2 * speed / copies:.0%} of a copy's speed"
    return markdown(head, cells) + f"\n\n{note}"


def loop_table(bare: dict[str, Versus], peaks: dict[str, float], precision: str) -> str:
    head = "stage|network|batch|images/s|of the bare loop|of forward and backward alone|MFLOP an image|of the GEMM peak"
    cells = []
    for name, versus in bare.items():
        ceiling = peaks[precision if versus.stricter else "fp32"]
        strict = f"{versus.stricter_share():.0%}" if versus.stricter else "-"
        speed = [f"{versus.speed():.3g}", f"{versus.share():.0%}", strict]
        cells.append(
            [
                versus.name,
                name,
                str(versus.batch),
                *speed,
                f"{versus.flops / 1e6:.0f}",
                f"{versus.flops * versus.speed() / ceiling:.0%}",
            ]
        )
    return markdown(head, cells)


def growth_table(growth: list[Versus]) -> str:
    head = "label, embedded 64: threads|batch|images/s|of the bare loop at that batch"
    return markdown(
        head, [[str(row.threads), str(row.batch), f"{row.speed():.0f}", f"{row.share():.0%}"] for row in growth]
    )


if __name__ == "__main__":
    main()
