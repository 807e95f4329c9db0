"""The embedded data set: factors follow their stated distribution, pictures follow the factors."""

import itertools

import pytest
import torch

from gmmedit.datasets.avatars import renderer
from gmmedit.datasets.avatars.factors import (
    ATTRIBUTES,
    BLOCK,
    CAUSAL_MODEL,
    DETAILS,
    NUISANCES,
    SHOWN_WITH,
    Factors,
    counterfactual,
    sample_causal,
    sample_independent,
    shown,
)
from gmmedit.datasets.avatars.renderer import render

NAMES = list(ATTRIBUTES)
SIZES = [len(values) for values in ATTRIBUTES.values()]
SAMPLERS = [sample_causal, sample_independent]


def columns(factors: Factors) -> torch.Tensor:
    return torch.cat([factors.attributes, factors.details, factors.nuisances], dim=1)


def forced(factors: Factors, name: str, value: int) -> Factors:
    attributes = factors.attributes.clone()
    attributes[:, NAMES.index(name)] = value
    return Factors(attributes, factors.details, factors.nuisances)


def joint() -> dict[tuple[int, ...], float]:
    """The probability of every combination of attribute values, by enumeration of the table."""
    result = {}
    for combination in itertools.product(*map(range, SIZES)):
        probability = 1.0
        for name, (parents, table) in CAUSAL_MODEL.items():
            entry = table
            for parent in parents:
                entry = entry[combination[NAMES.index(parent)]]
            probability *= entry[combination[NAMES.index(name)]]
        result[combination] = probability
    return result


def pairs() -> list[tuple[int, int, int, int]]:
    return [
        (i, a, j, b)
        for i, j in itertools.combinations(range(len(NAMES)), 2)
        for a, b in itertools.product(range(SIZES[i]), range(SIZES[j]))
    ]


@pytest.mark.parametrize("sample", SAMPLERS)
def test_samples_are_deterministic_and_rows_do_not_depend_on_n(sample):
    many = columns(sample(BLOCK + 7, seed=3))
    assert torch.equal(columns(sample(BLOCK + 7, seed=3)), many)
    assert torch.equal(columns(sample(10, seed=3)), many[:10])
    assert torch.equal(columns(sample(BLOCK, seed=3)), many[:BLOCK])
    assert not torch.equal(columns(sample(10, seed=4)), many[:10])
    assert not torch.equal(many[BLOCK:], many[:7])
    assert len(sample(0, seed=3)) == 0


@pytest.mark.parametrize("sample", SAMPLERS)
def test_factors_have_their_shapes_and_ranges(sample):
    factors = sample(2000, seed=1)
    assert factors.attributes.dtype == torch.long
    assert factors.attributes.shape == (2000, 7)
    assert factors.attributes.amax(0).tolist() == [size - 1 for size in SIZES]
    assert factors.attributes.amin(0).tolist() == [0] * 7
    for values, width in ((factors.details, len(DETAILS)), (factors.nuisances, len(NUISANCES))):
        assert values.shape == (2000, width)
        assert values.amin() >= -1 and values.amax() <= 1
        assert (values.amin(0) < -0.98).all() and (values.amax(0) > 0.98).all()


def test_the_causal_table_is_a_distribution_without_rare_pairs():
    table = joint()
    assert sum(table.values()) == pytest.approx(1)
    for i, a, j, b in pairs():
        assert sum(p for c, p in table.items() if c[i] == a and c[j] == b) >= 0.015
    rates = {n: sum(p for c, p in table.items() if c[i] == 1) for i, n in enumerate(NAMES[:6])}
    assert all(0.29 <= rate <= 0.6 for rate in rates.values()), rates
    for color in range(5):
        assert sum(p for c, p in table.items() if c[6] == color) >= 0.12


def test_causal_samples_follow_the_table():
    n = 40_000
    attributes = sample_causal(n, seed=0).attributes
    table = joint()
    for i, a, j, b in pairs():
        expected = sum(p for c, p in table.items() if c[i] == a and c[j] == b)
        seen = ((attributes[:, i] == a) & (attributes[:, j] == b)).double().mean().item()
        assert seen == pytest.approx(expected, abs=5 * (expected / n) ** 0.5)


def test_an_intervention_keeps_the_noise_and_changes_what_follows():
    before, men = sample_causal(2_000, 3), sample_causal(2_000, 3, {"gender": "male"})
    was_male = before.attributes[:, NAMES.index("gender")] == 1
    assert torch.equal(columns(men)[was_male], columns(before)[was_male])
    assert (men.attributes[:, NAMES.index("gender")] == 1).all()
    beards = men.attributes[:, NAMES.index("beard")].double().mean()
    assert beards == pytest.approx(0.62, abs=5 * (0.62 * 0.38 / 2_000) ** 0.5)
    bearded = sample_causal(2_000, 3, {"beard": "yes"})  # causes nothing
    others = [i for i in range(len(NAMES)) if NAMES[i] != "beard"]
    assert torch.equal(bearded.attributes[:, others], before.attributes[:, others])
    assert torch.equal(bearded.nuisances, before.nuisances)
    with pytest.raises(ValueError):
        sample_causal(1, 0, {"gender": "neither"})


