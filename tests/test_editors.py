"""The rivals on hand-made Gaussian data, where the right answer is known, and what all editors have in common."""

import pytest
import torch
from small_material import APART, LAYOUT, D, directions, drawn, edited, logits_of, material, offset, unit
from torch import Tensor

from gmmedit.editors import catalogue
from gmmedit.editors.base import Editor, Material
from gmmedit.editors.baselines.interfacegan import fit_svm_normal, project_normals
from gmmedit.editors.baselines.linear import REACH, LinearEditor, make_linear_editor
from gmmedit.editors.mixture import MixtureEditor
from gmmedit.errors import InputError
from gmmedit.mixture import Layout
from gmmedit.runtime.extras import import_extra
from gmmedit.spaces import fit_affine_chart

SUPERVISED = ("interfacegan", "logistic", "mean-difference")


@pytest.fixture(scope="module")
def it() -> Material:
    latents = drawn(20_000, D)
    return material(latents, logits_of(latents))


@pytest.fixture(scope="module")
def linear(it: Material) -> dict[str, LinearEditor]:
    return {name: catalogue.fit_editor(name, it) for name in (*SUPERVISED, "interfacegan-conditional", "random")}


def steps(editor: LinearEditor) -> Tensor:
    return editor.steps.squeeze(1)


# One direction per category


@pytest.mark.parametrize("name", SUPERVISED)
def test_known_directions_are_found(name: str, linear: dict[str, LinearEditor]) -> None:
    known, colours = directions(), torch.eye(3) - 1 / 3
    wanted = torch.stack([-known[0], known[0], -known[1], known[1], *(colours @ known[2:])])
    cosines = (unit(steps(linear[name])) * unit(wanted)).sum(1)
    assert (cosines > 0.97).all(), cosines
    assert ((unit(steps(linear["random"])) * unit(wanted)).sum(1) < 0.97).all()


@pytest.mark.parametrize("name", [*SUPERVISED, "interfacegan-conditional", "random"])
def test_a_unit_of_strength_is_as_long_for_all(name: str, linear: dict[str, LinearEditor]) -> None:
    torch.testing.assert_close(steps(linear[name]).norm(dim=1), torch.full((7,), REACH), rtol=0.02, atol=0)


def test_the_mean_difference_is_that_of_the_labels(it: Material) -> None:
    halves = material(it.latents, 1e3 * it.logits)  # certain labels
    found = steps(catalogue.fit_editor("mean-difference", halves))
    has = halves.labels[:, 1] > 0.5
    wanted = it.latents[has].mean(0) - it.latents[~has].mean(0)
    assert wanted.norm() == pytest.approx(APART, rel=0.02)
    torch.testing.assert_close(unit(found[1]), unit(wanted), atol=1e-3, rtol=0)


def test_a_direction_ignores_how_the_latent_is_shifted_and_scaled(it: Material) -> None:
    latents = 3 * it.latents + 5
    for name in SUPERVISED:
        moved, plain = catalogue.fit_editor(name, material(latents, it.logits)), catalogue.fit_editor(name, it)
        torch.testing.assert_close(steps(moved), 3 * steps(plain), atol=0.02 * 3 * REACH, rtol=0.05)


def test_few_samples_are_enough_for_a_normal() -> None:
    latents = drawn(60, D)
    assert fit_svm_normal(latents, latents[:, 0] + 1) @ torch.eye(D)[0] > 0.9


def test_the_conditional_form_leaves_the_other_attributes_alone(linear: dict[str, LinearEditor]) -> None:
    plain, conditional = steps(linear["interfacegan"]), steps(linear["interfacegan-conditional"])
    normals = unit(plain)
    for attribute, columns in enumerate(LAYOUT.columns):
        for other, theirs in enumerate(LAYOUT.columns):
            if other != attribute:
                assert (conditional[columns] @ normals[theirs].T).abs().max() < 0.05
    assert abs(plain[1] @ normals[3]) > 1, "the plain form drags the other one along"
    assert ((conditional * normals).sum(1) > 1).all(), "and it still goes towards the value"


def test_a_normal_that_others_hold_cannot_be_edited_alone() -> None:
    rows = unit(torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [1, 1, 0], [-1, -1, 0]]))
    found = project_normals(rows, Layout((2, 2, 2)).columns)
    assert torch.equal(found, torch.zeros(6, 3))
    latents = drawn(100, 3)
    assert torch.equal(make_linear_editor(found, latents).offset(latents[:, None], 0), torch.zeros(100, 1, 3))


def test_every_value_of_many_is_reached(it: Material, linear: dict[str, LinearEditor]) -> None:
    colours, x = directions()[2:], it.latents[:200]
    for value in range(3):
        moved = edited(linear["interfacegan-conditional"], x, 4 + value, 1.0) @ colours.T
        assert (moved.argmax(1) == value).float().mean() > 0.95
        assert ((x @ colours.T).argmax(1) == value).float().mean() < 0.5


# Moments


MEANS = torch.tensor([[0.0, 0.0, 0.0], [30.0, 0.0, 5.0], [80.0, 1.0, 0.0]])
FACTORS = torch.tensor(
    [
        [[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.0, 0.3, 0.5]],
        [[2.0, 0.0, 0.0], [-1.0, 0.5, 0.0], [0.7, 0.0, 1.5]],
        [[0.5, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 0.5]],
    ]
)


