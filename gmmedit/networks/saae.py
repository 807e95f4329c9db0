"""The networks of SAAE: encoders of content and style, a decoder of both, and the critic that judges them.

After Zhao et al. 2017, "Stylized adversarial autoencoder for image generation" (ACM MM): three convolutions in each
encoder, without down-sampling; style through a linear layer to a map; both maps side by side, half of the channels
each; three convolutions in the decoder; a critic of three convolutions and two linear layers. Batch normalisation
follows every convolution but the last of the decoder. Sizes are in no text: those of `SAAEConfig` are ours. Blocks of
`fold` x `fold` pixels are channels of one place, so that nothing is lost and 3x3 convolutions see far.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmmedit.networks import weights

KEY = "saae"
SLOPE = 0.2  # of the leaky ReLU
MOST = 4096  # of any size in a file
TEMPLATE_LEVELS = 127.5


@dataclass(frozen=True)
class SAAEConfig:
    """The shape of the networks, and what they were trained on."""

    content: str  # name of the attribute
    contents: tuple[str, ...]  # its k values
    image_shape: tuple[int, int, int]  # (channels, height, width)
    content_channels: int = 1  # of the content images
    styles: int = 1  # encoded styles of the training data that are stored
    groups: int = 2  # of styles, that the classifier tells apart
    style: int = 64  # dims of a style's code
    width: int = 96  # channels of the content's map, and as many of the style's
    fold: int = 4
    critic_width: int = 48
    critic_features: int = 128
    binary: bool = False  # whether the critic only tells real from generated

    @property
    def latent(self) -> int:
        """Dims of [content | style]."""
        return len(self.contents) + self.style

    @property
    def blocks(self) -> dict[str, slice]:
        """The parts of a latent."""
        k = len(self.contents)
        return {"content": slice(0, k), "style": slice(k, k + self.style)}

    @property
    def grid(self) -> tuple[int, int]:
        """(height, width) of the maps."""
        _, height, width = self.image_shape
        return height // self.fold, width // self.fold


class Convolution(nn.Sequential):
    """A 3x3 convolution, batch normalisation, leaky ReLU."""

    def __init__(self, n_in: int, n_out: int) -> None:
        layer = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(layer.weight, SLOPE)
        super().__init__(layer, nn.BatchNorm2d(n_out), nn.LeakyReLU(SLOPE))


class ContentEncoder(nn.Sequential):
    """Content images (N, C', H, W) to maps (N, width, h, w)."""

    def __init__(self, config: SAAEConfig) -> None:
        n_in, width = config.content_channels * config.fold**2, config.width
        super().__init__(
            nn.PixelUnshuffle(config.fold), Convolution(n_in, width), Convolution(width, width),
            Convolution(width, width),
        )  # fmt: skip


class StyleEncoder(nn.Module):
    """Images in a style to its code (N, D); several of one style side by side are read one by one, and averaged."""

    def __init__(self, config: SAAEConfig) -> None:
        super().__init__()
        self.size = config.image_shape[2]
        n_in, width = config.image_shape[0] * config.fold**2, config.width
        height, breadth = config.grid
        self.maps = nn.Sequential(
            nn.PixelUnshuffle(config.fold), Convolution(n_in, width), Convolution(width, width),
            Convolution(width, width // 2),
        )  # fmt: skip
        self.code = nn.Linear(width // 2 * height * breadth, config.style)

    def forward(self, strips: Tensor) -> Tensor:
        """Strips (N, C, H, n W) in [-1, 1] to codes (N, D)."""
        count = strips.shape[3] // self.size
        images = torch.cat(strips.split(self.size, dim=3))  # letter by letter
        maps = self.maps(images.contiguous(memory_format=torch.channels_last))
        return self.code(maps.flatten(1)).float().unflatten(0, (count, -1)).mean(0)


class Decoder(nn.Module):
    """A content's map and a style's code to an image."""

    def __init__(self, config: SAAEConfig) -> None:
        super().__init__()
        width = config.width
        self.shape = (width, *config.grid)
        self.style_map = nn.Linear(config.style, width * config.grid[0] * config.grid[1])
        self.layers = nn.Sequential(
            Convolution(2 * width, width), Convolution(width, width),
            nn.Conv2d(width, config.image_shape[0] * config.fold**2, 3, padding=1), nn.PixelShuffle(config.fold),
        )  # fmt: skip

    def forward(self, maps: Tensor, codes: Tensor) -> Tensor:
        """Maps (N, width, h, w) and codes (N, D) to images (N, C, H, W) in [-1, 1]."""
        style = F.leaky_relu(self.style_map(codes), SLOPE).unflatten(1, self.shape)
        both = torch.cat([maps, style.to(maps.dtype)], dim=1).contiguous(memory_format=torch.channels_last)
        return self.layers(both).float().tanh()


class Critic(nn.Module):
    """Images (N, C, H, W) to logits (N, k + 1) of the k contents and, last, of being generated; binary: (N, 1)."""

    def __init__(self, config: SAAEConfig) -> None:
        super().__init__()
        channels, height, breadth = config.image_shape
        width, outputs = config.critic_width, 1 if config.binary else len(config.contents) + 1
        self.layers = nn.Sequential(
            Convolution(channels, width // 2), nn.MaxPool2d(2), Convolution(width // 2, width),
            Convolution(width, width), nn.Flatten(),
            nn.Linear(width * (height // 2) * (breadth // 2), config.critic_features), nn.LeakyReLU(SLOPE),
        )  # fmt: skip
        self.out = nn.Linear(config.critic_features, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """See the class; a binary one gives the log-odds of being real."""
        features = self.layers(images.contiguous(memory_format=torch.channels_last))
        return self.out(features).float()


class SAAE(nn.Module):
    """All networks, the content images, the encoded styles of the training data, and the means of their groups."""

    templates: Tensor  # (k, C', H, W) in [-1, 1]
    codes: Tensor  # (styles, D)
    centres: Tensor  # (groups, D)
    spread: Tensor  # () standard deviation of a code's coordinate about its group's centre

    def __init__(self, config: SAAEConfig, fingerprint: str = "") -> None:
        super().__init__()
        self.config, self.fingerprint = config, fingerprint
        self.content, self.style, self.decoder = ContentEncoder(config), StyleEncoder(config), Decoder(config)
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
        return weights.to_single(tensors) | {"templates": tensors["templates"].float() / TEMPLATE_LEVELS - 1}

    return weights.read_network(path, KEY, lambda config, _, mark: SAAE(parse_config(config), mark), restore)


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
    if not all(type(size) is int and 1 <= size <= MOST for size in sizes) or len(contents) < 2 or config.groups < 2:
        raise ValueError("its sizes are out of range")
    if any(side % config.fold or side % 2 for side in shape[1:]):
        raise ValueError(f"images of {shape[1]} x {shape[2]} pixels are not multiples of 2 and {config.fold}")
    return config
