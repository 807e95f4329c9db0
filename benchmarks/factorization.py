"""Does IFcVAE-GAN factor attributes out of the identity? Trains it and its ablations on avatars, and measures both.

    python benchmarks/factorization.py runs/factor --images 96000 --runs full:0 no-adversary:0 conditional:0
    python benchmarks/factorization.py runs/factor --data avatars --runs full:0

A run is ABLATION:SEED[:IMAGES]; trainings resume, and what is measured is kept in figures.json of each. ABLATION with
`-unaligned` at its end is the same training without the closed-form alignment at its end. On held-out
renders, by networks that no training used: whether setting one unit flips the attribute (`avatars-eval`), both ways;
how far it moves what is not named (`avatars-factors`, in deviations of each factor); the distance from the true
counterfactual render beside that of the reconstruction; what a fresh probe reads of each attribute from z; and the
encoder's own labels beside those of a separate network of the same trunk.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent.parent))

from factor_probe import read_identity

from gmmedit import classifiers, datasets
from gmmedit.classifiers.trained import TrainedNetwork
from gmmedit.datasets import DataSet
from gmmedit.datasets.avatars.factors import ATTRIBUTES, DETAILS, SHOWN_WITH
from gmmedit.datasets.streaming import RowOrder
from gmmedit.evaluation.metrics.editing import wilson_interval
from gmmedit.networks.alignment import Alignment
from gmmedit.networks.ifcvae import IFcVAE, IFcVAEConfig, Trunk, read_ifcvae
from gmmedit.runtime.execution import Execution, prepare
from gmmedit.training.from_data import DataRequest
from gmmedit.training.ifcvae_alignment import ALIGNED
from gmmedit.training.ifcvae_from_data import train_ifcvae
from gmmedit.training.ifcvae_settings import size_ifcvae
from gmmedit.training.labelled import choose_labels, spread

BATCH = 128
UNALIGNED = "-unaligned"
PROBED = 8_000  # training images of which a probe learns, none of those of the alignment
TRUNK_BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the runs")
    parser.add_argument("--data", default="avatars-independent", choices=("avatars", "avatars-independent"))
    parser.add_argument("--attr", default="smile,glasses")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--images", type=int, default=96_000, help="shown in each training")
    parser.add_argument("--runs", nargs="+", default=["full:0"], help="ABLATION:SEED[:IMAGES]")
    parser.add_argument("-n", type=int, default=2_400, help="held-out renders")
    parser.add_argument("--separate", action="store_true", help="also train a separate network of the same trunk")
    options = parser.parse_args()
    names, execution = options.attr.split(","), Execution()
    prepare(execution)
    found = {}
    for text in options.runs:
        ablation, seed, *images = text.split(":")
        request = DataRequest(options.data, options.size, int(images[0]) if images else options.images, int(seed))
        folder = options.out / f"{options.data}-{text.replace(':', '-').replace(UNALIGNED, '')}"
        found[text] = measure_run(folder, request, names, ablation, options.n, execution)
    print_table(found)
    if options.separate:
        request = DataRequest(options.data, options.size, options.images, 0)
        print("separate network:", measure_separate(request, names, options.out / f"{options.data}-separate.json"))


def measure_run(
    folder: Path, request: DataRequest, names: list[str], ablation: str, n: int, execution: Execution
) -> dict[str, Any]:
    """Figures of one training by attribute, and in all; from figures.json where they are already there."""
    folder.mkdir(parents=True, exist_ok=True)
    aligned = not ablation.endswith(UNALIGNED)
    kept, start = folder / f"figures{'' if aligned else UNALIGNED}.json", time.monotonic()
    if kept.exists():
        return json.loads(kept.read_text())
    parts = ablation.removesuffix(UNALIGNED)
    path, data, facts = train_ifcvae(folder, request, names, execution, parts)  # type: ignore[arg-type]
    seconds = time.monotonic() - start
    network = read_ifcvae(path)
    if not aligned:
        network.alignment = Alignment(network.config.units, network.config.identity)
    rows = spread(data.held_out(), n)
    figures: dict[str, Any] = {"images": facts["images_shown"], "seconds": round(seconds), "n": len(rows)}
    figures["attributes"] = {name: measure_attribute(network, data, rows, name) for name in names}
    figures["probe"] = {kind: probe(network, data, names, rows, kind == "draws") for kind in ("draws", "means")}
    figures["head"] = facts["held_out_accuracy"]
    kept.write_text(json.dumps(figures, indent=1) + "\n")
    return figures


@torch.no_grad()
def measure_attribute(network: IFcVAE, data: DataSet, rows: np.ndarray, name: str) -> dict[str, Any]:
    """Edits of all rows to the other value: shares by direction, drifts in deviations, errors of pixels in [-1, 1]."""
    evaluator, reader = load("avatars-eval"), load("avatars-factors")
    unit = [attribute for attribute, _ in network.config.attributes].index(name)
    column, values = list(ATTRIBUTES).index(name), ATTRIBUTES[name]
    counted = [
        i for i, factor in enumerate(reader.config.nuisances) if factor not in DETAILS or factor not in SHOWN_WITH
    ]
    parts: list[dict[str, Tensor]] = []
    for part in np.array_split(rows, -(-len(rows) // BATCH)):
        images, labels, _ = data.batch(part)
        goal = 1 - labels[:, column]
        truth = torch.empty_like(images)
        for value in (0, 1):
            chosen = (goal == value).numpy()
            if chosen.any():
                truth[torch.from_numpy(chosen)] = data.counterfactual(part[chosen], {name: values[value]})
        latents = network.encode(images)
        edited = latents.clone()
        edited[:, unit] = goal.float()
        if int((edited != latents).sum(1).max()) != 1:
            raise AssertionError("an edit changed another unit")
        before, after = network.decode(latents), network.decode(edited)
        guesses, read = read_values(evaluator, after), read_factors(reader, after) - read_factors(reader, before)
        others = [i for i in range(len(ATTRIBUTES)) if i != column]
        parts.append({
            "goal": goal, "flipped": (guesses[:, column] == goal).float(),
            "kept": (guesses == labels)[:, others].float().mean(1), "change": read,
            "floor": read_factors(reader, truth) - read_factors(reader, images),
            "factors": read_factors(reader, images),
            "pixels": (after - truth).abs().mean((1, 2, 3)), "error": (before - images).abs().mean((1, 2, 3)),
        })  # fmt: skip
    every = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    deviations = every["factors"].std(0)
    drifts, floors = ((every[key].abs().mean(0) / deviations)[counted] for key in ("change", "floor"))
    shifts = (every["change"].mean(0).abs() / deviations)[counted]
    flipped = {}
    for value in (0, 1):
        chosen = every["flipped"][every["goal"] == value]
        share = float(chosen.mean())
        flipped[values[value]] = {"share": share, "interval": wilson_interval(share, len(chosen)), "n": len(chosen)}
    return {
        "flipped": flipped, "kept": float(every["kept"].mean()),
        "drift": float(drifts.mean()), "worst": float(drifts.max()), "floor": float(floors.mean()),
        "shift": float(shifts.mean()), "worst_shift": float(shifts.max()),
        "factors": {reader.config.nuisances[i]: float(drift) for i, drift in zip(counted, drifts, strict=True)},
        "pixels": float(every["pixels"].mean()), "error": float(every["error"].mean()),
    }  # fmt: skip


def read_values(network: TrainedNetwork, images: Tensor) -> Tensor:
    """Values (n, A) of all attributes of avatars in images (n, C, S, S)."""
    parts = network.logits(images).split([len(values) for values in ATTRIBUTES.values()], dim=1)
    return torch.stack([part.argmax(1) for part in parts], dim=1)


def read_factors(network: TrainedNetwork, images: Tensor) -> Tensor:
    """Details and nuisances (n, M) that the network reads in images (n, C, S, S)."""
    return network.nuisances(images)


def load(name: str) -> TrainedNetwork:
    """An embedded classifier."""
    network = classifiers.load(name)
    assert isinstance(network, TrainedNetwork)
    return network


def probe(network: IFcVAE, data: DataSet, names: list[str], rows: np.ndarray, draws: bool) -> dict[str, float]:
    """`read_identity` of the attributes on held-out rows, by name."""
    labels = choose_labels(data, names)
    columns = [data.attributes.index(attribute) for attribute in labels.attributes]
    others = np.setdiff1d(labels.train, spread(labels.train, ALIGNED))
    shares = read_identity(network, data, spread(others, PROBED), rows, columns, draws)
    return {attribute.name: share for attribute, share in zip(labels.attributes, shares, strict=True)}


class Separate(nn.Module):
    """The encoder's trunk with a head for the attributes alone."""

    def __init__(self, config: IFcVAEConfig) -> None:
        super().__init__()
        self.trunk, self.head = Trunk(config), nn.Linear(config.features, config.units)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.trunk(images)).float()


