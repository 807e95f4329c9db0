"""NVIDIA's PyTorch pickles (stylegan2-ada-pytorch, stylegan3): a tree of nodes -> family, configuration, tensors.

Every node has the attributes that its constructor resolved, so the defaults, in which the two repositories differ,
do not matter. The source text in the file is ignored.
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from gmmedit.generators.base import Generator
from gmmedit.generators.formats.filling import fill_network
from gmmedit.generators.formats.wrappers import choose_averaged, walk_leaves
from gmmedit.generators.stylegan2 import Architecture, StyleGAN2, StyleGAN2Config
from gmmedit.generators.stylegan3 import LayerConfig, StyleGAN3, StyleGAN3Config
from gmmedit.networks.lazy_tensors import Derived, LazyTensor, Readable
from gmmedit.networks.pickle_values import Inert, Node, Refused, join_names, shorten

LARGEST = 1 << 16  # of any size that an attribute gives
LONGEST_FILTER = 64  # taps
WRAPPED = "module", "_orig_mod"
PLACE = re.compile(r"((net|model)?_?g(en|enerator)?)?_?(ema|s|smooth)?", re.IGNORECASE)  # G_ema, "", gs, netG_ema, ...
FILTER = "resample_filter"  # layers that do not resample have one too


def matches(content: Any) -> bool:
    """Whether a file's content is NVIDIA's PyTorch networks."""
    return bool(find_networks(content))


def find_networks(content: Any) -> dict[str, Node]:
    """The generators in a file's content by name: networks whose class or name says generator, or a lone network."""
    found = {name: unwrap_module(value) for name, value in walk_leaves(content) if isinstance(value, Node)}
    return {
        name: node
        for name, node in found.items()
        if node.name.endswith("Generator") or PLACE.fullmatch(name.rpartition(".")[2])
    }


def unwrap_module(node: Node) -> Node:
    """The network inside DistributedDataParallel or a compiled module."""
    inner = node.state.get("_modules")
    for name in WRAPPED:
        if isinstance(inner, dict) and isinstance(inner.get(name), Node):
            return unwrap_module(inner[name])
    return node


def read_generator(path: Path, content: Any) -> Generator:
    """The generator of a file's content: G_ema where there is one.

    Refused: another kind of network, or attributes or tensors that are missing or do not match.
    """
    found = find_networks(content)
    node = found[choose_averaged(list(found))]
    if isinstance(node, Inert):
        raise node.refusal
    if node.name != "Generator" or "synthesis" not in get_modules(node):
        raise Refused(f"holds a network of the class {shorten(node.name)}, not a StyleGAN2 or StyleGAN3")
    tensors: dict[str, Readable] = dict(named_tensors(node, "", set()))
    if "input" in get_modules(get_child(node, "synthesis")):
        stylegan3 = stylegan3_config(node)
        return check_complete(fill_network(lambda: StyleGAN3(stylegan3), tensors, path), tensors)
    stylegan2 = stylegan2_config(node)
    tensors |= {name: as_plane(taps) for name, taps in tensors.items() if name.endswith(FILTER)}
    return check_complete(fill_network(lambda: StyleGAN2(stylegan2), tensors, path), tensors)


def check_complete(network: Generator, tensors: Mapping[str, Readable]) -> Generator:
    """The network. Refused: the file has weights that it does not use, so it is a variant that computes otherwise."""
    strange = sorted(name for name in tensors.keys() - network.state_dict().keys() if not name.endswith(FILTER))
    if strange:
        raise Refused(f"has a tensor {shorten(strange[0])}, which no {network.family} has")
    return network


