"""Metrics on hand-made cases whose answers are known."""

import math

import pytest
import torch

from gmmedit.evaluation import metrics

COLUMNS = [slice(0, 2), slice(2, 4), slice(4, 7)]  # two attributes with two values, one with three


def labels(*rows: tuple[int, int, int]) -> torch.Tensor:
    """Certain labels (N, 7) from the values of the three attributes."""
    found = torch.zeros(len(rows), 7)
    for i, values in enumerate(rows):
        for columns, value in zip(COLUMNS, values, strict=True):
            found[i, columns.start + value] = 1
    return found


@pytest.mark.parametrize(
    ("flips", "kept", "score"),
    [
        ([0.5, 1.0], [1.0, 1.0], 1.0),  # perfect: every target flips, nothing else does
        ([0.0, 0.0], [1.0, 1.0], 0.0),  # useless: nothing flips
        ([0.0, 0.0], [0.3, 0.1], 0.0),  # harmful: only the others do
        ([0.25, 0.5, 1.0], [0.75, 0.5, 0.0], 0.5),  # one other attribute lost for each target
        ([0.8], [0.5], 0.6),  # stops at 0.8
        ([0.8, 0.4], [0.5, 0.5], 0.6),  # nobody goes beyond its best strength
    ],
)
def test_dt_score(flips: list[float], kept: list[float], score: float) -> None:
    assert metrics.dt_score(torch.tensor(flips), torch.tensor(kept)) == pytest.approx(score)


def test_values_at_a_flip_rate_lie_on_the_line_between_two_strengths() -> None:
    flips, values = torch.tensor([0.2, 0.6, 0.5, 1.0]), torch.tensor([1.0, 0.8, 0.7, 0.0])
    assert metrics.at_flip_rate(flips, values, 0.1) == 1.0  # reached by the weakest edit
    assert metrics.at_flip_rate(flips, values, 0.4) == pytest.approx(0.9)
    assert metrics.at_flip_rate(flips, values, 0.6) == pytest.approx(0.8)
    assert metrics.at_flip_rate(flips, values, 0.75) == pytest.approx(0.35)
    assert metrics.at_flip_rate(flips, values, 1.0) == 0.0
    assert math.isnan(metrics.at_flip_rate(flips[:3], values[:3], 0.61))


def test_flipped_and_kept() -> None:
    before = labels((0, 0, 0), (0, 1, 2))
    after = torch.stack([labels((0, 0, 0), (1, 1, 2)), labels((1, 1, 0), (1, 1, 1))])
    assert metrics.values_of(before, COLUMNS).tolist() == [[0, 0, 0], [0, 1, 2]]
    assert metrics.flipped(after, COLUMNS, 0, 1).tolist() == [[0, 1], [1, 1]]
    assert metrics.kept(before, after, COLUMNS, 0).tolist() == [[[1, 1], [1, 1]], [[0, 1], [1, 0]]]
    assert metrics.flipped(after, COLUMNS, 2, 1).tolist() == [[0, 0], [0, 1]]
    assert metrics.kept(before, after, COLUMNS, 2).tolist() == [[[1, 1], [0, 1]], [[0, 0], [0, 1]]]


def test_attribute_dependency_averages_over_values_then_over_the_other_attributes() -> None:
    before = torch.zeros(2, 7)
    after = torch.zeros(3, 2, 7)
    after[1, :, :2] = 9.0  # the target's own logits do not count
    after[2, :, 2:4] = torch.tensor([[2.0, -2.0], [4.0, -4.0]])  # mean change 3
    after[2, :, 4:7] = torch.tensor([0.0, 3.0, 0.0])  # mean change 1
    sigma = torch.tensor([1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 1.0])
    found = metrics.attribute_dependency(before, after, sigma, COLUMNS, 0)
    assert found.tolist() == pytest.approx([0.0, 0.0, (3 / 2 + 1) / 2])


def test_monotone_share_allows_a_little_slack() -> None:
    scores = torch.tensor(
        [
            [0.1, 0.1, 0.9, 0.5],
            [0.5, 0.5, 0.8, 0.49],
            [0.9, 0.4, 0.9, 0.6],
        ]
    )
    assert metrics.monotone_share(scores) == 0.5  # rows 1 and 3 fall by 0.1; the last by 0.01 only
    assert metrics.monotone_share(scores, slack=0.2) == 1.0
    assert metrics.monotone_share(scores, slack=0.0) == 0.25


