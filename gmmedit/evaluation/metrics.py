"""What an edit did, from labels before and after: tensors in, numbers out.

before (N, K) are labels of images that do not have the target value, after (S, N, K) those of their edits
at S strengths; `columns` are the slices of the K categories that belong to each attribute.
"""

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


def dt_score(flips: Tensor, kept: Tensor) -> float:
    """Area under the mean share kept over the flip rate, both (S,), from no edit (0, 1) on (IALS, DT score).

    1 where every target flips and nothing else does; an editor that never flips scores 0. Strengths beyond that of
    the highest flip rate do not count: nobody would use them, and many-valued attributes overshoot there.
    """
    best = int(flips.argmax()) + 1
    t = torch.cat([torch.zeros(1), flips[:best]])
    d = torch.cat([torch.ones(1), kept[:best]])
    return float(((t[1:] - t[:-1]) * (d[1:] + d[:-1]) / 2).sum())


def at_flip_rate(flips: Tensor, values: Tensor, wanted: float) -> float:
    """values (S,) where the flip rate first reaches `wanted`, linear in between; NaN if it never does."""
    reached = (flips >= wanted).nonzero()
    if not len(reached):
        return float("nan")
    i = int(reached[0])
    if i == 0:
        return float(values[0])
    share = (wanted - flips[i - 1]) / (flips[i] - flips[i - 1])
    return float(values[i - 1] + share * (values[i] - values[i - 1]))


def attribute_dependency(before: Tensor, after: Tensor, sigma: Tensor, columns: list[slice], attribute: int) -> Tensor:
    """Mean change of the other attributes' logits in units of their deviation, (S,) (Wu et al. 2021, section 6).

    before (N, K), after (S, N, K) are logits, sigma (K,) their standard deviations over many images.
    """
    change = ((after - before).abs() / sigma).mean(1)  # (S, K)
    rest = [a for a in range(len(columns)) if a != attribute]
    return torch.stack([change[:, columns[a]].mean(1) for a in rest], 1).mean(1)


def monotone_share(scores: Tensor, slack: float = 0.02) -> float:
    """Share of the images whose target score (S, N) never falls by more than `slack` as strength grows."""
    falls = scores.cummax(0).values - scores
    return float((falls.amax(0) <= slack).float().mean())


def bootstrap_rows(n: int, draws: int, seed: int) -> Tensor:
    """Row numbers (draws, n), drawn with replacement, for confidence intervals."""
    return torch.randint(n, (draws, n), generator=torch.Generator().manual_seed(seed))


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """|mu1 - mu2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2) of features (N, F), (M, F) (Heusel et al. 2017)."""
    first, second = first.double(), second.double()
    mean = (first.mean(0) - second.mean(0)).square().sum()
    one, two = torch.cov(first.T), torch.cov(second.T)
    root = matrix_root(one)
    return float(mean + (one + two).trace() - 2 * matrix_root(root @ two @ root).trace())


def matrix_root(matrix: Tensor) -> Tensor:
    """Square root of a symmetric positive semidefinite matrix."""
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T