def measure_separate(request: DataRequest, names: list[str], kept: Path) -> dict[str, float]:
    """Held-out accuracy of a network of the same trunk that only classifies, after as many images, by attribute."""
    if kept.exists():
        return json.loads(kept.read_text())
    data = datasets.load(request.data, request.size)
    labels = choose_labels(data, names)
    columns = [data.attributes.index(attribute) for attribute in labels.attributes]
    settings = size_ifcvae(data.image_shape, labels.attributes, request.images, request.seed, "")
    torch.manual_seed(request.seed)
    network = Separate(settings.network)
    adam = torch.optim.Adam(network.parameters(), lr=settings.lr, betas=(0.5, 0.99))
    order, steps = RowOrder(labels.train, TRUNK_BATCH, request.seed), -(-settings.images // TRUNK_BATCH)
    for step in range(steps):
        images, values, _ = data.batch(order.at(step))
        for group in adam.param_groups:
            group["lr"] = settings.lr * min(1.0, 2.5 * (1 - step / steps))
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.binary_cross_entropy_with_logits(network(images), values[:, columns].float())
        adam.zero_grad()
        loss.backward()
        adam.step()
    rows, right = spread(labels.held_out, 1_024), torch.zeros(len(columns))
    with torch.no_grad():
        for part in np.array_split(rows, 8):
            images, values, _ = data.batch(part)
            right += ((network(images) > 0) == (values[:, columns] == 1)).sum(0)
    shares = {a.name: float(share) for a, share in zip(labels.attributes, right / len(rows), strict=True)}
    kept.write_text(json.dumps(shares) + "\n")
    return shares


def print_table(found: dict[str, dict[str, Any]]) -> None:
    """A line for each kind of run and attribute: shares of all its seeds, means of the other figures (and ranges)."""
    print("| training | attribute | flipped to each value | others kept | drift | worst | error to the true render / "
          "of the reconstruction | probe of draws | of means | labels |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|")
    kinds: dict[str, list[dict[str, Any]]] = {}
    for run, figures in found.items():
        kinds.setdefault(run.split(":")[0], []).append(figures)
    for kind, runs in kinds.items():
        for name in runs[0]["attributes"]:
            own = [run["attributes"][name] for run in runs]
            floor = np.mean([one["floor"] for one in own])
            cells = [
                f"{kind}, {len(runs)}" if len(runs) > 1 else kind, name, join_flips(own),
                across([one["kept"] for one in own], 2), f"{across([one['drift'] for one in own], 2)} [{floor:.2f}]",
                across([one["worst"] for one in own], 2), across([one["pixels"] / one["error"] for one in own], 2),
                *(across([run["probe"][which][name] for run in runs], 2) for which in ("draws", "means")),
                across([run["head"][name] for run in runs], 3),
            ]  # fmt: skip
            print(f"| {' | '.join(cells)} |")
    errors = [run["attributes"][name]["error"] for run in found.values() for name in run["attributes"]]
    print(f"errors of reconstructions: {min(errors):.4f} to {max(errors):.4f}")


def join_flips(runs: list[dict[str, Any]]) -> str:
    """The share flipped to each value in all runs together, with its interval of 95 %."""
    words = []
    for value in runs[0]["flipped"]:
        n = sum(run["flipped"][value]["n"] for run in runs)
        share = sum(run["flipped"][value]["share"] * run["flipped"][value]["n"] for run in runs) / n
        low, high = wilson_interval(share, n)
        words.append(f"{value} {share:.3f} ({low:.3f}-{high:.3f})")
    return ", ".join(words)


def across(figures: list[float], places: int) -> str:
    """Their mean, and their range where it is seen."""
    mean, low, high = (f"{figure:.{places}f}" for figure in (np.mean(figures), min(figures), max(figures)))
    return mean if low == high else f"{mean} ({low}-{high})"


if __name__ == "__main__":
    main()
