"""Training of a classifier of any labelled images, and its accuracy on those held out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gmmedit.classifiers.attributes import Attribute, check_addressable
from gmmedit.classifiers.preprocessing import convert_channels
from gmmedit.classifiers.trained import TrainedNetwork
from gmmedit.datasets import DataSet
from gmmedit.datasets.base import Batch
from gmmedit.datasets.streaming import Ahead, RowOrder
from gmmedit.errors import InputError, nearest
from gmmedit.runtime.execution import Execution
from gmmedit.training.classifier import ClassifierSettings, ClassifierTraining

FEWEST_OF_A_VALUE = 8  # training images
MOST_VALUES = 64  # of an attribute that is trained without being asked for
MEASURED = 10_000  # held-out images, at most
BATCH = 100
SURE = 2.0  # standard errors above chance


@dataclass(frozen=True)
class Labels:
    """The chosen attributes of a data set: which rows train, which are held out, and all rows' values (N, A)."""

    attributes: tuple[Attribute, ...]
    values: Tensor
    train: np.ndarray
    held_out: np.ndarray


def choose_labels(data: DataSet, names: Sequence[str], numbers: bool = False) -> Labels:
    """The named attributes, or all of few values; rows that lack one of their labels are left out.

    numbers: whether measures are among those that are taken without being named, or just attributes of real values.
    InputError: an attribute that is unknown, that edits could not name, or with a single value; too few images of one.
    """
    known = [attribute.name for attribute in data.attributes]
    for name in names:
        if name not in known:
            raise InputError(f"{data.name} has no attribute {name!r}", hint=nearest(name, known))
    chosen = [
        place
        for place, each in enumerate(data.attributes)
        if (each.name in names if names else len(each.values) <= MOST_VALUES and (numbers or each.scale is None))
    ]
    if not chosen:
        hint = "give images with a table of labels, see docs/training.md"
        raise InputError(f"{data.name} has no attribute to train on", hint=hint)
    values = data.labels()[:, chosen]
    labelled = (values >= 0).all(dim=1).numpy()
    held_out = np.zeros(len(data), bool)
    held_out[data.held_out()] = True
    attributes = tuple(data.attributes[i] for i in chosen)
    check_addressable(attributes, data.name, "rename it in the data, or choose other attributes with --attr")
    labels = Labels(attributes, values, np.flatnonzero(labelled & ~held_out), np.flatnonzero(labelled & held_out))
    check_counts(data, labels)
    return labels


def to_targets(data: DataSet, attributes: Sequence[Attribute], values: Tensor, factors: Tensor | None) -> Tensor:
    """Labels (n, A) of all attributes of the data, and factors (n, F), as targets (n, a) float32 of some attributes.

    They are indices of values; of numbers, the number in units of its range, in [0, 1].
    """
    columns = []
    for attribute in attributes:
        if attribute.scale is None or factors is None:
            columns.append(values[:, data.attributes.index(attribute)].float())
        else:
            columns.append(attribute.scale.share(factors[:, (data.factors or ()).index(attribute.name)]).clamp(0, 1))
    return torch.stack(columns, dim=1)


def read_targets(data: DataSet, labels: Labels, rows: np.ndarray) -> Tensor:
    """The targets (n, A) of rows, see `to_targets`."""
    return to_targets(data, labels.attributes, data.labels(rows), data.true_factors(rows))


def check_counts(data: DataSet, labels: Labels) -> None:
    """InputError: an attribute has one value only, or there are too few training images of a value."""
    for column, attribute in zip(labels.values[labels.train].T, labels.attributes, strict=True):
        counts = column.bincount(minlength=len(attribute.values)).tolist()
        present = [value for value, count in zip(attribute.values, counts, strict=True) if count]
        if len(present) < 2:
            only = f"{attribute.name}={present[0]} for every image" if present else f"no label of {attribute.name}"
            raise InputError(f"{data.name} has {only}", hint="choose another --attr, or add images of the other value")
        fewest = min(counts)
        if fewest < FEWEST_OF_A_VALUE:
            value = attribute.values[counts.index(fewest)]
            message = f"{data.name} has {fewest} training images of {attribute.name}={value}"
            raise InputError(message, hint=f"at least {FEWEST_OF_A_VALUE} of each value are needed: add some")


class LabelledTraining(ClassifierTraining):
    """Of a data set's images; every epoch is in another order, and disturbed anew."""

    def __init__(
        self, settings: ClassifierSettings, data: DataSet, labels: Labels, name: str, bf16: bool, execution: Execution
    ) -> None:
        super().__init__(settings, name, execution.device, bf16, execution.processes)
        self.data, self.columns = data, [data.attributes.index(attribute) for attribute in labels.attributes]
        order = RowOrder(labels.train, settings.batch, settings.seed)
        total, mine = self.parts.total, self.parts.mine
        self.ahead = Ahead(lambda step: {part: self.data.batch(order.at(step)[part::total]) for part in mine})
        self.batches: dict[int, Batch] = {}  # of this step's parts

    def take_step(self) -> dict[str, float]:
        """See `Trainer.take_step`."""
        self.batches = self.ahead.get(self.step)
        return super().take_step()

    def draw_part(self, part: int) -> tuple[Tensor, Tensor, None]:
        """See `ClassifierTraining.draw_part`."""
        images, values, _ = self.batches[part]
        images = self.settings.augmentation(convert_channels(images, (3,)), self.random_of(part)[1])
        return images, values[:, self.columns], None


@torch.no_grad()
def measure_accuracy(network: TrainedNetwork, data: DataSet, labels: Labels) -> tuple[dict[str, float], int]:
    """The share of correct labels of held-out images by attribute, and of how many images (evenly spread, at most
    MEASURED)."""
    rows = spread(labels.held_out, MEASURED)
    device = next(network.parameters()).device
    right = torch.zeros(len(labels.attributes))
    columns = [data.attributes.index(attribute) for attribute in labels.attributes]
    for first in range(0, len(rows), BATCH):
        images, values, _ = data.batch(rows[first : first + BATCH])
        parts = network.logits(images.to(device)).cpu().split([len(a.values) for a in labels.attributes], dim=1)
        guesses = torch.stack([part.argmax(dim=1) for part in parts], dim=1)
        right += (guesses == values[:, columns]).sum(dim=0)
    shares = (right / max(1, len(rows))).tolist()
    return {a.name: round(share, 4) for a, share in zip(labels.attributes, shares, strict=True)}, len(rows)


def hints_on_accuracy(shares: dict[str, float], n: int, labels: Labels) -> list[str]:
    """A line for each attribute that n held-out images are labelled with no better than with its most frequent value.

    Better is by more than SURE standard errors of a share of n images.
    """
    hints = []
    for attribute, column in zip(labels.attributes, labels.values[labels.held_out].T, strict=True):
        if not n:
            continue
        chance = float(column.bincount().max()) / len(column)
        if shares[attribute.name] <= chance + SURE * math.sqrt(chance * (1 - chance) / n):
            hints.append(
                f"{attribute.name} is right in {shares[attribute.name]:.3f} of the held-out images, and its most "
                f"frequent value alone would be in {chance:.3f}: train longer (--images), or check the labels"
            )
    return hints


def spread(rows: np.ndarray, n: int) -> np.ndarray:
    """At most n of the rows, evenly spread, in their order."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(int))] if len(rows) else rows
