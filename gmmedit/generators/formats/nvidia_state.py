"""State dictionaries of NVIDIA's PyTorch networks (`torch.save(G_ema.state_dict())`): StyleGAN2.

Tensors do not tell everything. Assumed are a leaky ReLU, a learning rate of 0.01 in the mapping, and no clamp unless
the YAML beside the file says `conv_clamp: 256`. The sampling rates of a StyleGAN3 cannot be recovered.
"""

import math
from pathlib import Path
from typing import Any

from gmmedit.errors import InputError
from gmmedit.generators.formats.filling import LARGEST_IMAGE
from gmmedit.generators.formats.nvidia import as_plane
from gmmedit.generators.formats.sidecar import read_sidecar
from gmmedit.generators.formats.states import State, convert_stylegan2, read_taps
from gmmedit.generators.formats.wrappers import find_state
from gmmedit.generators.stylegan2 import Architecture, StyleGAN2, StyleGAN2Config
from gmmedit.networks.pickle_values import Refused

STYLEGAN3 = "synthesis.input.freqs"
MARK = r"synthesis\.(b4\.const|input\.freqs)"
FILTER = "synthesis.b4.resample_filter"


def matches(content: Any) -> bool:
    """Whether a file's content is the state dictionary of NVIDIA's PyTorch networks."""
    return find_state(content, MARK) is not None


def read_generator(path: Path, content: Any) -> StyleGAN2:
    """The generator of a file's content. Refused: a StyleGAN3, or tensors are missing or have other shapes."""
    state = find_state(content, MARK)
    assert state is not None  # matches
    if STYLEGAN3 in state:
        raise Refused("is a state dictionary of a StyleGAN3, which lacks the sampling rates: give the original pickle")
    generator = convert_stylegan2(read_config(state, path), path, lambda name: state[name])
    state.check_all_used(generator.family, r".*resample_filter")
    return generator


def read_config(state: State, path: Path) -> StyleGAN2Config:
    """The configuration, from the shapes of the tensors."""
    log2 = state.extent(r"synthesis\.b(\d+)\.", LARGEST_IMAGE + 1).bit_length() - 1
    sides = [1 << i for i in range(2, log2 + 1)]
    last = f"synthesis.b{sides[-1]}"
    classes = state.width("mapping.embed.weight") if "mapping.embed.weight" in state else 0
    embedding = state.length("mapping.embed.weight") if classes else None
    return StyleGAN2Config(
        resolution=sides[-1],
        channels=tuple(state.length(f"synthesis.b{side}.conv1.bias") for side in sides),
        z_dim=state.width("mapping.fc0.weight") - (embedding or 0),
        w_dim=state.width("synthesis.b4.conv1.affine.weight"),
        c_dim=classes,
        embedding=embedding,
        image_channels=state.length(f"{last}.torgb.bias"),
        mapping_layers=state.extent(r"mapping\.fc(\d+)\."),
        mapping_width=state.length("mapping.fc0.bias"),
        const_size=state.sides("synthesis.b4.const"),
        architecture=find_architecture(state),
        resample_filter=read_taps(as_plane(state[FILTER])) if FILTER in state else (1, 3, 3, 1),
        conv_clamp=read_clamp(path),
        use_noise=f"{last}.conv1.noise_const" in state,
    )


def find_architecture(state: State) -> Architecture:
    """The architecture, from which tensors there are."""
    if "synthesis.b8.skip.weight" in state:
        return "resnet"
    return "skip" if "synthesis.b4.torgb.weight" in state else "orig"


def read_clamp(path: Path) -> float | None:
    """`conv_clamp` from the YAML beside the file; None: no clamp. InputError: it is not a positive number."""
    clamp = read_sidecar(path).get("conv_clamp")
    if clamp is None:
        return None
    if type(clamp) not in (int, float) or not (math.isfinite(clamp) and clamp > 0):
        raise InputError(
            f"{path.with_suffix('.yaml')}: conv_clamp is {clamp!r}", hint="give a positive number, e.g. 256"
        )
    return float(clamp)
