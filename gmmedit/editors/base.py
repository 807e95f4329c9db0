"""The contract of an editor."""

from abc import ABC, abstractmethod

from torch import Tensor


class Editor(ABC):
    """Moves coordinates x of samples towards a category, further with greater strength."""

    @abstractmethod
    def edit(self, x: Tensor, category: int, strength: Tensor) -> Tensor:
        """x (N, D), one of the K categories, and strengths (N,) to x' (N, D).

        Strength 0 leaves x alone; about 1 is meant to arrive; negative strengths move away.
        """
