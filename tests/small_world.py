"""A world that is quick to evaluate: a 16-pixel StyleGAN2, and two networks that label its images, all random.

The embedded model has 64 pixels and 17 values. What an evaluation does, it does to each of them, so that a test of
the commands takes ten times as long on it.
"""

from pathlib import Path

import torch
from nvidia_pickles import random_network, write

from gmmedit.classifiers.attributes import Attribute
from gmmedit.classifiers.convnet import ConvNetConfig
from gmmedit.classifiers.embedded import build_network, save_network
from gmmedit.classifiers.trained import TrainedNetwork

ATTRIBUTES = (
    Attribute("smile", ("no", "yes")),
    Attribute("glasses", ("no", "yes")),
    Attribute("hair_color", ("black", "blond", "brown")),
)
SETTINGS = """
sample: {gan: FOLDER/generator.pkl, n: 320}
label: {classifier: FOLDER/labelling.safetensors}
fit_single: {steps: 24, batch: 128}
fit_mixture: {steps: 5, batch: 8}
"""
EVALUATION = "evaluation.safetensors"  # as `classifier` of the settings of an evaluation


def write_world(folder: Path, more: str = "") -> Path:
    """Write generator and classifiers into a folder, and the settings of a run with them, and more; these' path."""
    generator = random_network(resolution=16, channels=(6, 6, 4), z_dim=8, w_dim=8, mapping_layers=2)
    write(folder / "generator.pkl", generator)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        images = generator.synthesize(generator.map(torch.randn(256, 8))).clamp(-1, 1)
        config = ConvNetConfig(ATTRIBUTES, nuisances=("position",), size=16, widths=(6, 8), features=16)
        network = balanced(build_network(config), images)
        save_network(network, folder / "labelling.safetensors")
        for weight in network.parameters():
            weight += 0.1 * weight.std() * torch.randn_like(weight) if weight.numel() > 1 else 0
        save_network(balanced(network, images), folder / EVALUATION)
    path = folder / "small.yaml"
    path.write_text((SETTINGS + more).replace("FOLDER", str(folder)))
    return path


def balanced(network: TrainedNetwork, images: torch.Tensor) -> TrainedNetwork:
    """The network with logits that have the median 0 and the standard deviation 2 on images (N, 3, 16, 16)."""
    features = network.features(images)
    logits, nuisances = network.read_features(features)
    network.head.weight *= (2 / torch.cat([logits, nuisances], 1).std(0))[:, None]
    logits, nuisances = network.read_features(features)
    network.head.bias -= torch.cat([logits, nuisances], 1).median(0).values
    return network
