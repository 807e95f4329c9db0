"""Checkpoints of GenForce, SeFa and InterFaceGAN (.pth): StyleGAN1, StyleGAN2, PGGAN.

InterFaceGAN's are bare state dictionaries, the others' lie under `generator_smooth` or `generator`, those of
GenForce's training in `models`. Names and layouts: `models/` of github.com/genforce/interfacegan and
github.com/genforce/sefa.
"""

import re
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor

from gmmedit.errors import InputError
from gmmedit.generators.base import Generator
from gmmedit.generators.formats.filling import fill_network
from gmmedit.generators.formats.sidecar import read_sidecar
from gmmedit.generators.formats.states import Place, State, convert_stylegan2, read_taps
from gmmedit.generators.formats.wrappers import find_state
from gmmedit.generators.pggan import PGGAN, PGGANConfig
from gmmedit.generators.stylegan1 import StyleGAN1, StyleGAN1Config
from gmmedit.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from gmmedit.networks.lazy_tensors import Derived, Readable
from gmmedit.networks.pickle_values import Refused

FusedScale = Literal["auto", "true", "false"]
FUSED_FROM = 128  # resolution from which `auto` fuses doubling and convolution
INTERFACEGAN = {  # its names to SeFa's, in this order
    ".epilogue.": ".",
    ".style_mod.dense.": ".style.",
    ".linear.weight": ".weight",
    ".conv.weight": ".weight",
    ".wscale.bias": ".bias",
    ".first_layer": ".const",
}
UNUSED = r"(synthesis\.)?lod|truncation\.truncation|.*\.kernel"  # tensors that nothing depends on
STYLEGAN2_PARTS = {"affine.weight": "style.weight", "affine.bias": "style.bias", "noise_const": "noise"}
MARKS = r"synthesis\.output\d+\.bias", r"output\d+\.(wscale\.)?bias"  # of the StyleGANs, of PGGAN


def matches(content: Any) -> bool:
    """Whether a file's content is a checkpoint of GenForce, SeFa or InterFaceGAN."""
    return find_generator(content) is not None


def find_generator(content: Any) -> State | None:
    """The tensors of the averaged generator, or of the only one; None: there is none."""
    for mark in MARKS:
        state = find_state(content, mark)
        if state and any(re.match(r"(synthesis\.)?(layer\d+|early_layer)\.", name) for name in state):
            return state
    return None


def read_generator(path: Path, content: Any) -> Generator:
    """The generator of a file's content.

    Refused: tensors are missing or have other shapes, or the checkpoint is from the middle of a growth phase.
    """
    raw = find_generator(content)
    assert raw is not None  # matches
    state = State({rename_tensor(name): tensor for name, tensor in raw.items()})
    interfacegan = any(".wscale." in name for name in raw)
    if interfacegan:
        unfuse_interfacegan(raw, state)
    generator: Generator
    if any(name.startswith("synthesis.early_layer.") for name in state):
        generator = build_stylegan2(path, state)
    elif not any(name.startswith("synthesis.") for name in state):
        generator = build_pggan(path, state)
    else:
        if not interfacegan:
            unfuse_sefa(state, read_fused_scale(path))
        generator = build_stylegan1(path, state)
    state.check_all_used(generator.family, UNUSED)
    return generator


def rename_tensor(name: str) -> str:
    """InterFaceGAN's or SeFa's name of a tensor to SeFa's."""
    for theirs, ours in INTERFACEGAN.items():
        name = name.replace(theirs, ours)
    return name


def mirror_kernel(weight: Tensor) -> Tensor:
    """A fused kernel (O, I, 3, 3) as one that convolves the doubled image (see stylegan1.py)."""
    return weight.flip(2, 3)


def unfuse_interfacegan(raw: State, state: State) -> None:
    """Convert fused kernels, which InterFaceGAN stores in TensorFlow's order (3, 3, I, O), directly in the layer."""
    for name, weight in raw.items():
        if re.fullmatch(r"(synthesis\.)?layer\d+\.weight", name):
            state[name] = Derived(weight, lambda kernel: mirror_kernel(kernel.permute(3, 2, 0, 1)))


def read_fused_scale(path: Path) -> FusedScale:
    """`fused_scale` of SeFa's StyleGAN1, which the file does not tell: from the YAML beside it, else `auto`."""
    setting = read_sidecar(path).get("fused_scale", "auto")
    if setting not in get_args(FusedScale):
        message = f"{path.with_suffix('.yaml')}: fused_scale is {setting!r}"
        raise InputError(message, hint="choose true, false or auto")
    return setting


def unfuse_sefa(state: State, fused: FusedScale) -> None:
    """Mirror fused kernels, which SeFa's StyleGAN1 stores as any other."""
    for i in range(1, state.extent(r"synthesis\.output(\d+)\.")):
        if fused == "true" or (fused == "auto" and 4 << i >= FUSED_FROM):
            name = f"synthesis.layer{2 * i}.weight"
            state[name] = Derived(state[name], mirror_kernel)


