"""What a user knows of causes before any data are seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Knowledge:
    """required, forbidden: (A, A) bool, row -> column.

    A forbidden direction leaves the other one possible; a pair that is forbidden both ways has no edge.
    """

    required: np.ndarray
    forbidden: np.ndarray

    @classmethod
    def nothing(cls, attributes: int) -> Knowledge:
        """No knowledge about so many attributes."""
        return cls(np.zeros((attributes, attributes), bool), np.zeros((attributes, attributes), bool))
