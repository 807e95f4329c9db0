"""Writes pickles as NVIDIA's repositories do, without their code: persistent objects of random networks."""

import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from gmmedit.generators.mapping import FullyConnected, Mapping
from gmmedit.generators.stylegan2 import Block, Skip, StyleGAN2, StyleGAN2Config, Synthesis, SynthesisLayer, ToRGB

SOURCE = "raise SystemExit('the source text in the file was executed')"
CLASSES = {
    StyleGAN2: "Generator", Mapping: "MappingNetwork", Synthesis: "SynthesisNetwork", Block: "SynthesisBlock",
    SynthesisLayer: "SynthesisLayer", ToRGB: "ToRGBLayer", Skip: "Conv2dLayer", FullyConnected: "FullyConnectedLayer",
}  # fmt: skip


class Persistent:
    """Pickles as NVIDIA's decorated classes do."""

    def __init__(self, class_name: str, state: dict[str, Any]) -> None:
        self.meta = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": class_name, "state": state}

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,)


@contextmanager
def names(*dotted: str) -> Iterator[None]:
    """Makes functions of these full names importable, for pickle to refer to."""
    created = []
    for name in dotted:
        path, _, attribute = name.rpartition(".")
        for end in [i for i, letter in enumerate(path + ".") if letter == "."]:
            if path[:end] not in sys.modules:
                sys.modules[path[:end]] = ModuleType(path[:end])
                created.append(path[:end])
        function = type(attribute, (), {"__module__": path, "__qualname__": attribute})
        setattr(sys.modules[path], attribute, function)
    try:
        yield
    finally:
        for path in created:
            del sys.modules[path]


def node(module: nn.Module, config: StyleGAN2Config) -> Persistent:
    attributes: dict[str, Any] = {}
    match module:
        case StyleGAN2():
            attributes = {"z_dim": config.z_dim, "c_dim": config.c_dim, "w_dim": config.w_dim,
                          "img_resolution": config.resolution, "img_channels": config.image_channels}  # fmt: skip
        case Mapping():
            attributes = {"num_layers": config.mapping_layers}
        case Block():
            attributes = {"architecture": config.architecture}
        case SynthesisLayer():
            attributes = {"activation": "lrelu", "conv_clamp": config.conv_clamp, "use_noise": config.use_noise}
        case FullyConnected():
            attributes = {"activation": "lrelu" if module.activate else "linear", "bias_gain": module.bias_gain,
                          "weight_gain": np.float64(module.weight_gain)}  # fmt: skip
    inner = {name: node(child, config) for name, child in module.named_children()}
    buffers = dict(module._buffers)
    if len(buffers.get("resample_filter", ())) >= 8:  # the reference keeps long filters as a line
        buffers["resample_filter"] = buffers["resample_filter"].sum(0)
    own = {"_parameters": dict(module._parameters), "_buffers": buffers, "_modules": inner}
    return Persistent(CLASSES[type(module)], {"training": False, "_forward_hooks": {}, **own, **attributes})


def random_network(seed: int = 0, **settings: Any) -> StyleGAN2:
    """A StyleGAN2 whose biases, noise and mean w are not zero."""
    random = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = StyleGAN2(StyleGAN2Config(**settings)).requires_grad_(False)
    for name, tensor in network.state_dict().items():
        if name.endswith(("bias", "noise_strength", "w_avg")):
            tensor += 0.3 * torch.randn(tensor.shape, generator=random)
    return network.eval()


def write(path: Path, network: StyleGAN2, protocol: int = 4, **more: Any) -> Path:
    """A snapshot with this G_ema; `more` adds entries or replaces them."""
    with names("torch_utils.persistence._reconstruct_persistent_obj"):
        snapshot = {"training_set_kwargs": None, "G_ema": node(network, network.config), "augment_pipe": None, **more}
        path.write_bytes(pickle.dumps(snapshot, protocol=protocol))
    return path
