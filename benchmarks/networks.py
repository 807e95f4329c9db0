"""Generators of public shapes with random weights, to be timed."""

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from gmmedit.generators import Generator
from gmmedit.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from gmmedit.generators.stylegan3 import LayerConfig, StyleGAN3, StyleGAN3Config

G = TypeVar("G", bound=Generator)
TAPS = 6  # of a StyleGAN3 filter, per sample of the lower rate
MARGIN = 10  # samples around the image


def stylegan2(resolution: int, channel_base: int, w_dim: int = 512) -> StyleGAN2:
    """NVIDIA's shapes: base 16384 is their paper256, 32768 their stylegan2 (configuration F)."""
    channels = tuple(min(channel_base // 2**i, 512) for i in range(2, resolution.bit_length()))
    return randomised(StyleGAN2(StyleGAN2Config(resolution=resolution, channels=channels, w_dim=w_dim, conv_clamp=256)))


def stylegan3_t(resolution: int, channel_base: int = 32768, layers: int = 14, critical: int = 2) -> StyleGAN3:
    """Configuration T (Karras et al. 2021, section 3.2 and appendix C)."""
    exponents = np.minimum(np.arange(layers + 1) / (layers - critical), 1)
    cutoffs = 2 * (resolution / 2 / 2) ** exponents
    stopbands = 2**2.1 * (resolution / 2 * 2**0.3 / 2**2.1) ** exponents
    rates = 2 ** np.ceil(np.log2(np.minimum(2 * stopbands, resolution)))
    sizes = (rates + 2 * MARGIN).astype(int)
    sizes[-2:] = resolution
    channels = np.rint(np.minimum(channel_base / 2 / cutoffs, 512)).astype(int)
    channels[-1] = 3
    rows, filters = [], {}
    for i in range(layers + 1):
        before, to_rgb = max(i - 1, 0), i == layers
        inner = max(rates[before], rates[i]) * (1 if to_rgb else 2)
        up, down = int(inner / rates[before]), int(inner / rates[i])
        up_taps, down_taps = (0 if factor == 1 or to_rgb else TAPS * factor for factor in (up, down))
        kernel = 1 if to_rgb else 3
        total = (sizes[i] - 1) * down + 1 - (sizes[before] + kernel - 1) * up
        total += max(up_taps, 1) + max(down_taps, 1) - 2
        low = int(total + up) // 2
        name = f"L{i}_{sizes[i]}_{channels[i]}"
        filters[f"{name}.up_filter"] = low_pass(up_taps, cutoffs[before], inner)
        filters[f"{name}.down_filter"] = low_pass(down_taps, cutoffs[i], inner)
        rows.append(
            LayerConfig(
                name=name,
                n_in=int(channels[before]),
                n_out=int(channels[i]),
                kernel=kernel,
                up=up,
                down=down,
                up_filter=(up_taps,) if up_taps else None,
                down_filter=(down_taps,) if down_taps else None,
                padding=(low, int(total) - low) * 2,
                clamp=256,
                to_rgb=to_rgb,
            )
        )
    size = int(sizes[0])
    config = StyleGAN3Config(
        resolution=resolution, layers=tuple(rows), input_channels=int(channels[0]), input_size=(size, size),
        sampling_rate=float(rates[0]), bandwidth=float(cutoffs[0]), output_scale=0.25, mapping_layers=2,
    )  # fmt: skip
    network = randomised(StyleGAN3(config))
    for name, taps in filters.items():
        if taps is not None:
            network.synthesis.get_buffer(name).copy_(taps)
    return network


def low_pass(taps: int, cutoff: float, rate: float) -> Tensor | None:
    """A windowed sinc: taps that sum to one."""
    if not taps:
        return None
    line = np.sinc(2 * cutoff / rate * (np.arange(taps) - (taps - 1) / 2)) * np.hamming(taps)
    return torch.from_numpy(line / line.sum()).float()


def randomised(network: G) -> G:
    """Frozen, laid out as `gmmedit.generators.load` does, with biases and noise that are not zero."""
    random = torch.Generator().manual_seed(0)
    for name, tensor in network.requires_grad_(False).state_dict().items():
        if name.endswith(("bias", "noise_strength")):
            tensor += 0.1 * torch.randn(tensor.shape, generator=random)
    return network.eval().to(memory_format=torch.channels_last)
