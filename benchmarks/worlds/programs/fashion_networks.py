"""The classifiers and features of fashion: `labels`, `judge`, `features`."""

import json
from pathlib import Path

import torch
from small_networks import Features, Plain, Residual, load_weights
from torch import Tensor, nn

QUARTILE = 2.2  # log-odds half the distance of the quartiles from the middle: about half of the labels are above .9
MEASURES = {"labels": ("brightness", "spread"), "judge": ("glow", "columns")}  # of brightness and width, for each


class Fashion(nn.Module):
    """Images (N, 1, 32, 32) in [-1, 1] to logits (N, 14): ten kinds, dark and light, narrow and wide.

    Kinds are a network's, brightness and width are measured; `middle` divides their values and `quartile` is half the
    distance of their quartiles, both found on the generator's own samples.
    """

    def __init__(
        self, network: nn.Module, measures: tuple[str, str], middle: list[float], quartile: list[float]
    ) -> None:
        super().__init__()
        self.network, self.measures = network, measures
        self.register_buffer("middle", torch.tensor(middle))
        self.register_buffer("quartile", torch.tensor(quartile))

    def forward(self, images: Tensor) -> Tensor:
        odds = (measure(images, self.measures) - self.middle) / self.quartile * QUARTILE
        both = torch.stack([-odds / 2, odds / 2], 2).flatten(1)  # dark, light, narrow, wide
        return torch.cat([self.network(images), both], 1)


def measure(images: Tensor, names: tuple[str, ...]) -> Tensor:
    """The named measures (N, M) of images (N, 1, 32, 32) in [-1, 1]."""
    light = ((images[:, 0] + 1) / 2).clamp(0, 1)
    return torch.stack([globals()[f"measure_{name}"](light) for name in names], 1)


def measure_brightness(light: Tensor) -> Tensor:
    """The mean light (N,) of what is not background."""
    cloth = ((light - 0.1) / 0.03).sigmoid()
    return (light * cloth).sum((1, 2)) / cloth.sum((1, 2)).clamp(min=1)


def measure_glow(light: Tensor) -> Tensor:
    """The mean light (N,), weighted by light."""
    return light.square().sum((1, 2)) / light.sum((1, 2)).clamp(min=1)


def measure_spread(light: Tensor) -> Tensor:
    """The standard deviation (N,) of the horizontal place of what is not background, in pixels."""
    cloth = ((light - 0.1) / 0.03).sigmoid().sum(1)
    share = cloth / cloth.sum(1, keepdim=True).clamp(min=1)
    place = torch.arange(light.shape[2], dtype=light.dtype, device=light.device)
    middle = (share * place).sum(1, keepdim=True)
    return ((share * (place - middle).square()).sum(1) + 1e-6).sqrt()


def measure_columns(light: Tensor) -> Tensor:
    """How many columns (N,) are not background for a sixth of their height."""
    cloth = ((light - 0.1) / 0.03).sigmoid().mean(1)
    return ((cloth - 1 / 6) / 0.03).sigmoid().sum(1)


def load_fashion(name: str, network: nn.Module) -> Fashion:
    """The classifier of that name, with the numbers of fashion.json."""
    numbers = json.loads(Path(__file__).with_name("fashion.json").read_text())[name]
    return Fashion(load_weights(network, f"{name}.safetensors"), MEASURES[name], **numbers)


def labels() -> nn.Module:
    """The labelling classifier."""
    return load_fashion("labels", Plain(10, 32))


def judge() -> nn.Module:
    """The evaluation classifier: another architecture, other training, other measures."""
    return load_fashion("judge", Residual(10, 32))


def features() -> nn.Module:
    """Features (N, 192): the last layer of the judge's network."""
    return Features(load_weights(Residual(10, 32), "judge.safetensors"))
