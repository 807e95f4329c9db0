"""Cache what depends on a network's weights alone, until they change."""

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


class Cached(Generic[T]):
    """function(weight, *settings), computed again only for another weight, a changed one, or other settings.

    Nothing is cached for weights in training, which gradients must reach.
    """

    def __init__(self, function: Callable[..., T]) -> None:
        self.function = function
        self.weight: Tensor | None = None
        self.state: tuple[object, ...] = ()

    def __call__(self, weight: Tensor, *settings: object) -> T:
        if weight.requires_grad or weight.is_inference():  # inference tensors have no version counter
            return self.function(weight, *settings)
        state = (weight._version, weight.device, weight.dtype, *settings)
        if weight is not self.weight or state != self.state:
            with torch.inference_mode(False):  # so that it can take part in a later backward pass
                self.value = self.function(weight, *settings)
            self.weight, self.state = weight, state
        return self.value
