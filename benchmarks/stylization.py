"""The claims of SAAE, on typefaces that no training has seen: docs/systems.md has the figures.

    python benchmarks/stylization.py claims --fonts FOLDER --out OUT [--variants main,three,joint,binary] [--seeds 0,1]
    python benchmarks/stylization.py recognition --fonts FOLDER --out OUT
    python benchmarks/stylization.py likelihood --out OUT

What is trained is in OUT, and resumes; every finished variant is a line of OUT/claims.jsonl, and is not measured again.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]

AENIGMA = "/usr/share/fonts/truetype/aenigma"  # Debian's fonts-aenigma


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["claims", "recognition", "likelihood"])
    parser.add_argument("--fonts", default=AENIGMA)
    parser.add_argument("--out", type=Path, default=Path("runs/stylization"))
    parser.add_argument("--variants", default="main,three,joint,binary")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--classified", type=int, default=120_000, help="images that the evaluation classifier sees")
    options = parser.parse_args()
    import torch

    from gmmedit.runtime.execution import Execution, prepare
    from gmmedit.runtime.signals import Stopped, StopRequest, stoppable

    torch.set_num_threads(1)
    execution = Execution(stop=StopRequest())
    prepare(execution)
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        with stoppable(execution.stop):
            run_task(options, execution)
    except Stopped:
        print("stopped; the same command resumes")


def run_task(options: argparse.Namespace, execution: Any) -> None:
    """Do what the command line asks for."""
    if options.task == "claims":
        measure_claims(options, execution)
    else:
        from style import likelihood, recognition

        task = {"recognition": recognition, "likelihood": likelihood}[options.task]
        task.run(options.fonts, options.out, execution)


def measure_claims(options: argparse.Namespace, execution: Any) -> None:
    """Baselines, real glyphs and every variant: a line of figures each."""
    from style import claims, sheets, variants

    log = options.out / "claims.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    known = {line["name"] for line in lines}
    wanted = [(name, int(seed)) for name in options.variants.split(",") for seed in options.seeds.split(",")]
    data = variants.open_fonts(options.fonts)
    task = claims.make_task(data)
    evaluator = variants.train_evaluator(options.out, options.fonts, options.classified, execution)

    def remember(name: str, figures: dict[str, float]) -> None:
        with log.open("a") as file:
            file.write(json.dumps({"name": name} | {key: round(value, 4) for key, value in figures.items()}) + "\n")

    if "true glyphs" not in known:
        remember("true glyphs", claims.measure_images(task, task.true, evaluator))
        for name, images in claims.baselines(task).items():
            remember(name, claims.measure_images(task, images, evaluator))
    for name, seed in wanted:
        if f"{name}-{seed}" in known:
            continue
        network = variants.train_variant(options.out, options.fonts, name, seed, execution)
        images = claims.generate(task, network)
        sheets.write_sheet(options.out / f"{name}-{seed}.png", task, images)
        swapped = claims.swap(task, network, images, evaluator)
        sheets.write_matrices(options.out / f"{name}-{seed}-swaps.png", swapped)
        figures = claims.measure_images(task, images, evaluator) | claims.measure_codes(task, network)
        remember(f"{name}-{seed}", figures | claims.measure_swaps(*swapped))
    for line in log.read_text().splitlines():
        figures = json.loads(line)
        print(f"{figures.pop('name'):18}" + "  ".join(f"{key} {value:.3f}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
