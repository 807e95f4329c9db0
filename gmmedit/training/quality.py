"""Quality of the embedded networks: the generator's rates, confidence and distance from the data; accuracies."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gmmedit import classifiers, generators
from gmmedit.classifiers.trained import TrainedNetwork
from gmmedit.datasets.avatars.factors import ATTRIBUTES, sample_causal
from gmmedit.datasets.avatars.renderer import render
from gmmedit.evaluation.metrics.realism import frechet_distance
from gmmedit.generators import Generator
from gmmedit.training.classifier import MILD, accuracy

BATCH = 128
CLASSIFIERS = ("avatars", "avatars-eval", "avatars-factors")
CONFIDENT = 0.9
DATA_SEED, LATENT_SEED, HELD_OUT_SEED = 77, 78, 79
HELD_OUT = 4_000  # independently drawn avatars on which the classifiers are measured
BLUR = 0.7  # standard deviation in pixels of the "slightly blurred" data


@torch.no_grad()
def measure(n: int, generator: str = "avatars") -> dict[str, Any]:
    """Figures of a generator of avatars, by its name or file, over n images; JSON-ready.

    Rates of every value (data, generator), shares of confident labels, and Fréchet distances of features. Of the
    embedded classifiers: agreement with the evaluation classifier on the generated images; accuracy, and R^2 of details
    and nuisances, on held-out avatars.
    """
    f, evaluator, g = load_embedded("avatars"), load_embedded("avatars-eval"), generators.load(generator)
    data = render(sample_causal(2 * n, DATA_SEED))
    fakes = generate_images(g, n)
    first, second = features(evaluator, data[:n]), features(evaluator, data[n:])
    labels, data_labels = probabilities(f, fakes), probabilities(f, data[:n])
    return {
        "samples": n,
        "rates": rates(data_labels, labels),
        "confident": confident(labels),
        "confident_data": confident(data_labels),
        "frechet": {
            "generator": frechet_distance(features(evaluator, fakes), first),
            "two halves of the data": frechet_distance(second, first),
            "slightly blurred data": frechet_distance(features(evaluator, blur(data[n:])), first),
        },
        "agreement": {name: agreement(load_embedded(name), evaluator, fakes) for name in CLASSIFIERS},
        "accuracy": {name: measure_accuracy(load_embedded(name)) for name in CLASSIFIERS},
    }


def load_embedded(name: str) -> TrainedNetwork:
    """An embedded classifier by its name."""
    classifier = classifiers.load(name)
    assert isinstance(classifier, TrainedNetwork)
    return classifier


def measure_accuracy(network: TrainedNetwork) -> dict[str, dict[str, float]]:
    """Accuracies on held-out avatars, as they are rendered and with mild blur and noise, see `accuracy`."""
    return {
        "clean": accuracy(network, HELD_OUT, HELD_OUT_SEED),
        "mildly disturbed": accuracy(network, HELD_OUT, HELD_OUT_SEED, MILD),
    }


def agreement(network: TrainedNetwork, other: TrainedNetwork, images: Tensor) -> dict[str, float]:
    """How far two networks agree on images (N, 3, H, W), by name.

    For each attribute the share of the images to which both give the same value; for each number that both estimate,
    the correlation.
    """
    (labels, numbers), (others, theirs) = (predict(f, images) for f in (network, other))
    sizes = [len(values) for values in ATTRIBUTES.values()]
    pairs = zip(ATTRIBUTES, labels.split(sizes, dim=1), others.split(sizes, dim=1), strict=True)
    found = {name: float((a.argmax(1) == b.argmax(1)).float().mean()) for name, a, b in pairs}
    ours, other_names = network.config.nuisances, other.config.nuisances
    for name in [name for name in ours if name in other_names]:
        both = torch.stack([numbers[:, ours.index(name)], theirs[:, other_names.index(name)]])
        found[name] = float(torch.corrcoef(both)[0, 1])
    return found


def predict(network: TrainedNetwork, images: Tensor) -> tuple[Tensor, Tensor]:
    """The network's logits (N, K) and nuisances (N, M) of images (N, 3, H, W), in batches."""
    logits, nuisances = zip(*(network.predict(part) for part in images.split(BATCH)), strict=True)
    return torch.cat(logits), torch.cat(nuisances)


def generate_images(generator: Generator, n: int) -> Tensor:
    """Images (n, 3, H, W) in [-1, 1] of latents drawn from LATENT_SEED."""
    z = torch.randn(n, generator.z_dim, generator=torch.Generator().manual_seed(LATENT_SEED))
    return torch.cat([generator.synthesize(generator.map(rows)).clamp(-1, 1) for rows in z.split(BATCH)])


def features(network: TrainedNetwork, images: Tensor) -> Tensor:
    """The network's features (N, F) of images (N, 3, H, W), in batches."""
    return torch.cat([network.features(part) for part in images.split(BATCH)])


def probabilities(network: classifiers.Classifier, images: Tensor) -> Tensor:
    """The classifier's labels (N, K) of images (N, 3, H, W), in batches."""
    return torch.cat([network.probabilities(part) for part in images.split(BATCH)])


def rates(data: Tensor, generated: Tensor) -> dict[str, tuple[float, float]]:
    """Per value: its rate in the data's labels (N, K) and in those of the generated images (M, K)."""
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
    """Per attribute: the share of labels (N, K) whose likeliest value has a probability above 0.9."""
    columns = labels.split([len(values) for values in ATTRIBUTES.values()], dim=1)
    shares = [(part.amax(1) > CONFIDENT).float().mean() for part in columns]
    return {name: float(share) for name, share in zip(ATTRIBUTES, shares, strict=True)}


def blur(images: Tensor) -> Tensor:
    """Images (N, C, H, W) after a Gaussian blur of standard deviation BLUR pixels."""
    line = torch.exp(-0.5 * (torch.arange(-3, 4) / BLUR) ** 2)
    kernel = torch.outer(line, line)
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, 7, 7)
    return F.conv2d(F.pad(images, (3, 3, 3, 3), mode="replicate"), kernel, groups=images.shape[1])
