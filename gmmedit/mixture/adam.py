"""Adam as an iterator of steps, resumable bit by bit.

What a step does depends on (seed, step) and the parameters alone, so a fit that loads its state after k steps
ends with the same bits as one that was never stopped (same machine, same number of threads).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

Terms = dict[str, Tensor]

ADAM = ("step", "exp_avg", "exp_avg_sq")


def generator_for(seed: int, *place: int) -> torch.Generator:
    """A CPU generator seeded by a hash of all the numbers, e.g. (seed, step): adjacent ones give unrelated draws."""
    digest = hashlib.blake2b(" ".join(map(str, (seed, *place))).encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big"))


class Adam:
    """AdamW with PyTorch's defaults (Loshchilov & Hutter 2019, "Decoupled weight decay regularization").

    ``torch.optim.AdamW`` does the same sums; making one loads PyTorch's compiler, 100 MB and seconds for nothing.

    Args:
        parameters: what to fit, changed in place; those without a gradient are left alone.
        weight_decay: a step pulls the parameters to zero by this times its rate of their size.
    """

    def __init__(self, parameters: Iterable[Tensor], weight_decay: float = 0.0) -> None:
        self.weight_decay = weight_decay
        self.state = {p: {"step": p.new_zeros(())} | {k: torch.zeros_like(p) for k in ADAM[1:]} for p in parameters}

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """One update with this learning rate of the parameters that have a gradient."""
        moved = [p for p in self.state if p.grad is not None]
        steps, means, squares = ([self.state[p][name] for p in moved] for name in ADAM)
        gradients = [p.grad for p in moved if p.grad is not None]
        adamw(
            moved, gradients, means, squares, [], steps, fused=True,
            amsgrad=False, beta1=0.9, beta2=0.999, lr=lr, weight_decay=self.weight_decay, eps=1e-8, maximize=False,
        )  # fmt: skip


@dataclass(frozen=True)
class FitStep:
    """One step: its number from 0, the loss, the loss's terms, and the gradient's norm before clipping."""

    step: int
    loss: float
    terms: dict[str, float]
    grad_norm: float


class Fit(Iterator[FitStep]):
    """Minimises the sum of a loss's terms by Adam, one step an iteration.

    The learning rate rises linearly over the warm-up and falls to zero along a cosine, faster after ``shorten``.

    Args:
        parameters: what to fit, changed in place.
        loss_fn: the terms (already weighted) of the loss at a step.
        steps: the number of steps in all.
        lr: the highest learning rate.
        warm_up: share of the steps over which the learning rate rises.
        clip: largest norm of the gradient.
        decayed: the parameters to which weight decay applies.
        weight_decay: see ``Adam``.

    Raises:
        FloatingPointError: on iteration, if loss or gradient are not finite; the parameters are left alone.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        loss_fn: Callable[[int], Terms],
        steps: int,
        lr: float = 2e-3,
        warm_up: float = 0.05,
        clip: float = 1.0,
        decayed: Iterable[nn.Parameter] = (),
        weight_decay: float = 0.0,
    ) -> None:
        self.parameters = list(parameters)
        self.loss_fn = loss_fn
        self.steps = steps
        self.lr = lr
        self.warm_up = max(1, round(warm_up * steps))
        self.clip = clip
        self.history: list[float] = []
        self.turn: int | None = None  # the step from which the schedule is shortened
        self.planned = steps
        pulled = set(decayed)
        kept = [p for p in self.parameters if p not in pulled]
        self.optimizers = [Adam(kept), Adam(pulled, weight_decay)]

    @property
    def count(self) -> int:
        """Steps done."""
        return len(self.history)

    @property
    def done(self) -> bool:
        """Whether no step is left."""
        return self.count >= self.steps

    def __next__(self) -> FitStep:
        if self.done:
            raise StopIteration
        step = self.count
        terms = self.loss_fn(step)
        loss = torch.stack(list(terms.values())).sum()
        values = {name: float(term.detach()) for name, term in terms.items()}
        for parameter in self.parameters:
            parameter.grad = None
        loss.backward()
        norm = float(nn.utils.clip_grad_norm_(self.parameters, self.clip))
        if not math.isfinite(sum(values.values()) + norm):
            raise FloatingPointError(_diverged(step, values, norm, self.lr))
        for optimizer in self.optimizers:
            optimizer.step(self.rate(step))
        self.history.append(float(loss.detach()))
        return FitStep(step, self.history[-1], values, norm)

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        if step < self.warm_up:
            return self.lr * (step + 1) / self.warm_up
        place = float(step)
        if self.turn is not None and step >= self.turn:
            place = self.turn + (step - self.turn) * (self.planned - self.turn) / (self.steps - self.turn)
        return self.lr * 0.5 * (1 + math.cos(math.pi * (place - self.warm_up) / (self.planned - self.warm_up)))

    def shorten(self, more: int) -> None:
        """End after at most `more` >= 1 further steps, over which the learning rate falls to zero as over all others.

        No effect if fewer are left.
        """
        if self.count + more < self.steps:
            self.turn, self.steps = self.count, self.count + more

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on: parameters, Adam's moments and counts, and the losses so far."""
        state = {"losses": torch.tensor(self.history, dtype=torch.float64)}
        if self.turn is not None:
            state |= {"turn": torch.tensor(self.turn), "steps": torch.tensor(self.steps)}
        for i, parameter in enumerate(self.parameters):
            state[f"parameter.{i}"] = parameter.detach().clone()
            state |= {f"{name}.{i}": moment.clone() for name, moment in self._moments(parameter).items()}
        return state

    @torch.no_grad()
    def load_state(self, state: dict[str, Tensor]) -> None:
        """Resumes from ``state``. Raises KeyError or RuntimeError if the state is of another model."""
        self.history = state["losses"].tolist()
        if "turn" in state:
            self.turn, self.steps = int(state["turn"]), int(state["steps"])
        for i, parameter in enumerate(self.parameters):
            parameter.copy_(state[f"parameter.{i}"])
            for name, moment in self._moments(parameter).items():
                moment.copy_(state[f"{name}.{i}"])

    def _moments(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        return next(optimizer.state[parameter] for optimizer in self.optimizers if parameter in optimizer.state)


class Chain(Iterator[FitStep]):
    """Named fits, done one after the other, with the interface of ``Fit``. ``FitStep.step`` counts within each."""

    def __init__(self, fits: dict[str, Fit]) -> None:
        self.fits = fits

    @property
    def steps(self) -> int:
        """Steps to do, in all fits."""
        return sum(fit.steps for fit in self.fits.values())

    @property
    def count(self) -> int:
        """Steps done, in all fits."""
        return sum(fit.count for fit in self.fits.values())

    @property
    def done(self) -> bool:
        """Whether no step is left in any fit."""
        return self.count >= self.steps

    def __next__(self) -> FitStep:
        if self.done:
            raise StopIteration
        return next(next(fit for fit in self.fits.values() if not fit.done))

    def state(self) -> dict[str, Tensor]:
        """The states of all fits, as "name.key"."""
        states = {name: fit.state() for name, fit in self.fits.items()}
        return {f"{name}.{key}": value for name, state in states.items() for key, value in state.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Resumes from ``state``. Raises KeyError or RuntimeError if the state is of another model."""
        for name, fit in self.fits.items():
            own = [key for key in state if key.startswith(f"{name}.")]
            fit.load_state({key.removeprefix(f"{name}."): state[key] for key in own})


def _diverged(step: int, terms: dict[str, float], norm: float, lr: float) -> str:
    parts = ", ".join(f"{name} {value:.3g}" for name, value in terms.items())
    return (
        f"the fit diverged at step {step} ({parts}; gradient norm {norm:.3g}): "
        f"lower the learning rate (now {lr:g}), or look for NaN in latents and labels"
    )


def has_converged(history: Sequence[float], tolerance: float = 0.01) -> bool:
    """Whether the means of the loss over the two halves of the last tenth of the steps differ by at most the tolerance.

    The tolerance is relative to the means. False for fewer than 20 steps. As the learning rate ends at zero, every
    loss settles: True does not mean that more steps would not help.
    """
    if len(history) < 20:
        return False
    tail = history[-(len(history) // 10) :]
    half = len(tail) // 2
    early, late = sum(tail[:half]) / half, sum(tail[half:]) / (len(tail) - half)
    return abs(late - early) <= tolerance * max(abs(early), abs(late))
