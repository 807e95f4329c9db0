"""The truncation trick: w drawn towards the mean w."""

import torch
from torch import Tensor


def truncate(w: Tensor, mean: Tensor | None, layers: int | None, psi: float, cutoff: int | None = None) -> Tensor:
    """w (N, w_dim) or W+ (N, layers, w_dim) interpolated towards the mean (Karras et al. 2019); psi 1 is the identity.

    With a cutoff only the first `cutoff` layers are, and the result is W+. Without a mean (w_dim,) nothing is.
    """
    truncated = w if psi == 1 or mean is None else mean.lerp(w, psi)
    if cutoff is None or layers is None:
        return truncated
    inside = torch.arange(layers, device=w.device)[:, None] < cutoff
    truncated, w = (rows if rows.ndim == 3 else rows[:, None] for rows in (truncated, w))
    return torch.where(inside, truncated, w)
