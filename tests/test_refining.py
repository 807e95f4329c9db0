"""The model that edits, and the terms of fit-mixture, in a small world where the truth is known."""

import math

import pytest
import torch
from torch import Tensor

from gmmedit.editors.base import RawLatent
from gmmedit.editors.mixture import MixtureEditor
from gmmedit.mixture import Layout
from gmmedit.mixture.adam import Fit, generator_for
from gmmedit.mixture.coordinates import Coordinates, FullSpace
from gmmedit.mixture.gaussians import Gaussians
from gmmedit.mixture.held import all_others_held, held_by_all, held_categories
from gmmedit.mixture.model import AttributeMixture
from gmmedit.mixture.neighbours import Neighbours, PriceWeights
from gmmedit.mixture.objectives import (
    BANDS,
    band_change,
    edit_divergences,
    log_labels,
    same_attribute,
    split_bands,
)
from gmmedit.mixture.optimisation import Optimisation, optimise_in_hull, restore_layers, take_steps
from gmmedit.mixture.price import LOOKS, Price
from gmmedit.mixture.refining import Refinement, Weights, draw_categories
from gmmedit.mixture.score import Score
from gmmedit.mixture.surrogate import fit_surrogate
from gmmedit.mixture.writing import Correction

LAYOUT = Layout((2, 2, 3))
HELD = all_others_held(3)
DIM = 12


def score(x: Tensor) -> Tensor:
    """Logits (N, 7) of a known world: entangled directions, bent a little.

    Of the layers in x (N, L, D), the first makes the first two attributes, and the last the third.
    """
    first, last = x[:, 0], x[:, -1]
    mixed = [layer[:, :5] + 0.5 * layer[:, 1:6] + 0.4 * torch.sin(2 * layer[:, 2:7]) for layer in (first, last)]
    u = torch.cat([mixed[0][:, :2], mixed[1][:, 2:]], 1)
    return 4 * torch.stack([-u[:, 0], u[:, 0], -u[:, 1], u[:, 1], u[:, 2], u[:, 3], u[:, 4]], 1)


