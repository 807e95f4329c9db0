"""A fit that ends when its edits no longer improve: its steps are a bound."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from gmmedit.mixture.adam import Fit, FitStep, Terms

EVERY = 40  # steps from one trial to the next
WINDOW = 5  # trials whose mean is compared with that of as many before
BETTER = 0.01  # by which it must be better
REST = 0.25  # steps over which the rate then falls to zero, as a share of those done


class WatchedFit(Fit):
    """A fit with trials in between; after they have stopped improving, its learning rate falls to zero and it ends.

    The last parameters are kept, not those of the best trial: once the rate has fallen they no longer jump from step
    to step, which is what makes one trial better than the next.

    Args:
        parameters, loss_fn, steps, lr: see ``Fit``; steps are a bound.
        trial: the quality of the current parameters, higher is better; the same number in all processes.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        loss_fn: Callable[[int], Terms],
        steps: int,
        lr: float,
        trial: Callable[[], float],
    ) -> None:
        super().__init__(parameters, loss_fn, steps, lr)
        self.trial, self.every = trial, EVERY
        self.qualities: list[float] = []

    @property
    def settled_at(self) -> int:
        """The step from which trials did not improve; 0: they did up to the bound."""
        return 0 if self.turn is None else self.turn - WINDOW * self.every

    def __next__(self) -> FitStep:
        step = super().__next__()
        if self.count % self.every == 0 and self.turn is None and not self.done:
            self.qualities.append(self.trial())
            if no_longer_improves(self.qualities):
                self.shorten(max(round(REST * self.count), 1))
        return step

    def state(self) -> dict[str, Tensor]:
        """As ``Fit.state``, with the qualities so far."""
        return super().state() | {"qualities": torch.tensor(self.qualities, dtype=torch.float64)}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """As ``Fit.load_state``."""
        super().load_state(state)
        self.qualities = state["qualities"].tolist()


def no_longer_improves(qualities: Sequence[float]) -> bool:
    """Whether the mean of the last WINDOW qualities is not better by BETTER than that of the WINDOW before.

    Not compared with the best so far: the first steps make edits worse before they make them better.
    """
    before, last = qualities[-2 * WINDOW : -WINDOW], qualities[-WINDOW:]
    return len(qualities) >= 2 * WINDOW and sum(last) / WINDOW < sum(before) / WINDOW + BETTER
