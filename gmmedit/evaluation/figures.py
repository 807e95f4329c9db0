"""From what a classifier saw in edited images to figures with bootstrap intervals: one editor, one category."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gmmedit.evaluation.metrics import editing
from gmmedit.evaluation.metrics.editing import means

FLIP_RATES = (0.5, 0.8, 0.85, 0.95)
TARGET_CHANGES = (0.5, 1.0, 1.5, 2.0)  # in standard deviations of the target's log-odds
FEWEST = 0.5  # share of the images that must reach a change for a mean over them to say something
DRAWS = 200


@dataclass(frozen=True)
class Seen:
    """What edits of n images at S strengths look like to the evaluation classifier, and the images before them.

    Strengths (S,) begin with 0, the unedited images. logits (S, n, K), sigma (K,) of many unedited images,
    target_sigma () of the target's log-odds; nuisances (S, n, M) in [-1, 1], M = 0 where the classifier has none;
    identity (S, n) and path (n,) of a feature network, frechet (S,) in its features; empty where there is none.
    """

    strengths: Tensor
    logits: Tensor
    sigma: Tensor
    target_sigma: float
    nuisances: Tensor
    identity: Tensor
    frechet: Tensor
    path: Tensor


@dataclass(frozen=True)
class Figure:
    """One number with its bootstrap distribution (B,), measured at a strength (NaN: at none in particular)."""

    value: float
    draws: Tensor
    strength: float = float("nan")

    @classmethod
    def of(cls, columns: Tensor, strength: float = float("nan")) -> "Figure":
        """From (1 + B,): the value, then its draws."""
        return cls(float(columns[0]), columns[1:], strength)

    def interval(self) -> tuple[float, float]:
        """The bootstrap interval of 95 %; NaN where the value or most draws are."""
        known = self.draws[self.draws.isfinite()]
        if not torch.isfinite(torch.tensor(self.value)) or len(known) < len(self.draws) / 2 or not len(known):
            return float("nan"), float("nan")
        low, high = known.double().quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
        return low, high


def mean_figure(figures: list[Figure]) -> Figure:
    """The mean over those categories that have the figure: it flatters an editor whose edits reach few of them."""
    values = torch.tensor([figure.value for figure in figures])
    there = values.isfinite()
    if not there.any():
        return Figure(float("nan"), figures[0].draws)
    chosen = [figure for figure, known in zip(figures, there.tolist(), strict=True) if known]
    strengths = torch.tensor([figure.strength for figure in chosen])
    draws = torch.stack([figure.draws for figure in chosen]).nanmean(0)
    return Figure(float(values[there].mean()), draws, float(strengths.mean()))


def figures(
    seen: Seen, columns: list[slice], attribute: int, value: int, held: list[int], seed: int = 0
) -> dict[str, Figure]:
    """All figures of one editor and category by name; those at a flip rate or a target change are `name@0.8`.

    `held` are the attributes that the edit had to leave alone.
    """
    before, after = seen.logits[0], seen.logits
    weights = editing.bootstrap_weights(after.shape[1], DRAWS, seed)
    flips = means(editing.flipped(after, columns, attribute, value), weights)  # (S, 1 + B)
    kept = editing.kept(before, after, columns, held)  # (S, n, H)
    apart = editing.dependencies(before, after, seen.sigma, columns, held)
    odds = editing.log_odds(after, columns[attribute], value)  # (S, n)
    label = after[..., columns[attribute]].softmax(-1)[..., value]
    until = seen.strengths <= 1
    each = torch.stack([means(share, weights) for share in kept.unbind(2)])  # (H, S, 1 + B)
    curves = {
        "preservation": means(kept.mean(2), weights),
        "worst_preservation": each.amin(0),
        "ad_mean": means(apart.mean(2), weights),
        "ad_max": means(apart.amax(2), weights),
    }
    if seen.nuisances.shape[2]:
        curves["drift"] = means((seen.nuisances - seen.nuisances[0]).abs().mean(2), weights)
    if len(seen.identity):
        curves["identity"] = means(seen.identity, weights)
    if len(seen.frechet):
        curves["frechet"] = seen.frechet.double()[:, None].expand(-1, DRAWS + 1)
    found = {
        "dt": Figure.of(editing.dt_score(flips, curves["preservation"])),
        "flip_best": Figure.of(flips.amax(0), float(seen.strengths[flips[:, 0].argmax()])),
        "monotone": Figure.of(means(editing.monotone(label[until]), weights)),
        "calibration": Figure.of(editing.calibration(means(odds, weights), seen.strengths)),
    }
    if len(seen.path):
        found["path_length"] = Figure.of(means(seen.path, weights))
    for rate in FLIP_RATES:
        where = float(editing.at_flip_rate(flips, seen.strengths.double()[:, None].expand_as(flips), rate)[0])
        for name, curve in curves.items():
            found[f"{name}@{rate:g}"] = Figure.of(editing.at_flip_rate(flips, curve, rate), where)
    return found | at_equal_change(seen, apart, (odds - odds[0]) / seen.target_sigma, weights)


def at_equal_change(seen: Seen, apart: Tensor, moved: Tensor, weights: Tensor) -> dict[str, Figure]:
    """Mean-AD and max-AD where each image's target has moved by so many deviations, (S, n) in `moved`.

    `reach` is the share of the images that get there; below FEWEST the others' mean is NaN.
    """
    found = {}
    for change in TARGET_CHANGES:
        for name, rest in (("ad_mean", apart.mean(2)), ("ad_max", apart.amax(2))):
            each = editing.at_first(moved, rest, change)  # (n,)
            there = each.isfinite().float()
            share = means(there, weights)
            mean = means(each.nan_to_num(), weights) / share.clamp_min(1e-9)
            found[f"{name}@{change:g}sd"] = Figure.of(torch.where(share >= FEWEST, mean, torch.nan))
        found[f"reach@{change:g}sd"] = Figure.of(share)
    return found


def rescoring(seen: Seen, columns: list[slice], strength: float) -> Tensor:
    """Mean change of every label at a strength of the sweep, (K,): a row of InterFaceGAN's re-scoring matrix."""
    labels = torch.cat([seen.logits[..., c].softmax(-1) for c in columns], -1)
    place = int((seen.strengths - strength).abs().argmin())
    return (labels[place] - labels[0]).mean(0)


def entanglement(matrix: Tensor, held: Tensor) -> Tensor:
    """Re-scoring matrix (K, K) to each row's sum of |changes of held categories| over |its own change|, (K,).

    held: (K, K) bool, row c marks the categories that must stay while c is the target.
    """
    rest = matrix.abs().masked_fill(~held, 0).sum(1)
    return rest / matrix.diagonal().abs().clamp_min(1e-9)
