"""The labels from which a graph is learned, and how often the classifier that gave them errs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gmmedit import artifacts
from gmmedit.causal.confusion import from_probabilities, from_truth
from gmmedit.config import GraphSettings
from gmmedit.errors import InputError
from gmmedit.run.folder import RunFolder, layout_of
from gmmedit.run.graphs import Attributes
from gmmedit.run.hold_out import labelled_rows

LEAST = 100  # labels
BATCH = 256  # images of a data set that are held at once
NONE, PROBABILITIES = "none", "probabilities"


@dataclass(frozen=True)
class Labels:
    """Values (N, A) of labelled samples; confusions: of the classifier that gave them, None for true labels."""

    values: np.ndarray
    attributes: Attributes
    confusions: list[np.ndarray] | None
    generated: bool  # of a generator's images
    facts: Mapping[str, Any]  # for the RunSpec: where they are from
    notes: tuple[str, ...] = ()

    @property
    def sizes(self) -> list[int]:
        """The number of values of each attribute."""
        return [len(values) for _, values in self.attributes]


def true_labels(values: np.ndarray, attributes: Attributes, source: str) -> Labels:
    """Labels that are taken for true, without incomplete lines."""
    whole = (values >= 0).all(1)
    left = int((~whole).sum())
    notes = (f"{left} lines without all labels are left out",) if left else ()
    facts = {"source": source, "labels": artifacts.tensors_fingerprint({"values": values})}
    return Labels(values[whole], attributes, None, False, facts, notes)


def read_run_labels(run_folder: RunFolder, errors: str) -> Labels:
    """The most probable values of labels.h5; errors: "none", "probabilities", or "auto", for tables "none"."""
    labels = run_folder.labels
    rows, columns = labelled_rows(labels), layout_of(labels).columns
    parts = [labels["labels"][rows][:, part] for part in columns]
    values = np.stack([part.argmax(1) for part in parts], 1).astype(np.int64)
    of_network = labels.attrs.get("robustness") is not None
    assumed = errors == PROBABILITIES or (errors == "auto" and of_network)
    confusions = [from_probabilities(part) for part in parts] if assumed else None
    return Labels(values, labels.attributes, confusions, True, {"source": "labels"})


@torch.no_grad()
def measure_confusions(
    run_folder: RunFolder, truth: np.ndarray, images: Callable[[np.ndarray], Tensor]
) -> list[np.ndarray]:
    """The confusion of the run's classifier on images (n, C, H, W) of rows of a data set, whose true values are (N, A).

    InputError: the labels are those of a table.
    """
    classifier, execution = run_folder.classifier, run_folder.execution
    if not classifier.sees_images:
        message = f"{run_folder.labels.path} holds labels of a table, which has no errors to measure"
        raise InputError(message, hint=f"--errors {NONE}")
    batches = np.array_split(np.arange(len(truth)), -(-len(truth) // BATCH))
    logits = torch.cat([
        execution.in_batches(lambda part: (classifier.logits(part.to(execution.device)).cpu(),), images(rows))[0]
        for rows in batches
    ])  # fmt: skip
    parts = logits.split([len(each.values) for each in classifier.attributes], 1)
    return [from_truth(part.argmax(1).numpy(), truth[:, place], part.shape[1]) for place, part in enumerate(parts)]


def leave_out(labels: Labels, settings: GraphSettings) -> Labels:
    """The labels without the attributes that the settings leave out. InputError: there is no such attribute."""
    names = [name for name, _ in labels.attributes]
    for name in settings.without:
        if name not in names:
            raise InputError(f"--without: unknown attribute {name!r}", hint=f"there are: {', '.join(names)}")
    kept = [place for place, name in enumerate(names) if name not in settings.without]
    confusions = labels.confusions and [labels.confusions[place] for place in kept]
    attributes = [labels.attributes[place] for place in kept]
    return replace(labels, values=labels.values[:, kept], attributes=attributes, confusions=confusions)


def check_labels(labels: Labels, where: str) -> None:
    """InputError: there are too few labels or attributes, or an attribute has one value in all of them."""
    if len(labels.attributes) < 2:
        raise InputError(f"{where} has {len(labels.attributes)} attributes, a graph needs two", hint="label with more")
    if len(labels.values) < LEAST:
        message = f"{where} has {len(labels.values)} complete lines of labels, a graph needs {LEAST}"
        raise InputError(message, hint="label more samples, or give a longer table")
    for (name, values), column in zip(labels.attributes, labels.values.T, strict=True):
        if (column == column[0]).all():
            message = f"{name} is {values[int(column[0])]} in all {len(column)} labels of {where}"
            raise InputError(message, hint=f"--without {name}")
