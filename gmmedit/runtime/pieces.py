"""Scores computed on fewer rows at once where all of them do not fit in memory, forward and backward."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gmmedit.runtime.batching import Memory, Score, halve_batch, try_in_memory

Parts = tuple[Tensor, ...]


def within_memory(score: Score, tile: int = 1) -> Score:
    """The same score, whose rows are halved, in whole tiles, until a piece of them fits in memory.

    Where the rows of a call fit, their graph is kept and nothing is computed twice. Where they do not, every piece is
    computed again in the backward pass, so that the graph of one piece exists at a time (Chen et al. 2016, "Training
    deep nets with sublinear memory cost"). The size that fits is kept for later calls. Gradients reach x alone, and
    rows must be independent. Of a score that computes `tile` rows at a time, pieces change no bit.
    RunError: a single tile does not fit.
    """
    memory = Memory()

    def score_within(x: Tensor, disturbance: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        if torch.is_grad_enabled() and x.requires_grad:
            logits, images = ScoreInPieces.apply(x, score, tile, memory, disturbance)
        else:
            logits, images = score_in_pieces(score, x, tile, memory, disturbance)
        return logits, images

    return score_within


class ScoreInPieces(torch.autograd.Function):
    """A score of x (N, L, D), whose graph is made at once or, piece by piece, in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, score: Score, tile: int, memory: Memory, disturbance: torch.Generator | None
    ) -> Any:
        """x (N, L, D) to logits (N, K) and images (N, ...)."""
        ctx.set_materialize_grads(False)
        ctx.score, ctx.tile, ctx.memory = score, tile, memory
        ctx.start = None if disturbance is None else disturbance.get_state()
        ctx.x, ctx.outputs = x.detach().requires_grad_(), None
        if len(x) <= memory.rows:
            with torch.enable_grad():
                ctx.outputs = try_in_memory(lambda: score(ctx.x, disturbance))
            if ctx.outputs is not None:
                return tuple(part.detach() for part in ctx.outputs)
            memory.rows = halve_batch(len(x), tile)
            restore(disturbance, ctx.start)
        return score_in_pieces(score, ctx.x.detach(), tile, memory, disturbance)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Gradients of logits and images, or None, to those of x (N, L, D)."""
        whole, ctx.outputs = ctx.outputs, None
        if whole is not None:
            gradient = try_in_memory(lambda: differentiate(whole, ctx.x, grads))
            if gradient is not None:
                return gradient, None, None, None, None
            ctx.memory.rows, whole = halve_batch(len(ctx.x), ctx.tile), None

        def differentiate_rows(place: slice) -> Parts:
            rows = ctx.x[place].detach().requires_grad_()
            with torch.enable_grad():
                outputs = ctx.score(rows, restore(torch.Generator(), ctx.start))
            return (differentiate(outputs, rows, [grad if grad is None else grad[place] for grad in grads]),)

        (gradient,) = in_pieces(differentiate_rows, len(ctx.x), ctx.tile, ctx.memory)
        return gradient, None, None, None, None


def differentiate(outputs: Parts, x: Tensor, grads: Any) -> Tensor:
    """The gradient of x, of outputs with these gradients; None: an output has none."""
    pairs = [(out, grad) for out, grad in zip(outputs, grads, strict=True) if grad is not None and out.requires_grad]
    if not pairs:
        return torch.zeros_like(x)
    (found,) = torch.autograd.grad([out for out, _ in pairs], x, [grad for _, grad in pairs])
    return found


def score_in_pieces(
    score: Score, x: Tensor, tile: int, memory: Memory, disturbance: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Logits (N, K) and images (N, ...) of x (N, L, D), every piece with the same disturbance."""
    start = None if disturbance is None else disturbance.get_state()
    logits, images = in_pieces(lambda place: score(x[place], restore(disturbance, start)), len(x), tile, memory)
    return logits, images


def restore(disturbance: torch.Generator | None, state: Tensor | None) -> torch.Generator | None:
    """The random numbers from that state on; None: there are none."""
    if disturbance is None or state is None:
        return None
    disturbance.set_state(state)
    return disturbance


def in_pieces(function: Callable[[slice], Parts], count: int, tile: int, memory: Memory) -> Parts:
    """The results (count, ...) of the function of places, joined from pieces of whole tiles; a single one as it is."""
    found: list[Parts] = []
    first = 0
    while first < count:
        size = min(memory.rows, count - first)
        part = try_in_memory(partial(function, slice(first, first + size)))
        if part is None:
            memory.rows = halve_batch(size, tile)
            continue
        found.append(part)
        first += size
    return found[0] if len(found) == 1 else tuple(map(torch.cat, zip(*found, strict=True)))
