"""Precision, recall, density, coverage and KID beside the loops of their definitions, and where the answer is known."""

import math

import pytest
import torch
from torch import Tensor

from gmmedit.evaluation.metrics import editing, manifolds, realism


def gaussian(n: int, dims: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(n, dims, generator=torch.Generator().manual_seed(seed)) + shift


def radius(rows: list[list[float]], i: int, k: int) -> float:
    return sorted(math.dist(rows[i], other) for j, other in enumerate(rows) if j != i)[k - 1]


@pytest.mark.parametrize("chunk", [7, 256])
def test_manifolds_beside_the_loops_of_the_papers(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifolds, "CHUNK", chunk)
    edited, samples = gaussian(23, 3, 0, 0.5), gaussian(31, 3, 1)
    fake, real = edited.double().tolist(), samples.double().tolist()
    reach = {k: [radius(real, i, k) for i in range(len(real))] for k in (3, 5)}
    near = [radius(fake, i, 3) for i in range(len(fake))]
    inside = [float(any(math.dist(y, x) <= r for x, r in zip(real, reach[3], strict=True))) for y in fake]
    found = [float(any(math.dist(x, y) <= r for y, r in zip(fake, near, strict=True))) for x in real]
    dense = [sum(math.dist(y, x) <= r for x, r in zip(real, reach[5], strict=True)) / 5 for y in fake]
    covered = [float(any(math.dist(x, y) <= r for y in fake)) for x, r in zip(real, reach[5], strict=True)]
    assert manifolds.precision(edited, samples).tolist() == inside and 0 < sum(inside) < len(inside)
    assert manifolds.recall(edited, samples).tolist() == found and 0 < sum(found) < len(found)
    assert manifolds.density(edited, samples).tolist() == pytest.approx(dense)
    assert manifolds.coverage(edited, samples).tolist() == covered and 0 < sum(covered) < len(covered)


def test_samples_of_one_distribution_lie_in_each_other() -> None:
    first, second = gaussian(1000, 8, 0), gaussian(1000, 8, 1)
    assert (
        float(manifolds.precision(first, second).mean()) > 0.8 and float(manifolds.recall(first, second).mean()) > 0.8
    )
    assert float(manifolds.density(first, second).mean()) == pytest.approx(1, abs=0.06), (
        "Naeem et al.: 1 in expectation"
    )
    # Naeem et al. 2020: 1 - (M - 1) ... (M - k) / (N + M - 1) ... (N + M - k), about 1 - 2^-k.
    assert float(manifolds.coverage(first, second).mean()) == pytest.approx(1 - 0.5**5, abs=0.02)


def test_edits_outside_or_in_one_place_are_told_apart() -> None:
    samples = gaussian(200, 4, 0)
    for metric in (manifolds.precision, manifolds.recall, manifolds.density, manifolds.coverage):
        assert not metric(samples + 100, samples).any()
        assert (metric(samples, samples) > 0).all(), "a sample lies in its own ball"
    one_place = samples[:1].expand(50, -1)
    assert manifolds.precision(one_place, samples).all() and manifolds.coverage(one_place, samples).mean() < 0.2
    assert manifolds.recall(one_place, samples).sum() == 1, "balls of radius 0 contain their centre alone"


def test_an_outlier_widens_recall_and_precision_but_not_density() -> None:
    """The fault of precision that Naeem et al. show: one far sample has a ball that contains everything."""
    samples = torch.cat([gaussian(200, 4, 0), torch.full((1, 4), 40.0)])
    between = gaussian(100, 4, 1, 20.0)
    assert manifolds.precision(between, samples).all()
    assert float(manifolds.density(between, samples).mean()) == pytest.approx(1 / manifolds.DENSE)


def test_too_few_samples_have_no_manifold() -> None:
    with pytest.raises(ValueError, match="3 samples have no 3-th nearest neighbour"):
        manifolds.precision(gaussian(9, 2, 0), gaussian(3, 2, 1))


@pytest.mark.parametrize("chunk", [5, 256])
def test_kid_beside_the_loops_of_the_paper(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realism, "CHUNK", chunk)
    first, second = gaussian(12, 3, 0), gaussian(17, 3, 1, 0.4)

    def kernel(x: Tensor, y: Tensor) -> float:
        return (float(x.double() @ y.double()) / 3 + 1) ** 3

    def mean(one: Tensor, other: Tensor, same: bool) -> float:
        pairs = [(i, j) for i in range(len(one)) for j in range(len(other)) if not (same and i == j)]
        return sum(kernel(one[i], other[j]) for i, j in pairs) / len(pairs)

    wanted = mean(first, first, True) + mean(second, second, True) - 2 * mean(first, second, False)
    assert realism.kernel_distance(first, second) == pytest.approx(wanted, rel=1e-9)
    assert realism.kernel_distance(second, first) == pytest.approx(wanted, rel=1e-9)


def test_kid_of_one_distribution_is_zero_on_average() -> None:
    values = [realism.kernel_distance(gaussian(30, 4, 2 * i), gaussian(50, 4, 2 * i + 1)) for i in range(200)]
    mean = sum(values) / len(values)
    error = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values) ** 2)
    assert abs(mean) < 3 * error and min(values) < 0 < max(values)
    assert math.isnan(realism.kernel_distance(gaussian(1, 4, 0), gaussian(9, 4, 0)))


def test_kid_of_two_points() -> None:
    """Images that are all x against images that are all y: k(x, x) + k(y, y) - 2 k(x, y)."""
    x, y = torch.zeros(4, 2), torch.tensor([[2.0, 0.0]]).expand(6, -1)
    assert realism.kernel_distance(x, y) == pytest.approx(1 + 27 - 2)


def test_intervals_of_shares_lie_within_their_range() -> None:
    assert editing.wilson_interval(1.0, 10) == pytest.approx((0.7225, 1), abs=1e-4)
    assert editing.wilson_interval(0.0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert editing.wilson_interval(0.5, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    for n in (1, 2, 7, 1000):
        for share in (0.0, 1 / n, 1.0):
            low, high = editing.wilson_interval(share, n)
            assert 0 <= low <= share <= high <= 1 and low < high
    assert all(math.isnan(end) for end in (*editing.wilson_interval(math.nan, 5), *editing.wilson_interval(0.5, 0)))
