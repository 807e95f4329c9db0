"""Edits pasted into photographs: where an edit changes little, the photograph keeps its own pixels.

A generator makes a photograph only approximately, and an edit moves all of its image a little. Both would replace what
the edit is not about. So the edited image is shown where it differs from the unedited reconstruction, and the
photograph elsewhere, with a soft border.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from gmmedit.run.rendering import shrink_to_compare

KEPT, EDITED = 0.2, 0.6  # of the difference of two samples: up to which the photograph is shown, from which the edit
SOFT = 1 / 64  # of the longer side of the image, at least a pixel at COMPARED_SIDE: standard deviation of the border
WEAKEST = 0.1  # strength below which the thresholds fall no further: changes are then those of rounding


def paste_edits(
    edited: Tensor, unedited: Tensor, photographs: Tensor, contrast: float, strengths: Tensor
) -> Tensor:  # fmt: skip
    """Edited images (N, C, H, W) where they differ from the unedited ones, and the photographs elsewhere.

    All in [-1, 1]. contrast: the mean absolute difference of two samples, in [0, 2]. strengths (N,): of the edits; with
    it the thresholds grow up to strength 1, so that a weak edit is shown as far as a full one. 0: the photographs.
    """
    share = weigh(edited, unedited, contrast * strengths.abs().clamp(WEAKEST, 1))
    return photographs + share * (strengths != 0)[:, None, None, None] * (edited - photographs)


def weigh(edited: Tensor, unedited: Tensor, units: Tensor) -> Tensor:
    """How much of the edited image is shown at each pixel, (N, 1, H, W) in [0, 1]; units (N,) of the change."""
    change = (edited - unedited).abs().mean(1, keepdim=True)
    small = blur(shrink_to_compare(change)) / units.clamp_min(1e-6)[:, None, None, None].to(change)
    share = ((small - KEPT) / (EDITED - KEPT)).clamp(0, 1)
    share = blur(F.max_pool2d(share, 3, 1, 1))
    return F.interpolate(share, size=change.shape[-2:], mode="bilinear", align_corners=False)


def blur(maps: Tensor) -> Tensor:
    """Maps (N, 1, H, W) smoothed by a Gaussian of SOFT of the longer side; beyond the border they continue."""
    sigma = max(SOFT * max(maps.shape[-2:]), 0.5)
    reach = int(3 * sigma) + 1
    kernel = torch.exp(-torch.arange(-reach, reach + 1, device=maps.device).float().square() / (2 * sigma**2))
    kernel = (kernel / kernel.sum())[None, None, None]
    maps = F.pad(maps, (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(maps, kernel), kernel.mT)