def block_channels(state: State, prefix: str = "") -> tuple[int, ...]:
    """Channels of each block, from the first layer's bias of every block."""
    blocks = state.extent(rf"{re.escape(prefix)}output(\d+)\.")
    return tuple(state.length(f"{prefix}layer{2 * i}.bias") for i in range(blocks))


def read_level_of_detail(state: State, name: str) -> int:
    """How many of the last blocks a training has not reached yet. Refused: it was saved between two resolutions."""
    lod = float(state[name].read()) if name in state else 0.0
    if not lod.is_integer() or lod < 0:
        raise Refused(f"was saved while its next resolution faded in (lod {lod:g})")
    return int(lod)


def build_stylegan1(path: Path, state: State) -> StyleGAN1:
    """The StyleGAN1 of a state dictionary with SeFa's names. Refused: as `fill_network`."""
    label = "mapping.label_weight"
    label_size = state.length(label) if label in state else 0
    n_in = state.width("mapping.dense0.weight")
    config = StyleGAN1Config(
        channels=block_channels(state, "synthesis."),
        z_dim=n_in // 2 if label_size else n_in,
        w_dim=state.length("truncation.w_avg"),
        label_size=label_size,
        image_channels=state.length("synthesis.output0.bias"),
        mapping_layers=state.extent(r"mapping\.dense(\d+)\."),
        mapping_width=state.length("mapping.dense0.bias"),
    )
    lod = read_level_of_detail(state, "synthesis.lod")
    return fill_network(lambda: StyleGAN1(config, lod), state, path)


def build_pggan(path: Path, state: State) -> PGGAN:
    """The PGGAN of a state dictionary with SeFa's names. Refused: as `fill_network`."""
    channels = block_channels(state)
    config = PGGANConfig(channels, state["layer0.weight"].shape[1], state.length("output0.bias"))
    ups = {f"layer{2 * i}.weight": channels[i - 1 : i + 1] for i in range(1, len(channels))}
    if any(state[name].shape[:2] == sizes and sizes[0] != sizes[1] for name, sizes in ups.items()):
        for name in ups:  # SeFa's fused kernels have the shape (I, O, 3, 3)
            state[name] = Derived(state[name], lambda kernel: mirror_kernel(kernel.transpose(0, 1)))
    lod = read_level_of_detail(state, "lod")
    return fill_network(lambda: PGGAN(config, lod), state, path)


def build_stylegan2(path: Path, state: State) -> StyleGAN2:
    """The StyleGAN2 of a state dictionary. Refused: tensors are missing, or the network is `resnet` or conditional."""
    blocks = (state.extent(r"synthesis\.layer(\d+)\.") + 1) // 2
    config = StyleGAN2Config(
        resolution=2 << blocks,
        channels=tuple(state.length(f"synthesis.layer{2 * i}.bias") for i in range(blocks)),
        z_dim=state.width("mapping.dense0.weight"),
        w_dim=state.length("truncation.w_avg"),
        image_channels=state.length(f"synthesis.output{blocks - 1}.bias"),
        mapping_layers=state.extent(r"mapping\.dense(\d+)\."),
        mapping_width=state.length("mapping.dense0.bias"),
        const_size=state.sides("synthesis.early_layer.const"),
        architecture="skip" if "synthesis.output0.weight" in state else "orig",
        resample_filter=read_taps(state["synthesis.layer1.filter.kernel"]),
    )
    if "mapping.label_weight" in state:
        raise Refused("is a conditional StyleGAN2 of GenForce, which is not supported")
    return convert_stylegan2(config, path, lambda name: find_stylegan2_tensor(state, name))


def find_stylegan2_tensor(state: State, name: str) -> Readable:
    """The tensor for one of NVIDIA's names; up-convolution kernels are mirrored, and 1 is added to style biases."""
    if name == "mapping.w_avg":
        return state["truncation.w_avg"]
    if name.startswith("mapping.fc"):
        return state[name.replace("fc", "dense")]
    if name == "synthesis.b4.const":
        return Derived(state["synthesis.early_layer.const"], lambda tensor: tensor[0])
    place = Place.parse(name)
    layer = f"layer{2 * place.block - (place.layer == 'conv0')}"
    if place.layer == "torgb":
        layer = f"output{place.block}"
    tensor = state[f"synthesis.{layer}.{STYLEGAN2_PARTS.get(place.part, place.part)}"]
    if place.part == "noise_const":
        return Derived(tensor, lambda tensor: tensor[0, 0])
    if place.part == "affine.bias":
        return Derived(tensor, lambda tensor: tensor.add_(1))
    return Derived(tensor, mirror_kernel) if place.layer == "conv0" and place.part == "weight" else tensor
