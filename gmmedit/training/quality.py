"""How good the embedded networks are: the generator's rates, confidence and distance from the data; who reads well."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gmmedit import classifiers, generators
from gmmedit.classifiers.convnet import ConvNet
from gmmedit.datasets.avatars.factors import ATTRIBUTES, sample_causal
from gmmedit.datasets.avatars.renderer import render
from gmmedit.evaluation.metrics.realism import frechet_distance
from gmmedit.generators import Generator
from gmmedit.training.classifier import MILD, accuracy

BATCH = 128
CONFIDENT = 0.9
DATA_SEED, LATENT_SEED, HELD_OUT_SEED = 77, 78, 79
HELD_OUT = 4_000  # independently drawn avatars on which the classifiers are measured
BLUR = 0.7  # standard deviation in pixels of the "slightly blurred" data


@torch.no_grad()
def measure(n: int, generator: str = "avatars") -> dict[str, Any]:
    """Of n pictures: rates of every value (data, generator), share of confident labels, Fréchet distances of features.

    Of both shipped classifiers: accuracy, and R^2 of the nuisances, on held-out avatars.
    """
    f, judge, g = shipped("avatars"), shipped("avatars-eval"), generators.load(generator)
    data = render(sample_causal(2 * n, DATA_SEED))
    fakes = synthesize(g, n)
    first, second = features(judge, data[:n]), features(judge, data[n:])
    labels, data_labels = probabilities(f, fakes), probabilities(f, data[:n])
    return {
        "samples": n,
        "rates": rates(data_labels, labels),
        "confident": confident(labels),
        "confident_data": confident(data_labels),
        "frechet": {
            "generator": frechet_distance(features(judge, fakes), first),
            "two halves of the data": frechet_distance(second, first),
            "slightly blurred data": frechet_distance(features(judge, blurred(data[n:])), first),
        },
        "accuracy": {"avatars": reading(f), "avatars-eval": reading(judge)},
    }


def shipped(name: str) -> ConvNet:
    classifier = classifiers.load(name)
    assert isinstance(classifier, ConvNet)
    return classifier


def reading(network: ConvNet) -> dict[str, dict[str, float]]:
    """How well it reads held-out avatars, as they are drawn and under mild blur and noise."""
    return {
        "clean": accuracy(network, HELD_OUT, HELD_OUT_SEED),
        "mildly disturbed": accuracy(network, HELD_OUT, HELD_OUT_SEED, MILD),
    }


def synthesize(generator: Generator, n: int) -> Tensor:
    z = torch.randn(n, generator.z_dim, generator=torch.Generator().manual_seed(LATENT_SEED))
    return torch.cat([generator.synthesize(generator.map(rows)).clamp(-1, 1) for rows in z.split(BATCH)])


def features(network: ConvNet, images: Tensor) -> Tensor:
    return torch.cat([network.features(part) for part in images.split(BATCH)])


def probabilities(network: classifiers.Classifier, images: Tensor) -> Tensor:
    return torch.cat([network.probabilities(part) for part in images.split(BATCH)])


def rates(data: Tensor, generated: Tensor) -> dict[str, tuple[float, float]]:
    """Per value: its rate among the data and among the generated images."""
    found, start = {}, 0
    for name, values in ATTRIBUTES.items():
        stop = start + len(values)
        both = [labels[:, start:stop].argmax(1).bincount(minlength=len(values)) / len(labels)
                for labels in (data, generated)]  # fmt: skip
        for i, value in enumerate(values):
            found[f"{name}={value}"] = (float(both[0][i]), float(both[1][i]))
        start = stop
    return found


def confident(labels: Tensor) -> dict[str, float]:
    """Per attribute: the share of images whose likeliest value has a probability above 0.9."""
    columns = labels.split([len(values) for values in ATTRIBUTES.values()], dim=1)
    shares = [(part.amax(1) > CONFIDENT).float().mean() for part in columns]
    return {name: float(share) for name, share in zip(ATTRIBUTES, shares, strict=True)}


def blurred(images: Tensor) -> Tensor:
    """A Gaussian blur of standard deviation BLUR."""
    line = torch.exp(-0.5 * (torch.arange(-3, 4) / BLUR) ** 2)
    kernel = torch.outer(line, line)
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, 7, 7)
    return F.conv2d(F.pad(images, (3, 3, 3, 3), mode="replicate"), kernel, groups=images.shape[1])
