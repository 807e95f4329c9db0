"""The combination of neighbours: edits in one pass where every layer has a latent of its own."""

from pathlib import Path

import pytest
import torch
from test_refining import CONTRAST, DIM, LAYOUT, find_neighbours, fitted, pictured, thumbnails_of, world  # noqa: F401
from torch import Tensor

from gmmedit.mixture.adam import Fit, generator_for
from gmmedit.mixture.combination import Combination, CombinationLoss, draw_missing
from gmmedit.mixture.model import AttributeMixture
from gmmedit.mixture.neighbours import Candidates, Neighbours, PriceWeights
from gmmedit.mixture.optimisation import Optimisation
from gmmedit.mixture.price import Price

LAYERS = 2
WEIGHTS = PriceWeights(picture=0.1)


def make(seed: int = 0) -> Combination:
    return Combination(DIM, LAYOUT, LAYERS, hidden=32, generator=generator_for(seed))


def find_candidates(x: Tensor, neighbours: Neighbours, category: Tensor, count: int = 8) -> Candidates:
    logits, _ = pictured(x[:, None])
    y = x[:, :4]
    return neighbours.find_nearest(y, y, logits, thumbnails_of(x), category, WEIGHTS, count)


def make_loss(combination: Combination, neighbours: Neighbours, x: Tensor, labels: Tensor) -> CombinationLoss:
    def price(rows: Tensor, category: Tensor) -> Price:
        return Price.of(pictured, rows, category, neighbours, CONTRAST, WEIGHTS)

    return CombinationLoss(
        combination, neighbours, lambda rows: rows[:, :4], lambda y, category: y, price, x, labels, WEIGHTS, 0, 64
    )


def test_every_layer_moves_towards_a_convex_combination_of_the_candidates(world):  # noqa: F811
    x, labels, logits = world
    category = draw_missing(LAYOUT, labels[:20], generator_for(1))
    candidates = find_candidates(x[:20], find_neighbours(x, logits), category)
    with torch.no_grad():
        for parameter in (combination := make()).parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator_for(2)))
        moved = combination(x[:20, None], candidates, category)
    assert moved.shape == (20, LAYERS, DIM)
    lowest, highest = candidates.x.amin(1, keepdim=True), candidates.x.amax(1, keepdim=True)
    assert (moved >= torch.minimum(lowest, x[:20, None]) - 1e-5).all()
    assert (moved <= torch.maximum(highest, x[:20, None]) + 1e-5).all()
    assert (moved[:, 0] - moved[:, 1]).abs().amax() > 0.01  # each layer has a share of its own


def test_the_order_of_candidates_does_not_matter(world):  # noqa: F811
    x, labels, logits = world
    category = draw_missing(LAYOUT, labels[:6], generator_for(1))
    candidates = find_candidates(x[:6], find_neighbours(x, logits), category)
    order = torch.randperm(8, generator=generator_for(3))
    with torch.no_grad():
        one = make()(x[:6, None], candidates, category)
        other = make()(x[:6, None], Candidates(candidates.x[:, order], candidates.facts[:, order]), category)
    torch.testing.assert_close(one, other)


def test_training_lowers_the_price_of_edits_that_it_has_not_seen(world):  # noqa: F811
    x, labels, logits = world
    neighbours, combination = find_neighbours(x[:1500], logits[:1500]), make()
    held = make_loss(combination, neighbours, x[1500:], labels[1500:])
    before = held.mean()
    loss = make_loss(combination, neighbours, x[:1500], labels[:1500])
    for _ in Fit(combination.parameters(), loss, 150, 3e-3):
        pass
    assert held.mean() < 0.8 * before


def test_a_step_depends_on_its_number_alone(world):  # noqa: F811
    x, labels, logits = world
    neighbours = find_neighbours(x, logits)
    one, other = (make_loss(make(), neighbours, x, labels) for _ in range(2))
    for step in (0, 1, 2):
        one(step)
    for name, value in one(3).items():
        assert other(3)[name].item() == value.item()


def test_the_value_to_move_to_is_one_that_the_sample_lacks(world):  # noqa: F811
    _, labels, _ = world
    category = draw_missing(LAYOUT, labels, generator_for(4))
    for row, goal in zip(labels, category.tolist(), strict=True):
        attribute, value = LAYOUT.locate(goal)
        assert row[LAYOUT.columns[attribute]].argmax() != value
    assert (category.bincount(minlength=LAYOUT.categories) > 0).all()


def test_no_steps_are_one_pass_and_several_targets_are_reached_together(world):  # noqa: F811
    x, _, logits = world
    neighbours = find_neighbours(x, logits)
    one_pass = Optimisation(pictured, neighbours, CONTRAST, WEIGHTS, 0, make())
    rows, category = x[:5, None].expand(-1, LAYERS, -1), torch.tensor([[0, 4]]).expand(5, -1)
    y = x[:5, :4]
    offset = one_pass.find_offsets(rows, category, y, y, 0 * rows[:, :1])
    after = pictured(rows + offset)[0]
    assert offset.shape == (5, LAYERS, DIM) and not offset.requires_grad
    assert (after[:, 0] > after[:, 1]).all() and (after[:, 4:].argmax(1) == 0).float().mean() >= 0.8
    with pytest.raises(ValueError, match="needs a combination"):
        Optimisation(pictured, neighbours, CONTRAST, WEIGHTS, 0).find_offsets(rows, category, y, y, 0 * rows[:, :1])


def test_a_model_is_read_with_its_combination(world, tmp_path: Path):  # noqa: F811
    x, labels, _ = world
    model = fitted(x, labels, correction=False)
    model.combination = make(5)
    again = AttributeMixture.from_state(LAYOUT.values, model.state_dict())
    assert again.combination is not None
    for name, value in model.combination.state_dict().items():
        assert torch.equal(again.combination.state_dict()[name], value)
