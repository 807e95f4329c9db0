"""Precision, recall, density and coverage: how edited images lie among samples, by nearest neighbours in features.

The manifold of samples is the union of balls, one around each of them, that reach to its k-th nearest neighbour among
them (Kynkäänniemi et al. 2019). Distances are Euclidean, computed in float64 for CHUNK rows at a time.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

CHUNK = 64  # rows whose distances to all others are in memory at once
NEAREST = 3  # k of precision and recall, as in Kynkäänniemi et al. 2019
DENSE = 5  # k of density and coverage, as in Naeem et al. 2020


def precision(edited: Tensor, samples: Tensor, k: int = NEAREST) -> Tensor:
    """Which of the edited features (N, F) lie in the manifold of the samples (M, F), (N,) in {0, 1}.

    The mean is the improved precision (Kynkäänniemi et al. 2019). ValueError: M <= k.
    """
    return (count_balls(edited, samples, k) > 0).double()


def recall(edited: Tensor, samples: Tensor, k: int = NEAREST) -> Tensor:
    """Which of the samples (M, F) lie in the manifold of the edited features (N, F), (M,) in {0, 1}.

    The mean is the improved recall (Kynkäänniemi et al. 2019); it grows with N. ValueError: N <= k.
    """
    return (count_balls(samples, edited, k) > 0).double()


def density(edited: Tensor, samples: Tensor, k: int = DENSE) -> Tensor:
    """In how many balls of the samples (M, F) each of the edited features (N, F) lies, over k: (N,), 0 to M / k.

    The mean is the density (Naeem et al. 2020): about 1 for edits that are distributed as the samples, above 1 where
    they crowd in the densest places. ValueError: M <= k.
    """
    return count_balls(edited, samples, k).double() / k


def coverage(edited: Tensor, samples: Tensor, k: int = DENSE) -> Tensor:
    """Which of the samples (M, F) have an edited one of (N, F) in their ball, (M,) in {0, 1}.

    The mean is the coverage (Naeem et al. 2020); it grows with N. ValueError: M <= k.
    """
    radii = ball_radii(samples, k)
    nearest = torch.cat([distances.amin(1) for distances in distances_in_chunks(samples, edited)])
    return (nearest <= radii).double()


def count_balls(points: Tensor, centres: Tensor, k: int) -> Tensor:
    """How many balls of the manifold of centres (M, F) contain each of the points (N, F), (N,). ValueError: M <= k."""
    radii = ball_radii(centres, k)
    return torch.cat([(distances <= radii).sum(1) for distances in distances_in_chunks(points, centres)])


def ball_radii(samples: Tensor, k: int) -> Tensor:
    """Distance of each of the samples (M, F) to its k-th nearest other one, (M,). ValueError: M <= k."""
    if len(samples) <= k:
        raise ValueError(f"{len(samples)} samples have no {k}-th nearest neighbour")
    # The nearest is the sample itself, or one at the same place.
    return torch.cat([parts.kthvalue(k + 1, 1).values for parts in distances_in_chunks(samples, samples)])


def distances_in_chunks(first: Tensor, second: Tensor) -> Iterator[Tensor]:
    """Distances of the rows of first (N, F) to all rows of second (M, F), CHUNK rows (CHUNK, M) at a time.

    Not by matrix products, which would not see that two rows are the same.
    """
    other = second.double()
    for rows in first.double().split(CHUNK):
        yield torch.cdist(rows, other, compute_mode="donot_use_mm_for_euclid_dist")
