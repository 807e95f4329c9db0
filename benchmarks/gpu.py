"""What is promised for a graphics card, checked and measured on one in under eight minutes.

    python benchmarks/gpu.py --json gpu.json [--device cuda] [--seconds 460] [--no-compile]
    python benchmarks/gpu.py --json gpu.json --train 240 --train-out runs/train
    python benchmarks/gpu.py --json gpu.json --device cpu --quick

Nothing but gmmedit and its packages is needed: weights are random or come with gmmedit. Parts in this order, each
written to the JSON file as soon as it is done, each left out when too few seconds remain:

- correct: images, labels, a few steps of fit-mixture and an edit against the same on the CPU;
- synthesis: StyleGAN2 at 64, 256 and 1024 pixels, StyleGAN3 at 256, in fp32, TF32, bf16 and fp16, with channels-last
  and NCHW tensors, as CUDA graphs, with torch.compile; against the matrix products' peak and against the same
  convolutions alone, both measured in the same run;
- labelling: sample and label against the bare loop, on the embedded model and at 256 pixels;
- fit: a step of fit-mixture against its networks alone;
- edit: eight images of 64 and of 1024 pixels, once the networks are loaded;
- train: with --train, the embedded generator is trained on for that many seconds; its folder resumes.

Targets: synthesis at 50% of what the same convolutions alone reach, sample + label at 95% of the bare loop, eight
1024-pixel edits in 10 s. --quick: tiny networks and few rounds, to try the program itself; its figures mean nothing.
"""

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from cards import runs, synthesis, training
from cards.measuring import Budget, Meter
from machine import described

from gmmedit.runtime.execution import Execution, prepare

CONVOLUTIONS, LABELLING, EDIT_SECONDS = 0.5, 0.95, 10.0  # targets


@dataclass(frozen=True)
class Part:
    """A part of the run, and the seconds without which it is not begun."""

    name: str
    least: float
    measure: Callable[[], Any]


def list_parts(options: argparse.Namespace, folder: Path, budget: Budget) -> list[Part]:
    """The parts in order: correctness first, then what the targets need, then the rest."""
    device, quick = options.device, options.quick
    meter = Meter(device, 0.0) if quick else Meter(device)
    cases = synthesis.QUICK if quick else synthesis.CASES
    steps, polish = (2, 1) if quick else (5, 16)
    sizes = {"middle": (32, 512), "large": (32, 512)} if quick else {"middle": (256, 16384), "large": (1024, 32768)}

    def large(name: str) -> runs.Subject:
        place = folder / name
        place.mkdir(exist_ok=True)
        size, base = sizes[name]
        return runs.make_large(place, size, base, device, 160)

    small = large("middle") if quick else runs.embedded(600)

    def labelling() -> dict[str, Any]:
        more, rounds = (32, 1) if quick else (4096, 3)
        found = {"embedded": runs.compare_labelling(folder, meter, small, more, 16 if quick else 64, rounds)}
        if not quick:
            found["middle"] = runs.compare_labelling(folder, meter, large("middle"), more // 4, 16, rounds)
        return found

    def edits() -> dict[str, Any]:
        subject, run = large("large"), folder / "large run"
        runs.draw_and_label(run, subject, Execution(device, batch=16))
        runs.fit(run, device, steps=2)
        full = 1 if quick else 64
        return {
            "embedded": runs.time_edit(folder / "edited", meter, small, full),
            "large": runs.time_edit(run, meter, subject, full),
            "fit, large": runs.time_fit_step(run, meter, 4 if quick else 32),
        }

    return [
        Part("correct", 60, lambda: runs.compare_with_cpu(folder, device, small, steps, polish)),
        Part("labelling", 60, labelling),
        Part("fit", 20, lambda: runs.time_fit_step(folder / "edited", meter, 8 if quick else 32)),
        Part("edit", 90, edits),
        Part("synthesis", 60, lambda: synthesis.measure_synthesis(cases, meter, budget, options.compile)),
    ]


def judge(found: dict[str, Any]) -> dict[str, bool | None]:
    """Which targets were reached; None: not measured."""
    rows = [row for row in (found.get("synthesis") or {}).get("rows", []) if "error" not in row]
    best: dict[str, float] = {}
    for row in rows:
        if row["way"] == "channels last":
            best[row["network"]] = max(best.get(row["network"], 0.0), row["of_its_convolutions"])
    shares = [part["of_the_bare_loop"] for part in values_of(found, "labelling")]
    large, same = (found.get("edit") or {}).get("large"), values_of(found, "correct")
    return {
        "as on the CPU": all(part["ok"] for part in same) if same else None,
        "synthesis, 50% of its convolutions": min(best.values()) >= CONVOLUTIONS if best else None,
        "sample + label, 95% of the bare loop": min(shares) >= LABELLING if shares else None,
        "eight large edits within 10 s": large["seconds"] <= EDIT_SECONDS if large else None,
    }


def values_of(found: dict[str, Any], name: str) -> list[Any]:
    """The values of a part that was measured, else nothing."""
    part = found.get(name)
    return [] if part is None or "error" in part else list(part.values())


def main() -> int:
    """Measure all parts; 1 if one failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=460.0, help="for all parts but --train")
    parser.add_argument("--quick", action="store_true", help="tiny networks: tries the program, measures nothing")
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    parser.add_argument("--train", type=float, default=0.0, help="seconds to train the embedded generator on")
    parser.add_argument("--train-out", type=Path, default=Path("runs/train"))
    options = parser.parse_args()
    prepare(Execution(options.device))
    budget = Budget(options.seconds, time.monotonic())
    found: dict[str, Any] = {"machine": described(options.device), "quick": options.quick, "seconds": {}}
    with tempfile.TemporaryDirectory() as folder:
        for part in list_parts(options, Path(folder), budget):
            measure_part(part, found, budget, options.json)
    if options.train:
        seconds = options.train
        part = Part("train", 0, lambda: training.train_on(options.train_out, options.device, seconds, options.quick))
        measure_part(part, found, Budget(float("inf"), 0.0), options.json)
    found["targets"] = judge(found)
    options.json.write_text(json.dumps(found, indent=1))
    print(json.dumps(found["targets"], indent=1))
    return int(any("error" in part for part in found.values() if isinstance(part, dict)))


def measure_part(part: Part, found: dict[str, Any], budget: Budget, path: Path) -> None:
    """Add what the part finds, or why it failed, and write the file."""
    if budget.left < part.least:
        found[part.name] = None
        print(f"{part.name}: left out, {budget.left:.0f} s remain", flush=True)
        return
    began = time.monotonic()
    try:
        found[part.name] = part.measure()
    except Exception as error:  # the others are worth measuring
        found[part.name] = {"error": f"{type(error).__name__}: {error}", "where": traceback.format_exc()}
    found["seconds"][part.name] = time.monotonic() - began
    path.write_text(json.dumps(found, indent=1))
    failed = isinstance(found[part.name], dict) and "error" in found[part.name]
    print(f"{part.name}: {'FAILED' if failed else 'done'} in {found['seconds'][part.name]:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
