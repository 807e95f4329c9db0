"""`gmmedit train ifcvae-gan` on any data set."""

from pathlib import Path
from typing import Any

from gmmedit.datasets import DataSet
from gmmedit.errors import InputError
from gmmedit.networks.ifcvae import save_ifcvae
from gmmedit.runtime.execution import Execution
from gmmedit.training.from_data import FEWEST_IMAGES, DataRequest, describe_training, open_data
from gmmedit.training.ifcvae_alignment import align_identity
from gmmedit.training.ifcvae_gan import IFcVAETraining
from gmmedit.training.ifcvae_result import measure
from gmmedit.training.ifcvae_settings import Ablation, size_ifcvae
from gmmedit.training.labelled import choose_labels
from gmmedit.training.loop import run_training
from gmmedit.training.precision import gains_from_bf16


def train_ifcvae(
    out: Path, request: DataRequest, attributes: list[str], execution: Execution, ablation: Ablation = "full"
) -> tuple[Path, DataSet, dict[str, Any]]:
    """Train an IFcVAE-GAN of a data set in `out`: the path of the networks, the data, what is stored of the training.

    attributes: those to factor out, of two values each. InputError: there are none; the data cannot be used, have no
    such attribute, one value of it only, or too few images. Other errors as in `run_training`.
    """
    if not attributes:
        raise InputError("no attribute to factor out", hint="name one of two values: --attr smile")
    data = open_data(request)
    labels = choose_labels(data, attributes)
    if len(labels.train) < FEWEST_IMAGES:
        message = f"{data.name} has {len(labels.train)} training images with these labels, {FEWEST_IMAGES} are needed"
        raise InputError(message, hint="thousands of images are needed for good results")
    settings = size_ifcvae(data.image_shape, labels.attributes, request.images, request.seed, data.fingerprint)
    settings = settings.ablated(ablation)
    training = IFcVAETraining(settings, data, labels, execution.device, gains_from_bf16(execution.device))
    facts = describe_training("ifcvae-gan", data, training.total, settings.seed)

    def save(path: Path) -> None:
        network = align_identity(training.average, data, labels)
        facts.update(measure(network, data, labels))
        save_ifcvae(network, path, facts)

    return run_training(training, out, save, execution), data, facts
