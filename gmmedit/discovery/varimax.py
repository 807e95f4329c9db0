"""Another rotation of the generator's own basis: each direction changes as few pixels as possible.

The basis S of stage 2 says which directions change images, not how to part them: its eigenvectors mix what changes
equally strongly, and any rotation of them changes as much. Factor analysis has the same freedom, and settles it by the
rotation of simplest structure (varimax, Kaiser 1958). Here the loadings are the changes of all pixels of several
samples along each direction: A = S Q, with the rotation Q for which the squares of these loadings vary most. No labels,
no gradients, no training.
"""

import torch
from torch import Tensor

from gmmedit.discovery.decomposition import measure_slopes
from gmmedit.discovery.latents import Latents
from gmmedit.runtime.execution import Execution

MEASURED_ON = 48  # samples whose changes are the loadings
MOST_ITERATIONS, ENOUGH = 500, 1e-8  # of the rotation; the relative gain at which it has come to rest


def varimax_directions(latents: Latents, rows: Tensor, execution: Execution) -> Tensor:
    """Orthonormal rows (k, D'), turned within their span so that each changes few pixels."""
    slopes = [slopes.T for slopes in measure_slopes(latents, rows, MEASURED_ON, execution)]
    rotation = varimax(torch.cat(slopes))
    return (rotation.T @ rows.double()).float()


def varimax(loadings: Tensor) -> Tensor:
    """The orthogonal matrix R (k, k), in float64, for which loadings (P, k) @ R have the simplest structure.

    It maximises the sum over columns of the variance of their squares (Kaiser 1958, without normalising rows), by the
    iteration with singular values.
    """
    loadings = loadings.double()
    rotation, reached = torch.eye(loadings.shape[1], dtype=torch.float64), 0.0
    for _ in range(MOST_ITERATIONS):
        turned = loadings @ rotation
        slope = loadings.T @ (turned**3 - turned * turned.square().mean(0))
        u, s, vh = torch.linalg.svd(slope)
        rotation = u @ vh
        if float(s.sum()) <= reached * (1 + ENOUGH):
            break
        reached = float(s.sum())
    return rotation
