"""The networks of SAAE: encoders of content and style, a decoder of both, and the critic that judges them.

After Zhao et al. 2017, "Stylized adversarial autoencoder for image generation" (ACM MM): three convolutions in each
encoder, without down-sampling; style through a linear layer to a map; both maps side by side, half of the channels
each; three convolutions in the decoder; a critic of three convolutions and two linear layers. Batch normalisation
follows every convolution but the last of the decoder. Sizes are in no text: those of `SAAEConfig` are ours. Blocks of
`fold` x `fold` pixels are channels of one place, so that nothing is lost and 3x3 convolutions see far.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2  # of the leaky ReLU


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
    decoder: str = "concatenated"  # or adain

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


class AdaINDecoder(nn.Module):
    """A content's map and a style's code to an image: the code sets mean and spread of every channel.

    Adaptive instance normalisation (Huang and Belongie 2017) of the content's map and after the first two of three
    convolutions, instead of batch normalisation and of a map of the style, so that a style has no places.
    """

    def __init__(self, config: SAAEConfig) -> None:
        super().__init__()
        width, last = config.width, config.image_shape[0] * config.fold**2
        self.moments = nn.Linear(config.style, 3 * 2 * width)
        self.layers = nn.ModuleList(nn.Conv2d(width, n, 3, padding=1) for n in (width, width, last))
        self.shuffle = nn.PixelShuffle(config.fold)

    def forward(self, maps: Tensor, codes: Tensor) -> Tensor:
        """Maps (N, width, h, w) and codes (N, D) to images (N, C, H, W) in [-1, 1]."""
        scales, shifts = self.moments(codes)[..., None, None].unflatten(1, (3, 2, -1)).unbind(2)
        for layer, scale, shift in zip(self.layers, scales.unbind(1), shifts.unbind(1), strict=True):
            x = (1 + scale) * F.instance_norm(maps.float()) + shift
            maps = layer(F.leaky_relu(x, SLOPE).contiguous(memory_format=torch.channels_last))
        images: Tensor = self.shuffle(maps).float().tanh()
        return images


DECODERS: dict[str, type[nn.Module]] = {"concatenated": Decoder, "adain": AdaINDecoder}


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
