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
    """|mu1 - mu2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2) of features (N, F), (M, F), N, M > 1 (Heusel et al. 2017).

    Exact for any N and M, also below F; but as an estimate for the Gaussians behind the samples it is too large by
    what shrinks as 1/N (Chong & Forsyth 2020): compare at equal N only.
    """
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
