"""The settings that determine the result of an IFcVAE-GAN training on given data, and its ablations."""

from dataclasses import dataclass, replace
from typing import Literal

from gmmedit.classifiers.attributes import Attribute
from gmmedit.errors import InputError
from gmmedit.networks.ifcvae import MOST_ATTRIBUTES, IFcVAEConfig

Ablation = Literal["full", "no-adversary", "no-consistency", "no-gan", "conditional"]
IMAGES = {16: 96_000, 32: 192_000, 64: 288_000, 128: 480_000, 256: 960_000}  # shown, unless asked otherwise


@dataclass(frozen=True)
class IFcVAESettings:
    """The settings of a run. Losses are means over images; those of pixels are in units of two images' difference."""

    network: IFcVAEConfig
    seed: int = 0
    images: int = 192_000  # in all, each repeat counted
    batch: int = 32
    lr: float = 1e-3  # of encoder, decoder and adversary: it rises, stays, and falls in the last two fifths
    d_lr: float = 0.002
    divergence: float = 0.1  # weight of the divergence of z from N(0, I), mean over dims
    labels: float = 1.0  # weight of the encoder's cross-entropy
    consistency: float = (
        0.3  # weight of the cross-entropy of the attributes that the encoder infers from reconstructions
    )
    adversary: float = 0.5  # weight of the confusion of the adversary
    gan: float = 0.05  # weight of the discriminator's verdict on reconstructions and samples
    conditional: bool = False  # whether the decoder is given the true attributes, as in a conditional VAE-GAN
    adversary_width: int = 256
    adversary_steps: int = 3  # to each step of the encoder
    width: int = 48  # channels of the discriminator
    r1: float = 0.5
    r1_every: int = 16
    average_images: int = 5_000  # half-life of the moving average of the weights
    data: str = ""  # fingerprint of the data set

    def ablated(self, ablation: Ablation) -> "IFcVAESettings":
        """The same without one of the parts; `conditional`: a plain conditional VAE-GAN, without what factors y out."""
        changes: dict[Ablation, dict[str, float | bool]] = {
            "full": {},
            "no-adversary": {"adversary": 0.0},
            "no-consistency": {"consistency": 0.0},
            "no-gan": {"gan": 0.0},
            "conditional": {"adversary": 0.0, "consistency": 0.0, "conditional": True},
        }
        return replace(self, **changes[ablation])  # type: ignore[arg-type]


def size_ifcvae(
    shape: tuple[int, int, int], attributes: tuple[Attribute, ...], images: int | None, seed: int, data: str
) -> IFcVAESettings:
    """Settings for square images of that shape (C, S, S). InputError: an attribute of several values, or too many."""
    for attribute in attributes:
        if len(attribute.values) != 2:
            message = f"{attribute.name} has {len(attribute.values)} values: {', '.join(attribute.values[:6])}"
            raise InputError(message, hint="ifcvae-gan factors out attributes of two values: choose another --attr")
    if len(attributes) > MOST_ATTRIBUTES:
        message = f"{len(attributes)} attributes are more than the {MOST_ATTRIBUTES} of one ifcvae-gan"
        raise InputError(message, hint="choose fewer with --attr")
    size = shape[1]
    widths = (24, 48, 64, 96, 96, 96)
    pairs = tuple((a.name, (a.values[0], a.values[1])) for a in attributes)
    network = IFcVAEConfig(
        pairs, identity=32 if size <= 32 else 64, image_shape=shape, widths=widths[: size.bit_length() - 3],
    )  # fmt: skip
    return IFcVAESettings(network, seed, images or IMAGES[size], data=data)
