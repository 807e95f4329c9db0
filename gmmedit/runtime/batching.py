"""Functions of rows computed in batches, always in whole tiles, so that no row's result depends on the others."""

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from gmmedit.errors import RunError, out_of_memory

TILE = 16  # rows; every batch is a whole number of tiles, on a CPU a single one
log = logging.getLogger("gmmedit")
Found = TypeVar("Found")
# x (N, L, D), and a disturbance of the images or None, to logits (N, K) and images: `gmmedit.mixture.refining.Score`.
Score = Callable[..., tuple[Tensor, Tensor]]


@dataclass
class Memory:
    """The largest number of rows at once that has been found to fit in memory."""

    rows: int = sys.maxsize


def in_batches(
    function: Callable[[Tensor], tuple[Tensor, ...]], rows: Tensor, batch: int, memory: Memory
) -> tuple[Tensor, ...]:
    """function(rows (N, ...)) in batches, its results (N, ...) joined on the CPU.

    Every call gets a whole number of tiles: matrix products of fewer rows round differently, and no row's result may
    depend on how many rows follow it. A batch that does not fit in memory is halved, and `memory` keeps the size for
    later calls. RunError: a single tile does not fit.
    """
    found: tuple[Tensor, ...] = ()
    first = 0
    while first < len(rows):
        size = min(max(batch // TILE, 1) * TILE, memory.rows)
        part = pad_rows(rows[first : first + size], TILE)
        answers = try_in_memory(lambda part=part: tuple(answer.cpu() for answer in function(part)))  # type: ignore[misc]
        if answers is None:
            memory.rows = halve_batch(min(size, len(rows) - first))
            continue
        # One allocation for all rows: small results kept between large temporary blocks would fragment the heap.
        found = found or tuple(answer.new_empty(len(rows), *answer.shape[1:]) for answer in answers)
        for whole, answer in zip(found, answers, strict=True):
            whole[first : first + size] = answer[: len(rows) - first]
        first += size
    return found


def try_in_memory(function: Callable[[], Found]) -> Found | None:
    """The result of the function; None: it does not fit in memory, and what it left there is free."""
    try:
        return function()
    except Exception as error:
        if not out_of_memory(error):
            raise
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    return None


def halve_batch(size: int, tile: int = TILE) -> int:
    """Half of a batch's rows in whole tiles; logs a note. RunError: the batch is a single tile."""
    if size <= tile:
        message = f"out of memory for {'one image' if tile == 1 else f'a batch of {tile} images'}"
        raise RunError(message, hint="use another --device, or a smaller generator or classifier")
    smaller = max(size // 2 // tile, 1) * tile
    log.warning("note: no memory for a batch of %d images, using %d; the result is the same", size, smaller)
    return smaller


def pad_rows(rows: Tensor, tile: int) -> Tensor:
    """The rows (N, ...) with the last one repeated until they are a whole number of tiles."""
    return torch.cat([rows, rows[-1:].expand(-len(rows) % tile, *rows.shape[1:])])


def in_tiles(score: Score, tile: int) -> Score:
    """The same score, computed on `tile` rows at a time forward and backward: their number changes no rounding."""

    def score_tiles(x: Tensor, disturbance: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        start = None if disturbance is None else disturbance.get_state()
        parts = []
        for rows in pad_rows(x, tile).split(tile):
            if disturbance is not None and start is not None:
                disturbance.set_state(start)  # the same disturbance for all rows
            parts.append(score(rows, disturbance))
        logits, images = (torch.cat(part)[: len(x)].contiguous() for part in zip(*parts, strict=True))
        return logits, images

    return score_tiles
