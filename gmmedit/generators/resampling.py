"""StyleGAN2's resampling: a low-pass filter, and the transposed convolution that doubles an image."""

import torch
import torch.nn.functional as F
from torch import Tensor


def fir_filter(taps: tuple[float, ...]) -> Tensor:
    """The separable low-pass filter as a plane (T, T) that sums to one."""
    line = torch.tensor(taps, dtype=torch.float32, device="cpu")
    plane = torch.outer(line, line)
    return plane / plane.sum()


def upsample(x: Tensor, plane: Tensor) -> Tensor:
    """(N, C, H, W) to (N, C, 2H, 2W): insert zeros, then low-pass with gain 4."""
    channels, height, width = x.shape[1:]
    kernel = (plane * 4).to(x.dtype).expand(channels, 1, *plane.shape)
    x = F.conv_transpose2d(x, kernel, stride=2, padding=len(plane) // 2 - 1, groups=channels)
    return x[..., : 2 * height, : 2 * width]  # a filter of odd length leaves one more


def up_convolve(x: Tensor, kernel: Tensor, plane: Tensor) -> Tensor:
    """A transposed convolution with stride 2, then the low-pass: (N, I, H, W) to (N, O, 2H, 2W).

    Its kernel is (I, O, 3, 3), or that of `as_phases`.
    """
    height, width = x.shape[2:]
    phases = kernel.shape[2] == 2
    x = interleave_phases(F.conv2d(x, kernel, padding=1)) if phases else F.conv_transpose2d(x, kernel, stride=2)
    low_pass = (plane.flip(0, 1) * 4).to(x.dtype).expand(x.shape[1], 1, *plane.shape)
    x = F.conv2d(x, low_pass, padding=(len(plane) - 1) // 2, groups=x.shape[1])
    return x.permute(0, 2, 3, 1)[:, : 2 * height, : 2 * width].permute(
        0, 3, 1, 2
    )  # cropped so, gradients keep the layout


def as_phases(weight: Tensor) -> Tensor:
    """The weights (O, I, 3, 3) of a transposed convolution with stride 2 as those of an ordinary one (4 O, I, 2, 2).

    Its outputs are the even and odd rows and columns, (2, 2, O). Nearly half of its products are with zeros, but AMX
    computes ordinary convolutions three times as fast.
    """
    # Rows of the kernel on x's rows i - 1 and i, for the rows 2i and 2i + 1 of the result; 3 is one of zeros.
    taps = torch.tensor([[2, 0], [3, 1]])
    padded = F.pad(weight, (0, 1, 0, 1))
    phases = padded[:, :, taps[:, None, :, None], taps[None, :, None, :]]  # (O, I, 2, 2, 2, 2)
    return phases.permute(2, 3, 0, 1, 4, 5).flatten(0, 2)


def interleave_phases(x: Tensor) -> Tensor:
    """Phases (N, 4 C, H, W) to the image (N, C, 2H, 2W), channels last."""
    phases = x.permute(0, 2, 3, 1).unflatten(3, (2, 2, -1))  # (N, H, W, 2, 2, C)
    return phases.transpose(2, 3).flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


def prepare_kernel(weight: Tensor, up: bool, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The weights (O, I, 3, 3) as the convolution takes them, and their sums of squares (O, I) for demodulation."""
    kernel = weight
    if up:
        kernel = as_phases(weight) if dtype == torch.bfloat16 and not weight.is_cuda else weight.transpose(0, 1)
    return kernel.to(dtype).contiguous(memory_format=torch.channels_last), weight.square().sum(dim=(2, 3))