def seen(x: Tensor, disturbance: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Logits (N, 7), and a "picture" (N, 4) of coordinates that no label depends on."""
    return score(x), x[:, :, 8:].mean(1)


def softmaxes(logits: Tensor) -> Tensor:
    return torch.cat([logits[:, c].softmax(1) for c in LAYOUT.columns], 1)


@pytest.fixture
def world() -> tuple[Tensor, Tensor, Tensor]:
    x = torch.randn(2000, DIM, generator=generator_for(0, 0))
    logits = score(x[:, None])
    return x, softmaxes(logits), logits


def fitted(x: Tensor, labels: Tensor, correction: bool = True, hidden: int = 0, layers: int = 1) -> AttributeMixture:
    coordinates = Coordinates(DIM, LAYOUT, hidden, generator_for(0, 1))
    coordinates.initialise_(x, labels)
    coordinates.standardise_(x)
    gaussians = Gaussians(LAYOUT)
    gaussians.fit_moments_(coordinates(x).detach(), labels)
    extra = Correction(DIM, LAYOUT, layers, 32, generator=generator_for(0, 2)) if correction else None
    return AttributeMixture(coordinates, gaussians, extra)


def test_the_correction_starts_at_the_exact_write(world):
    x, labels, _ = world
    category = torch.arange(20) % LAYOUT.categories
    with torch.no_grad():
        corrected = fitted(x, labels, layers=3).offset(x[:20], category)
        exact = fitted(x, labels, correction=False).offset(x[:20], category)
    assert corrected.shape == (20, 3, DIM)
    assert torch.equal(corrected, exact.expand(-1, 3, -1))


def test_only_the_edited_attribute_is_asked_to_move(world):
    x, labels, _ = world
    model = fitted(x, labels)
    y = model.coordinates(x[:7])
    change = model.control_change(y, torch.arange(7))
    for row in range(7):
        attribute, _ = LAYOUT.locate(row)
        inside = LAYOUT.rows[attribute]
        control = model.gaussians.control(y[row : row + 1], row)[0]
        assert torch.allclose(y[row, inside] + change[row, inside], control, atol=1e-5)
        outside = torch.ones(LAYOUT.width, dtype=torch.bool)
        outside[inside] = False
        assert not change[row, outside].any()


def test_a_batch_of_mixed_categories_is_the_rows_one_by_one(world):
    x, labels, _ = world
    model = fitted(x, labels, hidden=16)
    category = torch.tensor([6, 0, 3, 3, 5])
    with torch.no_grad():
        together = model.offset(x[:5], category)
        alone = torch.cat([model.offset(x[i : i + 1], category[i : i + 1]) for i in range(5)])
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("kind", ["linear", "network", "corrected", "full", "free"])
def test_a_model_is_rebuilt_from_its_state(world, kind):
    x, labels, _ = world
    if kind == "full":
        space = FullSpace(DIM, LAYOUT.values)
        model = AttributeMixture(space, Gaussians(space.layout))
        model.gaussians.fit_moments_(space(x), labels)
    else:
        model = fitted(x, labels, correction=False, hidden=16 if kind == "network" else 0)
        if kind == "corrected":
            model.correction = Correction(DIM, LAYOUT, layers=2, generator=generator_for(0, 2))
        if kind == "free":
            model.gaussians = Gaussians(LAYOUT, tied=False)
            model.gaussians.fit_moments_(model.coordinates(x).detach(), labels)
    again = AttributeMixture.from_state(LAYOUT.values, model.state_dict())
    category = torch.arange(14) % LAYOUT.categories
    with torch.no_grad():
        assert torch.equal(again.responsibilities(x), model.responsibilities(x))
        assert torch.equal(again.offset(x[:14], category), model.offset(x[:14], category))


def test_edits_mostly_start_without_the_value(world):
    _, labels, _ = world
    category = draw_categories(LAYOUT, labels, generator_for(3, 0))
    has = torch.zeros(len(labels), dtype=torch.bool)
    for columns in LAYOUT.columns:
        inside = (category >= columns.start) & (category < columns.stop)
        has |= inside & (labels[:, columns].argmax(1) == category - columns.start)
    assert 0 < has.float().mean() < 0.25
    assert category.bincount(minlength=LAYOUT.categories).min() > 100


def test_divergences_match_a_computation_row_by_row():
    before, after = (torch.randn(9, 7, generator=generator_for(4, i)).double() for i in range(2))
    before, after = softmaxes(before).log(), softmaxes(after).log()
    category = torch.tensor([0, 1, 2, 3, 4, 5, 6, 4, 1])
    reached, divergence = edit_divergences(before, after, category, LAYOUT, HELD)
    for row, c in enumerate(category.tolist()):
        attribute, _ = LAYOUT.locate(c)
        columns = LAYOUT.columns[attribute]
        assert torch.isclose(reached[row], (math.log(0.95) - after[row, c]).clamp_min(0))
        rest = [k for k in range(7) if not columns.start <= k < columns.stop]
        expected = sum(before[row, k].exp() * (before[row, k] - after[row, k]) for k in rest)
        assert torch.isclose(divergence[row], expected)


def test_an_attribute_that_need_not_stay_is_not_missed():
    before, after = (softmaxes(torch.randn(2, 7, generator=generator_for(4, i))).log() for i in range(2))
    category = torch.tensor([1, 6])
    free = HELD.clone()
    free[0, 2] = False  # the third attribute follows from the first
    _, broken = edit_divergences(before, after, category, LAYOUT, HELD)
    _, less = edit_divergences(before, after, category, LAYOUT, free)
    kept = (before[0, 2:4].exp() * (before[0, 2:4] - after[0, 2:4])).sum()
    assert torch.isclose(less[0], kept) and less[1] == broken[1]
    assert held_by_all(free, [0]) == [1] and held_by_all(HELD, [0, 2]) == [1] and held_by_all(HELD, [0, 1, 2]) == []
    assert held_categories(free, LAYOUT).int().tolist()[:2] == 2 * [[0, 0, 1, 1, 0, 0, 0]]


def test_same_attribute():
    assert same_attribute(Layout((2, 3))).int().tolist()[0] == [1, 1, 0, 0, 0]


def test_every_parameter_of_mixture_and_correction_is_taught(world):
    x, labels, logits = world
    model = fitted(x, labels, layers=2)
    with torch.no_grad():
        model.correction.exit.weight.normal_(generator=generator_for(0, 5))  # zero at the start stops gradients
    terms = Refinement(model, x, labels, logits, seen, Weights(), seed=0, rows=64, edits=64)(0)
    torch.stack(list(terms.values())).sum().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert not silent


def test_a_step_is_a_function_of_seed_and_number(world):
    x, labels, logits = world
    model = fitted(x, labels)

    def terms(seed: int, step: int) -> list[float]:
        loss = Refinement(model, x, labels, logits, seen, Weights(), seed)
        return [float(term.detach()) for term in loss(step).values()]

    assert terms(0, 3) == terms(0, 3)
    assert terms(0, 3) != terms(0, 4)
    assert terms(0, 3) != terms(1, 3)


def test_without_a_score_only_labels_count(world):
    x, labels, logits = world
    terms = Refinement(fitted(x, labels), x, labels, logits, None, Weights(), 0)(0)
    assert set(terms) == {"label", "likelihood"}


def outcome(model: AttributeMixture, x: Tensor, labels: Tensor) -> tuple[float, float]:
    """Flip rate, and share of other labels kept, of edits from rows without the value."""
    flips, kept = [], []
    for c in range(LAYOUT.categories):
        attribute, value = LAYOUT.locate(c)
        rows = labels[:, LAYOUT.columns[attribute]].argmax(1) != value
        with torch.no_grad():
            after = score(x[rows, None] + model.offset(x[rows], torch.full((int(rows.sum()),), c)))
        for a, columns in enumerate(LAYOUT.columns):
            now, then = after[:, columns].argmax(1), labels[rows][:, columns].argmax(1)
            (flips if a == attribute else kept).append((now == (value if a == attribute else then)).float().mean())
    return float(torch.stack(flips).mean()), float(torch.stack(kept).mean())


@pytest.mark.parametrize("layers", [1, 2])
def test_edits_taught_through_the_labels_arrive_and_leave_others_alone(world, layers):
    x, labels, logits = world
    model = fitted(x, labels, layers=layers)
    model.coordinates.requires_grad_(False)
    flips, kept = outcome(model, x[:400], labels[:400])
    loss = Refinement(model, x, labels, logits, seen, Weights(), seed=0, rows=64, edits=64)
    for _ in Fit([p for p in model.parameters() if p.requires_grad], loss, steps=150, lr=3e-3):
        pass
    taught_flips, taught_kept = outcome(model, x[:400], labels[:400])
    assert taught_flips > max(0.9, flips)
    assert taught_kept > kept - 0.01


def test_the_surrogate_labels_samples_that_it_has_not_seen(world):
    x, _, logits = world
    network = fit_surrogate(x[:1600], logits[:1600], LAYOUT, seed=0, steps=300)
    with torch.no_grad():
        guess, _ = network(x[1600:, None])
    for columns in LAYOUT.columns:
        right = guess[:, columns].argmax(1) == logits[1600:, columns].argmax(1)
        assert right.float().mean() > 0.8
    assert not any(p.requires_grad for p in network.parameters())


CONTRAST = torch.full((BANDS,), 1.0)


def find_neighbours(x: Tensor, logits: Tensor) -> Neighbours:
    return Neighbours(x, x[:, :4], logits, levels_of(x), 1.0, LAYOUT, HELD)


def thumbnails_of(x: Tensor) -> Tensor:
    """(N, DIM) as images of one row, for coordinates up to 8."""
    return x[:, None, None] / 8


def levels_of(x: Tensor) -> Tensor:
    """(N, DIM) as uint8 thumbnails."""
    return ((thumbnails_of(x) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def pictured(x: Tensor, random: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Logits, and x itself as an image of one row."""
    return score(x), thumbnails_of(x.mean(1))


def optimise(x: Tensor, category: Tensor, neighbours: Neighbours, steps: int, network: Score = pictured) -> Tensor:
    """Offsets of x (N, L, DIM) with a light weight of the image's change."""
    found = Optimisation(network, neighbours, CONTRAST, PriceWeights(picture=0.1), steps)
    y = x.mean(1)[:, :4]
    return found.find_offsets(x, category, y, y, 0 * x[:, :1])


def wrong(x: Tensor, offset: Tensor, category: Tensor) -> Tensor:
    """What edits of x (N, L, DIM) miss and break, (N,)."""
    before, after = (log_labels(score(rows), LAYOUT, "log") for rows in (x, x + offset))
    missed, broken = edit_divergences(before, after, category, LAYOUT, HELD)
    return missed + broken


@pytest.mark.parametrize("layers", [1, 2])
def test_optimised_edits_arrive_and_keep_others(world, layers):
    x, labels, logits = world
    model = fitted(x, labels, correction=False)
    category = draw_categories(LAYOUT, labels[:100], generator_for(6, 0))
    with torch.no_grad():
        offset = model.offset(x[:100], category)
    rows = x[:100, None].expand(-1, layers, -1)
    start, optimised = (optimise(rows, category, find_neighbours(x, logits), steps) for steps in (1, 60))
    assert wrong(rows, optimised, category).mean() < 0.5 * wrong(rows, offset, category).mean()
    assert wrong(rows, optimised, category).mean() < wrong(rows, start, category).mean()
    assert optimised.shape == rows.shape and not optimised.requires_grad
    if layers == 1:
        assert torch.allclose((rows + optimised).norm(dim=2), rows.norm(dim=2), rtol=1e-4), "on the prior's sphere"
    else:
        assert not torch.equal(optimised[:, 0], optimised[:, 1])


def test_layers_move_inside_the_hull_of_the_image_and_its_neighbours(world):
    x, labels, logits = world
    rows, category = x[:20, None].expand(-1, 3, -1), draw_categories(LAYOUT, labels[:20], generator_for(7, 0))
    neighbours = find_neighbours(x, logits)
    price = Price.of(pictured, rows, category, neighbours, CONTRAST, PriceWeights(0.1))
    nearest = neighbours.find_nearest(
        x[:20, :4], x[:20, :4], logits[:20], thumbnails_of(x[:20]), category, PriceWeights(0.1), 5
    ).x
    moved = optimise_in_hull(price, nearest, 30)
    corners = torch.cat([x[:20, None], nearest], 1)  # (20, 6, DIM)
    for layer in moved.unbind(1):
        for place, hull in zip(layer, corners, strict=True):
            weights = torch.linalg.lstsq((hull[1:] - hull[0]).T, place - hull[0]).solution
            assert torch.allclose(hull[0] + weights @ (hull[1:] - hull[0]), place, atol=1e-3), "in its span"
            assert weights.min() > -1e-3 and weights.sum() < 1 + 1e-3, "and convex"


def test_several_targets_are_reached_at_once(world):
    x, _, logits = world
    category = torch.tensor([[0, 2], [1, 3], [0, 5]])
    rows = x[:3, None].expand(-1, 2, -1)
    after = score(rows + optimise(rows, category, find_neighbours(x, logits), 60))
    for row, goals in zip(after, category.tolist(), strict=True):
        for attribute, value in map(LAYOUT.locate, goals):
            assert row[LAYOUT.columns[attribute]].argmax() == value


def test_optimised_rows_do_not_see_each_other(world):
    x, _, logits = world
    category, neighbours = torch.tensor([0, 3, 6]), find_neighbours(x, logits)
    for layers in (1, 2):
        rows = x[:3, None].expand(-1, layers, -1)
        together = optimise(rows, category, neighbours, 5)
        alone = [optimise(rows[i : i + 1], category[i : i + 1], neighbours, 5) for i in range(3)]
        assert torch.allclose(together, torch.cat(alone), atol=1e-5)


def test_the_nearest_members_have_the_value_and_the_other_labels(world):
    x, _, logits = world
    rows, values = x[:20], [logits[:, c].argmax(1) for c in LAYOUT.columns]
    for category in range(LAYOUT.categories):
        attribute, value = LAYOUT.locate(category)
        goal = torch.full((20,), category)
        neighbours = find_neighbours(x, logits)
        nearest = neighbours.find_nearest(
            rows[:, :4], rows[:, :4], logits[:20], thumbnails_of(rows), goal, PriceWeights(0.1), 3
        ).x
        assert nearest.shape == (20, 3, DIM)
        for member in nearest.unbind(1):
            found = [int((x == one).all(1).nonzero()[0]) for one in member]
            assert (values[attribute][found] == value).all()
            others = [v for a, v in enumerate(values) if a != attribute]
            assert torch.stack([(v[found] == v[:20]).float().mean() for v in others]).mean() > 0.8


@pytest.mark.parametrize("what", ["thumbnail", "wanted"])
def test_of_members_that_are_as_good_the_near_ones_are_taken(world, what):
    x, _, logits = world
    pool = torch.cat([x[:1] + 3.0, x[:1] + 0.1])
    still = torch.zeros(2, DIM)
    shown, y = (pool, still) if what == "thumbnail" else (still, pool)
    alike = Neighbours(pool, y, logits[:1].expand(2, -1), levels_of(shown), 1.0, LAYOUT, HELD)
    wanted, seen = (x[:1], 0 * x[:1]) if what == "wanted" else (0 * x[:1], x[:1])
    nearest = alike.find_nearest(
        wanted, wanted, logits[:1], thumbnails_of(seen), torch.tensor([0]), PriceWeights(), 64
    ).x
    assert torch.equal(nearest[0], pool.flip(0)), "there are but two"


def test_values_are_certain_as_their_members_are(world):
    x, _, logits = world
    labels = log_labels(logits, LAYOUT, "log").exp()
    certain = find_neighbours(x, logits).certain
    for category in range(LAYOUT.categories):
        columns = LAYOUT.columns[LAYOUT.locate(category)[0]]
        members = labels[labels[:, columns].argmax(1) == category - columns.start, category]
        assert certain[category] == min(members.median(), torch.tensor(0.999))


def test_edits_arrive_where_gradients_lead_nowhere(world):
    x, labels, logits = world
    category = draw_categories(LAYOUT, labels[:60], generator_for(6, 0))

    def stepped(rows: Tensor, random: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        logits, images = pictured(rows.round(decimals=1))
        return logits + 0 * rows.sum(), images + 0 * rows.sum()  # a gradient of zero, as on a plateau

    offset = optimise(x[:60, None], category, find_neighbours(x, logits), 3, stepped)
    after, goals = score(x[:60, None] + offset), [LAYOUT.locate(c) for c in category.tolist()]
    arrived = [row[LAYOUT.columns[a]].argmax() == v for row, (a, v) in zip(after, goals, strict=True)]
    assert torch.stack(arrived).float().mean() > 0.9


def test_bands_add_up_to_the_image_and_have_units():
    images = torch.randn(3, 2, 9, 14, generator=generator_for(0, 0))
    double = torch.nn.Upsample(scale_factor=2)
    details, middle, coarse = split_bands(images)
    whole = double(double(coarse)[..., :5, :7] + middle)[..., :9, :14] + details
    assert torch.allclose(whole, images, atol=1e-5)
    units = torch.tensor([float(band.abs().mean()) for band in split_bands(images)])
    assert torch.allclose(band_change(0 * images, images, units).mean(), torch.tensor(1.0))
    assert torch.equal(band_change(images, images, units), torch.zeros(3))


def test_an_editor_moves_by_strength_and_away_from_a_value(world):
    x, labels, _ = world
    editor = MixtureEditor(fitted(x, labels, correction=False), RawLatent())
    x = x[:4, None].expand(-1, 2, -1)
    offset, back = editor.offset(x, 1), editor.offset(x, 1, away=True)
    moved = editor.edit(x, 1, torch.tensor([0.0, 0.5, 2.0, -1.0]))
    assert torch.equal(moved[0], x[0])
    assert torch.allclose(moved[1:3], x[1:3] + torch.tensor([0.5, 2.0])[:, None, None] * offset[1:3])
    assert torch.allclose(moved[3], x[3] + back[3])
    assert torch.allclose(back, editor.offset(x, 0), atol=1e-5)  # the other of two values


def test_layers_that_the_target_does_not_need_are_restored(world):
    x, _, logits = world
    rows, category = x[:20, None].expand(-1, 2, -1), torch.zeros(20, dtype=torch.long)  # of the first attribute
    price = Price.of(pictured, rows, category, find_neighbours(x, logits), CONTRAST, PriceWeights(1.0))
    nearest = (
        find_neighbours(x, logits)
        .find_nearest(x[:20, :4], x[:20, :4], logits[:20], thumbnails_of(x[:20]), category, PriceWeights(1.0), 1)
        .x
    )
    moved = nearest.expand(-1, 2, -1)
    found = restore_layers(price, moved)
    assert (found[:, 1] == rows[:, 1]).all(1).float().mean() > 0.9, "the last layer makes the third attribute alone"
    assert (price(found) <= price(moved)).all() and (price(found) < price(moved)).any()
    arrived = price.parts(moved)[0] == 0
    assert (price.parts(found)[0][arrived] < 0.7).all()


def test_what_one_look_alone_accepts_has_not_arrived(world):
    """A classifier that sees the target in one way of disturbing, whatever the image: edits must satisfy the others."""
    x, _, logits = world
    rows, category = x[:40, None], torch.zeros(40, dtype=torch.long)

    def gullible(rows: torch.Tensor, random: torch.Generator | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        seen, images = pictured(rows, random)
        if random is not None and random.initial_seed() == 2:
            seen = seen + 50 * torch.eye(seen.shape[1])[0]
        return seen, images

    price = Price.of(gullible, rows, category, find_neighbours(x, logits), CONTRAST, PriceWeights(0.1))
    free = rows.clone()
    found = take_steps(price, lambda: free, [free], 2 * LOOKS, 0.2)
    alone = torch.stack([price(found, step) for step in range(LOOKS)])
    assert torch.allclose(price.in_all_looks(found), alone.mean(0))
    assert (price.in_all_looks(found) <= price.in_all_looks(rows)).all(), "the start was among the places"
    assert (price.parts(rows)[0] > 0.7).any() and (price.parts(rows, 2)[0] < 1e-3).all(), "which one look accepts"
    assert (price.parts(found)[0] < 0.7).float().mean() > (price.parts(rows)[0] < 0.7).float().mean()
