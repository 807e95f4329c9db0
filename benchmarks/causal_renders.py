"""Do-edits of renders against the true counterfactual renders: the same noise, what follows from the act changed.

    python benchmarks/causal_renders.py --run runs/w --out runs/renders.jsonl -n 150

`--run`: a run folder of the embedded generator with samples.h5 to mixture.h5. Every render, which no training has
seen, is inverted; one attribute is set to a value that it lacks, once with what follows by the true mechanisms (do),
once alone (isolated). Both are compared with the render of the counterfactual avatar. Prints the figures; a line for
each render is kept in `--out`, and not measured again.

What would have followed in one render is not determined by rates: the renderer compares a uniform number with the
cumulated rates of the values, the causal model abducts Gumbel noise. So the prediction is compared with the truth by
how often descendants change, and one by one.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from causes import NAMES, true_model
from torch import Tensor

from gmmedit import classifiers
from gmmedit.config import EditSettings, InvertSettings
from gmmedit.datasets.avatars.factors import ATTRIBUTES, sample_causal
from gmmedit.datasets.avatars.renderer import render
from gmmedit.editing.do import move_to
from gmmedit.editing.inverter import open_inverter
from gmmedit.editing.session import open_session
from gmmedit.editors.counterfactual import values_of
from gmmedit.pictures.pixels import as_shown, to_bytes
from gmmedit.run.folder import RunFolder, layout_of
from gmmedit.runtime.execution import Execution, prepare

SEED = 20_261_128  # of the renders; no training has it
ACTS = [(name, value) for name in ("gender", "age") for value in ATTRIBUTES[name]]  # what something follows from


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="JSON lines")
    parser.add_argument("-n", type=int, default=150, help="renders")
    options = parser.parse_args()
    torch.set_num_threads(1)
    execution = Execution()
    prepare(execution)
    lines = options.out.read_text().splitlines() if options.out.exists() else []
    rows = {row["number"]: row for row in map(json.loads, lines)}
    with RunFolder(options.run, execution) as run:
        bench = Bench(run)
        for number in range(options.n):
            if number not in rows:
                rows[number] = bench.measure(number)
                with options.out.open("a") as file:
                    file.write(json.dumps(rows[number]) + "\n")
    for act in [*dict.fromkeys(name for name, _ in ACTS), "all"]:
        chosen = [row for row in rows.values() if act in ("all", row["act"])]
        print(json.dumps({"act": act} | summarise(chosen), indent=1))


class Bench:
    """Inverts renders and edits them."""

    def __init__(self, run: RunFolder) -> None:
        self.inverter, self.session = open_inverter(run, InvertSettings()), open_session(run, EditSettings())
        self.model, self.judge, self.layout = true_model(), classifiers.load("avatars-eval"), layout_of(run.labels)

    def measure(self, number: int) -> dict:
        """The figures of render `number`."""
        seen = sample_causal(number + 1, SEED)[number : number + 1]
        image, values = as_shown(render(seen)), seen.attributes.numpy()
        name, value = next(act for act in (ACTS * 2)[number % len(ACTS) :] if not has(values[0], *act))
        node, goal = NAMES.index(name), ATTRIBUTES[name].index(value)
        other = sample_causal(number + 1, SEED, {name: value})[number : number + 1]
        truth, true_values = as_shown(render(other)), other.attributes[0].numpy()
        latent = self.inverter.invert_pixels(to_bytes(image)[0]).latent[None]
        before = self.generate(latent)
        effects = self.model.descendants({node: goal})
        alone = values[0].copy()
        alone[node] = goal
        predicted = self.model.counterfactual(values, {node: goal}, [number], 0)[0]
        row = {"number": number, "act": name, "value": value, "reconstruction": error(before, image),
               "unedited": error(before, truth), "between_renders": error(image, truth),
               "true_changes": count(true_values != values[0], effects),
               "predicted_changes": count(predicted != values[0], effects),
               "predicted_right": count(predicted == true_values, effects)}  # fmt: skip
        for way, targets in (("do", predicted), ("isolated", alone)):
            editor = self.session.make_editor([number])
            found = self.generate(move_to(self.session, editor, latent, values[0], targets, 1.0))
            got = self.read(found)
            rest = [i for i in range(len(NAMES)) if i != node and i not in effects]
            row |= {f"{way}_arrived": float(got[node] == goal), f"{way}_kept": count(got == values[0], rest),
                    f"{way}_changes": count(got != values[0], effects),
                    f"{way}_as_predicted": count(got == targets, effects),
                    f"{way}_true": count(got == true_values, range(len(NAMES))),
                    f"{way}_error": error(found, truth)}  # fmt: skip
        return row

    @torch.no_grad()
    def generate(self, latent: Tensor) -> Tensor:
        """The image of a latent, as shown."""
        return as_shown(self.session.renderer.generate(latent, self.session.space))

    @torch.no_grad()
    def read(self, images: Tensor) -> np.ndarray:
        """The evaluation classifier's values (A,) of one image."""
        return values_of(self.judge.logits(images), self.layout)[0]


def has(values: np.ndarray, name: str, value: str) -> bool:
    """Whether an avatar of values (A,) has a value."""
    return bool(values[NAMES.index(name)] == ATTRIBUTES[name].index(value))


def count(hits: np.ndarray, nodes: list[int] | range) -> float:
    """The share of nodes that are hits; NaN: there are none."""
    return float(np.mean(hits[list(nodes)])) if len(nodes) else float("nan")


def error(images: Tensor, others: Tensor) -> float:
    """Mean absolute difference of pixels in [-1, 1]."""
    return float((images - others).abs().mean())


def summarise(rows: list[dict]) -> dict[str, float]:
    """Means over renders; errors of edits in units of the reconstruction's, too."""
    names = [name for name, value in rows[0].items() if isinstance(value, float)]
    found = {"renders": len(rows)} | {name: round(float(np.nanmean([row[name] for row in rows])), 3) for name in names}
    return found | {
        f"{way}_ratio": round(found[f"{way}_error"] / found["reconstruction"], 2) for way in ("do", "isolated")
    }


if __name__ == "__main__":
    main()
