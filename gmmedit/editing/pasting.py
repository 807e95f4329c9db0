"""Edits pasted into photographs: where an edit changes little, the photograph keeps its own pixels.

A generator makes a photograph only approximately, and an edit moves all of its image a little. Both would replace what
the edit is not about. So the edited image is shown where it differs from the unedited reconstruction, and the
photograph elsewhere, with a soft border. How much is kept follows from labels: as much as leaves the edit its effect.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gmmedit.run.rendering import shrink_to_compare

# Changes up to which the photograph is shown, in units of the difference of two samples; the first that serves is used.
KEPT = (0.4, 0.3, 0.2, 0.1)
UNGUIDED = (0.2,)  # without a label that is aimed at: along a direction
BORDER = 0.4  # above them the edit is shown alone
EFFECT = 0.99  # of the change of the labels that are aimed at must stay
SOFT = 1 / 64  # of the longer side of the image, at least a pixel at COMPARED_SIDE: standard deviation of the border
WEAKEST = 0.1  # strength below which the limits fall no further: changes are then those of rounding

Move = tuple[int, Tensor]  # a category and the strength of each image (N,)
PastedColumn = tuple[Tensor, list[Move]]  # how far the images move (N,), and the moves whose effect is kept
Label = Callable[[Tensor], Tensor]  # images (N, C, H, W) in [-1, 1] to labels (N, K) in [0, 1]


def paste_columns(
    edited: Tensor, unedited: Tensor, photograph: Tensor, contrast: float, columns: Sequence[PastedColumn], label: Label
) -> Tensor:
    """Edits of one photograph pasted into it: edited (S, C, H, W), the others (1, C, H, W), all in [-1, 1].

    contrast: the mean absolute difference of two samples, in [0, 2]. columns: of each of the S edits, with (1,).
    Edits towards the same categories keep the same share, that of the strongest, so that a sweep changes smoothly.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for column, (_, moves) in enumerate(columns):
        groups.setdefault(tuple(category for category, _ in moves), []).append(column)
    pasted, before = photograph.repeat(len(edited), 1, 1, 1), label(photograph)
    for group in groups.values():
        lead = max(group, key=lambda column: float(columns[column][0]))
        after, (amount, moves) = edited[lead : lead + 1], columns[lead]
        goal = progress(label(after), before, moves)
        for kept in KEPT if moves else UNGUIDED:
            shown = paste_edits(after, unedited, photograph, contrast, amount, kept)
            if (progress(label(shown), before, moves) >= EFFECT * goal).all():
                break
        for column in group:
            part, amount = edited[column : column + 1], columns[column][0]
            pasted[column] = paste_edits(part, unedited, photograph, contrast, amount, kept)[0]
    return pasted


def progress(labels: Tensor, before: Tensor, moves: list[Move]) -> Tensor:
    """How far labels (1, K) have moved from those before in the direction of each of M moves, (M,)."""
    change = (labels - before)[0].cpu()
    return torch.stack([strength.sign()[0] * change[category] for category, strength in moves] or [torch.zeros(())])


def amount_of(moves: list[Move], scale: Tensor, along: bool = False) -> Tensor:
    """How far images move (N,): the largest strength without signs; along: directions too, `scale` times."""
    return torch.stack([strength.abs() for _, strength in moves] + [scale.abs()] * along).amax(0)


def paste_edits(
    edited: Tensor, unedited: Tensor, photographs: Tensor, contrast: float, strengths: Tensor, kept: float
) -> Tensor:
    """Edited images (N, C, H, W) where they differ from the unedited ones by more than `kept`, else the photographs.

    All in [-1, 1]. contrast: as in `paste_columns`. strengths (N,): of the edits; up to strength 1 the limits grow with
    it, so that a weak edit is shown as far as a full one. 0: the photographs.
    """
    share = weigh(edited, unedited, contrast * strengths.abs().clamp(WEAKEST, 1), kept)
    return photographs + share * (strengths != 0)[:, None, None, None] * (edited - photographs)


def weigh(edited: Tensor, unedited: Tensor, units: Tensor, kept: float) -> Tensor:
    """How much of the edited image is shown at each pixel, (N, 1, H, W) in [0, 1]; units (N,) of the change."""
    change = (edited - unedited).abs().mean(1, keepdim=True)
    small = blur(shrink_to_compare(change)) / units.clamp_min(1e-6)[:, None, None, None].to(change)
    share = ((small - kept) / BORDER).clamp(0, 1)
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
