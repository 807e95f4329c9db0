"""What an edit did, from labels before and after: tensors in, numbers out.

before (N, K) are labels of images that do not have the target value, after (S, N, K) those of their edits
at S strengths; `columns` are the slices of the K categories that belong to each attribute.
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


def kept(before: Tensor, after: Tensor, columns: list[slice], attribute: int) -> Tensor:
    """Which images keep their value of each other attribute, (S, N, A - 1) in {0, 1}; its mean is the
    attribute preservation (Yao et al. 2021)."""
    same = (values_of(after, columns) == values_of(before, columns)).float()
    return same[..., [a for a in range(len(columns)) if a != attribute]]


def dt_score(flips: Tensor, kept: Tensor) -> Tensor:
    """Area under the mean share kept over the flip rate, both (S, ...) from strength 0 on, (...) (IALS, DT score).

    1 where every target flips and nothing else does; an editor that never flips scores 0. Strengths beyond that of
    the highest flip rate do not count: nobody would use them, and many-valued attributes overshoot there.
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


def dependencies(before: Tensor, after: Tensor, sigma: Tensor, columns: list[slice], attribute: int) -> Tensor:
    """Change of each other attribute's logits in units of their deviation, (S, N, A - 1) (Wu et al. 2021, section 6).

    before (N, K), after (S, N, K) are logits, sigma (K,) their standard deviations over many images. An attribute's
    change is the mean over its values. The mean over the attributes is their mean-AD, the maximum their max-AD.
    """
    change = (after - before).abs() / sigma
    return torch.stack([change[..., c].mean(-1) for a, c in enumerate(columns) if a != attribute], -1)


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
    """Weights (n, 1 + draws) of n images, each column adding up to 1: all alike, then drawn with replacement.

    Efron 1979; float64, since single precision would not add up to one.
    """
    rows = torch.randint(n, (draws, n), generator=torch.Generator().manual_seed(seed))
    ones = torch.ones(draws, n, dtype=torch.float64)
    counts = torch.zeros_like(ones).scatter_add_(1, rows, ones)
    return torch.cat([torch.ones_like(counts[:1]), counts]).T / n


def means(values: Tensor, weights: Tensor) -> Tensor:
    """The mean of values (..., n) and its bootstrap draws, (..., 1 + draws), by `bootstrap_weights`."""
    return values.to(weights) @ weights


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """|mu1 - mu2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2) of features (N, F), (M, F) (Heusel et al. 2017).

    NaN where N or M is 1: one image has no covariance.
    Exact for any N and M, also below F; but as an estimate for the Gaussians behind the samples it is too large by
    what shrinks as 1/N (Chong & Forsyth 2020): compare at equal N only.
    """
    if min(len(first), len(second)) < 2:
        return math.nan
    first, second = first.double(), second.double()
    mean = (first.mean(0) - second.mean(0)).square().sum()
    one, two = covariance_factor(first), covariance_factor(second)
    # The eigenvalues of S1 S2 are the squared singular values of one twoᵀ: no root is taken of what is nearly singular.
    shared = torch.linalg.svdvals(one @ two.T).sum()
    return float((mean + one.square().sum() + two.square().sum() - 2 * shared).clamp_min(0))


def covariance_factor(features: Tensor) -> Tensor:
    """R (min(N, F), F) with RᵀR the covariance of features (N, F)."""
    centred = features - features.mean(0)
    return torch.linalg.qr(centred, mode="r").R / (len(features) - 1) ** 0.5


def identity(before: Tensor, after: Tensor) -> Tensor:
    """Cosine (S, n) of the features of edits (S, n, F) with those of their originals (n, F); 0 where either is 0.

    With the features of a face recogniser (Deng et al. 2019) it is what papers on editing faces call ID.
    """
    return torch.nn.functional.cosine_similarity(before, after, dim=-1)


def path_length(features: Tensor, strengths: Tensor) -> Tensor:
    """Mean over consecutive strengths (S,) of the squared distance of features (S, n, F) over the squared step, (n,).

    The perceptual path length (Karras et al. 2019) is the expectation of |phi(t + eps) - phi(t)|^2 / eps^2 over
    interpolations of latents, with eps = 1e-4. This is its finite-difference version along an edit: every step counts
    once, and detours within a step are not seen, so halving all steps can only raise it.
    """
    steps = (strengths[1:] - strengths[:-1])[:, None]
    return ((features[1:] - features[:-1]).square().sum(-1) / steps.square()).mean(0)
