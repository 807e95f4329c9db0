"""Figures of a trained autoencoder that also labels, on images that it did not train on."""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gmmedit.datasets import DataSet
from gmmedit.training.labelled import BATCH, Labels, hints_on_accuracy, spread

log = logging.getLogger("gmmedit")


@torch.no_grad()
def measure_held_out(
    reconstruct: Callable[[Tensor], tuple[Tensor, Tensor]], data: DataSet, labels: Labels, most: int
) -> dict[str, Any]:
    """The share of correct labels of held-out images by attribute, and the mean absolute error of reconstructions, for
    pixels in [-1, 1]; of at most `most` images, evenly spread. Notes attributes that are not learned.

    reconstruct: images (N, C, S, S) to their values (N, A) and reconstructions.
    """
    rows = spread(labels.held_out, most)
    columns = [data.attributes.index(attribute) for attribute in labels.attributes]
    right, error = torch.zeros(len(columns)), 0.0
    for first in range(0, len(rows), BATCH):
        images, values, _ = data.batch(rows[first : first + BATCH])
        guesses, made = reconstruct(images)
        right += (guesses.cpu() == values[:, columns]).sum(dim=0)
        error += float((made.cpu() - images).abs().mean(dim=(1, 2, 3)).sum())
    n = max(1, len(rows))
    shares = {a.name: round(share, 4) for a, share in zip(labels.attributes, (right / n).tolist(), strict=True)}
    for hint in hints_on_accuracy(shares, len(rows), labels):
        log.warning("note: %s", hint)
    return {"held_out_images": len(rows), "held_out_accuracy": shares, "held_out_error": round(error / n, 5)}
