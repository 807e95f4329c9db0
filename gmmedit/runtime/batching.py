"""Functions of rows computed in batches: in whole tiles always, so that no row's result depends on the others."""

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gmmedit.errors import RunError, out_of_memory

TILE = 16  # rows; every batch is a whole number of tiles, on a CPU a single one
log = logging.getLogger("gmmedit")
# x (N, L, D), and a disturbance of the images or None, to logits (N, K) and images: `gmmedit.mixture.refining.Score`.
Score = Callable[..., tuple[Tensor, Tensor]]


@dataclass
class Memory:
    """How many rows at once memory has been found to hold."""

    rows: int = sys.maxsize


def in_batches(
    function: Callable[[Tensor], tuple[Tensor, ...]], rows: Tensor, batch: int, memory: Memory
) -> tuple[Tensor, ...]:
    """function(rows) in batches, its answers joined on the CPU.

    Every call sees a whole number of tiles: matrix products of fewer rows round differently, and no row's
    result may depend on how many rows follow it. A batch for which there is no memory is halved, and `memory` keeps
    that for later calls. RunError: there is none for a single tile.
    """
    found: tuple[Tensor, ...] = ()
    first = 0
    while first < len(rows):
        size = min(max(batch // TILE, 1) * TILE, memory.rows)
        answers = attempt(function, padded(rows[first : first + size], TILE))
        if answers is None:
            memory.rows = halved(min(size, len(rows) - first))
            continue
        # One place for all, from the start: small answers kept between large blocks that come and go split the heap.
        found = found or tuple(answer.new_empty(len(rows), *answer.shape[1:]) for answer in answers)
        for whole, answer in zip(found, answers, strict=True):
            whole[first : first + size] = answer[: len(rows) - first]
        first += size
    return found


def attempt(function: Callable[[Tensor], tuple[Tensor, ...]], rows: Tensor) -> tuple[Tensor, ...] | None:
    """function(rows) on the CPU; None: there is no memory for it."""
    try:
        return tuple(answer.cpu() for answer in function(rows))
    except Exception as error:
        if not out_of_memory(error):
            raise
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    return None


def halved(size: int) -> int:
    """The next smaller whole number of tiles; says so. RunError: there is none."""
    if size <= TILE:
        message = f"there is no memory for {TILE} pictures at once"
        raise RunError(message, hint="another --device, or a smaller generator or classifier")
    smaller = max(size // 2 // TILE, 1) * TILE
    log.warning("note: no memory for %d pictures at once, going on with %d; the result is the same", size, smaller)
    return smaller


def padded(rows: Tensor, tile: int) -> Tensor:
    """The rows, the last one repeated until they are a whole number of tiles."""
    return torch.cat([rows, rows[-1:].expand(-len(rows) % tile, *rows.shape[1:])])


def in_tiles(score: Score, tile: int) -> Score:
    """A score that sees so many rows at a time always, forward and backward: how many there are changes no rounding."""

    def score_tiles(x: Tensor, disturbance: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        start = None if disturbance is None else disturbance.get_state()
        parts = []
        for rows in padded(x, tile).split(tile):
            if disturbance is not None and start is not None:
                disturbance.set_state(start)  # all rows alike
            parts.append(score(rows, disturbance))
        logits, images = (torch.cat(part)[: len(x)].contiguous() for part in zip(*parts, strict=True))
        return logits, images

    return score_tiles
