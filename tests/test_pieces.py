"""Memory inside fits and edits: what does not fit at once is computed in pieces, and the result stays the same."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import check, done, gmmedit
from small_training import tiny_training  # noqa: F401
from torch import Tensor, nn

from gmmedit import artifacts
from gmmedit.errors import RunError
from gmmedit.fitting import edits
from gmmedit.run import optimisation
from gmmedit.runtime import pieces
from gmmedit.runtime.batching import in_tiles
from gmmedit.runtime.pieces import within_memory
from gmmedit.training.classifier import ClassifierTraining

Score = Callable[..., tuple[Tensor, Tensor]]


class Tight(torch.autograd.Function):
    """The identity, which runs out of memory for more rows than a card holds, forward or backward."""

    @staticmethod
    def forward(ctx, x, forward, backward, seen):
        ctx.backward_limit, ctx.seen = backward, seen
        seen.append(("forward", len(x)))
        if len(x) > forward:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        ctx.seen.append(("backward", len(grad)))
        if len(grad) > ctx.backward_limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return grad, None, None, None


def tight_score(forward: int = 1 << 20, backward: int = 1 << 20) -> tuple[Score, list[tuple[str, int]]]:
    """A generator and classifier in double precision that hold so many rows, and what they were asked for."""
    torch.manual_seed(0)
    paint, read = nn.Linear(5, 12).double(), nn.Linear(12, 4).double()
    seen: list[tuple[str, int]] = []

    def score(x: Tensor, disturbance: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        images = paint(Tight.apply(x.mean(1), forward, backward, seen)).tanh()
        noise = 0 if disturbance is None else torch.randn(12, generator=disturbance, dtype=torch.float64)
        return read(images + noise), images.view(-1, 3, 2, 2)

    return score, seen


def pass_through(score: Score, rows: int = 32) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, images and the gradient of two terms that need all rows together; the same disturbance every time."""
    x = torch.randn(rows, 2, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    random = torch.Generator().manual_seed(2)
    logits, images = score(x, random)
    loss = logits.log_softmax(0).square().mean() + images.std() + torch.rand((), generator=random)
    loss.backward()
    assert x.grad is not None
    return logits.detach(), images.detach(), x.grad


@pytest.mark.parametrize(("forward", "backward"), [(100, 100), (8, 8), (100, 8), (5, 100), (16, 3), (1, 1)])
def test_a_step_that_does_not_fit_is_computed_in_pieces(
    forward: int, backward: int, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = pass_through(tight_score()[0])
    score, seen = tight_score(forward, backward)
    fitted = within_memory(score)
    with caplog.at_level(logging.WARNING, logger="gmmedit"):
        first = pass_through(fitted)
        told = len(caplog.messages)
        seen.clear()
        again = pass_through(fitted)
    for found in (first, again):
        assert all(torch.allclose(one, other, atol=1e-12) for one, other in zip(found, wanted, strict=True))
    assert len(caplog.messages) == told, "the size that fits is kept"
    assert (told > 0) == (min(forward, backward) < 32)
    assert max(rows for _, rows in seen) <= max(min(forward, backward), 1) or min(forward, backward) >= 32
    computed = sum(rows for way, rows in seen if way == "forward")
    assert computed == (32 if min(forward, backward) >= 32 else 64), "only pieces are computed again"


@pytest.mark.parametrize("limit", [32, 20, 4])
def test_in_tiles_the_bits_stay(limit: int) -> None:
    wanted = pass_through(in_tiles(tight_score()[0], 4), 30)
    tiled = in_tiles(tight_score()[0], 4)

    def score(x: Tensor, disturbance: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        if len(x) > limit:  # the graphs of several tiles
            raise torch.OutOfMemoryError
        return tiled(x, disturbance)

    found = pass_through(within_memory(score, 4), 30)
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


def test_without_gradients_no_graph_is_made() -> None:
    score, seen = tight_score(8)
    x = torch.randn(20, 1, 5, dtype=torch.float64)
    logits, images = within_memory(score)(x)
    assert torch.allclose(logits, tight_score()[0](x)[0]) and images.shape == (20, 3, 2, 2)
    with torch.no_grad():
        assert not within_memory(score)(x.requires_grad_())[0].requires_grad
    assert all(way == "forward" for way, _ in seen)


def test_an_output_without_a_graph_has_no_gradient() -> None:
    def unlabelled(x: Tensor, disturbance: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        return x.new_zeros(len(x), 1), x * 2

    x = torch.ones(4, 1, 5, requires_grad=True)
    logits, images = within_memory(unlabelled)(x)
    (logits.sum() + images.sum()).backward()
    assert x.grad is not None and torch.equal(x.grad, torch.full_like(x, 2))
    y = torch.ones(4, 1, 5, requires_grad=True)
    within_memory(unlabelled)(y)[0].sum().backward()
    assert y.grad is not None and torch.equal(y.grad, torch.zeros_like(y))


@pytest.mark.parametrize(("tile", "says"), [(1, "out of memory for one image"), (4, "for a batch of 4 images")])
def test_below_a_tile_it_fails(tile: int, says: str) -> None:
    with pytest.raises(RunError, match=says):
        pass_through(within_memory(tight_score(0)[0], tile))


def test_other_failures_pass() -> None:
    def broken(x: Tensor, disturbance: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        raise ValueError("something else")

    with pytest.raises(ValueError, match="something else"):
        pass_through(within_memory(broken))


# The commands


class Card:
    """A card that holds so many rows of a score at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
        self.refused = 0
        within = pieces.within_memory

        def hold(score: Score, tile: int = 1) -> Score:
            def held(x: Tensor, disturbance: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
                if len(x) > limit:
                    self.refused += 1
                    raise torch.OutOfMemoryError
                return score(x, disturbance)

            return within(held, tile)

        for module in (edits, optimisation):
            monkeypatch.setattr(module, "within_memory", hold)


def test_a_fit_in_pieces_writes_the_same_bytes(own_run: Path, settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the shared run, the steps of the combination do not fit: 32 edits in tiles of 16."""
    before = (own_run / "mixture.h5").read_bytes()
    (own_run / "mixture.h5").unlink()
    card = Card(monkeypatch, 16)
    result = done("fit-mixture", "--run", own_run, "--config", settings)
    assert card.refused and "the result is the same" in result.stderr
    assert (own_run / "mixture.h5").read_bytes() == before


def test_an_edit_in_pieces_moves_to_the_same_place(
    own_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("edit", "--run", own_run, "--attr", "smile", "--index", "0-3", "--polish", 3)
    done(*words, "--out", tmp_path / "whole")
    card = Card(monkeypatch, 2)
    monkeypatch.setattr(optimisation, "TILE", 2)
    done(*words, "--out", tmp_path / "pieces")
    assert card.refused
    with artifacts.open(tmp_path / "whole/edits.h5") as one, artifacts.open(tmp_path / "pieces/edits.h5") as other:
        assert np.abs(one["latents"] - other["latents"]).max() < 1e-3
        assert np.abs(one["latents"] - one["latent"]).max() > 0.01


@pytest.mark.usefixtures("tiny_training")
def test_a_training_that_does_not_fit_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_out(self: ClassifierTraining) -> dict[str, float]:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(ClassifierTraining, "take_step", run_out)
    result = gmmedit("train", "classifier", "--out", tmp_path / "out", "--quiet")
    check(result, "classifier: out of memory for the 8 images of a step", "smaller images", code=1)
