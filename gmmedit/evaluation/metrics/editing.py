"""Metrics of edits from labels before and after.

before (N, K): labels of images without the target value; after (S, N, K): labels of their edits at S strengths;
columns: the slices of the K categories of each attribute; held: the attributes that the edit had to keep.
"""

import math

import torch
from torch import Tensor


def values_of(labels: Tensor, columns: list[slice]) -> Tensor:
    """The most likely value of every attribute, (..., K) to (..., A)."""
    return torch.stack([labels[..., c].argmax(-1) for c in columns], -1)


def flipped(after: Tensor, columns: list[slice], attribute: int, value: int) -> Tensor:
    """Which images have the target value, (S, N) in {0, 1}; its mean is the target change rate (Yao et al. 2021)."""
    return (after[..., columns[attribute]].argmax(-1) == value).float()


def kept(before: Tensor, after: Tensor, columns: list[slice], held: list[int]) -> Tensor:
    """Which images keep their value of each of the H held attributes, (S, N, H) in {0, 1}; its mean is the
    attribute preservation (Yao et al. 2021)."""
    same = (values_of(after, columns) == values_of(before, columns)).float()
    return same[..., held]


def dt_score(flips: Tensor, kept: Tensor) -> Tensor:
    """Area under the mean share kept over the flip rate, both (S, ...) from strength 0 on, (...) (IALS, DT score).

    1 where every target flips and nothing else does; an editor that never flips scores 0. Strengths above that
    of the highest flip rate are not counted: attributes of several values overshoot there.
    """
    areas = (flips[1:] - flips[:-1]) * (kept[1:] + kept[:-1]) / 2
    counted = positions(areas) < flips.argmax(0)
    return (areas * counted).sum(0)


def at_flip_rate(flips: Tensor, values: Tensor, wanted: float) -> Tensor:
    """values (S, ...) where the flip rate (S, ...) first reaches `wanted`; NaN where it never does."""
    return at_first(flips, values, wanted)


def at_first(levels: Tensor, values: Tensor, wanted: float) -> Tensor:
    """values (S, ...) where levels (S, ...) first reach `wanted`, linear in between; NaN where they never do."""
    reached = levels >= wanted
    after = reached.int().argmax(0, keepdim=True)
    before = (after - 1).clamp_min(0)
    low, high = levels.gather(0, before), levels.gather(0, after)
    share = torch.where(high > low, (wanted - low) / (high - low), 0)
    found = values.gather(0, before).lerp(values.gather(0, after), share)
    return torch.where(reached.any(0, keepdim=True), found, torch.nan)[0]


def positions(rows: Tensor) -> Tensor:
    """0, 1, 2, ... along the first axis of rows (S, ...), to compare with indices of that axis."""
    return torch.arange(len(rows)).view(-1, *[1] * (rows.ndim - 1))


def dependencies(before: Tensor, after: Tensor, sigma: Tensor, columns: list[slice], held: list[int]) -> Tensor:
    """Change of each of the H held attributes' logits in units of their deviation, (S, N, H) (Wu et al. 2021,
    section 6).

    before (N, K), after (S, N, K) are logits, sigma (K,) their standard deviations over many images. An attribute's
    change is the mean over its values. The mean over the attributes is their mean-AD, the maximum their max-AD.
    """
    change = (after - before).abs() / sigma
    if not held:
        return change[..., :0]
    return torch.stack([change[..., columns[a]].mean(-1) for a in held], -1)


def log_odds(logits: Tensor, columns: slice, value: int) -> Tensor:
    """Logits (..., K) to the log-odds (...) of one value of the attribute at `columns`."""
    own = logits[..., columns]
    rest = torch.cat([own[..., :value], own[..., value + 1 :]], -1)
    return own[..., value] - rest.logsumexp(-1)


def calibration(scores: Tensor, strengths: Tensor) -> Tensor:
    """How far the mean log-odds (S, ...) are from a straight line in the strength (S,), (...).

    Mean over the strengths between 0 and 1 of |progress - strength|, the progress being 0 at 0 and 1 at 1.
    """
    (one,) = (strengths == 1).nonzero().flatten().tolist()
    progress = (scores - scores[0]) / (scores[one] - scores[0])
    return (progress[1:one] - strengths[1:one].view(-1, *[1] * (scores.ndim - 1))).abs().mean(0)


def monotone(scores: Tensor, slack: float = 0.02) -> Tensor:
    """Whether a target's label (S, N) never falls by more than `slack` as the strength grows, (N,) in {0, 1}."""
    falls = scores.cummax(0).values - scores
    return (falls.amax(0) <= slack).float()


def bootstrap_weights(n: int, draws: int, seed: int) -> Tensor:
    """Weights (n, 1 + draws) of n images, columns summing to 1: equal ones, then draws with replacement (Efron 1979).

    float64: in float32 the columns would not sum to 1.
    """
    weights, random = torch.ones(1 + draws, n, dtype=torch.float64), torch.Generator().manual_seed(seed)
    for draw in weights[1:]:
        draw.copy_(torch.bincount(torch.randint(n, (n,), generator=random), minlength=n))
    return weights.T.div_(n)


def means(values: Tensor, weights: Tensor) -> Tensor:
    """The mean of values (..., n) and its bootstrap draws, (..., 1 + draws), by `bootstrap_weights`."""
    return values.to(weights) @ weights


def bootstrap_means(values: Tensor, draws: int, seed: int) -> Tensor:
    """`means` of values (n,) by `bootstrap_weights`, (1 + draws,), draw by draw, for many values."""
    values, random = values.double(), torch.Generator().manual_seed(seed)
    drawn = (values[torch.randint(len(values), values.shape, generator=random)].mean() for _ in range(draws))
    return torch.stack([values.mean(), *drawn])


def wilson_interval(share: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share of n images, within [0, 1] (Wilson 1927); NaN if the share is or n is 0.

    Unlike a bootstrap it has a width where all images agree.
    """
    if not n or math.isnan(share):
        return math.nan, math.nan
    share, z = min(max(share, 0.0), 1.0), 1.959964
    centre, spread = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    low, high = ((centre + sign * spread) / (1 + z * z / n) for sign in (-1, 1))
    return max(low, 0.0), min(high, 1.0)
