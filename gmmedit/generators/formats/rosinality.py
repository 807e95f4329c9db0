"""Checkpoints of github.com/rosinality/stylegan2-pytorch (.pt), converted or from training: StyleGAN2.

Weights and orientations are NVIDIA's, under other names. Early files have neither noise nor the mean w. pSp, e4e,
ReStyle and HyperStyle store such a generator as `decoder.`; BasicSR (github.com/XPixelGroup/BasicSR) has other names
for the same tensors, and does not store the low-pass filter.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gmmedit.generators.formats.states import Place, State, convert_stylegan2, read_taps
from gmmedit.generators.formats.wrappers import find_state, walk_leaves
from gmmedit.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from gmmedit.networks.lazy_tensors import Derived, LazyTensor, Readable

PARTS = {
    "weight": "conv.weight",
    "bias": "activate.bias",
    "affine.weight": "conv.modulation.weight",
    "affine.bias": "conv.modulation.bias",
    "noise_strength": "noise.weight",
}
BASICSR = (  # its names to rosinality's
    (r"style_mlp\.", "style."),
    (r"constant_input\.weight", "input.input"),
    (r"style_conv(1|s\.\d+)\.weight", r"conv\1.noise.weight"),
    (r"style_conv(1|s\.\d+)\.", r"conv\1."),
    (r"(.+)\.modulated_conv\.", r"\1.conv."),
    (r"noises\.noise(\d+)", r"noises.noise_\1"),
)
FILTER = "to_rgbs.0.upsample.kernel"
MEAN_OF = 4096  # latents, for a mean w that the file lacks


def matches(content: Any) -> bool:
    """Whether a file's content is a checkpoint of rosinality, BasicSR, pSp or e4e."""
    return find_generator(content) is not None


def find_generator(content: Any) -> State | None:
    """The tensors of the averaged generator, or of the only one, under rosinality's names; None: there is none."""
    found = find_state(content, r"to_rgb1\..+")
    return found and State({rename_tensor(name): tensor for name, tensor in found.items()})


def rename_tensor(name: str) -> str:
    """BasicSR's or rosinality's name of a tensor to rosinality's."""
    for theirs, ours in BASICSR:
        name = re.sub(f"^{theirs}", ours, name)
    return name


def find_mean(content: Any) -> Readable | None:
    """The mean w (w_dim,) in a file, which pSp repeats for each layer; None: there is none."""
    named = dict(walk_leaves(content))
    name = next((name for name in named if name.rpartition(".")[2] == "latent_avg"), None)
    if name is None or not isinstance(named[name], LazyTensor):
        return None
    return Derived(named[name], lambda mean: mean.reshape(-1, mean.shape[-1])[0])


def read_generator(path: Path, content: Any) -> StyleGAN2:
    """The generator of a file's content. Refused: tensors are missing or have other shapes.

    Missing noise is drawn with seed 0, a missing mean w is computed from 4096 latents of that seed.
    """
    state = find_generator(content)
    assert state is not None  # matches
    blocks = state.extent(r"to_rgbs\.(\d+)\.") + 1
    config = StyleGAN2Config(
        resolution=2 << blocks,
        channels=tuple(state.length(f"{conv_name(2 * i)}.activate.bias") for i in range(blocks)),
        z_dim=state.width("style.1.weight"),
        w_dim=state.width("conv1.conv.modulation.weight"),
        image_channels=state["to_rgb1.bias"].shape[1],
        mapping_layers=state.extent(r"style\.(\d+)\.") - 1,
        mapping_width=state.length("style.1.bias"),
        const_size=state.sides("input.input"),
        resample_filter=read_taps(state[FILTER]) if FILTER in state else (1, 3, 3, 1),
    )
    mean = find_mean(content)
    noise = np.random.RandomState(0)

    def source(name: str) -> Readable | Tensor:
        if name == "mapping.w_avg":
            return mean or torch.zeros(config.w_dim)
        place = Place.parse(name) if name.endswith("noise_const") else None
        if place and noise_name(place) not in state:
            return torch.from_numpy(noise.randn(*config.size_of(4 << place.block)).astype(np.float32))
        return find_tensor(state, name)

    generator = convert_stylegan2(config, path, source)
    state.check_all_used(generator.family, r".*\.kernel|latent_avg")
    if mean is None:
        z = torch.from_numpy(np.random.RandomState(0).randn(MEAN_OF, config.z_dim).astype(np.float32))
        with torch.no_grad():
            generator.w_avg.copy_(generator.mapping(z).mean(0))
    return generator


def find_tensor(state: State, name: str) -> Readable:
    """The tensor of the file for a name of `StyleGAN2`."""
    if name.startswith("mapping.fc"):
        number, part = name.removeprefix("mapping.fc").split(".")
        return state[f"style.{int(number) + 1}.{part}"]
    if name == "synthesis.b4.const":
        return Derived(state["input.input"], lambda tensor: tensor[0])
    place = Place.parse(name)
    if place.part == "noise_const":
        return Derived(state[noise_name(place)], lambda tensor: tensor[0, 0])
    if place.layer == "torgb":
        layer = f"to_rgbs.{place.block - 1}" if place.block else "to_rgb1"
        if place.part == "bias":
            return Derived(state[f"{layer}.bias"], torch.flatten)
    else:
        layer = conv_name(convolution_index(place))
    tensor = state[f"{layer}.{PARTS[place.part]}"]
    return Derived(tensor, lambda tensor: tensor[0]) if place.part in ("weight", "noise_strength") else tensor


def convolution_index(place: Place) -> int:
    """The number of the convolution in the synthesis, from 0."""
    return 2 * place.block - (place.layer == "conv0")


def conv_name(depth: int) -> str:
    """The name of a convolution of the synthesis."""
    return f"convs.{depth - 1}" if depth else "conv1"


def noise_name(place: Place) -> str:
    """The name of a convolution's noise."""
    return f"noises.noise_{convolution_index(place)}"