def test_independent_samples_are_independent_and_uniform():
    n = 40_000
    factors = sample_independent(n, seed=0)
    for i, a, j, b in pairs():
        expected = 1 / (SIZES[i] * SIZES[j])
        seen = ((factors.attributes[:, i] == a) & (factors.attributes[:, j] == b)).double().mean().item()
        assert seen == pytest.approx(expected, abs=5 * (expected / n) ** 0.5)
    correlation = torch.corrcoef(columns(factors).T) - torch.eye(columns(factors).shape[1])
    assert correlation.abs().max() < 5 / n**0.5


def test_pictures_are_deterministic_floats_within_range():
    factors = sample_independent(30, seed=2)
    images = render(factors)
    assert images.shape == (30, 3, 64, 64)
    assert images.dtype == torch.float32
    assert images.isfinite().all()
    assert images.amin() >= -1 and images.amax() <= 1
    assert images.std(dim=(1, 2, 3)).amin() > 0.2
    assert torch.equal(render(sample_independent(30, seed=2)), images)
    assert render(sample_independent(0, seed=2)).shape == (0, 3, 64, 64)


def test_pictures_do_not_depend_on_the_batch(monkeypatch):
    factors = sample_independent(20, seed=5)
    whole = render(factors)
    assert torch.equal(render(factors[3:4]), whole[3:4])
    monkeypatch.setattr(renderer, "CHUNK", 7)
    assert torch.equal(render(factors), whole)


@pytest.mark.parametrize("name", NAMES)
def test_every_attribute_shows_in_every_person_and_leaves_the_rest_alone(name):
    people = sample_independent(64, seed=7)
    pictures = [render(forced(people, name, value)) for value in range(len(ATTRIBUTES[name]))]
    for first, second in itertools.combinations(pictures, 2):
        change = (first - second).abs()
        assert change.mean(dim=(1, 2, 3)).amin() > 0.003
        assert ((change > 0.25).any(dim=1).sum(dim=(1, 2)) >= 25).all()
        assert (change.amax(1) > 0.02).float().mean() < 0.5


@pytest.mark.parametrize("name", NUISANCES)
def test_every_nuisance_shows(name):
    people = sample_independent(16, seed=8)
    pictures = []
    for value in (-1.0, 1.0):
        nuisances = people.nuisances.clone()
        nuisances[:, NUISANCES.index(name)] = value
        pictures.append(render(Factors(people.attributes, people.details, nuisances)))
    assert (pictures[0] - pictures[1]).abs().mean(dim=(1, 2, 3)).amin() > 0.002


def test_a_counterfactual_changes_one_attribute_and_nothing_else():
    people = sample_causal(64, 5)
    changed = counterfactual(people, "glasses", "yes")
    others = [i for i, name in enumerate(NAMES) if name != "glasses"]
    assert (changed.attributes[:, NAMES.index("glasses")] == 1).all()
    assert torch.equal(changed.attributes[:, others], people.attributes[:, others])
    assert torch.equal(changed.numbers(DETAILS + NUISANCES), people.numbers(DETAILS + NUISANCES))
    without = people.attributes[:, NAMES.index("glasses")] == 0
    apart = (render(changed) - render(people)).abs().flatten(1).amax(1)
    assert (apart[without] > 0.1).all() and not apart[~without].any()
    with pytest.raises(KeyError):
        counterfactual(people, "hat", "yes")
    with pytest.raises(ValueError):
        counterfactual(people, "glasses", "round")


def test_numbers_are_columns_by_name():
    people = sample_independent(8, 6)
    assert torch.equal(people.numbers(("x", "jaw")), torch.stack([people.nuisances[:, 6], people.details[:, 1]], 1))
    assert people.numbers(()).shape == (8, 0)
    with pytest.raises(KeyError):
        people.numbers(("hat",))


@pytest.mark.parametrize("name", SHOWN_WITH)
def test_a_detail_is_seen_exactly_where_it_is_said_to_be(name):
    people = sample_independent(48, 7)
    details = people.details.clone()
    details[:, DETAILS.index(name)] = -details[:, DETAILS.index(name)].sign()
    apart = (render(Factors(people.attributes, details, people.nuisances)) - render(people)).abs().flatten(1).amax(1)
    seen = shown(people.attributes, (name, "jaw"))
    assert seen[:, 1].all()
    assert (apart[seen[:, 0]] > 0.02).all()
    if name != "parting":  # below bangs it still shapes their edge a little
        assert not apart[~seen[:, 0]].any()
