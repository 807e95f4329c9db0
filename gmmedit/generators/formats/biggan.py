"""BigGAN-deep of huggingface/pytorch-pretrained-BigGAN: pytorch_model.bin, and config.json beside it."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gmmedit.generators.biggan import BigGAN, BigGANConfig
from gmmedit.generators.formats.filling import fill_network
from gmmedit.generators.formats.states import MAX_PARTS, State
from gmmedit.generators.formats.wrappers import find_state
from gmmedit.networks.lazy_tensors import Derived, Readable
from gmmedit.networks.pickle_values import Refused
from gmmedit.runtime.regular_files import LARGEST_TEXT, check_regular

MARK = r"generator\.gen_z\.bias"
LARGEST = 1 << 20  # of any size in config.json
SIZES = {"z_dim": "z_dim", "classes": "num_classes", "width": "channel_width", "statistics": "n_stats"}


def matches(content: Any) -> bool:
    """Whether a file's content is BigGAN-deep of huggingface."""
    return find_state(content, MARK) is not None


def read_generator(path: Path, content: Any) -> BigGAN:
    """The generator of a file's content. Refused: there is no config.json beside it, or tensors do not match it."""
    state = find_state(content, MARK)
    assert state is not None  # matches
    config = read_config(path)
    with torch.device("meta"):
        names = BigGAN(config).state_dict().keys()
    return fill_network(lambda: BigGAN(config), {name: find_tensor(state, name) for name in names}, path)


def find_tensor(state: State, name: str) -> Readable | Tensor:
    """The tensor of that name, spectrally normalised where the file stores the parts of the norm."""
    tensor = state[f"{name}_orig"] if f"{name}_orig" in state else state[name]
    if f"{name}_orig" in state:
        tensor = normalise_spectrally(tensor, state[f"{name}_u"], state[f"{name}_v"])
    if name.startswith("generator.conv_to_rgb."):
        return Derived(tensor, lambda rgb: rgb[:3])  # the reference computes further channels and drops them
    return tensor


def normalise_spectrally(weight: Readable, u: Readable, v: Readable) -> Readable:
    """weight / (u' W v), W being the weight as a matrix (Miyato et al. 2018)."""

    def divide(tensor: Tensor) -> Tensor:
        return tensor if tensor.is_meta else tensor / (u.read() @ (tensor.flatten(1) @ v.read()))

    return Derived(weight, divide)


def read_config(path: Path) -> BigGANConfig:
    """The configuration beside the file. Refused: there is none, or its sizes are impossible."""
    stem = path.name.removesuffix(path.suffix)
    names = [f"{stem}.config.json", path.name.replace("pytorch_model.bin", "config.json"), "config.json"]
    found = next((file for name in names if name != path.name and (file := path.with_name(name)).is_file()), None)
    if found is None:
        raise Refused(
            f"is a BigGAN, which needs its config.json in the same folder ({' or '.join(dict.fromkeys(names))})"
        )
    check_regular(found, "give the unmodified config.json", LARGEST_TEXT)
    given = json.loads(found.read_text(encoding="utf-8"))
    sizes = {ours: given[theirs] for ours, theirs in SIZES.items()}
    layers = tuple((bool(up), n_in, n_out) for up, n_in, n_out in given["layers"])
    every = [*sizes.values(), *(size for _, *pair in layers for size in pair)]
    if not all(type(size) is int and 0 < size <= LARGEST for size in every) or len(layers) > MAX_PARTS:
        raise Refused(f"has a {found.name} with impossible sizes")
    return BigGANConfig(layers, attention=int(given["attention_layer_position"]), eps=float(given["eps"]), **sizes)
