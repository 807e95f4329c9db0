"""SAAE as one network, and its file: see `saae_parts` for encoders, decoders and critic."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmmedit.networks import weights
from gmmedit.networks.saae_parts import DECODERS, ContentEncoder, Critic, SAAEConfig, StyleEncoder

KEY = "saae"
MOST = 4096  # of any size in a file
TEMPLATE_LEVELS = 127.5
LEAST_SPREAD = 5e-7  # of styles around their groups; trainings keep it above
STYLE = "style"  # the attribute that its classifier labels, so that content cannot be called so


class SAAE(nn.Module):
    """All networks, the content images, the encoded styles of the training data, and the means of their groups."""

    templates: Tensor  # (k, C', H, W) in [-1, 1]
    codes: Tensor  # (styles, D)
    centres: Tensor  # (groups, D)
    spread: Tensor  # () standard deviation of a code's coordinate about its group's centre

    def __init__(self, config: SAAEConfig, fingerprint: str = "") -> None:
        super().__init__()
        self.config, self.fingerprint = config, fingerprint
        self.content, self.style = ContentEncoder(config), StyleEncoder(config)
        self.decoder = DECODERS[config.decoder](config)
        self.critic = Critic(config)
        _, height, width = config.image_shape
        self.register_buffer("templates", torch.zeros(len(config.contents), config.content_channels, height, width))
        self.register_buffer("codes", torch.zeros(config.styles, config.style))
        self.register_buffer("centres", torch.zeros(config.groups, config.style))
        self.register_buffer("spread", torch.ones(()))

    def forward(self, contents: Tensor, strips: Tensor) -> Tensor:
        """Numbers of contents (N,) and strips (N, C, H, n W) of other letters in the style to images (N, C, H, W)."""
        return self.decoder(self.content(self.templates)[contents], self.style(strips))

    def encode(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] to latents (N, k + D): the code, and a weight of 1 for the content whose image
        in that style is nearest."""
        codes, maps = self.style(images), self.content(self.templates)
        nearest = [
            (self.decoder(maps, code.expand(len(maps), -1)) - image).square().mean(dim=(1, 2, 3)).argmin()
            for code, image in zip(codes, images, strict=True)
        ]
        return torch.cat([F.one_hot(torch.stack(nearest), len(maps)).to(codes), codes], dim=1)


def save_saae(network: SAAE, path: Path, training: Mapping[str, Any] | None = None) -> None:
    """Write all networks, matrices rounded to half precision and content images to 256 levels, and their configuration.

    training: facts about how they came about.
    """
    tensors = {name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in network.state_dict().items()}
    tensors["templates"] = ((network.templates + 1) * TEMPLATE_LEVELS).round().clamp(0, 255).byte()
    tensors["codes"], tensors["centres"] = network.codes, network.centres
    weights.write_weights(path, tensors, KEY, asdict(network.config), training)


def read_saae(path: Path) -> SAAE:
    """The networks in a file of `save_saae`, on the CPU, frozen. InputError: damaged, or another kind of file."""

    def restore(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        check_spreads(tensors)
        return weights.to_single(tensors) | {"templates": tensors["templates"].float() / TEMPLATE_LEVELS - 1}

    return weights.read_network(path, KEY, lambda config, _, mark: SAAE(parse_config(config), mark), restore)


def check_spreads(tensors: Mapping[str, Tensor]) -> None:
    """ValueError: the variance of a batch normalisation is negative, or the styles' standard deviation not positive."""
    negative = [name for name, tensor in tensors.items() if name.endswith("running_var") and (tensor < 0).any()]
    if negative:
        raise ValueError(f"{negative[0]} is negative")
    if not (tensors["spread"] > LEAST_SPREAD).all():
        raise ValueError("spread is not positive")


def parse_config(settings: Mapping[str, Any]) -> SAAEConfig:
    """The configuration from its JSON, where tuples have become lists. ValueError, TypeError, KeyError: a wrong one."""
    contents, shape = tuple(map(str, settings["contents"])), tuple(settings["image_shape"])
    config = SAAEConfig(**{**settings, "contents": contents, "image_shape": shape})
    sizes = (
        *shape, len(contents), config.content_channels, config.styles, config.groups, config.style, config.width,
        config.fold, config.critic_width, config.critic_features,
    )  # fmt: skip
    if len(shape) != 3 or not isinstance(config.content, str) or type(config.binary) is not bool:
        raise ValueError("its settings are of wrong types")
    if config.decoder not in DECODERS:
        raise ValueError(f"there is no decoder {config.decoder!r}")
    weights.check_names([config.content, STYLE], contents)
    if not all(type(size) is int and 1 <= size <= MOST for size in sizes) or len(contents) < 2 or config.groups < 2:
        raise ValueError("its sizes are out of range")
    if any(side % config.fold or side % 2 for side in shape[1:]):
        raise ValueError(f"images of {shape[1]} x {shape[2]} pixels are not multiples of 2 and {config.fold}")
    return config