def test_bootstrap_rows() -> None:
    rows = metrics.bootstrap_rows(50, 7, seed=3)
    assert rows.shape == (7, 50) and rows.min() >= 0 and rows.max() < 50
    assert torch.equal(rows, metrics.bootstrap_rows(50, 7, seed=3))
    assert not torch.equal(rows, metrics.bootstrap_rows(50, 7, seed=4))
    assert not torch.equal(rows[0], rows[1]) and len(rows[0].unique()) < 50  # with replacement


def test_frechet_distance_of_gaussians() -> None:
    x = torch.randn(4_000, 3, generator=torch.Generator().manual_seed(0))
    assert metrics.frechet_distance(x, x) == pytest.approx(0, abs=1e-6)
    shift = torch.tensor([3.0, 0.0, -4.0])
    assert metrics.frechet_distance(x, x + shift) == pytest.approx(25, rel=1e-5)
    # N(0, S) to N(0, 4 S): tr(S + 4 S - 2 * 2 S) = tr S
    spread = float(torch.cov(x.T).trace())
    assert metrics.frechet_distance(x, 2 * (x - x.mean(0)) + x.mean(0)) == pytest.approx(spread, rel=1e-5)
    # Uncorrelated but unequal axes: sum of the squared differences of the standard deviations.
    orthogonal = torch.linalg.qr(x - x.mean(0)).Q * math.sqrt(len(x) - 1)
    one, two = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 2.0, 1.0])
    assert metrics.frechet_distance(orthogonal * one, orthogonal * two) == pytest.approx(5, rel=1e-4)


@pytest.mark.parametrize("n", [2, 20, 200])
def test_frechet_distance_of_few_samples_and_flat_covariances(n: int) -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(n, 64, generator=draw).double()
    rotation = torch.linalg.qr(torch.randn(64, 64, generator=draw).double()).Q
    spread = float(torch.cov(x.T).trace())
    assert metrics.frechet_distance(x, x) == pytest.approx(0, abs=1e-12 * spread)
    assert metrics.frechet_distance(x, 2 * (x - x.mean(0)) + x.mean(0)) == pytest.approx(spread, rel=1e-12)
    assert metrics.frechet_distance(x, x + 1) == pytest.approx(64, rel=1e-12)
    y = torch.randn(n + 5, 64, generator=draw).double()
    assert metrics.frechet_distance(x @ rotation, y @ rotation) == pytest.approx(metrics.frechet_distance(x, y))
    assert metrics.frechet_distance(y, x) == pytest.approx(metrics.frechet_distance(x, y))


def test_frechet_distance_of_diagonal_gaussians_over_many_magnitudes() -> None:
    """|mu1 - mu2|^2 + the sum of the squared differences of the standard deviations, some of them 0."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(200, 40, generator=draw).double()
    white = torch.linalg.qr(x - x.mean(0)).Q * math.sqrt(199)
    rotation = torch.linalg.qr(torch.randn(40, 40, generator=draw).double()).Q
    one, two = torch.logspace(3, -6, 40).double(), torch.logspace(-6, 3, 40).double()
    one[30:], two[:5] = 0, 0
    shift = torch.linspace(-1, 1, 40).double()
    wanted = float(shift.square().sum() + (one - two).square().sum())
    found = metrics.frechet_distance(white * one @ rotation, (white * two + shift) @ rotation)
    assert found == pytest.approx(wanted, rel=1e-12)
    assert metrics.frechet_distance(white * one @ rotation, white * one @ rotation) == pytest.approx(0, abs=1e-7)


def test_identity_is_the_cosine_with_the_original() -> None:
    before = torch.tensor([[3.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    after = torch.stack([before, torch.tensor([[0.0, 2.0], [-5.0, -5.0], [1.0, 0.0]]), torch.ones(3, 2)])
    found = metrics.identity(before, after)
    assert found.shape == (3, 3)
    torch.testing.assert_close(found, torch.tensor([[1, 1, 0], [0, -1, 0], [math.sqrt(0.5), 1, 0]]))


def test_path_length_is_the_mean_squared_speed() -> None:
    strengths = torch.tensor([0.0, 0.5, 1.0, 3.0])
    straight = strengths[:, None] * torch.tensor([3.0, 4.0])  # of speed 5
    waiting = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [1.0, 4.0]])  # speeds 0, 2, 2
    found = metrics.path_length(torch.stack([straight, waiting, torch.ones(4, 2)], 1), strengths)
    torch.testing.assert_close(found, torch.tensor([25, 8 / 3, 0]))
    detour = torch.tensor([[0.0], [7.0], [1.0]])[:, None]
    whole = metrics.path_length(detour[::2], torch.tensor([0.0, 1.0]))
    halves = metrics.path_length(detour, torch.tensor([0.0, 0.5, 1.0]))
    assert whole.tolist() == [1] and halves.tolist() == [(14**2 + 12**2) / 2]
