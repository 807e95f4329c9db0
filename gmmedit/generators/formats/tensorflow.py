"""TensorFlow pickles of NVlabs/stylegan2 (state version 4) and stylegan2-ada (5): StyleGAN2.

A file is the tuple (G, D, Gs) of networks; Gs, the averaged generator, is read. A network has its settings (missing
ones have TensorFlow's defaults) and its variables, kernels in the order (k, k, I, O).
"""

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gmmedit.generators.formats.states import Place, State, convert_stylegan2
from gmmedit.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from gmmedit.networks.lazy_tensors import Derived, LazyTensor, Readable
from gmmedit.networks.pickle_values import Node, Refused

NETWORK = "dnnlib.tflib.network.Network"
VERSIONS = 4, 5
PARTS = {
    "weight": "weight",
    "bias": "bias",
    "affine.weight": "mod_weight",
    "affine.bias": "mod_bias",
    "noise_strength": "noise_strength",
}
LAYERS = {"conv0": "Conv0_up", "conv1": "Conv1", "torgb": "ToRGB", "skip": "Skip"}


def matches(content: Any) -> bool:
    """Whether a file's content is NVIDIA's TensorFlow networks."""
    return isinstance(content, tuple) and len(content) == 3 and is_network(content[2])


def is_network(thing: Any) -> bool:
    """Whether it is a network of dnnlib."""
    return isinstance(thing, Node) and thing.name == NETWORK


def read_generator(path: Path, content: Any) -> StyleGAN2:
    """The generator Gs of a file's content. Refused: another version or kind of network, or tensors are missing."""
    network = content[2].state
    if network["version"] not in VERSIONS:
        raise Refused(
            f"is a TensorFlow network of state version {network['version']}; supported are 4 and 5, of StyleGAN2"
        )
    settings = network["static_kwargs"]
    if {settings.get("nonlinearity", "lrelu"), settings.get("mapping_nonlinearity", "lrelu")} != {"lrelu"}:
        raise Refused("has an activation other than the leaky ReLU")
    if not settings.get("normalize_latents", True):
        raise Refused("has a mapping that does not normalise latents")
    state = collect_variables(network)
    if any(name.startswith(("mapping/LabelConcat", "synthesis/ToRGB_lod")) for name in state):
        raise Refused("is a TensorFlow StyleGAN2 with LabelConcat or of configurations A to D, which are not supported")
    config = read_config(state, settings)
    generator = convert_stylegan2(config, path, lambda name: find_tensor(state, name))
    state.check_all_used(generator.family, r"(.*/)?lod")
    return generator


def collect_variables(network: dict[str, Any]) -> State:
    """All variables of the network and of its two parts."""
    found = State()
    for prefix in ("", "mapping/", "synthesis/"):
        part = network["components"][prefix.rstrip("/")].state if prefix else network
        for name, value in part["variables"]:
            found[f"{prefix}{name}"] = value if isinstance(value, LazyTensor) else Number(value)
    return found


class Number:
    """A single number in place of a tensor."""

    shape: tuple[int, ...] = ()

    def __init__(self, value: float) -> None:
        self.value = value

    def read(self) -> Tensor:
        """The number as a tensor of shape ()."""
        return torch.tensor(float(self.value))


def read_config(state: State, settings: dict[str, Any]) -> StyleGAN2Config:
    """The configuration: sizes from the variables, the rest from the settings."""
    sides = [int(match[1]) for name in state if (match := re.match(r"synthesis/(\d{1,5})x\1/", name))]
    sizes = [1 << i for i in range(2, max(sides, default=4).bit_length())]
    labels = "mapping/LabelEmbed/weight"
    embedding = state.width(labels) if labels in state else None
    return StyleGAN2Config(
        resolution=sizes[-1],
        channels=tuple(state.length(f"synthesis/{r}x{r}/{'Conv' if r == 4 else 'Conv1'}/bias") for r in sizes),
        z_dim=state.length("mapping/Dense0/weight") - (embedding or 0),
        w_dim=state.length("dlatent_avg"),
        c_dim=state.length(labels) if embedding else 0,
        embedding=embedding,
        const_size=state.sides("synthesis/4x4/Const/const"),
        image_channels=state.length(f"synthesis/{sizes[-1]}x{sizes[-1]}/ToRGB/bias"),
        mapping_layers=state.extent(r"mapping/Dense(\d+)/"),
        mapping_width=state.width("mapping/Dense0/weight"),
        mapping_lr=settings.get("mapping_lrmul", 0.01),
        architecture=settings.get("architecture", "skip"),
        resample_filter=tuple(settings.get("resample_kernel", (1, 3, 3, 1)) or (1, 1)),
        conv_clamp=settings.get("conv_clamp"),
        use_noise=settings.get("use_noise", True),
    )


def find_tensor(state: State, name: str) -> Readable:
    """The variable for a name of `StyleGAN2`, in PyTorch's order."""
    if name == "mapping.w_avg":
        return state["dlatent_avg"]
    if name.startswith("mapping."):
        theirs = name.replace("mapping.fc", "mapping/Dense").replace("mapping.embed", "mapping/LabelEmbed")
        tensor = state[theirs.replace(".", "/")]
        return Derived(tensor, torch.t) if name.endswith("weight") else tensor
    if name == "synthesis.b4.const":
        return Derived(state["synthesis/4x4/Const/const"], lambda tensor: tensor[0])
    place = Place.parse(name)
    if place.part == "noise_const":
        number = 2 * place.block - (place.layer == "conv0")
        return Derived(state[f"synthesis/noise{number}"], lambda tensor: tensor[0, 0])
    layer = LAYERS[place.layer] if place.block or place.layer != "conv1" else "Conv"
    size = 4 << place.block
    tensor = state[f"synthesis/{size}x{size}/{layer}/{PARTS[place.part]}"]
    if place.part == "weight":
        return Derived(tensor, mirror_kernel if place.layer == "conv0" else to_torch_order)
    if place.part == "affine.weight":
        return Derived(tensor, torch.t)
    return Derived(tensor, lambda tensor: tensor.add_(1)) if place.part == "affine.bias" else tensor


def to_torch_order(weight: Tensor) -> Tensor:
    """(k, k, I, O) to (O, I, k, k)."""
    return weight.permute(3, 2, 0, 1)


def mirror_kernel(weight: Tensor) -> Tensor:
    """(k, k, I, O) to (O, I, k, k), mirrored."""
    return to_torch_order(weight).flip(2, 3)
