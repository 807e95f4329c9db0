"""Observations at strength 1 to figures: of edits, and of the unedited samples beside which they are read."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from gmmedit.evaluation import figures
from gmmedit.evaluation.figures import Figure, figure_without_interval, nuisance_spreads
from gmmedit.evaluation.metrics import editing
from gmmedit.evaluation.metrics.editing import bootstrap_means, bootstrap_weights, means, values_of
from gmmedit.mixture import Layout

Tensors = dict[str, Tensor]
Counted = dict[str, tuple[Figure, int]]  # figures by name, with the number of images

SETS = ("recall", "coverage", "kid")  # measured of all edits together, without an interval


@dataclass(frozen=True)
class Unedited:
    """The judge's outputs for n unedited samples.

    logits, label_logits (n, K), of the evaluation classifier and of the labelling one, (n, 0) if that is a table;
    nuisances (n, M); pair_pixels (n,), pair_identity (n,) or None: distance of images and cosine of features of each
    sample and the next; own: those of `observe_realism` by category, of samples that have the value.
    """

    logits: Tensor
    label_logits: Tensor
    nuisances: Tensor
    pair_pixels: Tensor
    pair_identity: Tensor | None
    own: list[Tensors]

    @property
    def pixel_unit(self) -> float:
        """Mean absolute difference of the images of two samples, in [0, 2]."""
        return float(self.pair_pixels.mean())

    @property
    def spreads(self) -> Tensor:
        """Standard deviations of the nuisances, (M,)."""
        return nuisance_spreads(self.nuisances)


def figures_of_edits(
    one: Tensors, rows: Tensor, unedited: Unedited, layout: Layout, category: int, held: list[int]
) -> Counted:
    """The figures of edits of n rows of the samples towards a category, by name, from `observe_edits`.

    held: the attributes that the edits had to keep; without any, `kept@1` and `worst_kept@1` are NaN.
    """
    columns, (attribute, value) = layout.columns, layout.locate(category)
    n, u, strength = len(rows), len(one["undone_pixels"]), float(one["strength"])
    weights = bootstrap_weights(n, figures.DRAWS, category)

    def figure(values: Tensor) -> tuple[Figure, int]:
        own = weights if len(values) == n else bootstrap_weights(len(values), figures.DRAWS, category)
        return Figure.of(means(values, own), strength), len(values)

    kept = editing.kept(unedited.logits[rows], one["logits"][None], columns, held)[0]  # (n, H)
    each = means(kept.T, weights) if held else torch.full((1, weights.shape[1]), torch.nan)
    before = values_of(unedited.logits[rows[:u]], columns)
    found = {
        "flips": figure(editing.flipped(one["logits"], columns, attribute, value)),
        "kept": (Figure.of(each.mean(0), strength), n),
        "worst_kept": (Figure.of(each.amin(0), strength), n),
        "pixels": figure(one["pixels"]),
        "picture": figure(one["pixels"] / unedited.pixel_unit),
        "reversal": figure(one["undone_pixels"] / unedited.pixel_unit),
        "returned": figure((values_of(one["undone_logits"], columns) == before).all(1).float()),
    }
    if one["label_logits"].shape[1]:
        lacking = values_of(unedited.label_logits[rows], columns)[:, attribute] != value
        arrived = editing.flipped(one["label_logits"], columns, attribute, value)[lacking]
        found["label_flips"] = figure(arrived) if len(arrived) else unknown()
    if "predicted" in one:
        effects = [a for a in range(len(columns)) if a != attribute and a not in held]
        found["effects"] = figure_of_effects(one["logits"], one["predicted"], columns, effects, weights), n
    if unedited.nuisances.shape[1]:
        change = (one["nuisances"] - unedited.nuisances[rows]).abs() / unedited.spreads
        found["drift"] = figure(change.mean(1))
    found |= {name: figure(one[name]) for name in ("identity", "precision", "density") if name in one}
    found |= {name: (figure_without_interval(float(one[name]), strength), n) for name in SETS if name in one}
    return {f"{name}@1": counted for name, counted in found.items()}


def figure_of_effects(
    logits: Tensor, predicted: Tensor, columns: list[slice], effects: list[int], weights: Tensor
) -> Figure:
    """How far the values of descendants are from what causes predict: mean total variation distance, in [0, 1].

    Between the rates of the values in edited images, logits (n, K), and the predicted ones (n, K). Bootstrapped with
    `weights`; NaN without descendants.
    """
    if not effects:
        return Figure.of(torch.full((weights.shape[1],), torch.nan))
    distances = []
    for part in (columns[a] for a in effects):
        achieved = one_hot(logits[:, part].argmax(1), part.stop - part.start).to(predicted)
        distances.append((means(achieved.T, weights) - means(predicted[:, part].T, weights)).abs().sum(0) / 2)
    return Figure.of(torch.stack(distances).mean(0))


def figures_of_samples(unedited: Unedited, layout: Layout, category: int) -> Counted:
    """The same figures of unedited samples, by name, as a reference for edits towards a category.

    identity, drift, pixels, picture: of two samples, as if one were the edit of the other. precision, recall, density,
    coverage, kid: of samples with the value beside others with it. `agreement`: share of the samples to which labelling
    and evaluation classifier give the same value of the attribute.
    """
    attribute = layout.locate(category)[0]

    def figure(values: Tensor) -> tuple[Figure, int]:
        return Figure.of(bootstrap_means(values, figures.DRAWS, category)), len(values)

    found = {"pixels@1": figure(unedited.pair_pixels), "picture@1": figure(unedited.pair_pixels / unedited.pixel_unit)}
    if unedited.label_logits.shape[1]:
        both = [values_of(part, layout.columns)[:, attribute] for part in (unedited.logits, unedited.label_logits)]
        found["agreement"] = figure((both[0] == both[1]).float())
    if unedited.nuisances.shape[1]:
        change = (unedited.nuisances - unedited.nuisances.roll(-1, 0)).abs() / unedited.spreads
        found["drift@1"] = figure(change.mean(1))
    if unedited.pair_identity is not None:
        found["identity@1"] = figure(unedited.pair_identity)
        own = unedited.own[category]
        n = len(own["precision"])
        each = {name: figure(own[name]) if n else unknown() for name in ("precision", "density")}
        found |= {f"{name}@1": counted for name, counted in each.items()}
        found |= {f"{name}@1": (figure_without_interval(float(own[name])), n) for name in SETS}
    return found


def unknown() -> tuple[Figure, int]:
    """The figure of no images."""
    return figure_without_interval(torch.nan), 0
