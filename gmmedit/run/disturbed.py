"""Images disturbed before they are classified, so that no label can depend on single pixels."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

KEPT = 8  # draws that are kept; an edit's price looks in four ways, again and again


@dataclass(frozen=True)
class Draw:
    """A shift in pixels within a margin, noise (C, H, W), and the state of the random numbers after them."""

    down: int
    right: int
    noise: Tensor
    after: Tensor


@dataclass(frozen=True)
class Disturbance:
    """`disturb` by this shift and noise; draws that come again are kept where the images are.

    Drawing the noise of a 1024-pixel image takes a CPU longer than generating the image takes a GPU.
    """

    shift: float
    noise: float
    kept: dict[tuple[object, ...], Draw] = field(default_factory=dict)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Images (N, C, H, W) disturbed in the way that the generator draws next."""
        state = generator.get_state()
        key = (state.numpy().tobytes(), images.shape[1:], images.device, images.dtype)
        if key not in self.kept:
            if len(self.kept) >= KEPT:
                self.kept.clear()
            self.kept[key] = draw_disturbance(images, generator, self.shift)
        draw = self.kept[key]
        generator.set_state(draw.after)
        return apply(images, draw, self.shift, self.noise)


def disturb(images: Tensor, generator: torch.Generator, shift: float, noise: float) -> Tensor:
    """Images (N, C, H, W) shifted at random and with added noise, both the same for every image.

    shift: at most this share of the shorter side, at least a pixel unless it is 0. noise: standard deviation, for
    pixels in [-1, 1].
    """
    return apply(images, draw_disturbance(images, generator, shift), shift, noise)


def draw_disturbance(images: Tensor, generator: torch.Generator, shift: float) -> Draw:
    """The next draw for images (N, C, H, W); its noise has deviation 1, and their device and type."""
    margin = margin_of(images.shape[-2:], shift)
    down, right = torch.randint(2 * margin + 1, (2,), generator=generator).tolist()
    noise = torch.randn(images.shape[1:], generator=generator).to(images)
    return Draw(down, right, noise, generator.get_state())


def apply(images: Tensor, draw: Draw, shift: float, noise: float) -> Tensor:
    """Images (N, C, H, W) disturbed by a draw."""
    margin = margin_of(images.shape[-2:], shift)
    height, width = images.shape[-2:]
    extended = F.pad(images, (margin,) * 4, mode="replicate")
    return extended[..., draw.down : draw.down + height, draw.right : draw.right + width] + noise * draw.noise


def margin_of(size: Sequence[int], shift: float) -> int:
    """The largest shift in pixels of images of that size (H, W)."""
    return max(round(shift * min(size)), 1) if shift else 0
