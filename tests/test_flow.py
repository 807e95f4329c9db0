"""The flow whose first dimensions are the attributes."""

import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from small_material import D, drawn, edited, logits_of, material, offset
from torch import Tensor

from gmmedit.editors.base import Material, Unsuitable
from gmmedit.editors.baselines import flow
from gmmedit.editors.baselines.flow import FlowEditor, fit_flow, label_targets, simplex_corners
from gmmedit.errors import InputError
from gmmedit.mixture import Layout

pytest.importorskip("zuko")


@pytest.fixture(scope="module", autouse=True)
def short() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow, "STEPS", 250)
        patch.setattr(flow, "HIDDEN", (32, 32))
        yield


@pytest.fixture(scope="module")
def it() -> Material:
    """Attributes along known directions of a bent space: what an additive coupling makes of a Gaussian."""
    base = drawn(3000, D)
    bent = base + torch.cat([torch.zeros(3000, 5), base[:, :1].square() / 2], 1)
    return material(bent, logits_of(base))


@pytest.fixture(scope="module")
def editor(it: Material) -> FlowEditor:
    return fit_flow(it)


def unbent(latents: Tensor) -> Tensor:
    return latents - torch.cat([torch.zeros(len(latents), 5), latents[:, :1].square() / 2], 1)


def test_targets_are_the_corners_of_a_simplex() -> None:
    assert simplex_corners(2).flatten().tolist() == pytest.approx([-1, 1])
    corners = simplex_corners(5)
    torch.testing.assert_close(corners @ corners.T, torch.eye(5) * 1.25 - 0.25, check_dtype=False)
    labels = torch.tensor([[0.25, 0.75, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.5, 0.5]])
    found = label_targets(labels, Layout((2, 3)))
    torch.testing.assert_close(found[:, 0], torch.tensor([0.5, -1.0]))
    torch.testing.assert_close(found[1, 1:], -simplex_corners(3)[0].float() / 2)


def test_the_first_dimensions_learn_the_attributes(it: Material, editor: FlowEditor) -> None:
    base, targets = editor.chart.to_x(it.latents[:, None])[:, 0], label_targets(it.labels, it.layout)
    together = torch.stack([base[:, :4], targets], 2)
    for column in together.unbind(1):
        assert column.T.corrcoef()[0, 1] > 0.8
    assert base[:, 4:].std() == pytest.approx(1, abs=0.15)


def test_strength_0_gives_the_latent_back_and_1_the_target(it: Material, editor: FlowEditor) -> None:
    latents = drawn(40, 3, D, seed=1)  # three layers of their own
    for category in (1, 5):
        way = editor.trajectory(latents, category)
        assert torch.equal(way(0.0), latents)
        x, moved = editor.chart.to_x(latents), editor.chart.to_x(way(1.0))
        attribute, value = it.layout.locate(category)
        rows = editor.layout.rows[attribute]
        wanted = simplex_corners(it.layout.values[attribute])[value].float().expand(40, 3, -1)
        torch.testing.assert_close(moved[..., rows], wanted, atol=1e-3, rtol=0)
        held = [i for i in range(D) if not rows.start <= i < rows.stop]
        torch.testing.assert_close(moved[..., held], x[..., held], atol=1e-3, rtol=0)


def test_edits_arrive_in_the_labels(it: Material, editor: FlowEditor) -> None:
    for attribute, columns in enumerate(it.layout.columns):
        for category in range(columns.start, columns.stop):
            start = it.logits[:500, columns].argmax(1) + columns.start
            rows = it.latents[:500][start != category]
            after = logits_of(unbent(edited(editor, rows, category, 1.0)))[:, columns].argmax(1)
            assert (after + columns.start == category).float().mean() > 0.85, attribute


def test_away_is_towards_the_nearest_other_value(editor: FlowEditor) -> None:
    latents = drawn(50, D, seed=2)
    torch.testing.assert_close(offset(editor, latents, 0, away=True), offset(editor, latents, 1))
    x = editor.chart.to_x(latents[:, None])[:, 0]
    ways = torch.stack([offset(editor, latents, category) for category in (4, 6)])
    nearest = ways.norm(dim=2).argmin(0)
    torch.testing.assert_close(offset(editor, latents, 5, away=True), ways[nearest, torch.arange(50)])
    assert len(nearest.unique()) == 2 and x.isfinite().all()


def test_a_seed_is_a_flow_and_nobody_elses_random_numbers_move(it: Material) -> None:
    few = replace(it, latents=it.latents[:200], labels=it.labels[:200])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow, "STEPS", 3)
        before = torch.get_rng_state()
        first, again, other = (fit_flow(replace(few, seed=seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    x = it.latents[:5, None]
    torch.testing.assert_close(first.chart.to_x(x), again.chart.to_x(x), rtol=1e-4, atol=1e-4)  # as LAPACK rounds
    assert not torch.equal(first.chart.to_x(x), other.chart.to_x(x))


@torch.no_grad()
def test_it_fits_where_gradients_are_off(it: Material) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow, "STEPS", 2)
        assert not fit_flow(it).chart.to_x(it.latents[:2, None]).requires_grad


def test_attributes_need_fewer_dimensions_than_there_are(it: Material) -> None:
    narrow = replace(it, latents=it.latents[:, :4])
    with pytest.raises(Unsuitable, match="attributes of 4 dimensions leave none of 4"):
        fit_flow(narrow)


def test_without_zuko(it: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zuko", None)
    monkeypatch.delitem(sys.modules, "zuko.flows", raising=False)
    with pytest.raises(InputError, match="flow needs the package zuko") as caught:
        fit_flow(it)
    assert caught.value.hint == "pip install 'gmmedit[baselines]'"
