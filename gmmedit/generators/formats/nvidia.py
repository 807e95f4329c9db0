"""NVIDIA's PyTorch pickles (stylegan2-ada-pytorch, stylegan3): a tree of nodes -> family, configuration, tensors.

Every node carries the attributes that its constructor resolved, so defaults, in which the two repositories
differ, are never applied again. The source text in the file is ignored.
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from gmmedit.generators.base import Generator
from gmmedit.generators.formats.filling import filled
from gmmedit.generators.formats.wrappers import choose_averaged, leaves
from gmmedit.generators.stylegan2 import Architecture, StyleGAN2, StyleGAN2Config
from gmmedit.generators.stylegan3 import LayerConfig, StyleGAN3, StyleGAN3Config
from gmmedit.networks.lazy_tensors import Derived, LazyTensor, Readable
from gmmedit.networks.pickle_machine import Inert, Node, Refused, printable

LARGEST = 1 << 16  # of any size that an attribute gives
LONGEST_FILTER = 64  # taps
WRAPPED = "module", "_orig_mod"
PLACE = re.compile(r"((net|model)?_?g(en|enerator)?)?_?(ema|s|smooth)?", re.IGNORECASE)  # G_ema, "", gs, netG_ema, ...
FILTER = "resample_filter"  # layers that do not resample have one too


def matches(content: Any) -> bool:
    return bool(networks(content))


def networks(content: Any) -> dict[str, Node]:
    """The generators in a file's content by where they lie: what its class or its place calls one, or all there is."""
    found = {name: unwrapped(value) for name, value in leaves(content) if isinstance(value, Node)}
    return {
        name: node
        for name, node in found.items()
        if node.name.endswith("Generator") or PLACE.fullmatch(name.rpartition(".")[2])
    }


def unwrapped(node: Node) -> Node:
    """The network in a DistributedDataParallel or a compiled module."""
    inner = node.state.get("_modules")
    for name in WRAPPED:
        if isinstance(inner, dict) and isinstance(inner.get(name), Node):
            return unwrapped(inner[name])
    return node


def read(path: Path, content: Any) -> Generator:
    """The generator of a file's content; D, the augmentations and a G beside G_ema stay in the file."""
    found = networks(content)
    node = found[choose_averaged(list(found))]
    if isinstance(node, Inert):
        raise node.refusal
    if node.name != "Generator" or "synthesis" not in modules(node):
        raise Refused(f"holds a network of the class {printable(node.name)}; StyleGAN2 and StyleGAN3 are known")
    tensors: dict[str, Readable] = dict(named_tensors(node, "", set()))
    if "input" in modules(child(node, "synthesis")):
        stylegan3 = stylegan3_config(node)
        return whole(filled(lambda: StyleGAN3(stylegan3), tensors, path), tensors)
    stylegan2 = stylegan2_config(node)
    tensors |= {name: plane(taps) for name, taps in tensors.items() if name.endswith(FILTER)}
    return whole(filled(lambda: StyleGAN2(stylegan2), tensors, path), tensors)


def whole(network: Generator, tensors: Mapping[str, Readable]) -> Generator:
    """The network. Refused: the file has weights besides, so it is a relative that computes something else."""
    strange = sorted(name for name in tensors.keys() - network.state_dict().keys() if not name.endswith(FILTER))
    if strange:
        raise Refused(f"has a tensor {printable(strange[0])}, which no {network.family} has")
    return network


def stylegan2_config(node: Node) -> StyleGAN2Config:
    resolution = integer(node, "img_resolution")
    synthesis = child(node, "synthesis")
    if resolution < 4 or resolution & (resolution - 1):
        raise Refused(f"has a resolution of {resolution}, a power of two was expected")
    blocks = [child(synthesis, f"b{2**i}") for i in range(2, resolution.bit_length())]
    layer = child(blocks[-1], "conv1")
    check_activation(layer)
    taps = plane(tensor(blocks[0], "resample_filter"))
    if max(taps.shape) > LONGEST_FILTER:
        raise Refused(f"has a filter of shape {list(taps.shape)}")
    return StyleGAN2Config(
        **mapping_settings(node),
        resolution=resolution,
        channels=tuple(tensor(child(block, "conv1"), "weight").shape[0] for block in blocks),
        const_size=const_size(blocks[0]),
        image_channels=integer(node, "img_channels"),
        architecture=architecture(blocks[-1]),
        resample_filter=tuple(taps.read().float().sum(0).tolist()),
        conv_clamp=clamp(layer),
        use_noise=bool(attribute(layer, "use_noise")),
    )


def const_size(block: Node) -> tuple[int, int]:
    """(height, width) of the first block's constant."""
    shape = tensor(block, "const").shape
    if len(shape) != 3:
        raise Refused(f"has a constant of shape {list(shape)} where (channels, height, width) was expected")
    return shape[1], shape[2]


def architecture(block: Node) -> Architecture:
    name = attribute(block, "architecture")
    for known in ("skip", "resnet", "orig"):
        if name == known:
            return known
    raise Refused("has an architecture that is neither skip nor resnet nor orig")


def plane(taps: Readable) -> Readable:
    """A low-pass filter as a plane: those of eight taps or more are stored as a line."""
    return Derived(taps, lambda line: torch.outer(line, line)) if len(taps.shape) == 1 else taps


