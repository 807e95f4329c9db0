"""Inversion of renders that no training has seen, and edits after it against the true counterfactual renders.

    python benchmarks/inversion.py --run runs/w --out runs/inversion -n 100 [--prior 0] [--encoder none] [--tune]
    python benchmarks/inversion.py --run runs/w --out runs/inversion -n 100 --again  # figures anew of stored latents
    python benchmarks/inversion.py --out runs/inversion --table  # all that was measured there, on the same renders

`--run`: a run folder of the embedded generator with samples.h5 to mixture.h5. Every render is inverted, one attribute
of it is edited at strength 1, as it is and pasted into the render (`edit --inverted`), and compared with the render of
the same factors with the other value. Prints the figures, and writes a line for each image to OUT/NAME.jsonl, and the
latents before and after the edit to OUT/NAME.latents; what is there is not done again. `--again` writes the figures of
the same latents to OUT/NAME-again.jsonl, after a change of how edits are pasted or measured.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gmmedit import classifiers
from gmmedit.config import EditSettings, InvertSettings, TuneSettings
from gmmedit.datasets.avatars.factors import ATTRIBUTES, Factors, counterfactual, sample_causal
from gmmedit.datasets.avatars.renderer import render
from gmmedit.editing.inversion import Inverter
from gmmedit.editing.inverter import open_inverter
from gmmedit.editing.session import EditSession, open_session
from gmmedit.editing.tuning import tune
from gmmedit.evaluation.metrics.editing import wilson_interval
from gmmedit.pictures.pixels import as_shown, from_bytes, to_bytes
from gmmedit.run.folder import RunFolder
from gmmedit.run.tuned import write_tuned
from gmmedit.runtime.execution import Execution, prepare

SEED = 20_261_127  # of the renders; no training has it
OWN_SEED = 5_000_000  # of the generator's own samples
REGION = 0.1  # change of a pixel, in [-1, 1], from which on it belongs to what the attribute shows
COUNTED = ("kept", "arrived", "pasted_arrived")  # shares of images
UNSHOWN = {"kind", "number", "start", "density", "error", "kept", "labels", "attribute", "value"}
TABLE = ("error", "ratio", "kept", "labels", "density", "arrived", "others", "outside_ratio", "whole", "pasted_arrived",
         "pasted_others", "pasted_outside_ratio", "pasted_whole")  # fmt: skip
CATEGORIES = [(name, value) for name, values in ATTRIBUTES.items() for value in values]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/inversion"))
    parser.add_argument("-n", type=int, default=100, help="renders")
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="no further render after so long")
    parser.add_argument("--own", type=int, default=16, help="own samples that are inverted as a measure")
    parser.add_argument("--steps", type=int, default=InvertSettings().steps)
    parser.add_argument("--prior", type=float, default=InvertSettings().prior)
    parser.add_argument("--encoder", default="auto")
    parser.add_argument("--tune", action="store_true", help="tune the generator around each image (a minute each)")
    parser.add_argument("--again", action="store_true", help="measure the stored latents again, find none")
    parser.add_argument("--no-edits", action="store_true")
    parser.add_argument("--table", action="store_true", help="print a table of the files in --out, measure nothing")
    options = parser.parse_args()
    if options.table:
        print_table(options.out)
        return
    if options.again and (options.tune or options.no_edits):
        parser.error("--again measures edits by the run's generator")
    torch.set_num_threads(1)
    execution = Execution()
    prepare(execution)
    settings = InvertSettings(steps=options.steps, prior=options.prior, encoder=options.encoder)
    name = f"steps{options.steps}-prior{options.prior:g}-{Path(options.encoder).stem}{'-tuned' * options.tune}"
    options.out.mkdir(parents=True, exist_ok=True)
    with RunFolder(options.run, execution) as run:
        bench = Bench(run, open_inverter(run, settings), options.out / f"{name}.jsonl", options.tune, options.again)
        own = [bench.invert_own(i) for i in range(options.own)]
        began, rows = time.monotonic(), []
        for number in range(options.first, options.first + options.n):
            if time.monotonic() - began > options.seconds:
                break
            if options.again and ("render", number) not in bench.stored:
                continue
            rows.append(bench.measure(number, not options.no_edits))
    print(json.dumps({"name": name} | summarise(rows, own), indent=1))


class Bench:
    """Measures image by image, and remembers what it measured."""

    def __init__(self, run: RunFolder, inverter: Inverter, log: Path, tuned: bool, again: bool) -> None:
        self.run, self.inverter, self.log, self.tuned = run, inverter, log, tuned
        self.judge = classifiers.load("avatars-eval")
        self.session = open_session(run, EditSettings())
        self.latents = log.with_suffix(".latents")
        self.latents.mkdir(exist_ok=True)
        self.known = read_log(log)
        self.stored = dict[tuple[str, int], dict]()  # what was found earlier and is measured again
        if again:
            self.log = log.with_stem(f"{log.stem}-again")
            self.stored, self.known = self.known, read_log(self.log)

    def remember(self, row: dict) -> dict:
        self.known[row["kind"], row["number"]] = row
        with self.log.open("a") as file:
            file.write(json.dumps(row) + "\n")
        return row

    def invert_own(self, number: int) -> dict:
        if ("own", number) in self.known:
            return self.known["own", number]
        if ("own", number) in self.stored:
            return self.remember(self.stored["own", number])
        found = self.inverter.invert_pixels(self.inverter.generate_seeds([OWN_SEED + number])[0])
        return self.remember({"kind": "own", "number": number, "start": found.start_error, "error": found.error})

    def measure(self, number: int, edits: bool) -> dict:
        """Invert render `number`, and move it towards the next category whose value it has not."""
        if ("render", number) in self.known:
            return self.known["render", number]
        factors = sample_causal(number + 1, SEED)[number : number + 1]
        image = as_shown(render(factors))
        session, found, moved = self.session, dict[str, float](), None
        if ("render", number) in self.stored:
            found = {name: self.stored["render", number][name] for name in ("start", "density")}
            with np.load(self.latents / f"{number}.npz") as arrays:
                latent, moved = (torch.from_numpy(arrays[name]) for name in ("latent", "moved"))
        else:
            inverted = self.inverter.invert_pixels(to_bytes(image)[0])
            latent, found = inverted.latent[None], {"start": inverted.start_error, "density": inverted.density}
        if self.tuned:
            session = self.tune(latent, to_bytes(image)[0])
        with torch.no_grad():
            again = as_shown(session.renderer.generate(latent, session.space))
        row = {
            "kind": "render", "number": number, **found,
            "error": error(again, image), "kept": float((self.values(again) == self.values(image)).all()),
            "labels": float((self.values(again) == self.values(image)).float().mean()),
        }  # fmt: skip
        if edits:
            category = self.choose(number, factors)
            if moved is None:
                moved = session.move(session.make_editor([number]), latent, [(category, torch.ones(1))])
                np.savez(self.latents / f"{number}.npz", latent=latent.numpy(), moved=moved.numpy())
            row |= self.edit(category, factors, image, again, moved, session)
        return self.remember(row)

    def choose(self, number: int, factors: Factors) -> int:
        """The next category whose value the render has not."""
        category = number % len(CATEGORIES)
        while self.has(factors, category):
            category = (category + 1) % len(CATEGORIES)
        return category

    def edit(
        self, category: int, factors: Factors, image: Tensor, again: Tensor, moved: Tensor, session: EditSession
    ) -> dict:
        """The figures of one edit at strength 1, of the latents (1, L, D) that it leads to."""
        names = list(ATTRIBUTES)
        name, value = CATEGORIES[category]
        truth = as_shown(render(counterfactual(factors, name, value)))
        with torch.no_grad():
            edited = as_shown(session.renderer.generate(moved, session.space))
        column = names.index(name)
        pixels = [to_bytes(part) for part in (edited, again, image)]
        one = torch.ones(1)
        pasted = from_bytes(session.paste(pixels[0][None], *pixels[1:], [(one, [(category, one)])])[0][0])
        wanted, before, after = factors.attributes[0].clone(), self.values(again)[0], self.values(edited)[0]
        wanted[column] = ATTRIBUTES[name].index(value)
        shown = self.values(pasted)[0]
        others = [i for i in range(len(names)) if i != column]
        outside = ((truth - image).abs().amax(1, keepdim=True) < REGION).float()
        return {
            "attribute": name, "value": value,
            "arrived": float(after[column] == wanted[column]),
            "others": float((after == wanted)[others].float().mean()),
            "others_of_reconstruction": float((after == before)[others].float().mean()),
            "outside": error(edited, truth, outside), "outside_unedited": error(again, image, outside),
            "whole": error(edited, truth), "whole_unedited_to_truth": error(again, truth),
            "pasted_arrived": float(shown[column] == wanted[column]),
            "pasted_others": float((shown == wanted)[others].float().mean()),
            "pasted_outside": error(pasted, truth, outside), "pasted_whole": error(pasted, truth),
        }  # fmt: skip

    def tune(self, latent: Tensor, pixels: np.ndarray) -> EditSession:
        """The session through a generator that is tuned around one latent (1, L, D)."""
        generator = self.inverter.renderer.generator
        path = self.log.with_suffix(".generator.safetensors")
        tensors = tune(self.inverter, latent, pixels[None], TuneSettings())
        write_tuned(path, tensors, {"generator": generator.fingerprint})
        return open_session(self.run, EditSettings(gan=str(path)))

    def values(self, images: Tensor) -> Tensor:
        """The evaluation classifier's values (N, 7) of images as shown."""
        with torch.no_grad():
            logits = self.judge.logits(images)
        parts = logits.split([len(values) for values in ATTRIBUTES.values()], dim=1)
        return torch.stack([part.argmax(1) for part in parts], dim=1)

    def has(self, factors: Factors, category: int) -> bool:
        name, value = CATEGORIES[category]
        return bool(factors.attributes[0, list(ATTRIBUTES).index(name)] == ATTRIBUTES[name].index(value))


