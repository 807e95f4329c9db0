"""Observations of edited images to figures with bootstrap intervals, for one editor and one category."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gmmedit.evaluation.metrics import editing
from gmmedit.evaluation.metrics.editing import means

FLIP_RATES = (0.5, 0.8, 0.85, 0.95)
TARGET_CHANGES = (0.5, 1.0, 1.5, 2.0)  # in standard deviations of the target's log-odds
FEWEST = 0.5  # least share of the images that must reach a change for a mean over them
DRAWS = 200  # of the bootstrap
SMALLEST = 1e-6  # standard deviation of a nuisance that counts as one


@dataclass(frozen=True)
class Observations:
    """The evaluation networks' outputs for edits of n images at S strengths, the first being 0 (unedited).

    logits (S, n, K); sigma (K,) and target_sigma (), standard deviations over many unedited images of the logits and of
    the target's log-odds; nuisances (S, n, M) in their standard deviations, M = 0 if the classifier has none; identity
    (S, n), frechet (S,) and path (n,) in the features of a network, empty without one.
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
    """A number with its bootstrap draws (B,), and the strength at which it was measured (NaN: none)."""

    value: float
    draws: Tensor
    strength: float = float("nan")

    @classmethod
    def of(cls, columns: Tensor, strength: float = float("nan")) -> "Figure":
        """A figure from (1 + B,): the value, then its draws."""
        return cls(float(columns[0]), columns[1:], strength)

    def interval(self) -> tuple[float, float]:
        """The 95 % bootstrap interval; NaN if the value or most draws are NaN."""
        known = self.draws[self.draws.isfinite()]
        if not torch.isfinite(torch.tensor(self.value)) or len(known) < len(self.draws) / 2 or not len(known):
            return float("nan"), float("nan")
        low, high = known.double().quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
        return low, high


def figure_without_interval(value: float, strength: float = float("nan")) -> Figure:
    """A figure whose bootstrap draws, and so its interval, are NaN."""
    return Figure(value, torch.full((DRAWS,), math.nan), strength)


def nuisance_spreads(nuisances: Tensor) -> Tensor:
    """Standard deviations (M,) of the nuisances (n, M) of unedited images; M may be 0."""
    return nuisances.std(0).clamp_min(SMALLEST) if nuisances.shape[1] else nuisances.new_empty(0)


def mean_figure(figures: list[Figure]) -> Figure:
    """The mean over the categories in which the figure is finite; it favours editors that reach few categories."""
    values = torch.tensor([figure.value for figure in figures])
    finite = values.isfinite()
    if not finite.any():
        return Figure(float("nan"), figures[0].draws)
    chosen = [figure for figure, known in zip(figures, finite.tolist(), strict=True) if known]
    strengths = torch.tensor([figure.strength for figure in chosen])
    draws = torch.stack([figure.draws for figure in chosen]).nanmean(0)
    return Figure(float(values[finite].mean()), draws, float(strengths.mean()))


def compute_figures(
    observed: Observations, columns: list[slice], attribute: int, value: int, held: list[int], seed: int = 0
) -> dict[str, Figure]:
    """All figures of one editor and category, by name; those at a flip rate or a target change are `name@0.8`.

    columns: the slices of the K categories of each attribute. held: the attributes that the edit had to keep; without
    any, the figures of what is kept (dt, preservation, ad_mean, ...) are NaN.
    """
    before, after = observed.logits[0], observed.logits
    weights = editing.bootstrap_weights(after.shape[1], DRAWS, seed)
    flips = means(editing.flipped(after, columns, attribute, value), weights)  # (S, 1 + B)
    kept = editing.kept(before, after, columns, held)  # (S, n, H)
    apart = editing.dependencies(before, after, observed.sigma, columns, held)
    odds = editing.log_odds(after, columns[attribute], value)  # (S, n)
    label = after[..., columns[attribute]].softmax(-1)[..., value]
    until = observed.strengths <= 1
    unknown = torch.full_like(flips, torch.nan)
    curves = dict.fromkeys(("preservation", "worst_preservation", "ad_mean", "ad_max"), unknown)
    if held:
        each = torch.stack([means(share, weights) for share in kept.unbind(2)])  # (H, S, 1 + B)
        curves = {
            "preservation": means(kept.mean(2), weights),
            "worst_preservation": each.amin(0),
            "ad_mean": means(apart.mean(2), weights),
            "ad_max": means(apart.amax(2), weights),
        }
    if observed.nuisances.shape[2]:
        curves["drift"] = means((observed.nuisances - observed.nuisances[0]).abs().mean(2), weights)
    if len(observed.identity):
        curves["identity"] = means(observed.identity, weights)
    if len(observed.frechet):
        curves["frechet"] = observed.frechet.double()[:, None].expand(-1, DRAWS + 1)
    found = {
        "dt": Figure.of(editing.dt_score(flips, curves["preservation"])),
        "flip_best": Figure.of(flips.amax(0), float(observed.strengths[flips[:, 0].argmax()])),
        "monotone": Figure.of(means(editing.monotone(label[until]), weights)),
        "calibration": Figure.of(editing.calibration(means(odds, weights), observed.strengths)),
    }
    if len(observed.path):
        found["path_length"] = Figure.of(means(observed.path, weights))
    for rate in FLIP_RATES:
        where = float(editing.at_flip_rate(flips, observed.strengths.double()[:, None].expand_as(flips), rate)[0])
        for name, curve in curves.items():
            found[f"{name}@{rate:g}"] = Figure.of(editing.at_flip_rate(flips, curve, rate), where)
    return found | compute_at_equal_change(observed, apart, (odds - odds[0]) / observed.target_sigma, weights)


def compute_at_equal_change(observed: Observations, apart: Tensor, moved: Tensor, weights: Tensor) -> dict[str, Figure]:
    """Mean-AD and max-AD (attribute dependency, Wu et al. 2021) at equal change of the target.

    apart (S, n, H): changes of the held attributes; moved (S, n): change of the target in standard deviations. `reach`:
    the share of the images that reach the change; below FEWEST the means are NaN.
    """
    found, held = {}, apart.shape[2] > 0
    dependencies = {"ad_mean": apart.mean(2), "ad_max": apart.amax(2) if held else torch.full_like(moved, torch.nan)}
    for change in TARGET_CHANGES:
        share = means((moved >= change).any(0).float(), weights)
        for name, rest in dependencies.items():
            each = editing.at_first(moved, rest, change)  # (n,)
            mean = means(each.nan_to_num(), weights) / share.clamp_min(1e-9)
            found[f"{name}@{change:g}sd"] = Figure.of(torch.where((share >= FEWEST) & held, mean, torch.nan))
        found[f"reach@{change:g}sd"] = Figure.of(share)
    return found


def rescore_labels(observed: Observations, columns: list[slice], strength: float) -> Tensor:
    """Mean change of every label at the swept strength nearest to `strength`, (K,): a row of the re-scoring matrix."""
    labels = torch.cat([observed.logits[..., c].softmax(-1) for c in columns], -1)
    nearest = int((observed.strengths - strength).abs().argmin())
    return (labels[nearest] - labels[0]).mean(0)


def entanglement(matrix: Tensor, held: Tensor) -> Tensor:
    """Each row's sum of |changes of held categories| over |change of the target|, (K,), of a re-scoring matrix (K, K).

    held: (K, K) bool, row c marks the categories that edits towards c must keep; NaN where it marks none.
    """
    rest = matrix.abs().masked_fill(~held, 0).sum(1)
    return torch.where(held.any(1), rest / matrix.diagonal().abs().clamp_min(1e-9), torch.nan)
