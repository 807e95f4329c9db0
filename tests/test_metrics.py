"""Metrics on hand-made cases whose answers are known."""

import math

import pytest
import torch

from gmmedit.evaluation.metrics import editing, realism

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
        ([0.0, 0.5, 1.0], [1.0, 1.0, 1.0], 1.0),  # perfect: every target flips, nothing else does
        ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0], 0.0),  # useless: nothing flips
        ([0.0, 0.0, 0.0], [1.0, 0.3, 0.1], 0.0),  # harmful: only the others do
        ([0.0, 0.25, 0.5, 1.0], [1.0, 0.75, 0.5, 0.0], 0.5),  # one other attribute lost for each target
        ([0.0, 0.8], [1.0, 0.5], 0.6),  # stops at 0.8
        ([0.0, 0.8, 0.4], [1.0, 0.5, 0.5], 0.6),  # nobody goes beyond its best strength
    ],
)
def test_dt_score(flips: list[float], kept: list[float], score: float) -> None:
    assert float(editing.dt_score(torch.tensor(flips), torch.tensor(kept))) == pytest.approx(score)


def test_dt_scores_of_several_columns_are_those_of_each() -> None:
    flips = torch.tensor([[0.0, 0.0], [0.8, 0.5], [0.4, 1.0]])
    kept = torch.tensor([[1.0, 1.0], [0.5, 1.0], [0.5, 1.0]])
    assert editing.dt_score(flips, kept).tolist() == pytest.approx([0.6, 1.0])


def test_values_at_a_flip_rate_lie_on_the_line_between_two_strengths() -> None:
    flips, values = torch.tensor([0.0, 0.2, 0.6, 0.5, 1.0]), torch.tensor([1.0, 1.0, 0.8, 0.7, 0.0])

    def at(rate: float) -> float:
        return float(editing.at_flip_rate(flips, values, rate))

    assert at(0.1) == 1.0 and at(0.6) == pytest.approx(0.8) and at(1.0) == 0.0
    assert at(0.4) == pytest.approx(0.9) and at(0.75) == pytest.approx(0.35)
    assert math.isnan(float(editing.at_flip_rate(flips[:4], values[:4], 0.61)))
    both = editing.at_flip_rate(torch.stack([flips, flips / 2], 1), torch.stack([values, values], 1), 0.6)
    assert both[0] == pytest.approx(0.8) and both[1].isnan()


def test_flipped_and_kept() -> None:
    before = labels((0, 0, 0), (0, 1, 2))
    after = torch.stack([labels((0, 0, 0), (1, 1, 2)), labels((1, 1, 0), (1, 1, 1))])
    assert editing.values_of(before, COLUMNS).tolist() == [[0, 0, 0], [0, 1, 2]]
    assert editing.flipped(after, COLUMNS, 0, 1).tolist() == [[0, 1], [1, 1]]
    assert editing.kept(before, after, COLUMNS, [1, 2]).tolist() == [[[1, 1], [1, 1]], [[0, 1], [1, 0]]]
    assert editing.flipped(after, COLUMNS, 2, 1).tolist() == [[0, 0], [0, 1]]
    assert editing.kept(before, after, COLUMNS, [0, 1]).tolist() == [[[1, 1], [0, 1]], [[0, 0], [0, 1]]]


def test_dependencies_average_over_the_values_of_an_attribute() -> None:
    before = torch.zeros(2, 7)
    after = torch.zeros(3, 2, 7)
    after[1, :, :2] = 9.0  # the target's own logits do not count
    after[2, :, 2:4] = torch.tensor([[2.0, -2.0], [4.0, -4.0]])  # mean change 3
    after[2, :, 4:7] = torch.tensor([0.0, 3.0, 0.0])  # mean change 1
    sigma = torch.tensor([1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 1.0])
    found = editing.dependencies(before, after, sigma, COLUMNS, [1, 2])
    assert found.shape == (3, 2, 2) and not found[:2].any()
    assert found[2].mean(0).tolist() == pytest.approx([3 / 2, 1])


def test_log_odds_are_those_of_a_value_against_all_others() -> None:
    logits = torch.tensor([[-1.0, 1.0, 0.0, 0.0, 0.1, 0.2, 0.9]])
    assert editing.log_odds(logits, COLUMNS[0], 1).tolist() == pytest.approx([2.0])
    p = logits[:, 4:7].softmax(1)[0, 2]
    assert editing.log_odds(logits, COLUMNS[2], 2).tolist() == pytest.approx([float((p / (1 - p)).log())], rel=1e-4)


def test_calibration_is_the_distance_from_a_straight_line() -> None:
    strengths = torch.tensor([0.0, 0.5, 1.0, 2.0])
    scores = torch.tensor([[1.0, -3.0], [2.0, -3.0], [3.0, 1.0], [9.0, 9.0]])
    assert editing.calibration(scores, strengths).tolist() == pytest.approx([0.0, 0.5])


