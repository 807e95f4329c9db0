"""`gmmedit train stylegan2` and `train classifier` on any data set: settings sized to the images, and the results."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gmmedit import datasets
from gmmedit.classifiers import embedded
from gmmedit.classifiers.attributes import Attribute
from gmmedit.classifiers.convnet import ConvNetConfig
from gmmedit.datasets import DataSet
from gmmedit.datasets.resized import fit
from gmmedit.datasets.streaming import Pixels
from gmmedit.errors import InputError
from gmmedit.generators import stylegan2
from gmmedit.generators.stylegan2 import StyleGAN2Config
from gmmedit.runtime.execution import Execution
from gmmedit.training.classifier import ClassifierSettings
from gmmedit.training.disturbances import Augmentation
from gmmedit.training.labelled import LabelledTraining, choose_labels, hints_on_accuracy, measure_accuracy
from gmmedit.training.loop import run_training
from gmmedit.training.precision import gains_from_bf16
from gmmedit.training.stylegan2 import GANTraining
from gmmedit.training.stylegan2_settings import GANSettings, Knot

log = logging.getLogger("gmmedit")
SIZES = (16, 32, 64, 128, 256)
FEWEST_IMAGES = 64  # of a generator's data: a tenth of what can be called a data set
GAN_IMAGES = {16: 200_000, 32: 384_000, 64: 480_000, 128: 1_000_000, 256: 2_000_000}  # shown, unless asked otherwise
CLASSIFIER_IMAGES = 192_000
SHIFT = 0.06  # of the side: edits move things a little, and a label should not change with it
SEARCHED = 1.0 / 64  # radius of a labelling classifier's worst images, by pixel of their side


@dataclass(frozen=True)
class DataRequest:
    """What to train on, and how long. None: sized to the images."""

    data: str  # name, folder or file
    size: int | None = None
    images: int | None = None
    seed: int = 0


def train_stylegan2(out: Path, request: DataRequest, execution: Execution) -> tuple[Path, DataSet]:
    """Train a StyleGAN2 of a data set in `out`, resuming its checkpoint: the path of the weights, and the data.

    InputError: the data cannot be used, or are too few. Other errors as in `run_training`.
    """
    data = open_data(request)
    rows = np.setdiff1d(np.arange(len(data)), data.held_out())
    if len(rows) < FEWEST_IMAGES:
        hint = "a generator needs thousands of images to show anything new"
        raise InputError(f"{data.name} has {len(rows)} training images, at least {FEWEST_IMAGES} are needed", hint=hint)
    settings = size_generator(data, request)
    bf16 = gains_from_bf16(execution.device)
    training = GANTraining(
        settings, Pixels(data, rows), device=execution.device, bf16=bf16, processes=execution.processes
    )
    facts = describe_training("stylegan2", data, training.total, settings.seed)
    return run_training(
        training, out, lambda path: stylegan2.save_generator(training.average, path, facts), execution
    ), data


def train_classifier(
    out: Path, request: DataRequest, attributes: Sequence[str], evaluator: bool, execution: Execution
) -> tuple[Path, DataSet, dict[str, Any]]:
    """Train a classifier of a data set's attributes in `out`: the path of the weights, the data, what is stored of it.

    evaluator: another network with another seed, which does not learn to withstand small changes. InputError: the data
    have no such attribute, one value of it only, or too few images. Other errors as in `run_training`.
    """
    data = open_data(request)
    labels = choose_labels(data, attributes)
    name = "evaluator" if evaluator else "classifier"
    settings = size_classifier(data, labels.attributes, request, evaluator)
    training = LabelledTraining(settings, data, labels, name, gains_from_bf16(execution.device), execution)
    facts = describe_training("classifier", data, training.total, settings.seed)

    def save(path: Path) -> None:
        shares, n = measure_accuracy(training.average, data, labels)
        facts.update({"held_out_accuracy": shares, "held_out_images": n})
        for hint in hints_on_accuracy(shares, n, labels):
            log.warning("note: %s", hint)
        embedded.save_network(training.average, path, facts)

    return run_training(training, out, save, execution), data, facts


def open_data(request: DataRequest) -> DataSet:
    """The data set, square and of a size that networks take. InputError: as `datasets.load`, or no such size."""
    if request.size is not None and request.size not in SIZES:
        raise InputError(f"--size {request.size} is not one of {', '.join(map(str, SIZES))}", hint="--size 64")
    data = datasets.load(request.data, request.size)
    edge = max(data.image_shape[1:])
    return fit(data, next((size for size in SIZES[:3] if size >= edge), SIZES[2])) if request.size is None else data


def size_generator(data: DataSet, request: DataRequest) -> GANSettings:
    """Settings for images of that size: growing from half of it, a falling rate at the end."""
    channels, size, _ = data.image_shape
    width = 64 if size <= 64 else 128
    images = request.images or GAN_IMAGES[size]
    levels = [2**i for i in range(2, size.bit_length())]
    network = StyleGAN2Config(
        resolution=size, channels=tuple(max(16, min(width, width * 16 // level)) for level in levels), z_dim=width,
        w_dim=width, image_channels=channels,
    )  # fmt: skip
    grown = images // 6 if size > 16 else 0
    last = images - grown
    return GANSettings(
        seed=request.seed, network=network, width=width, pool=len(data), data=data.fingerprint,
        phases=((size // 2, grown), (size, last)) if grown else ((size, last),),
        schedule=(Knot(0), Knot(last * 3 // 5), Knot(last, 0.05)),
    )  # fmt: skip


def size_classifier(
    data: DataSet, attributes: tuple[Attribute, ...], request: DataRequest, evaluator: bool
) -> ClassifierSettings:
    """Settings of the labelling or the evaluation classifier of images of that size."""
    size = data.image_shape[1]
    count = {16: 2, 32: 3}.get(size, size.bit_length() - 3)  # halvings: 4 pixels remain of 64
    widths = ((20, 32, 48) if evaluator else (24, 32, 64))[: min(count, 3)]
    widths += (widths[-1],) * (count - len(widths))
    network = ConvNetConfig(attributes, size=size, widths=widths, depth=2 if evaluator else 1, features=96)
    return ClassifierSettings(
        seed=2 * request.seed + 1 + evaluator, network=network,
        augmentation=Augmentation(0.9, 0.06, 0.05, 0.03, 0.65, SHIFT) if evaluator else Augmentation(shift=SHIFT),
        images=request.images or CLASSIFIER_IMAGES, radius=0.0 if evaluator else SEARCHED * size,
        data=data.fingerprint,
    )  # fmt: skip


def describe_training(system: str, data: DataSet, images: int, seed: int) -> dict[str, Any]:
    """What the result's file tells of its training, JSON-ready."""
    return {"system": system, "data": data.name, "data_fingerprint": data.fingerprint, "data_images": len(data),
            "images_shown": images, "seed": seed}  # fmt: skip
