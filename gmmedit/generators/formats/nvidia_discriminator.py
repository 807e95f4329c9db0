"""The discriminator D in NVIDIA's PyTorch pickles (stylegan2-ada-pytorch, stylegan3), read as data when asked for."""

from pathlib import Path
from typing import Any

from gmmedit.errors import InputError
from gmmedit.generators.discriminator import Discriminator, DiscriminatorConfig
from gmmedit.generators.formats.detect import READERS, container_of
from gmmedit.generators.formats.filling import fill_network
from gmmedit.generators.formats.nvidia import (
    FILTER,
    LONGEST_FILTER,
    as_plane,
    check_activation,
    get_attribute,
    get_child,
    get_clamp,
    get_integer,
    get_tensor,
    named_tensors,
    unwrap_module,
)
from gmmedit.generators.formats.wrappers import walk_leaves
from gmmedit.networks.lazy_tensors import Readable
from gmmedit.networks.pickle_values import Inert, Node, Refused, shorten
from gmmedit.networks.unpickling import report_damage

HINT = "--features auto, none, or the file of a feature network"
NAME, CLASS = "D", "Discriminator"  # in the file


def read_discriminator(path: Path, device: str = "cpu") -> Discriminator:
    """The discriminator in a generator's file, frozen. InputError: it has none, or one of another kind."""
    container = container_of(path)
    if container not in ("pickle", "torch"):
        raise no_discriminator(path)
    with report_damage(path, HINT):
        found = find_discriminator(READERS[container](path, set()))
        if found is None:
            raise no_discriminator(path)
        tensors: dict[str, Readable] = dict(named_tensors(found, "", set()))
        tensors |= {name: as_plane(taps) for name, taps in tensors.items() if name.endswith(FILTER)}
        config = read_config(found)
        network = fill_network(lambda: Discriminator(config), tensors, path)
    return network.to(device).eval().requires_grad_(False)


def no_discriminator(path: Path) -> InputError:
    """The error for a file without a discriminator."""
    return InputError(f"{path} holds no discriminator, as NVIDIA's PyTorch pickles do", hint=HINT)


def find_discriminator(content: Any) -> Node | None:
    """The node called D; None: there is none. Refused: it is of another class."""
    nodes = {name.rpartition(".")[2]: value for name, value in walk_leaves(content) if isinstance(value, Node)}
    if NAME not in nodes:
        return None
    node = unwrap_module(nodes[NAME])
    if isinstance(node, Inert):
        raise node.refusal
    if node.name != CLASS:
        raise Refused(f"has a discriminator of the class {shorten(node.name)}, not that of StyleGAN2")
    return node


def read_config(node: Node) -> DiscriminatorConfig:
    """The configuration, from the nodes' attributes. Refused: not of the residual form, or sizes that do not match."""
    resolution = get_integer(node, "img_resolution")
    if resolution < 8 or resolution & (resolution - 1):
        raise Refused(f"has a discriminator of images of {resolution} pixels, which is not a power of two")
    blocks = [get_child(node, f"b{resolution >> i}") for i in range(resolution.bit_length() - 3)]
    if any(get_attribute(block, "architecture") != "resnet" for block in blocks):
        raise Refused("has a discriminator that is not of the residual form")
    layer = get_child(blocks[0], "conv1")
    check_activation(layer)
    taps = as_plane(get_tensor(layer, FILTER)).shape
    if len(taps) != 2 or not 1 < taps[0] == taps[1] <= LONGEST_FILTER:
        raise Refused(f"has a filter of shape {list(taps)}")
    widths = [get_tensor(get_child(block, "conv1"), "weight").shape for block in blocks]
    if any(len(shape) != 4 for shape in widths):
        raise Refused("has a convolution of an impossible shape")
    return DiscriminatorConfig(
        resolution=resolution,
        image_channels=get_integer(node, "img_channels"),
        widths=(widths[0][1], *(shape[0] for shape in widths)),
        clamp=get_clamp(layer),
        taps=taps[0],
    )
