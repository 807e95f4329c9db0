"""A StyleGAN2's tensors under the names and in the layouts of other repositories, as their converters write them."""

import re

import torch
from torch import Tensor

from gmmedit.generators.stylegan2 import StyleGAN2

BLOCK = re.compile(r"synthesis\.b(\d+)\.(?:(const)|(conv0|conv1|torgb)\.(.+))")


def as_rosinality(network: StyleGAN2) -> dict[str, Tensor]:
    """Bare, with the mean w beside the weights; for the architecture `skip`, which rosinality's is."""
    state, kernel = {}, 4 * network.state_dict()["synthesis.b4.resample_filter"]
    parts = {"weight": "conv.weight", "affine.weight": "conv.modulation.weight", "affine.bias": "conv.modulation.bias",
             "noise_strength": "noise.weight"}  # fmt: skip
    for name, tensor in network.state_dict().items():
        if name == "mapping.w_avg":
            state["latent_avg"] = tensor
        elif name.startswith("mapping.fc"):
            number, part = name.removeprefix("mapping.fc").split(".")
            state[f"style.{int(number) + 1}.{part}"] = tensor
        elif (match := BLOCK.fullmatch(name)) and not name.endswith("resample_filter"):
            block, (const, layer, part) = int(match[1]).bit_length() - 3, match.group(2, 3, 4)
            depth = 2 * block - (layer == "conv0")
            theirs = f"convs.{depth - 1}" if depth else "conv1"
            if layer == "torgb":
                theirs = f"to_rgbs.{block - 1}" if block else "to_rgb1"
            if const:
                state["input.input"] = tensor[None]
            elif part == "noise_const":
                state[f"noises.noise_{depth}"] = tensor[None, None]
            elif part == "bias":
                state[f"{theirs}.bias" if layer == "torgb" else f"{theirs}.activate.bias"] = (
                    tensor[None, :, None, None] if layer == "torgb" else tensor
                )
            else:
                state[f"{theirs}.{parts[part]}"] = tensor if part.startswith("affine") else tensor[None]
    for block in range(len(network.config.resolutions) - 1):
        state[f"to_rgbs.{block}.upsample.kernel"] = kernel
        state[f"convs.{2 * block}.conv.blur.kernel"] = kernel
    return {name: tensor.detach().clone() for name, tensor in state.items()}


def as_basicsr(network: StyleGAN2) -> dict[str, Tensor]:
    """BasicSR's: rosinality's tensors, without the filters; it keeps no mean w."""
    renaming = (
        (r"style\.", "style_mlp."), (r"input\.input", "constant_input.weight"), (r"noises\.noise_", "noises.noise"),
        (r"convs\.(\d+)\.", r"style_convs.\1."), (r"conv1\.", "style_conv1."),
        (r"(.*)\.conv\.", r"\1.modulated_conv."), (r"(.*)\.noise\.weight", r"\1.weight"),
    )  # fmt: skip
    state = {}
    for name, tensor in as_rosinality(network).items():
        if name == "latent_avg" or name.endswith(".kernel"):
            continue
        for theirs, basicsr in renaming:
            name = re.sub(f"^{theirs}", basicsr, name)
        state[name] = tensor
    return state


def as_genforce(network: StyleGAN2) -> dict[str, Tensor]:
    """GenForce's StyleGAN2: kernels that double are mirrored, styles lack their one, noise has four dimensions."""
    parts = {"affine.weight": "style.weight", "affine.bias": "style.bias", "noise_const": "noise"}
    state = {"truncation.w_avg": network.w_avg, "synthesis.lod": torch.zeros(())}
    for name, tensor in network.state_dict().items():
        if name.startswith("mapping.fc"):
            state[name.replace("fc", "dense")] = tensor
        elif (match := BLOCK.fullmatch(name)) and not name.endswith("resample_filter"):
            block, (const, layer, part) = int(match[1]).bit_length() - 3, match.group(2, 3, 4)
            theirs = f"output{block}" if layer == "torgb" else f"layer{2 * block - (layer == 'conv0')}"
            if const:
                state["synthesis.early_layer.const"] = tensor[None]
                continue
            if part == "affine.bias":
                tensor = tensor - 1
            elif part == "noise_const":
                tensor = tensor[None, None]
            elif part == "weight" and layer == "conv0":
                tensor = tensor.flip(2, 3)
            state[f"synthesis.{theirs}.{parts.get(part, part)}"] = tensor
    filter_ = network.state_dict()["synthesis.b4.resample_filter"]
    for block in range(1, len(network.config.resolutions)):
        state[f"synthesis.layer{2 * block - 1}.filter.kernel"] = 4 * filter_[None, None]
    return {name: tensor.detach().clone() for name, tensor in state.items()}