def stylegan2_config(node: Node) -> StyleGAN2Config:
    """The configuration from the nodes' attributes. Refused: one is missing, or not a size."""
    resolution = get_integer(node, "img_resolution")
    synthesis = get_child(node, "synthesis")
    if resolution < 4 or resolution & (resolution - 1):
        raise Refused(f"has a resolution of {resolution}, which is not a power of two")
    blocks = [get_child(synthesis, f"b{2**i}") for i in range(2, resolution.bit_length())]
    layer = get_child(blocks[-1], "conv1")
    check_activation(layer)
    taps = as_plane(get_tensor(blocks[0], "resample_filter"))
    if max(taps.shape) > LONGEST_FILTER:
        raise Refused(f"has a filter of shape {list(taps.shape)}")
    return StyleGAN2Config(
        **mapping_settings(node),
        resolution=resolution,
        channels=tuple(get_tensor(get_child(block, "conv1"), "weight").shape[0] for block in blocks),
        const_size=const_size(blocks[0]),
        image_channels=get_integer(node, "img_channels"),
        architecture=get_architecture(blocks[-1]),
        resample_filter=tuple(taps.read().float().sum(0).tolist()),
        conv_clamp=get_clamp(layer),
        use_noise=bool(get_attribute(layer, "use_noise")),
    )


def const_size(block: Node) -> tuple[int, int]:
    """(height, width) of the first block's constant."""
    shape = get_tensor(block, "const").shape
    if len(shape) != 3:
        raise Refused(f"has a constant of shape {list(shape)}, expected (channels, height, width)")
    return shape[1], shape[2]


def get_architecture(block: Node) -> Architecture:
    """The block's architecture. Refused: an unknown one."""
    name = get_attribute(block, "architecture")
    for known in ("skip", "resnet", "orig"):
        if name == known:
            return known
    raise Refused("has an architecture that is neither skip nor resnet nor orig")


def as_plane(taps: Readable) -> Readable:
    """A low-pass filter (T, T), from (T, T) or as its line (T,), as filters of eight taps or more are stored."""
    return Derived(taps, lambda line: torch.outer(line, line)) if len(taps.shape) == 1 else taps


def mapping_settings(node: Node) -> dict[str, Any]:
    """The fields of a MappingConfig."""
    mapping = get_child(node, "mapping")
    first = get_child(mapping, "fc0")
    check_activation(first)
    classes = get_integer(node, "c_dim")
    return {
        "z_dim": get_integer(node, "z_dim"),
        "w_dim": get_integer(node, "w_dim"),
        "c_dim": classes,
        "mapping_layers": get_integer(mapping, "num_layers"),
        "mapping_width": get_tensor(first, "weight").shape[0],
        "mapping_lr": get_real(first, "bias_gain"),
        "embedding": get_tensor(get_child(mapping, "embed"), "weight").shape[0] if classes else None,
    }


