"""Figures of hand-made edits whose answers are known."""

import math

import pytest
import torch

from gmmedit.evaluation.figures import (
    Figure,
    Observations,
    compute_figures,
    entanglement,
    mean_figure,
    rescore_labels,
)
from gmmedit.mixture import Layout
from gmmedit.mixture.held import all_others_held, held_categories

COLUMNS = [slice(0, 2), slice(2, 4), slice(4, 7)]
STRENGTHS = torch.tensor([0.0, 0.5, 1.0, 2.0])


def seen(target: list[float], other: list[float], n: int = 40, **changes: torch.Tensor) -> Observations:
    """n alike images: log-odds of the first attribute's second value along the strength, and of the second's."""
    logits = torch.zeros(4, n, 7)
    for start, odds in ((0, target), (2, other)):
        logits[:, :, start] = -torch.tensor(odds)[:, None] / 2
        logits[:, :, start + 1] = torch.tensor(odds)[:, None] / 2
    logits[:, :, 4] = 5.0
    nothing = torch.empty(0)
    given = {"nuisances": torch.empty(4, n, 0), "identity": nothing, "frechet": nothing, "path": nothing} | changes
    return Observations(STRENGTHS, logits, torch.full((7,), 2.0), 4.0, **given)


def test_a_perfect_edit() -> None:
    found = compute_figures(seen([-4, -1, 4, 4], [3, 3, 3, 3]), COLUMNS, 0, 1, [1, 2])
    assert (
        found["dt"].value == pytest.approx(1)
        and found["flip_best"].value == pytest.approx(1)
        and found["flip_best"].strength == 1
    )
    assert found["preservation@0.8"].value == pytest.approx(1) and found["ad_mean@1sd"].value == 0
    # The flip rate is 0 at 0.5 and 1 at 1: it reaches 0.8 at 0.9.
    assert found["preservation@0.8"].strength == pytest.approx(0.9)
    assert found["reach@2sd"].value == pytest.approx(1) == found["monotone"].value
    # Log-odds at 0.5 have gone 3 of 8.
    assert found["calibration"].value == pytest.approx(0.5 - 3 / 8)
    assert found["dt"].interval() == pytest.approx((1, 1)), "all images alike"
    assert "drift@0.8" not in found and "identity@0.8" not in found and "path_length" not in found


def test_an_edit_that_takes_another_attribute_along() -> None:
    found = compute_figures(seen([-4, -1, 4, 4], [3, 1, -1, -1]), COLUMNS, 0, 1, [1, 2])
    # Kept: 1 of 2 other attributes where the target flips.
    assert found["dt"].value == pytest.approx(0.75) and found["worst_preservation@0.95"].value == pytest.approx(0.05)
    # The target moves by 1 deviation (4) a fifth of the way from 0.5 to 1; the other then by 1.2 in each of its logits.
    assert found["ad_max@1sd"].value == pytest.approx((1 + 0.2 * 1) / 2)
    assert found["ad_mean@1sd"].value == pytest.approx((1 + 0.2 * 1) / 4), "over two others, one of which stays"


def test_an_edit_that_never_arrives() -> None:
    found = compute_figures(seen([-4, -3, -2, -1], [3, 3, 3, 3]), COLUMNS, 0, 1, [1, 2])
    assert found["dt"].value == 0 and found["flip_best"].value == 0
    assert math.isnan(found["preservation@0.5"].value) and math.isnan(found["ad_mean@1sd"].value)
    assert found["ad_mean@0.5sd"].value == 0 and found["reach@1sd"].value == 0
    assert all(math.isnan(end) for end in found["preservation@0.5"].interval())


def test_figures_of_nuisances_and_features() -> None:
    n = 40
    nuisances = torch.stack([torch.full((n, 2), 0.1 * s) for s in range(4)])
    identity = torch.tensor([1.0, 0.9, 0.8, 0.7])[:, None].expand(4, n)
    it = seen([-4, -1, 4, 4], [3] * 4, nuisances=nuisances, identity=identity, path=torch.arange(float(n)),
              frechet=torch.tensor([0.0, 1.0, 2.0, 3.0]))  # fmt: skip
    found = compute_figures(it, COLUMNS, 0, 1, [1, 2])
    assert found["drift@0.5"].value == pytest.approx(0.15) and found["identity@0.5"].value == pytest.approx(0.85)
    assert found["frechet@0.5"].value == pytest.approx(1.5) and found["path_length"].value == pytest.approx(19.5)
    low, high = found["path_length"].interval()
    assert 14 < low < 19.5 < high < 25, "38 images of 0 to 39: a deviation of 11.5 / sqrt(40)"


def test_means_are_over_those_that_have_the_figure() -> None:
    draws = torch.linspace(0, 1, 101)
    mean = mean_figure([Figure(1.0, draws, 0.5), Figure(math.nan, draws * math.nan), Figure(3.0, draws + 1, 1.5)])
    assert mean.value == 2 and mean.strength == 1 and mean.interval() == pytest.approx((0.525, 1.475))
    assert math.isnan(mean_figure([Figure(math.nan, draws)]).value)


def test_rescoring_and_entanglement() -> None:
    change = rescore_labels(seen([-20, 0, 20, 20], [20, 20, -20, -20]), COLUMNS, 1.0)
    assert change.tolist() == pytest.approx([-1, 1, 1, -1, 0, 0, 0], abs=1e-4)
    matrix = torch.zeros(7, 7)
    matrix[1, :2], matrix[1, 2:4] = torch.tensor([-0.8, 0.8]), torch.tensor([0.1, -0.1])
    held = held_categories(all_others_held(3), Layout((2, 2, 3)))
    assert float(entanglement(matrix, held)[1]) == pytest.approx(0.25)


def test_an_attribute_that_need_not_stay_counts_in_no_figure() -> None:
    it = seen([-4, -1, 4, 4], [3, 3, -3, -3])
    assert compute_figures(it, COLUMNS, 0, 1, [1, 2])["worst_preservation@0.95"].value < 0.1
    assert compute_figures(it, COLUMNS, 0, 1, [2])["worst_preservation@0.95"].value == pytest.approx(1)
