"""The datasets of edits.h5: latents, labels and images before and after every column."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gmmedit.editing.pasting import PastedColumn
from gmmedit.editing.session import EditSession


def render_rows(
    session: EditSession,
    latent: Tensor,
    before: tuple[np.ndarray, np.ndarray],
    moved: Sequence[Tensor],
    scales: Sequence[Tensor],
    pasted: Sequence[PastedColumn],
    photographs: np.ndarray | None,
) -> dict[str, np.ndarray]:
    """The datasets of one chunk of latents (N, L, D) and of each column of moved ones (N, L, D).

    Args:
        before: `session.generate` of the latents.
        scales: the strength (N,) of each column.
        pasted: how each column is pasted into photographs.
        photographs: uint8 (N, H, W, C), into which the edits are pasted; None: there are none.
    """
    images, labels = before
    generated = [session.generate(latents) for latents in moved]
    if photographs is not None:
        edited = np.stack([pixels for pixels, _ in generated])
        generated = list(zip(*session.paste(edited, images, photographs, pasted), strict=True))
        images, labels = photographs, session.label(photographs)
    return {
        "latent": latent.numpy(),
        "latents": torch.stack(list(moved)).numpy(),
        "strengths": torch.stack(list(scales)).numpy(),
        "labels_before": labels,
        "labels_after": np.stack([scores for _, scores in generated]),
        "images_before": images,
        "images_after": np.stack([pixels for pixels, _ in generated]),
    }
