"""The rivals on hand-made Gaussian data, where the right answer is known, and what all editors have in common."""

import math

import pytest
import torch
from torch import Tensor

from gmmedit.editors.base import Editor
from gmmedit.editors.interfacegan import REACH, InterFaceGAN, fit_interfacegan, svm_normal
from gmmedit.editors.mixture import MixtureEditor
from gmmedit.editors.moments import fit_moments
from gmmedit.mixture import Layout

D = 6
APART = 2 * math.sqrt(2 / math.pi)  # distance of the means of a standard normal's two halves
LAYOUT = Layout((2, 2, 3))


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def directions() -> Tensor:
    """(5, D) unit vectors: what the two two-valued attributes and three colours follow; the first two are 53° apart."""
    rows = torch.eye(D)[:5]
    rows[1] = 0.6 * rows[0] + 0.8 * rows[1]
    return rows


@pytest.fixture(scope="module")
def x() -> Tensor:
    return drawn(20_000, D)


@pytest.fixture(scope="module")
def logits(x: Tensor) -> Tensor:
    """(N, 7): log-odds 4 x'd of the two-valued ones, centred scores 4 x'd of the colours."""
    first, second, *colours = 4 * (x @ directions().T).T
    pairs = [-first / 2, first / 2, -second / 2, second / 2]
    return torch.stack([*pairs, *(torch.stack(colours) - torch.stack(colours).mean(0))], 1)


@pytest.fixture(scope="module")
def plain(x: Tensor, logits: Tensor) -> InterFaceGAN:
    return fit_interfacegan(x, logits, LAYOUT, seed=0, conditional=False)


@pytest.fixture(scope="module")
def conditional(x: Tensor, logits: Tensor) -> InterFaceGAN:
    return fit_interfacegan(x, logits, LAYOUT, seed=0, conditional=True)


def offset(editor: Editor, x: Tensor, category: int, away: bool = False) -> Tensor:
    """`Editor.offset` of samples x (N, D), which have one layer."""
    return editor.offset(x[:, None], category, away)[:, 0]


def edited(editor: Editor, x: Tensor, category: int, strength: Tensor) -> Tensor:
    return editor.edit(x[:, None], category, strength)[:, 0]


def unit(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows, dim=-1)


# InterFaceGAN


def test_the_normal_of_a_known_boundary_is_found(x: Tensor, plain: InterFaceGAN) -> None:
    known = directions()
    assert svm_normal(x, 3 * x @ known[1] + 1, seed=0) @ known[1] > 0.98
    wanted = torch.stack([-known[0], known[0], -known[1], known[1]])
    assert ((unit(plain.directions[:4]) * wanted).sum(1) > 0.98).all()


def test_a_unit_of_strength_is_the_distance_of_the_means(plain: InterFaceGAN, conditional: InterFaceGAN) -> None:
    lengths = plain.directions[:4].norm(dim=1)
    torch.testing.assert_close(lengths, torch.full((4,), REACH * APART), rtol=0.03, atol=0)
    # The conditional form goes as far along the attribute's own normal.
    along = (conditional.directions * unit(plain.directions)).sum(1)
    torch.testing.assert_close(along, plain.directions.norm(dim=1), rtol=1e-4, atol=0)


def test_the_conditional_form_leaves_the_other_attributes_alone(plain: InterFaceGAN, conditional: InterFaceGAN) -> None:
    normals = unit(plain.directions)
    for attribute, columns in enumerate(LAYOUT.columns):
        for other, theirs in enumerate(LAYOUT.columns):
            if other != attribute:
                moved = conditional.directions[columns] @ normals[theirs].T
                assert moved.abs().max() < 0.05
    assert abs(plain.directions[1] @ normals[3]) > 1, "the plain form drags the other one along"


def test_every_value_of_many_is_reached(x: Tensor, logits: Tensor, conditional: InterFaceGAN) -> None:
    colours = directions()[2:]
    for value in range(3):
        moved = edited(conditional, x[:200], 4 + value, torch.ones(200)) @ colours.T
        assert (moved.argmax(1) == value).float().mean() > 0.95
        assert ((x[:200] @ colours.T).argmax(1) == value).float().mean() < 0.5


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


def moments(clusters: Tensor, draw: str, seed: int = 0) -> MixtureEditor:
    labels = torch.eye(3).repeat_interleave(clusters.shape[1], 0)
    return fit_moments(clusters.flatten(0, 1), labels, (3,), draw, seed)


@pytest.mark.parametrize("value", range(3))
def test_the_coupled_draw_carries_the_moments_over(clusters: Tensor, value: int) -> None:
    editor = moments(clusters, "coupled")
    for start in range(3):
        moved = clusters[start] + offset(editor, clusters[start], value)
        torch.testing.assert_close(moved.mean(0), clusters[value].mean(0), atol=2e-3, rtol=0)
        torch.testing.assert_close(moved.T.cov(), clusters[value].T.cov(), atol=2e-2, rtol=1e-2)
    assert offset(editor, clusters[value], value).abs().max() < 1e-3, "nobody moves who is there already"


def test_the_independent_draw_forgets_where_it_came_from(clusters: Tensor) -> None:
    editor, other = moments(clusters, "sample"), moments(clusters, "sample", seed=1)
    near, far = (clusters[start] + offset(editor, clusters[start], 1) for start in (0, 2))
    torch.testing.assert_close(near, far, atol=1e-4, rtol=0)
    assert (near - clusters[0] - offset(other, clusters[0], 1)).abs().max() > 1
    torch.testing.assert_close(near.mean(0), MEANS[1], atol=0.3, rtol=0)
    torch.testing.assert_close(near.T.cov(), FACTORS[1] @ FACTORS[1].T, atol=0.6, rtol=0)


# The contract


def test_away_is_towards_the_nearest_other_value(clusters: Tensor) -> None:
    editor = moments(clusters, "coupled")
    for value, nearest in ((0, 1), (1, 0), (2, 1)):
        moved = clusters[value] + offset(editor, clusters[value], value, away=True)
        torch.testing.assert_close(moved.mean(0), clusters[nearest].mean(0), atol=2e-3, rtol=0)
    beyond = clusters[1, :5] + torch.tensor([35.0, 0, 0])  # on the side of the third
    moved = beyond + offset(editor, beyond, 1, away=True)
    assert (torch.cdist(moved, MEANS).argmin(1) == 2).all()


def test_away_of_a_direction_is_its_opposite(x: Tensor, plain: InterFaceGAN) -> None:
    assert torch.equal(offset(plain, x[:3], 2, away=True), -offset(plain, x[:3], 2))


@pytest.mark.parametrize("name", ["plain", "moments"])
def test_strengths(name: str, x: Tensor, plain: InterFaceGAN, clusters: Tensor) -> None:
    editor: Editor = plain if name == "plain" else moments(clusters, "coupled")
    rows = x[:4] if name == "plain" else clusters[:, 0].repeat(2, 1)[:4]
    strength = torch.tensor([0.0, 0.5, 1.0, -2.0])
    moved = edited(editor, rows, 1, strength)
    assert torch.equal(moved[0], rows[0]), "strength 0 leaves x alone, to the last bit"
    towards, away = offset(editor, rows, 1), offset(editor, rows, 1, away=True)
    torch.testing.assert_close(moved[1:3], rows[1:3] + strength[1:3, None] * towards[1:3])
    torch.testing.assert_close(moved[3], rows[3] + 2 * away[3])
