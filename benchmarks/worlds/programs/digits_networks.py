"""The networks of the digits: `generator`, `labels`, `judge`, `features`."""

from small_networks import Features, Generator, Plain, Residual, load_weights
from torch import nn


def generator() -> nn.Module:
    """z (N, 32) to images (N, 1, 28, 28)."""
    return load_weights(Generator(), "generator.safetensors")


def labels() -> nn.Module:
    """Logits (N, 14): ten digits, thin and thick, left and right."""
    return load_weights(Plain(14, 28), "labels.safetensors")


def judge() -> nn.Module:
    """The same, of another architecture and other training."""
    return load_weights(Residual(14, 28), "judge.safetensors")


def features() -> nn.Module:
    """Features (N, 192): the last layer of the judge."""
    return Features(judge())
