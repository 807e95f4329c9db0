"""The strength at which a label reaches a target: `edit --target`."""

import torch
from torch import Tensor

from gmmedit.editing.session import EditSession
from gmmedit.editors.mixture import MixtureEditor

MAX_STRENGTH, STEP, BISECTIONS = 3.0, 0.25, 5  # of the search for the strength of a target label

Aims = list[tuple[int, float]]  # category and strength of each aim


def find_strengths(session: EditSession, editor: MixtureEditor, aims: Aims, latent: Tensor, target: float) -> Tensor:
    """The least strengths (N,) at which the first aim's label reaches the target, else those of the highest label.

    Found on a grid up to MAX_STRENGTH, then by bisection.
    """
    grid = torch.arange(0, MAX_STRENGTH + STEP, STEP)

    def label(scale: Tensor) -> Tensor:
        moved = session.move(editor, latent, [(category, strength * scale) for category, strength in aims])
        return torch.from_numpy(session.generate(moved)[1])[:, aims[0][0]]

    scores = torch.stack([label(alpha.expand(len(latent))) for alpha in grid])  # (S, N)
    reached = scores >= target
    first = torch.where(reached.any(0), reached.int().argmax(0), scores.argmax(0))
    high = grid[first]
    low = (high - STEP).clamp_min(0)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        reaches = label(middle) >= target
        high = torch.where(reaches, middle, high)
        low = torch.where(reaches, low, middle)
    return high
