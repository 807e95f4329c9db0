"""What `gmmedit train bigan` learns of the causes of avatars, whose causal model is known.

    python benchmarks/bigan.py structure --seeds 5
    python benchmarks/bigan.py measure runs/bigan/bigan.safetensors -n 2000

structure: the search of edges by the labels alone, with the settings of a training, without networks. measure: of a
trained file, what the encoder labels and reconstructs on held-out renders, and, by the evaluation classifier, how far
the labels of samples and of samples after each intervention are from the true distributions (total variation).
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

from causes import true_arrows, true_model, variation

from gmmedit import classifiers, datasets
from gmmedit.datasets.avatars.factors import ATTRIBUTES, sample_causal
from gmmedit.generators.prior import draw_normal
from gmmedit.networks.bigan import BiGAN, read_bigan
from gmmedit.networks.structural import StructuralEquations
from gmmedit.training.bigan import BiGANSettings
from gmmedit.training.bigan_from_data import IMAGES, measure
from gmmedit.training.labelled import choose_labels
from gmmedit.training.structure import choose_edges, fit_equations, structure_loss

NAMES, SIZES = list(ATTRIBUTES), [len(values) for values in ATTRIBUTES.values()]
LABELS = 45_000
BATCH = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    structure = commands.add_parser("structure")
    structure.add_argument("--seeds", type=int, default=5)
    measuring = commands.add_parser("measure")
    measuring.add_argument("file", type=Path)
    measuring.add_argument("-n", type=int, default=2_000, help="samples, and held-out renders")
    options = parser.parse_args()
    if options.command == "structure":
        for seed in range(options.seeds):
            print_edges(seed, search_edges(seed))
    else:
        report(read_bigan(options.file), options.n)


def search_edges(seed: int) -> np.ndarray:
    """The edges (A, A) that the search of a training finds in labels alone."""
    defaults = BiGANSettings.__dataclass_fields__
    batch, search = defaults["batch"].default, defaults["search"].default
    values = sample_causal(LABELS, 1 + seed).attributes
    steps, generator = int(search * IMAGES / batch), torch.Generator().manual_seed(seed)
    equations = StructuralEquations(SIZES)
    fit_equations(equations, values)
    equations.mask.fill_(True).fill_diagonal_(False)
    adam = torch.optim.Adam(equations.parameters(), lr=defaults["structure_lr"].default, betas=(0.0, 0.99))
    prices = defaults["sparsity"].default, defaults["cycles"].default
    for step in range(steps):
        rows = torch.randint(len(values), (batch,), generator=generator)
        adam.zero_grad()
        structure_loss(equations, values[rows], step / steps, *prices).backward()
        adam.step()
    return choose_edges(equations.strengths().detach()).numpy()


def print_edges(seed: int, edges: np.ndarray) -> None:
    """The edges, and how many of the skeleton and of the directions are those of the truth."""
    true = true_arrows()
    found, wanted = edges | edges.T, true | true.T
    both = (found & wanted).sum() / 2
    f1 = 2 * both / max(1, (found.sum() + wanted.sum()) / 2)
    shown = ", ".join(f"{NAMES[cause]}->{NAMES[effect]}" for cause, effect in np.argwhere(edges))
    print(
        f"seed {seed}: skeleton F1 {f1:.2f}, directed as in the model {(edges & true).sum()} of {true.sum()}: {shown}"
    )


@torch.no_grad()
def report(network: BiGAN, n: int) -> None:
    """Print the figures of a trained file."""
    data = datasets.load("avatars", network.config.resolution)
    labels = choose_labels(data, [name for name, _ in network.config.attributes])
    for name, value in measure(network, data, labels).items():
        print(f"{name}: {value}")
    truth, w = true_model(), network.map(draw_normal(range(n), network.config.dim))
    print(f"samples: {describe(variation(rates(network, w), rates_of(truth.sample(200_000, 0))))}")
    for place, (name, values) in enumerate(network.config.attributes):
        for value, text in enumerate(values):
            acted = network.counterfactual(w, {place: torch.full((n,), value)})
            wanted = rates_of(truth.sample(200_000, 0, {NAMES.index(name): value}))
            print(f"do({name}={text}): {describe(variation(rates(network, acted), wanted))}")


def rates(network: BiGAN, w: Tensor) -> list[np.ndarray]:
    """The rates of each attribute's values among the images of latents (N, D), by the evaluation classifier."""
    judge = classifiers.load("avatars-eval")
    logits = torch.cat([judge.logits(network.synthesize(part)) for part in w.split(BATCH)])
    values = torch.stack([part.argmax(1) for part in logits.split(SIZES, dim=1)], dim=1)
    return rates_of(values.numpy())


def rates_of(values: np.ndarray) -> list[np.ndarray]:
    """The rates of each attribute's values in labels (N, A)."""
    return [np.bincount(column, minlength=size) / len(values) for column, size in zip(values.T, SIZES, strict=True)]


def describe(distances: list[float]) -> str:
    """Total variation by attribute, and the mean."""
    each = ", ".join(f"{name} {distance:.3f}" for name, distance in zip(NAMES, distances, strict=True))
    return f"mean {np.mean(distances):.3f} ({each})"


if __name__ == "__main__":
    main()
