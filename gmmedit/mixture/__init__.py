"""An attribute is a small subspace of the latent space with a small Gaussian mixture inside it.

Glossary, with the shapes used everywhere:

- *x* (N, D): coordinates of N latents in a chart where the prior is close to N(0, I) (``gmmedit.spaces``).
- *attribute* a, with C_a *values*; a (attribute, value) pair is a *category*, K = sum of C_a of them in all.
- *labels* L (N, K) in [0, 1]: a classifier's probabilities, which sum to one over the values of an attribute. A
  two-valued attribute has two columns, (1 - p, p).
- *read* y = y(x) (N, r): the attributes' coordinates, r_a of them for attribute a (``coordinates``).
- *component*: the Gaussian N(m_c, S_c) of category c over y_a, the density of y_a given the category.
- *peak* (N, K): exp(-1/2 Mahalanobis^2) in (0, 1], a single Gaussian's normalised likelihood (claim 4).
- *responsibility* (N, K): pi_c N_c / sum over the attribute's values, the normalised likelihood of a group.
- *control vector* y_s (N, r_a): where in its subspace an edited sample should go (claim 6: zs).
- *write*: the least change of x that brings y_a to y_s and holds the other attributes (``writing``).

Claims are those of the patent that this project implements. Everything here is torch alone: no files, no
flags, no logging, no global random state. On the CPU call ``torch.set_flush_denormal(True)`` once a process:
responsibilities underflow to denormal numbers, and products of those run a hundred times slower.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True)
class Layout:
    """Which columns of labels and coordinates belong to which attribute.

    Attributes:
        values: number of values C_a >= 2 of each attribute.
        ranks: number of coordinates r_a >= 1 of each attribute; C_a - 1 where not given.

    Raises:
        ValueError: no attribute, fewer than two values, a rank below one, or not one rank an attribute.
    """

    values: tuple[int, ...]
    ranks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.ranks:
            object.__setattr__(self, "ranks", tuple(count - 1 for count in self.values))
        if not self.values or min(self.values) < 2:
            raise ValueError(f"every attribute needs at least two values, not {self.values}")
        if len(self.ranks) != len(self.values) or min(self.ranks) < 1:
            count = len(self.values)
            raise ValueError(f"{count} attributes need as many ranks of at least 1, not {self.ranks}")

    @property
    def categories(self) -> int:
        """K, the number of (attribute, value) pairs."""
        return sum(self.values)

    @property
    def width(self) -> int:
        """r, the number of coordinates of all attributes."""
        return sum(self.ranks)

    @property
    def columns(self) -> list[slice]:
        """Each attribute's slice of the K categories."""
        return _slices(self.values)

    @property
    def rows(self) -> list[slice]:
        """Each attribute's slice of the r coordinates."""
        return _slices(self.ranks)

    def locate(self, category: int) -> tuple[int, int]:
        """The attribute and the value of a category. Raises IndexError outside 0 .. K - 1."""
        for attribute, columns in enumerate(self.columns):
            if columns.start <= category < columns.stop:
                return attribute, category - columns.start
        raise IndexError(f"category {category} is not one of 0 .. {self.categories - 1}")


def _slices(sizes: tuple[int, ...]) -> list[slice]:
    return [slice(end - size, end) for size, end in zip(sizes, accumulate(sizes), strict=True)]