def mapping_settings(node: Node) -> dict[str, Any]:
    """The fields of a MappingConfig."""
    mapping = child(node, "mapping")
    first = child(mapping, "fc0")
    check_activation(first)
    classes = integer(node, "c_dim")
    return {
        "z_dim": integer(node, "z_dim"),
        "w_dim": integer(node, "w_dim"),
        "c_dim": classes,
        "mapping_layers": integer(mapping, "num_layers"),
        "mapping_width": tensor(first, "weight").shape[0],
        "mapping_lr": real(first, "bias_gain"),
        "embedding": tensor(child(mapping, "embed"), "weight").shape[0] if classes else None,
    }


def stylegan3_config(node: Node) -> StyleGAN3Config:
    synthesis = child(node, "synthesis")
    first = child(synthesis, "input")
    names = attribute(synthesis, "layer_names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Refused("has no list of layers")
    return StyleGAN3Config(
        **mapping_settings(node),
        resolution=integer(node, "img_resolution"),
        image_channels=integer(node, "img_channels"),
        input_channels=tensor(first, "weight").shape[0],
        input_size=size(first, "size"),
        sampling_rate=real(first, "sampling_rate"),
        bandwidth=real(first, "bandwidth"),
        output_scale=real(synthesis, "output_scale"),
        layers=tuple(layer_config(name, child(synthesis, name)) for name in names),
    )


def layer_config(name: str, node: Node) -> LayerConfig:
    n_out, n_in, kernel, _ = tensor(node, "weight").shape
    return LayerConfig(
        name=name,
        n_in=n_in,
        n_out=n_out,
        kernel=kernel,
        up=integer(node, "up_factor"),
        down=integer(node, "down_factor"),
        up_filter=filter_shape(node, "up_filter"),
        down_filter=filter_shape(node, "down_filter"),
        padding=padding(node),
        clamp=clamp(node),
        to_rgb=bool(attribute(node, "is_torgb")),
    )


def named_tensors(node: Node, prefix: str, seen: set[int]) -> Iterator[tuple[str, Readable]]:
    """Parameters and buffers under their dotted names, as in a state dictionary."""
    if id(node) in seen:
        raise Refused("has a module that is part of several")
    seen.add(id(node))
    for kind in ("_parameters", "_buffers"):
        for name, value in dictionary(node, kind).items():
            if isinstance(value, LazyTensor | Inert):
                yield f"{prefix}{name}", value
    for name, inner in modules(node).items():
        yield from named_tensors(inner, f"{prefix}{name}.", seen)


# Parts of a node. All raise Refused where the part is missing or is something else.


def dictionary(node: Node, kind: str) -> dict[str, Any]:
    value = node.state.get(kind)
    if isinstance(node, Inert) and value is None:
        raise node.refusal
    if isinstance(value, Inert):
        raise value.refusal
    if not isinstance(value, dict):
        raise Refused(f"has a {printable(node.name)} without {kind}")
    return value


def modules(node: Node) -> dict[str, Node]:
    return {name: value for name, value in dictionary(node, "_modules").items() if isinstance(value, Node)}


def child(node: Node, name: str) -> Node:
    inner = modules(node)
    if name not in inner:
        raise Refused(f"has a {printable(node.name)} without {printable(name)}")
    return inner[name]


def tensor(node: Node, name: str) -> Readable:
    for kind in ("_parameters", "_buffers"):
        value = dictionary(node, kind).get(name)
        if isinstance(value, LazyTensor | Inert):
            return value
    raise Refused(f"has a {printable(node.name)} without the tensor {name}")


def attribute(node: Node, name: str) -> Any:
    if name not in node.state:
        raise Refused(f"has a {printable(node.name)} without {name}")
    if isinstance(node.state[name], Inert):
        raise node.state[name].refusal
    return node.state[name]


def integer(node: Node, name: str) -> int:
    value = attribute(node, name)
    if type(value) is not int or not 0 <= value <= LARGEST:
        raise Refused(f"has a {printable(node.name)} whose {name} is no size")
    return value


def real(node: Node, name: str) -> float:
    value = attribute(node, name)
    if type(value) not in (int, float) or not math.isfinite(value):
        raise Refused(f"has a {printable(node.name)} whose {name} is no number")
    return float(value)


def clamp(node: Node) -> float | None:
    return None if attribute(node, "conv_clamp") is None else real(node, "conv_clamp")


def check_activation(node: Node) -> None:
    if attribute(node, "activation") != "lrelu":
        raise Refused("has an activation other than the leaky ReLU")


def padding(node: Node) -> tuple[int, int, int, int]:
    """Of x before, x after, y before, y after; negative numbers crop."""
    left, right, top, bottom = attribute(node, "padding")
    if not all(type(side) is int and abs(side) <= LARGEST for side in (left, right, top, bottom)):
        raise Refused("has a padding that is none")
    return left, right, top, bottom


def filter_shape(node: Node, name: str) -> tuple[int, ...] | None:
    value = dictionary(node, "_buffers").get(name)
    return value.shape if isinstance(value, LazyTensor) else None


def size(node: Node, name: str) -> tuple[int, int]:
    """(width, height) out of a numpy array."""
    value = attribute(node, name)
    if not isinstance(value, LazyTensor) or value.shape != (2,):
        raise Refused(f"has a {printable(node.name)} whose {name} is no pair of sizes")
    width, height = value.read().tolist()
    return width, height
