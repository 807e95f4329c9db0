"""The world of fashion: a StyleGAN2 trained here on photographs of clothes, ten of whose kinds are one attribute."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from gmmedit import generators
from gmmedit.classifiers.preprocessing import convert_channels
from gmmedit.datasets.idx import read_idx
from worlds.classifying import accuracies, train_classifier
from worlds.fashion_gan import train
from worlds.packages import fetch, install

PROGRAMS = [
    "small_networks.py", "fashion_networks.py", "fashion_labels.yaml", "fashion_judge.yaml", "fashion_features.yaml",
]  # fmt: skip
STEPS = {"labels": 5_000, "judge": 4_000}
SAMPLES, SEED, BATCH = 4_000, 20_000_000, 50


def read_images(package: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (n, 32, 32), black borders of 2 pixels added, and their kinds (n,); part: train or t10k."""
    folder = package / "usr" / "share" / "datasets" / "fashion-mnist"
    images = read_idx(folder / f"{part}-images-idx3-ubyte.gz")
    return np.pad(images, ((0, 0), (2, 2), (2, 2))), read_idx(folder / f"{part}-labels-idx1-ubyte.gz")


def prepare(folder: Path, downloads: Path) -> None:
    """Train both classifiers and the generator in the folder; a stopped training resumes."""
    torch.set_num_threads(1)
    package = fetch("debian", "dataset-fashion-mnist", downloads)
    folder.mkdir(parents=True, exist_ok=True)
    install(PROGRAMS, folder)
    sys.path.insert(0, str(folder.resolve()))
    if not (folder / "judge.safetensors").exists():
        train_classifiers(package, folder)
    shutil.copyfile(train(read_images(package, "train")[0], folder / "train"), folder / "generator.safetensors")
    write_thresholds(folder)


def train_classifiers(package: Path, folder: Path) -> None:
    """Both networks on the 60,000 images; their accuracies on the other 10,000."""
    from small_networks import Plain, Residual  # type: ignore[import-not-found]

    images, kinds = to_tensors(*read_images(package, "train"))
    test_images, test_kinds = to_tensors(*read_images(package, "t10k"))
    found = {}
    for seed, (name, kind) in enumerate((("labels", Plain), ("judge", Residual))):
        torch.manual_seed(seed)
        network = kind(10, 32)
        train_classifier(network, images, kinds, [10], lambda _, labels: labels[:, None], STEPS[name], seed)
        found[name] = accuracies(network, test_images, test_kinds[:, None], [10])
        print(f"fashion, {name}: accuracy {found[name]}", flush=True)
        save_file(network.state_dict(), folder / f"{name}.safetensors")
    (folder / "accuracies.json").write_text(json.dumps(found, indent=1) + "\n")


def to_tensors(images: np.ndarray, kinds: np.ndarray) -> tuple[Tensor, Tensor]:
    """Images (n, 1, 32, 32) in [-1, 1] and kinds (n,), int64."""
    return torch.from_numpy(images)[:, None].float() / 127.5 - 1, torch.from_numpy(kinds.astype(np.int64))


def write_thresholds(folder: Path) -> None:
    """Write fashion.json: the medians and half the distances of the quartiles of brightness and width."""
    from fashion_networks import MEASURES, measure  # type: ignore[import-not-found]

    images = generate(folder / "generator.safetensors")
    numbers = {}
    for name, measures in MEASURES.items():
        low, middle, high = measure(images, measures).quantile(torch.tensor([0.25, 0.5, 0.75]), dim=0)
        numbers[name] = {"middle": middle.tolist(), "quartile": ((high - low) / 2).tolist()}
    (folder / "fashion.json").write_text(json.dumps(numbers, indent=1) + "\n")


@torch.no_grad()
def generate(path: Path) -> Tensor:
    """Grey images (SAMPLES, 1, 32, 32) in [-1, 1] of latents that no run draws."""
    network = generators.load(str(path))
    z = torch.randn(SAMPLES, network.z_dim, generator=torch.Generator().manual_seed(SEED))
    images = torch.cat([network.synthesize(network.map(part)) for part in z.split(BATCH)])
    return convert_channels(images, (1,))
