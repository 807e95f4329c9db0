"""Random numbers for the parts of a step."""

import torch
from torch import Tensor


class Draws:
    """Random numbers of their own for torch's functions that draw from its global generators, in a `with`."""

    def __init__(self, seed: int, device: str) -> None:
        self.device = device if device.startswith("cuda") else ""
        torch.manual_seed(seed)
        self.state = self.read()

    def read(self) -> list[Tensor]:
        """The states of the generators."""
        return [torch.get_rng_state(), *([torch.cuda.get_rng_state(self.device)] if self.device else [])]

    def __enter__(self) -> None:
        torch.set_rng_state(self.state[0])
        if self.device:
            torch.cuda.set_rng_state(self.state[1], self.device)

    def __exit__(self, *_: object) -> None:
        self.state = self.read()
