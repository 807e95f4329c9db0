"""Training of the networks that come with gmmedit, on avatars."""

from pathlib import Path

import numpy as np

from gmmedit.classifiers import embedded
from gmmedit.errors import writing
from gmmedit.generators import stylegan2
from gmmedit.runtime.execution import Execution
from gmmedit.runtime.storage import lock, publish
from gmmedit.training.classifier import CRITIC, NETWORKS, AvatarClassifierTraining, ClassifierSettings
from gmmedit.training.loop import run_training
from gmmedit.training.pools import POOL_SEED, render_pool
from gmmedit.training.stylegan2 import GANTraining
from gmmedit.training.stylegan2_settings import GANSettings


def train_generator(out: Path, settings: GANSettings, execution: Execution) -> Path:
    """Train a generator of avatars in `out`, resuming its last checkpoint; returns the path of the weights.

    Errors as in `run_training`.
    """
    critic = embedded.read_network(train_network(out, "critic", CRITIC, execution))
    pool = np.ascontiguousarray(load_pool(settings.pool, out / "pool.npy"))
    training = GANTraining(settings, pool, critic, device=execution.device)
    return run_training(training, out, lambda path: stylegan2.save_generator(training.average, path), execution)


def load_pool(n: int, path: Path) -> np.ndarray:
    """The n rendered avatars at `path`, uint8 (n, 64, 64, 3), memory-mapped; rendered first if there are none.

    RunError: the disk is full, or another process renders them.
    """
    if not path.exists():
        with lock(path), writing(path):
            publish(path, lambda draft: render_pool(n, POOL_SEED, draft))
    return np.load(path, mmap_mode="r")


def train_classifier(out: Path, network: str, execution: Execution) -> Path:
    """Train one of `NETWORKS`, by its name; the path of the weights. Errors as in `run_training`."""
    name, settings = NETWORKS[network]
    return train_network(out, name, settings, execution)


def train_network(out: Path, name: str, settings: ClassifierSettings, execution: Execution) -> Path:
    """Train a classifier of avatars in `out`, resuming its last checkpoint; returns the path of the weights.

    Errors as in `run_training`.
    """
    training = AvatarClassifierTraining(settings, name, execution.device, processes=execution.processes)
    return run_training(training, out, lambda path: embedded.save_network(training.average, path), execution)
