"""A StyleGAN2 of Fashion-MNIST at 32 pixels (28, with a black border); a stopped training resumes."""

from pathlib import Path

import numpy as np
import torch

from gmmedit.generators import stylegan2
from gmmedit.generators.stylegan2 import StyleGAN2Config
from gmmedit.runtime.execution import Execution
from gmmedit.runtime.progress import Pace, shown_ticks
from gmmedit.training.loop import run_training
from gmmedit.training.stylegan2 import GANTraining
from gmmedit.training.stylegan2_settings import GANSettings, Knot

NETWORK = StyleGAN2Config(resolution=32, channels=(64, 64, 64, 32), z_dim=64, w_dim=64)
SETTINGS = GANSettings(
    network=NETWORK,
    width=64,
    phases=((16, 64_000), (32, 320_000)),
    schedule=(Knot(0), Knot(192_000), Knot(320_000, 0.05)),
)


def train(images: np.ndarray, folder: Path) -> Path:
    """Train on images uint8 (n, 32, 32) in the folder, from its checkpoint if there is one; the weights' path."""
    torch.set_num_threads(1)
    path = folder / "generator.safetensors"
    if path.exists():
        return path
    training = GANTraining(SETTINGS, np.repeat(images[..., None], 3, axis=3))
    with shown_ticks(Pace("cpu"), quiet=False) as tick:
        return run_training(
            training, folder, lambda path: stylegan2.save_generator(training.average, path), Execution(tick=tick)
        )
