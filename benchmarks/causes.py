"""Graphs and interventions where the truth is known: the embedded model, whose training images have a causal model.

    python benchmarks/causes.py graphs --run runs/w --json bench/graphs.json
    python benchmarks/causes.py interventions --run runs/w --json bench/interventions.json
    python benchmarks/causes.py interventions --run runs/w --polish 64 --acts gender beard --json bench/polished.json
    python benchmarks/causes.py sheet --isolated runs/w/isolated --do runs/w/do --out runs/w/sheet.png

Parts that are in the JSON file already are not computed again. Methods whose package is missing are left out.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gmmedit import artifacts, classifiers
from gmmedit.causal.cells import Cells
from gmmedit.causal.confusion import from_probabilities, from_truth
from gmmedit.causal.knowledge import Knowledge
from gmmedit.causal.learning import METHODS, Learned, learn
from gmmedit.causal.mechanisms import Mechanism
from gmmedit.causal.model import CausalModel, fit_model
from gmmedit.causal.orientation import directed, equivalence_class
from gmmedit.config import EvaluateSettings
from gmmedit.datasets.avatars.factors import ATTRIBUTES, CAUSAL_MODEL, sample_causal
from gmmedit.datasets.avatars.renderer import render
from gmmedit.editing.effects import caption_changes
from gmmedit.editors.base import Editor
from gmmedit.editors.baselines.regressions import fit_mean_difference
from gmmedit.editors.counterfactual import fit_counterfactual, values_of
from gmmedit.editors.mixture import fit_mixture
from gmmedit.evaluation.judge import Judge, load_evaluators
from gmmedit.evaluation.specification import run_spec
from gmmedit.evaluation.sweep import SweepInputs, load_inputs
from gmmedit.pictures.galleries import Cell, GalleryRow, make_gallery
from gmmedit.pictures.pixels import as_shown
from gmmedit.pictures.sheets import to_png, to_tile
from gmmedit.run.folder import RunFolder
from gmmedit.runtime.execution import Execution, prepare

NAMES, SIZES = list(ATTRIBUTES), [len(values) for values in ATTRIBUTES.values()]
LABELS = 5000
SCALES = [1.0, 10.0, 0.1, 10.0, 0.1, 1.0, 10.0]  # of the columns, to see who depends on units
ALPHA, LEAST = 1e-3, 0.05


def true_arrows() -> np.ndarray:
    """The edges (A, A) of the causal model of the renders."""
    found = np.zeros((len(NAMES), len(NAMES)), bool)
    for name, (parents, _) in CAUSAL_MODEL.items():
        for parent in parents:
            found[NAMES.index(parent), NAMES.index(name)] = True
    return found


def true_model() -> CausalModel:
    """The causal model of the renders."""
    mechanisms: dict[int, Mechanism] = {}
    for name, (parents, table) in CAUSAL_MODEL.items():
        places = [NAMES.index(parent) for parent in parents]
        order = np.argsort(places)
        array = np.array(table).transpose(*order, len(places)) if places else np.array(table)
        mechanisms[NAMES.index(name)] = Mechanism(tuple(sorted(places)), array, "table")
    return CausalModel(true_arrows(), tuple(mechanisms[node] for node in range(len(NAMES))))


# Graphs


def score_graph(learned: Learned) -> dict[str, Any]:
    """F1 of the skeleton, structural Hamming distance to the true class, and directions that no data can tell."""
    truth, found = equivalence_class(true_arrows()), learned.edges
    pairs = np.triu(np.ones_like(truth), 1)
    linked, wanted = (found | found.T) & pairs, (truth | truth.T) & pairs
    right = int((linked & wanted).sum())
    distance = int((((found != truth) | (found.T != truth.T)) & pairs).sum())
    own = directed(found if learned.arrows is None else learned.arrows)
    return {
        "f1": 2 * right / max(int(linked.sum() + wanted.sum()), 1),
        "missing": int((wanted & ~linked).sum()),
        "extra": int((linked & ~wanted).sum()),
        "shd": distance,
        "false_directions": int((directed(found) & ~directed(truth)).sum()),
        "own_wrong_way": int((own & true_arrows().T).sum()),  # of the graph that the method itself gives
        "own_right_way": int((own & true_arrows()).sum()),
    }


def label_renders(seed: int) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Values (N, A) that the labelling classifier reads from renders, its confusions on others, and true values."""
    factors, other = sample_causal(LABELS, seed), sample_causal(2000, 1000 + seed)
    read = [classify(render(part[start : start + 250]))
            for part in (factors, other) for start in range(0, len(part), 250)]  # fmt: skip
    values, again = np.concatenate(read[: LABELS // 250]), np.concatenate(read[LABELS // 250 :])
    confusions = [from_truth(again[:, a], other.attributes[:, a].numpy(), size) for a, size in enumerate(SIZES)]
    return values, confusions, factors.attributes.numpy()


@torch.no_grad()
def classify(images: torch.Tensor) -> np.ndarray:
    """The values (N, A) that the labelling classifier reads from images."""
    classifier = classifiers.load("avatars", "cpu")
    parts = torch.cat([classifier.logits(images[i : i + 16]) for i in range(0, len(images), 16)]).split(SIZES, 1)
    return np.stack([part.argmax(1).numpy() for part in parts], 1)


def label_samples(run: Path, first: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Values (N, A) of LABELS samples of labels.h5 from `first` on, and the confusions that probabilities imply."""
    with artifacts.open(run / "labels.h5", "labels") as labels:
        parts = np.split(labels["labels"], np.cumsum(SIZES)[:-1], axis=1)
    confusions = [from_probabilities(part) for part in parts]
    return np.stack([part[first : first + LABELS].argmax(1) for part in parts], 1), confusions


def graph_jobs(run: Path) -> dict[str, Callable[[], tuple[np.ndarray, list[np.ndarray] | None]]]:
    """The sets of labels by name."""
    jobs: dict[str, Callable[[], tuple[np.ndarray, list[np.ndarray] | None]]] = {}
    for seed in range(3):
        jobs[f"true labels, seed {seed}"] = lambda seed=seed: (sample_causal(LABELS, seed).attributes.numpy(), None)
    jobs["classifier on renders, seed 0"] = lambda: label_renders(0)[:2]
    for seed in range(2):
        jobs[f"classifier on generated images, {seed}"] = lambda seed=seed: label_samples(run, seed * LABELS)
    return jobs


def run_graphs(run: Path, done: dict[str, Any], save: Callable[[], None]) -> None:
    """Every method on every set of labels, and on the first with rescaled columns."""
    for source, make in graph_jobs(run).items():
        ways = {method: (method, None, False) for method in METHODS}
        ways |= {"pc-stable, errors uncorrected": ("pc-stable", None, True)}
        if source == "true labels, seed 0":
            ways |= {f"{method}, rescaled": (method, SCALES, False) for method in METHODS}
        missing = [way for way in ways if f"{source} | {way}" not in done]
        if not missing:
            continue
        values, confusions = make()
        cells = Cells.of(values, SIZES)
        for way in missing:
            method, scale, uncorrected = ways[way]
            if uncorrected and confusions is None:
                continue
            start = time.perf_counter()
            known = None if uncorrected else confusions
            try:
                nothing = Knowledge.nothing(len(SIZES))
                learned = learn(method, cells, nothing, ALPHA, LEAST, 0, known, scale)  # type: ignore[arg-type]
            except ImportError:
                continue
            done[f"{source} | {way}"] = score_graph(learned) | {"seconds": time.perf_counter() - start}
            print(source, way, done[f"{source} | {way}"], flush=True)
            save()


# Interventions


def open_inputs(run: Path, n: int, polish: int, model: CausalModel) -> SweepInputs:
    """The samples, networks and material of an evaluation, with a causal model."""
    execution = Execution()
    prepare(execution)
    named = classifiers.evaluation_classifier("avatars")
    settings = EvaluateSettings(n=n, polish=polish, precision="fp32", classifier=named)
    with RunFolder(run, execution) as folder:
        networks = load_evaluators(settings, folder)
        spec = run_spec("evaluation", folder.artifact("mixture"), networks, settings)
        inputs = load_inputs(spec, folder, networks, settings)
    return replace(inputs, material=replace(inputs.material, causes=model))


def model_of_samples(run: Path) -> CausalModel:
    """The true edges with the mechanisms of the run's own samples, corrected for the classifier's errors."""
    with artifacts.open(run / "labels.h5", "labels") as labels:
        parts = np.split(labels["labels"], np.cumsum(SIZES)[:-1], axis=1)
    values = np.stack([part.argmax(1) for part in parts], 1)
    return fit_model(true_arrows(), Cells.of(values, SIZES), [from_probabilities(part) for part in parts])


@torch.no_grad()
def observe(judge: Judge, latent: torch.Tensor) -> np.ndarray:
    """The values (N, A) that the evaluation classifier reads from the images of latents."""
    logits = [judge.classifier.logits(as_shown(judge.renderer.generate(row, judge.space))) for row in latent.split(16)]
    return np.stack([part.argmax(1).numpy() for part in torch.cat(logits).split(SIZES, 1)], 1)


def rates(values: np.ndarray) -> list[np.ndarray]:
    """How often each value of each attribute occurs."""
    return [np.bincount(values[:, a], minlength=size) / len(values) for a, size in enumerate(SIZES)]


def variation(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> list[float]:
    """The total variation distance of each attribute's rates."""
    return [float(np.abs(a - b).sum() / 2) for a, b in zip(first, second, strict=True)]


def run_interventions(
    run: Path, n: int, polish: int, acts: Sequence[str], done: dict[str, Any], save: Callable[[], None]
) -> None:
    """Every value of the attributes `acts` set in n unseen samples: do-edits, isolated and conditional edits."""
    own = model_of_samples(run)
    inputs = open_inputs(run, n, polish, true_model())
    judge, latent = inputs.judge, inputs.samples.latent
    editors: dict[str, Editor] = {
        "do, true mechanisms": fit_counterfactual(inputs.material),
        "do, mechanisms of the samples": fit_counterfactual(replace(inputs.material, causes=own)),
        "isolated": fit_mixture(inputs.material),
        "conditional": fit_mean_difference(inputs.material),
    }
    done.setdefault("unedited", [rate.tolist() for rate in rates(observe(judge, latent))])
    truth = true_model()
    for node, (name, values) in enumerate(ATTRIBUTES.items()):
        for value, text in enumerate(values):
            goal = [rate.tolist() for rate in rates(truth.sample(200_000, 0, {node: value}))]
            for method, editor in editors.items():
                key = f"{name}={text} | {method}"
                if key in done or name not in acts or (polish and method != "do, true mechanisms"):
                    continue
                category = sum(SIZES[:node]) + value
                lacking = values_of(inputs.samples.label_logits, inputs.material.layout)[:, node] != value
                moved = latent.clone()
                moved[lacking] = editor.trajectory(latent[lacking], category)(1.0)
                found = rates(observe(judge, moved))
                done[key] = {"rates": [rate.tolist() for rate in found], "true": goal,
                             "tv": variation(found, [np.array(rate) for rate in goal])}  # fmt: skip
                print(key, np.round(done[key]["tv"], 3), flush=True)
                save()


# The sheet of `make causes`


def make_sheet(isolated: Path, do: Path, out: Path) -> None:
    """Isolated edits and do-edits of the same faces side by side: each column of the one, then that of the other."""
    with artifacts.open(isolated / "edits.h5", "edits") as one, artifacts.open(do / "edits.h5", "edits") as two:
        columns, rows = ["unedited"], [[[Cell(to_tile(pixels), [])]] for pixels in one["images_before"]]
        for place, pair in enumerate(zip(one.spec.config["headings"], two.spec.config["headings"], strict=True)):
            columns += pair
            for row, parts in enumerate(rows):
                changes = caption_changes(two, place, row).split(", ")
                parts.append([Cell(to_tile(one["images_after"][place, row]), [])])
                parts.append([Cell(to_tile(two["images_after"][place, row]), changes)])
    title = "isolated edits, and do-edits with what follows (below: what was predicted)"
    out.write_bytes(to_png(make_gallery([GalleryRow("", parts) for parts in rows], title, columns)))
    print(f"wrote {out}")


def main() -> None:
    """The part that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["graphs", "interventions", "sheet"])
    parser.add_argument("--run", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--polish", type=int, default=0)
    parser.add_argument("--acts", nargs="+", default=NAMES)
    for name in ("--isolated", "--do", "--out"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    if options.part == "sheet":
        make_sheet(options.isolated, options.do, options.out)
        return
    done = json.loads(options.json.read_text()) if options.json.exists() else {}

    def save() -> None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(done, indent=1))

    if options.part == "graphs":
        run_graphs(options.run, done, save)
    else:
        run_interventions(options.run, options.n, options.polish, options.acts, done, save)


if __name__ == "__main__":
    main()
