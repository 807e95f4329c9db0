"""What is observed at strength 1: edits, their undoing, and the unedited samples beside which they are read."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gmmedit.editors.base import Editor
from gmmedit.evaluation.judge import EvaluationSamples, Judge
from gmmedit.evaluation.metrics import manifolds, realism
from gmmedit.mixture import Layout

UNDONE = 16  # edits of each category that are undone: an editor that optimises each image doubles its cost for these
ARRIVED = 0.95  # share of its best flip rate at which an editor without a unit of strength counts as arrived
FEWEST = max(manifolds.DENSE, manifolds.NEAREST) + 1  # samples that have a k-th nearest neighbour

Trajectory = Callable[[float], Tensor]
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Starts:
    """The samples that are edited towards a category: their rows (n,) among the samples, which lack its value."""

    samples: EvaluationSamples
    layout: Layout
    category: int
    rows: Tensor

    @property
    def latent(self) -> Tensor:
        """Their latents (n, L, D)."""
        return self.samples.latent[self.rows]

    def values(self) -> Tensor:
        """The category (n,) that each of them has instead, by the evaluation classifier."""
        columns = self.layout.columns[self.layout.locate(self.category)[0]]
        return columns.start + self.samples.logits[self.rows, columns].argmax(1)


def choose_strength(editor: Editor, flips: Tensor, strengths: Sequence[float]) -> float:
    """The strength whose figures count as those at strength 1; flips (S,) and strengths are of the sweep.

    1, unless the editor says that its strength 1 does not aim at the target: then the first strength with ARRIVED of
    its best flip rate.
    """
    if editor.aims:
        return 1.0
    return strengths[int((flips >= ARRIVED * flips.max()).int().argmax())]


def observe_edits(editor: Editor, judge: Judge, starts: Starts, trajectory: Trajectory, strength: float) -> Tensors:
    """Observations of edits of n starts at one strength, and of the undoing of the first u of them, at most UNDONE.

    strength (); logits, label_logits (n, K), nuisances (n, M); pixels (n,): mean absolute change of the image in
    [-1, 1]; with features also identity (n,) and those of `observe_realism`; undone_logits (u, K), undone_pixels (u,).
    label_logits is (n, 0) if the labelling classifier is a table.
    """
    samples, rows = starts.samples, starts.rows
    edited = trajectory(strength)
    unedited = samples.latent[rows]
    logits, nuisances, features, label_logits, pixels = judge.examine(edited, unedited)
    found = {
        "strength": torch.tensor(strength, dtype=torch.float64),
        "logits": logits,
        "nuisances": nuisances,
        "label_logits": label_logits,
        "pixels": pixels,
    }
    if features.shape[1]:
        found["identity"] = realism.identity(samples.features[rows], features)
        apart, reference = split_samples(samples, starts.layout, starts.category, len(rows))
        found |= observe_realism(features, len(apart), reference)
    undone = undo(editor, starts, edited[:UNDONE], strength)
    logits, _, _, _, pixels = judge.examine(undone, unedited[:UNDONE])
    return found | {"undone_logits": logits, "undone_pixels": pixels}


def undo(editor: Editor, starts: Starts, edited: Tensor, strength: float) -> Tensor:
    """Edited latents (u, L, D) of the first u starts, edited towards the values that they had before, (u, L, D)."""
    before = starts.values()[: len(edited)]
    undone = edited.clone()
    for category in before.unique().tolist():
        rows = before == category
        undone[rows] = editor.trajectory(edited[rows], category)(strength)
    return undone


def observe_realism(edited: Tensor, counted: int, reference: Tensor) -> Tensors:
    """Edited features (n, F) among those of reference samples (R, F) that have the value.

    precision, density (n,); recall, coverage, kid (): these from the first `counted` edits, so that they compare with
    as many samples. NaN where there are fewer than FEWEST of either.
    """
    unknown = torch.full((len(edited),), math.nan, dtype=torch.float64)
    found = dict.fromkeys(("precision", "density"), unknown)
    found |= dict.fromkeys(("recall", "coverage", "kid"), torch.tensor(math.nan, dtype=torch.float64))
    if not len(edited) or len(reference) < FEWEST:
        return found
    found["precision"], found["density"] = manifolds.precision(edited, reference), manifolds.density(edited, reference)
    if counted < FEWEST:
        return found
    few = edited[:counted]
    return found | {
        "recall": manifolds.recall(few, reference).mean(),
        "coverage": manifolds.coverage(few, reference).mean(),
        "kid": torch.tensor(realism.kernel_distance(few, reference), dtype=torch.float64),
    }


def split_samples(samples: EvaluationSamples, layout: Layout, category: int, starts: int) -> tuple[Tensor, Tensor]:
    """Features (A, F), (R, F) of the samples that have a value, split at random: A play edits, R are the reference.

    A is the number of starts of the category, at most half of the samples with the value.
    """
    attribute, value = layout.locate(category)
    rows = (samples.logits[:, layout.columns[attribute]].argmax(1) == value).nonzero().squeeze(1)
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(category))]
    apart = min(starts, len(rows) // 2)
    return samples.features[rows[:apart]], samples.features[rows[apart:]]


def observe_samples_alone(samples: EvaluationSamples, layout: Layout, most: int) -> Tensors:
    """Observations of the unedited samples (n) as a reference for edits, `most` of each category at most.

    logits, label_logits (n, K), nuisances (n, M); pair_pixels, pair_identity (n,): distance of the images and cosine of
    the features of each sample and the next; own/CATEGORY/...: `observe_realism` of
    samples with the value beside others.
    """
    found = {
        "logits": samples.logits,
        "label_logits": samples.label_logits,
        "nuisances": samples.nuisances,
        "pair_pixels": samples.pixels,
    }
    if not samples.features.shape[1]:
        return found
    found["pair_identity"] = realism.identity(samples.features, samples.features.roll(-1, 0))
    for category in range(layout.categories):
        attribute, value = layout.locate(category)
        lacking = int((samples.logits[:, layout.columns[attribute]].argmax(1) != value).sum())
        apart, reference = split_samples(samples, layout, category, min(lacking, most))
        own = observe_realism(apart, len(apart), reference)
        found |= {f"own/{category}/{name}": part for name, part in own.items()}
    return found