def read_log(log: Path) -> dict[tuple[str, int], dict]:
    """The lines of a log, if there is one, by kind and number."""
    lines = log.read_text().splitlines() if log.exists() else []
    return {(row["kind"], row["number"]): row for row in map(json.loads, lines)}


def error(images: Tensor, others: Tensor, where: Tensor | None = None) -> float:
    """Mean absolute difference of the pixels, in [-1, 1], or of those where the mask (N, 1, H, W) is 1."""
    change = (images - others).abs().mean(1, keepdim=True)
    return float(change.mean() if where is None else (change * where).sum() / where.sum().clamp(min=1))


def summarise(rows: list[dict], own: list[dict]) -> dict[str, float]:
    """The figures of all images."""

    def mean(name: str, of: list[dict]) -> float:
        return round(float(np.mean([row[name] for row in of])), 4)

    edited = [row for row in rows if "arrived" in row]
    found = {"renders": len(rows), "start": mean("start", rows), "error": mean("error", rows)}
    if own:
        found |= {"own": mean("error", own), "ratio": round(mean("error", rows) / mean("error", own), 3)}
    found |= {name: mean(name, rows) for name in ("kept", "labels", "density")}
    if edited:
        names = [name for name in edited[0] if name not in UNSHOWN and all(name in row for row in edited)]
        found |= {"edits": len(edited)} | {name: mean(name, edited) for name in names}
        for name in ("outside", "pasted_outside"):
            if name in found:
                found[f"{name}_ratio"] = round(found[name] / found["outside_unedited"], 3)
    shares = {name: len(edited if "arrived" in name else rows) for name in COUNTED if name in found}
    intervals = {name: wilson_interval(found[name], n) for name, n in shares.items()}
    return found | {f"{name}_95": [round(end, 3) for end in ends] for name, ends in intervals.items()}


def print_table(folder: Path) -> None:
    """The figures of every file of a folder as a table, on the renders that all of them have."""
    files = {path.stem: [json.loads(line) for line in path.read_text().splitlines()] for path in folder.glob("*.jsonl")}
    common = set.intersection(*({row["number"] for row in rows if row["kind"] == "render"} for rows in files.values()))
    print("| " + " | ".join(("", *TABLE)) + " |\n" + "|---" * (1 + len(TABLE)) + "|")
    for name, lines in sorted(files.items()):
        rows = [row for row in lines if row["kind"] == "render" and row["number"] in common]
        found = summarise(rows, [row for row in lines if row["kind"] == "own"])
        print("| " + " | ".join([name, *(f"{found[key]:.3g}" if key in found else "-" for key in TABLE)]) + " |")
    print(f"\n{len(common)} renders")


if __name__ == "__main__":
    main()
