"""The minimum of a smooth, convex loss of all data at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


@torch.enable_grad()
def minimise(parameters: Iterable[Tensor], loss: Callable[[], Tensor], steps: int) -> None:
    """Move the parameters to the least loss () by L-BFGS with a line search, in at most so many steps."""
    solver = torch.optim.LBFGS(list(parameters), max_iter=steps, line_search_fn="strong_wolfe")

    def evaluate() -> Tensor:
        solver.zero_grad()
        value = loss()
        value.backward()
        return value

    solver.step(evaluate)
