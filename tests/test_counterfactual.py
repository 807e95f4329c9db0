"""benchmarks/counterfactual.py: the true counterfactual has no error, and other changes have their own size."""

from pathlib import Path

import pytest
import torch

from gmmedit.datasets.avatars.factors import ATTRIBUTES, DETAILS, NUISANCES, Factors, counterfactual, sample_independent

NAMES = DETAILS + NUISANCES
PEOPLE = sample_independent(200, 8)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The script is not installed."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")


def compare(after: Factors, attribute: str, value: str):
    """Errors of edits that are read without any error."""
    import counterfactual as script

    readings = [script.Reading(factors.attributes, factors.numbers(NAMES)) for factors in (PEOPLE, after)]
    return script.compare(*readings, attribute, value, NAMES, script.deviations(NAMES))


@pytest.mark.parametrize(("attribute", "value"), [("smile", "no"), ("glasses", "yes"), ("hair_color", "grey")])
def test_the_true_counterfactual_has_no_error(attribute, value):
    errors = compare(counterfactual(PEOPLE, attribute, value), attribute, value)
    assert errors.figures(NAMES, NAMES) == [1, 1, 0, 0]


def test_every_change_counts_in_its_own_unit():
    import counterfactual as script

    unit = script.deviations(NAMES)
    after = counterfactual(PEOPLE, "glasses", "yes")
    nuisances = after.nuisances.clone()
    nuisances[:, NUISANCES.index("skin")] += 2 * unit[NAMES.index("skin")]
    errors = compare(Factors(after.attributes, after.details, nuisances), "glasses", "yes")
    torch.testing.assert_close(errors.changes[:, NAMES.index("skin")], torch.full((200,), 2.0), atol=1e-5, rtol=0)
    assert errors.figures(NAMES, NAMES)[2:] == pytest.approx([0, 2 / len(NUISANCES)], abs=1e-5)
    assert errors.figures(NAMES, ("jaw", "skin", "x"))[2:] == pytest.approx([0, 1], abs=1e-5)


def test_details_count_where_they_are_seen_before_and_after_and_are_not_the_targets():
    details = PEOPLE.details + 1
    after = counterfactual(Factors(PEOPLE.attributes, details, PEOPLE.nuisances), "glasses", "yes")
    counted = compare(after, "glasses", "yes").changes.isfinite()
    smiling = PEOPLE.attributes[:, list(ATTRIBUTES).index("smile")] == 1
    assert torch.equal(counted[:, NAMES.index("smile_width")], smiling)
    assert counted[:, NAMES.index("jaw")].all() and not counted[:, NAMES.index("frame_size")].any()


def test_lost_targets_and_others_are_counted():
    unchanged = compare(PEOPLE, "smile", "yes")
    assert torch.equal(unchanged.reached, (PEOPLE.attributes[:, 0] == 1).float()) and unchanged.kept.mean() == 1
    also = counterfactual(counterfactual(PEOPLE, "smile", "yes"), "beard", "yes")
    lost = PEOPLE.attributes[:, list(ATTRIBUTES).index("beard")] == 0
    torch.testing.assert_close(compare(also, "smile", "yes").kept, 1 - lost / 6)


def test_rendered_counterfactuals_are_read_nearly_without_error():
    import counterfactual as script

    from gmmedit import classifiers

    floors = script.measure_floors(classifiers.load("avatars-factors"), 16)
    for name, least in ((script.FLOOR, 0.98), (script.DISTURBED, 0.97)):
        figures = torch.tensor([errors.figures(NAMES, NAMES) for errors in floors[name]]).mean(0)
        assert figures[0] > least and figures[1] > least and (figures[2:] < 0.5).all(), name