@pytest.fixture(scope="module")
def clusters() -> Tensor:
    """(3, n, 3): samples of three Gaussians so far apart that nobody is in doubt."""
    return MEANS[:, None] + drawn(3, 1000, 3) @ FACTORS.mT


def moments(clusters: Tensor, name: str = "moments", seed: int = 0) -> MixtureEditor:
    certain = 50 * torch.eye(3).repeat_interleave(clusters.shape[1], 0)
    return catalogue.fit_editor(name, material(clusters.flatten(0, 1), certain, Layout((3,)), seed=seed))


@pytest.mark.parametrize("value", range(3))
def test_the_coupled_draw_carries_the_moments_over(clusters: Tensor, value: int) -> None:
    editor = moments(clusters)
    for start in range(3):
        moved = edited(editor, clusters[start], value, 1.0)
        torch.testing.assert_close(moved.mean(0), clusters[value].mean(0), atol=2e-3, rtol=0)
        torch.testing.assert_close(moved.T.cov(), clusters[value].T.cov(), atol=2e-2, rtol=1e-2)
    assert offset(editor, clusters[value], value).abs().max() < 1e-3, "nobody moves who is there already"


def test_the_patent_forgets_where_it_came_from(clusters: Tensor) -> None:
    editor, other = moments(clusters, "patent"), moments(clusters, "patent", seed=1)
    near, far = (edited(editor, clusters[start], 1, 1.0) for start in (0, 2))
    torch.testing.assert_close(near, far, atol=1e-3, rtol=0)
    assert (near - edited(other, clusters[0], 1, 1.0)).abs().max() > 1
    torch.testing.assert_close(near.mean(0), MEANS[1], atol=0.3, rtol=0)
    torch.testing.assert_close(near.T.cov(), FACTORS[1] @ FACTORS[1].T, atol=0.6, rtol=0)


def test_the_patent_interpolates_in_the_latent_itself(clusters: Tensor) -> None:
    editor, start = moments(clusters, "patent"), clusters[2]
    half, whole = edited(editor, start, 1, 0.5), edited(editor, start, 1, 1.0)
    torch.testing.assert_close(half, (start + whole) / 2, atol=1e-3, rtol=0)


def test_the_affine_chart_drops_what_does_not_vary_and_bends_nothing() -> None:
    flat = drawn(500, 2) @ torch.tensor([[1.0, 2.0, 0.0], [0.0, 50.0, 0.0]]) + torch.tensor([0.0, 0.0, 7.0])
    chart = fit_affine_chart(flat)
    x = chart.to_x(flat)
    assert x.shape == (500, 2) and chart.slope == 1
    torch.testing.assert_close(x.T.cov(), torch.eye(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(chart.from_x(x), flat, atol=1e-3, rtol=0)


# The contract


def test_away_is_towards_the_nearest_other_value(clusters: Tensor) -> None:
    editor = moments(clusters)
    for value, nearest in ((0, 1), (1, 0), (2, 1)):
        moved = clusters[value] + offset(editor, clusters[value], value, away=True)
        torch.testing.assert_close(moved.mean(0), clusters[nearest].mean(0), atol=2e-3, rtol=0)
    beyond = clusters[1, :5] + torch.tensor([35.0, 0, 0])  # on the side of the third
    moved = beyond + offset(editor, beyond, 1, away=True)
    assert (torch.cdist(moved, MEANS).argmin(1) == 2).all()


def test_away_of_a_direction_is_its_opposite(it: Material, linear: dict[str, LinearEditor]) -> None:
    editor, x = linear["interfacegan"], it.latents[:3]
    assert torch.equal(offset(editor, x, 2, away=True), -offset(editor, x, 2))


@pytest.mark.parametrize("name", ["interfacegan", "moments"])
def test_strengths(name: str, it: Material, linear: dict[str, LinearEditor], clusters: Tensor) -> None:
    editor: Editor = linear[name] if name in linear else moments(clusters)
    rows = it.latents[:4, None] if name in linear else clusters[:, 0].repeat(2, 1)[:4, None]
    strength = torch.tensor([0.0, 0.5, 1.0, -2.0])
    moved = editor.edit(rows, 1, strength)
    assert torch.equal(moved[0], rows[0]), "strength 0 leaves x alone, to the last bit"
    towards, away = editor.offset(rows, 1), editor.offset(rows, 1, away=True)
    torch.testing.assert_close(moved[1:3], rows[1:3] + strength[1:3, None, None] * towards[1:3])
    torch.testing.assert_close(moved[3], rows[3] + 2 * away[3])


def test_ours_come_first_and_the_floor_last() -> None:
    names = catalogue.names()
    assert names[:2] == ["mixture-polished", "mixture"] and names[-2:] == ["random", "none"]


def test_a_package_that_is_missing_is_named() -> None:
    with pytest.raises(InputError, match="flow needs the package no_such_package") as caught:
        import_extra("no_such_package.flows", "flow")
    assert caught.value.hint == "pip install 'gmmedit[baselines]'"
