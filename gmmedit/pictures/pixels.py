"""Images in [-1, 1] to bytes and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


def to_bytes(images: Tensor) -> np.ndarray:
    """Images (N, C, H, W) around [-1, 1] to uint8 (N, H, W, C): x * 127.5 + 128, clamped, as in NVIDIA's scripts."""
    return _levels(images).byte().permute(0, 2, 3, 1).cpu().contiguous().numpy()


def from_bytes(pixels: np.ndarray) -> Tensor:
    """uint8 (N, H, W, C) to float32 (N, C, H, W) in [-1, 1]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1


def as_shown(images: Tensor) -> Tensor:
    """Images (N, C, H, W) around [-1, 1], clamped and quantised to 256 levels, float32, without gradient.

    So the label of an image is that of its PNG.
    """
    return _levels(images) / 127.5 - 1


def _levels(images: Tensor) -> Tensor:
    return (images.float() * 127.5 + 128).clamp(0, 255).floor()
