"""The path of an edit between 0 and 1: along it the target rises, and no value shows that is neither start nor end."""

from dataclasses import replace
from typing import Any

import torch
from small_material import drawn
from torch import Tensor

from gmmedit.editors.base import RawLatent
from gmmedit.editors.mixture import MixtureEditor
from gmmedit.mixture import Layout
from gmmedit.mixture.paths import PLACES, find_shares, measure_path, places, read_targets, skip

LAYOUT = Layout((3, 2))
CONTRAST = torch.ones(3)
ALPHAS = torch.linspace(0, 1, 41)[1:-1]


def colours(x: Tensor, random: object = None) -> tuple[Tensor, Tensor]:
    """Black, brown, blond by the first coordinate, -2 to 2 (late: its cube); a second attribute by the second one."""
    level, other = (x[:, 0, 0] ** 3 / 4).clamp(-3, 3), x[:, 0, 1]
    logits = 4 * torch.stack([-level, 0.6 - level.abs(), level, -other, other], 1)
    return logits, x.mean(2)[:, :, None, None].expand(-1, 1, 8, 8)


def walk(x: Tensor, offset: Tensor, path: Tensor) -> Tensor:
    """The logits (A, N, K) at ALPHAS."""
    shares = [find_shares(path, alpha.expand(len(x))) for alpha in ALPHAS]
    return torch.stack([colours(x + share[:, None, None] * offset)[0] for share in shares])


def test_between_two_values_no_third_one_shows_and_the_target_rises():
    x = torch.zeros(6, 1, 4)
    x[:, 0, 0] = -2 + 0.1 * torch.arange(6)
    offset = torch.zeros(6, 1, 4)
    offset[:, 0, 0] = 4
    goal = torch.full((6,), 2)
    straight = torch.stack([colours(x + alpha * offset)[0] for alpha in ALPHAS])[..., :3]
    assert (straight.argmax(2) == 1).any(0).all(), "the straight way leads through brown"
    path = measure_path(colours, x, offset, goal, LAYOUT, CONTRAST)
    assert path.shape == (PLACES, 6) and (path.diff(dim=0) >= 0).all()
    assert torch.equal(path[0], torch.zeros(6)) and torch.equal(path[-1], torch.ones(6))
    shown = walk(x, offset, path)[..., :3]
    assert not (shown.argmax(2) == 1).any()
    target = shown.softmax(2)[..., 2]
    assert (target.diff(dim=0) >= -1e-4).all()
    half = shown[len(ALPHAS) // 2].softmax(1)[:, 2]
    assert ((half > 0.02).all() and (half < 0.98).all()) or (shown.argmax(2) == 2).float().mean() > 0.2


def test_an_edit_that_needs_no_change_goes_straight():
    x = drawn(3, 1, 4)
    path = measure_path(colours, x, torch.zeros(3, 1, 4), torch.full((3,), 2), LAYOUT, CONTRAST)
    assert torch.allclose(find_shares(path, torch.tensor([0.25, 0.5, 0.9])), torch.tensor([0.25, 0.5, 0.9]))


def test_an_edit_that_ends_at_a_third_value_may_show_it():
    nothing, middle = torch.zeros(PLACES, 1, dtype=torch.bool), torch.zeros(PLACES, 1, dtype=torch.bool)
    middle[1:-1] = True
    rise = torch.linspace(0, 1, PLACES)[:, None].square()
    assert torch.allclose(skip(rise, nothing), rise)
    middle[1] = False
    assert torch.allclose(skip(rise, middle)[1:, 0], torch.ones(PLACES - 1)), "all of the rise that is left"
    assert torch.allclose(skip(rise, ~nothing)[:, 0], places()), "where nothing is left, straight"
    x, offset = torch.zeros(1, 1, 4), torch.zeros(1, 1, 4)
    x[:, 0, 0], offset[:, 0, 0] = -2, 2.1  # ends at brown, though it aims at blond
    path = measure_path(colours, x, offset, torch.tensor([2]), LAYOUT, CONTRAST)
    assert (walk(x, offset, path)[..., :3].argmax(2) == 1).any()


def test_several_targets_count_together():
    x = torch.zeros(2, 1, 4)
    x[:, 0, 0], x[:, 0, 1] = -2, -2
    odds, values = read_targets(colours(x)[0], torch.tensor([[2, 4], [0, 3]]), LAYOUT)
    assert values.tolist() == [[0, 3], [0, 3]] and odds[0] < -10 < 10 < odds[1]
    alone = read_targets(colours(x)[0], torch.tensor([4, 3]), LAYOUT)
    assert alone[1].shape == (2, 1) and alone[0][0] < 0 < alone[0][1]


class Way:
    """An optimisation whose edits move the first coordinate by 4."""

    asked = 0

    def find_offsets(self, x: Tensor, *_: Any) -> Tensor:
        return torch.cat([torch.full_like(x[..., :1], 4), torch.zeros_like(x[..., 1:])], 2)

    def measure_path(self, x: Tensor, offset: Tensor, category: Tensor) -> Tensor:
        self.asked += 1
        return measure_path(colours, x, offset, category, LAYOUT, CONTRAST)


def make_editor() -> MixtureEditor:
    from gmmedit.mixture.coordinates import FullSpace
    from gmmedit.mixture.gaussians import Gaussians
    from gmmedit.mixture.model import AttributeMixture

    whole = FullSpace(4, LAYOUT.values)
    return MixtureEditor(AttributeMixture(whole, Gaussians(whole.layout)), RawLatent(), optimisation=Way())  # type: ignore[arg-type]


def test_an_editor_follows_the_path_between_0_and_1_alone():
    editor, x = make_editor(), torch.zeros(3, 1, 4)
    x[:, 0, 0] = -2
    offset = editor.offset(x, 2)
    for strength in (0.0, 1.0, 1.3):
        given = torch.full((3,), strength)
        assert torch.equal(editor.edit(x, 2, given), x + given[:, None, None] * offset if strength else x)
    assert editor.optimisation.asked == 0, "nothing is measured for these"  # type: ignore[union-attr]
    moves = editor.trajectory(x, 2)
    assert torch.equal(moves(1.0), x + offset)
    for strength in (0.3, 0.7):
        moved = editor.edit(x, 2, torch.full((3,), strength))
        assert torch.equal(moved, moves(strength)) and not torch.equal(moved, x + strength * offset)
    assert editor.optimisation.asked == 1, "it is measured once"  # type: ignore[union-attr]
    mixed = editor.edit(x, 2, torch.tensor([0.3, 1.0, 1.3]))
    assert torch.equal(mixed[0], editor.edit(x, 2, torch.full((3,), 0.3))[0])
    assert torch.equal(mixed[1:], x[1:] + torch.tensor([1.0, 1.3])[:, None, None] * offset[1:])
    plain = replace(editor, optimisation=None, known={})
    x = drawn(2, 1, 4)
    assert torch.equal(plain.edit(x, 2, torch.full((2,), 0.3)), x + torch.tensor(0.3) * plain.offset(x, 2))