def stylegan3_config(node: Node) -> StyleGAN3Config:
    """The configuration from the nodes' attributes. Refused: one is missing, or not a size."""
    synthesis = get_child(node, "synthesis")
    first = get_child(synthesis, "input")
    names = get_attribute(synthesis, "layer_names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Refused("has no list of layers")
    return StyleGAN3Config(
        **mapping_settings(node),
        resolution=get_integer(node, "img_resolution"),
        image_channels=get_integer(node, "img_channels"),
        input_channels=get_tensor(first, "weight").shape[0],
        input_size=get_size(first, "size"),
        sampling_rate=get_real(first, "sampling_rate"),
        bandwidth=get_real(first, "bandwidth"),
        output_scale=get_real(synthesis, "output_scale"),
        layers=tuple(layer_config(name, get_child(synthesis, name)) for name in names),
    )


def layer_config(name: str, node: Node) -> LayerConfig:
    """The configuration of one StyleGAN3 layer."""
    n_out, n_in, kernel, _ = get_tensor(node, "weight").shape
    return LayerConfig(
        name=name,
        n_in=n_in,
        n_out=n_out,
        kernel=kernel,
        up=get_integer(node, "up_factor"),
        down=get_integer(node, "down_factor"),
        up_filter=get_filter_shape(node, "up_filter"),
        down_filter=get_filter_shape(node, "down_filter"),
        padding=get_padding(node),
        clamp=get_clamp(node),
        to_rgb=bool(get_attribute(node, "is_torgb")),
    )


def named_tensors(node: Node, prefix: str, visited: set[int]) -> Iterator[tuple[str, Readable]]:
    """Parameters and buffers by dotted names, as in a state dictionary.

    Refused: a module occurs twice, or a name is too long.
    """
    if id(node) in visited:
        raise Refused("has a module that occurs twice")
    visited.add(id(node))
    for kind in ("_parameters", "_buffers"):
        for name, value in get_dictionary(node, kind).items():
            if isinstance(value, LazyTensor | Inert):
                yield join_names(prefix, ".", name), value
    for name, inner in get_modules(node).items():
        yield from named_tensors(inner, join_names(prefix, ".", name), visited)


# Parts of a node. All raise Refused if the part is missing or of another type.


def get_dictionary(node: Node, kind: str) -> dict[str, Any]:
    """An attribute that is a dictionary, e.g. _parameters."""
    value = node.state.get(kind)
    if isinstance(node, Inert) and value is None:
        raise node.refusal
    if isinstance(value, Inert):
        raise value.refusal
    if not isinstance(value, dict):
        raise Refused(f"has a {shorten(node.name)} without {kind}")
    return value


def get_modules(node: Node) -> dict[str, Node]:
    """The submodules by name."""
    return {name: value for name, value in get_dictionary(node, "_modules").items() if isinstance(value, Node)}


def get_child(node: Node, name: str) -> Node:
    """The submodule of that name."""
    inner = get_modules(node)
    if name not in inner:
        raise Refused(f"has a {shorten(node.name)} without {shorten(name)}")
    return inner[name]


def get_tensor(node: Node, name: str) -> Readable:
    """The parameter or buffer of that name."""
    for kind in ("_parameters", "_buffers"):
        value = get_dictionary(node, kind).get(name)
        if isinstance(value, LazyTensor | Inert):
            return value
    raise Refused(f"has a {shorten(node.name)} without the tensor {name}")


def get_attribute(node: Node, name: str) -> Any:
    """The attribute of that name."""
    if name not in node.state:
        raise Refused(f"has a {shorten(node.name)} without {name}")
    if isinstance(node.state[name], Inert):
        raise node.state[name].refusal
    return node.state[name]


def get_integer(node: Node, name: str) -> int:
    """The attribute, an integer from 0 to LARGEST."""
    value = get_attribute(node, name)
    if type(value) is not int or not 0 <= value <= LARGEST:
        raise Refused(f"has a {shorten(node.name)} whose {name} is not a size")
    return value


def get_real(node: Node, name: str) -> float:
    """The attribute, a finite number."""
    value = get_attribute(node, name)
    if type(value) not in (int, float) or not math.isfinite(value):
        raise Refused(f"has a {shorten(node.name)} whose {name} is not a number")
    return float(value)


def get_clamp(node: Node) -> float | None:
    """The attribute conv_clamp; None: no clamp."""
    return None if get_attribute(node, "conv_clamp") is None else get_real(node, "conv_clamp")


def check_activation(node: Node) -> None:
    """Refused: the node has another activation than the leaky ReLU."""
    if get_attribute(node, "activation") != "lrelu":
        raise Refused("has an activation other than the leaky ReLU")


def get_padding(node: Node) -> tuple[int, int, int, int]:
    """The attribute padding: left, right, top, bottom; negative numbers crop."""
    left, right, top, bottom = get_attribute(node, "padding")
    if not all(type(side) is int and abs(side) <= LARGEST for side in (left, right, top, bottom)):
        raise Refused("has an impossible padding")
    return left, right, top, bottom


def get_filter_shape(node: Node, name: str) -> tuple[int, ...] | None:
    """Shape of the buffer of that name; None: there is no such filter."""
    value = get_dictionary(node, "_buffers").get(name)
    return value.shape if isinstance(value, LazyTensor) else None


def get_size(node: Node, name: str) -> tuple[int, int]:
    """The attribute (width, height), a numpy array."""
    value = get_attribute(node, name)
    if not isinstance(value, LazyTensor) or value.shape != (2,):
        raise Refused(f"has a {shorten(node.name)} whose {name} is not a pair of sizes")
    width, height = value.read().tolist()
    return width, height