def test_monotone_allows_a_little_slack() -> None:
    scores = torch.tensor(
        [
            [0.1, 0.1, 0.9, 0.5],
            [0.5, 0.5, 0.8, 0.49],
            [0.9, 0.4, 0.9, 0.6],
        ]
    )
    assert editing.monotone(scores).tolist() == [1, 0, 0, 1]
    assert editing.monotone(scores, slack=0.2).mean() == 1
    assert editing.monotone(scores, slack=0.0).mean() == 0.25


def test_bootstrap_weights() -> None:
    weights = editing.bootstrap_weights(50, 7, seed=3)
    assert weights.shape == (50, 8)
    torch.testing.assert_close(weights.sum(0), torch.ones(8).double())
    assert (weights[:, 0] == 1 / 50).all(), "the estimate itself"
    assert ((weights * 50 - (weights * 50).round()).abs() < 1e-5).all() and (weights[:, 1:] == 0).any()
    values = torch.arange(50.0)
    assert editing.means(values, weights)[0] == pytest.approx(24.5)
    assert torch.equal(weights, editing.bootstrap_weights(50, 7, seed=3))
    assert not torch.equal(weights, editing.bootstrap_weights(50, 7, seed=4))


def test_frechet_distance_of_gaussians() -> None:
    x = torch.randn(4_000, 3, generator=torch.Generator().manual_seed(0))
    assert realism.frechet_distance(x, x) == pytest.approx(0, abs=1e-6)
    shift = torch.tensor([3.0, 0.0, -4.0])
    assert realism.frechet_distance(x, x + shift) == pytest.approx(25, rel=1e-5)
    # N(0, S) to N(0, 4 S): tr(S + 4 S - 2 * 2 S) = tr S
    spread = float(torch.cov(x.T).trace())
    assert realism.frechet_distance(x, 2 * (x - x.mean(0)) + x.mean(0)) == pytest.approx(spread, rel=1e-5)
    # Uncorrelated but unequal axes: sum of the squared differences of the standard deviations.
    orthogonal = torch.linalg.qr(x - x.mean(0)).Q * math.sqrt(len(x) - 1)
    one, two = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 2.0, 1.0])
    assert realism.frechet_distance(orthogonal * one, orthogonal * two) == pytest.approx(5, rel=1e-4)


@pytest.mark.parametrize("n", [2, 20, 200])
def test_frechet_distance_of_few_samples_and_flat_covariances(n: int) -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(n, 64, generator=draw).double()
    rotation = torch.linalg.qr(torch.randn(64, 64, generator=draw).double()).Q
    spread = float(torch.cov(x.T).trace())
    assert realism.frechet_distance(x, x) == pytest.approx(0, abs=1e-12 * spread)
    assert realism.frechet_distance(x, 2 * (x - x.mean(0)) + x.mean(0)) == pytest.approx(spread, rel=1e-12)
    assert realism.frechet_distance(x, x + 1) == pytest.approx(64, rel=1e-12)
    y = torch.randn(n + 5, 64, generator=draw).double()
    assert realism.frechet_distance(x @ rotation, y @ rotation) == pytest.approx(realism.frechet_distance(x, y))
    assert realism.frechet_distance(y, x) == pytest.approx(realism.frechet_distance(x, y))


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
    found = realism.frechet_distance(white * one @ rotation, (white * two + shift) @ rotation)
    assert found == pytest.approx(wanted, rel=1e-12)
    assert realism.frechet_distance(white * one @ rotation, white * one @ rotation) == pytest.approx(0, abs=1e-7)


def test_identity_is_the_cosine_with_the_original() -> None:
    before = torch.tensor([[3.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    after = torch.stack([before, torch.tensor([[0.0, 2.0], [-5.0, -5.0], [1.0, 0.0]]), torch.ones(3, 2)])
    found = realism.identity(before, after)
    assert found.shape == (3, 3)
    torch.testing.assert_close(found, torch.tensor([[1, 1, 0], [0, -1, 0], [math.sqrt(0.5), 1, 0]]))


def test_path_length_is_the_mean_squared_speed() -> None:
    strengths = torch.tensor([0.0, 0.5, 1.0, 3.0])
    straight = strengths[:, None] * torch.tensor([3.0, 4.0])  # of speed 5
    waiting = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [1.0, 4.0]])  # speeds 0, 2, 2
    found = realism.path_length(torch.stack([straight, waiting, torch.ones(4, 2)], 1), strengths)
    torch.testing.assert_close(found, torch.tensor([25, 8 / 3, 0]))
    detour = torch.tensor([[0.0], [7.0], [1.0]])[:, None]
    whole = realism.path_length(detour[::2], torch.tensor([0.0, 1.0]))
    halves = realism.path_length(detour, torch.tensor([0.0, 0.5, 1.0]))
    assert whole.tolist() == [1] and halves.tolist() == [(14**2 + 12**2) / 2]
