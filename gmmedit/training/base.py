"""The contract of a training: an iterator of steps whose state can be saved and resumed to the same bits."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn


@dataclass(frozen=True)
class Step:
    """What one step has done; a line of the log is made of it."""

    images: int  # shown since the beginning of the training
    losses: dict[str, float]  # by name, and other figures worth a curve
    images_per_second: float


class Trainer(ABC):
    """Iterating trains to the end. What a step does depends on (seed, step, parameters) alone."""

    name: str  # of its files
    settings: Any  # a dataclass; a checkpoint is resumed into the same only
    batch: int  # images in a step
    steps: int  # in all, or in the present phase
    step: int = 0  # steps done
    stateful: tuple[str, ...]  # members with a `state_dict`: networks, their averages, optimisers

    @abstractmethod
    def take_step(self) -> dict[str, float]:
        """Train one step, the one after `step` others; returns its losses by name."""

    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """What is trained, by name; a checkpoint is only written while all of it is finite."""

    def sheet(self) -> np.ndarray | None:
        """Images that show how far the training is, uint8 (rows, columns, H, W, C); None: it makes no images."""
        return None

    @property
    def total(self) -> int:
        """The images of the whole training."""
        return self.steps * self.batch

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, for `torch.save`, and the settings."""
        members = {name: getattr(self, name).state_dict() for name in self.stateful}
        return members | {"step": self.step, "settings": asdict(self.settings)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Resume from a `state` of the same settings. KeyError, ValueError, RuntimeError: it is of another network."""
        for name in self.stateful:
            member = getattr(self, name)
            member.load_state_dict(state[name])
            if isinstance(member, torch.optim.Optimizer):
                check_optimiser(member, name)
        if type(state["step"]) is not int or not 0 <= state["step"] <= self.steps:
            raise ValueError(f"its step {state['step']!r} is not one of 0 to {self.steps}")
        self.step = state["step"]

    def __iter__(self) -> Iterator[Step]:
        while self.step < self.steps:
            start = time.perf_counter()
            losses = self.take_step()
            self.step += 1
            yield Step(self.step * self.batch, losses, self.batch / (time.perf_counter() - start))


def check_optimiser(optimiser: torch.optim.Optimizer, name: str) -> None:
    """ValueError: what it remembers of a parameter is not of the parameter's shape."""
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            for key, value in optimiser.state.get(parameter, {}).items():
                wanted = torch.Size() if key == "step" else parameter.shape
                if not isinstance(value, torch.Tensor) or value.shape != wanted:
                    raise ValueError(f"{key} of {name} is not of the shape {tuple(wanted)}")


@torch.no_grad()
def move_average(average: nn.Module, network: nn.Module, keep: float) -> None:
    """Move an average of parameters towards the network's, keeping a share of it; buffers are copied."""
    for mean, current in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(current, 1 - keep)
    for kept, now in zip(average.buffers(), network.buffers(), strict=True):
        kept.copy_(now)
