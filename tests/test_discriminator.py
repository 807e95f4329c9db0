"""Features of the discriminator that NVIDIA's pickles bring along, beside a plain account of their arithmetic."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import check, done, gmmedit
from nvidia_pickles import Persistent, random_network, write
from PIL import Image
from torch import Tensor

from gmmedit import artifacts
from gmmedit.errors import InputError
from gmmedit.generators.formats.nvidia_discriminator import read_discriminator

WIDTHS, CLAMP = (4, 6, 8), 1.5  # of images of 16 pixels; a clamp that is reached
TAPS = torch.tensor([1.0, 3.0, 3.0, 2.0]) / 9  # not symmetric, so that a mirrored filter would show


def layer(random: torch.Generator, n_in: int, n_out: int, size: int, bias: bool = True) -> Persistent:
    parameters = {"weight": torch.nn.Parameter(torch.randn(n_out, n_in, size, size, generator=random))}
    if bias:
        parameters["bias"] = torch.nn.Parameter(torch.randn(n_out, generator=random))
    state = {"_parameters": parameters, "_buffers": {"resample_filter": torch.outer(TAPS, TAPS)}, "_modules": {}}
    state |= {"activation": "lrelu" if bias else "linear", "conv_clamp": CLAMP}
    return Persistent("Conv2dLayer", state)


def discriminator(seed: int = 0, **changed: Any) -> Persistent:
    """As stylegan2-ada-pytorch pickles one, of images of 16 pixels, with the last part that is not read."""
    random, blocks = torch.Generator().manual_seed(seed), {}
    for i, side in enumerate((16, 8)):
        inner = {"fromrgb": layer(random, 3, WIDTHS[0], 1)} if i == 0 else {}
        inner |= {
            "conv0": layer(random, WIDTHS[i], WIDTHS[i], 3),
            "conv1": layer(random, WIDTHS[i], WIDTHS[i + 1], 3),
            "skip": layer(random, WIDTHS[i], WIDTHS[i + 1], 1, bias=False),
        }
        state = {"_parameters": {}, "_buffers": {"resample_filter": torch.outer(TAPS, TAPS)}, "_modules": inner}
        blocks[f"b{side}"] = Persistent("DiscriminatorBlock", {"architecture": "resnet", **state})
    blocks["b4"] = Persistent("DiscriminatorEpilogue", {"_parameters": {}, "_buffers": {}, "_modules": {}})
    own = {"_parameters": {}, "_buffers": {}, "_modules": blocks, "img_resolution": 16, "img_channels": 3}
    return Persistent(changed.pop("name", "Discriminator"), own | changed)


def resample(x: Tensor, weight: Tensor, bias: Tensor | None, down: int, gain: float) -> Tensor:
    """Conv2dLayer of stylegan2-ada-pytorch: conv2d_resample and bias_act, with loops for the low-pass."""
    weight, padding = weight / np.sqrt(weight[0].numel()), weight.shape[-1] // 2
    if down == 2:
        start, end = padding + (len(TAPS) - down + 1) // 2, padding + (len(TAPS) - down) // 2
        padded, taps = F.pad(x, (start, end, start, end)), len(TAPS)
        rows, columns = (side - taps + 1 for side in padded.shape[-2:])
        x = sum(
            TAPS[taps - 1 - i] * TAPS[taps - 1 - j] * padded[..., i : i + rows, j : j + columns]
            for i in range(taps)
            for j in range(taps)
        )
        x = F.conv2d(x[..., ::2, ::2], weight) if weight.shape[-1] == 1 else F.conv2d(x, weight, stride=2)
    else:
        x = F.conv2d(x, weight, padding=padding)
    if bias is None:
        return x * gain
    return (F.leaky_relu(x + bias[:, None, None], 0.2) * np.sqrt(2) * gain).clamp(-CLAMP * gain, CLAMP * gain)


def account(tree: Persistent, images: Tensor) -> Tensor:
    """The features of images (N, 3, 16, 16), from the nodes that were pickled."""
    x = images
    for side in (16, 8):
        inner = tree.meta["state"]["_modules"][f"b{side}"].meta["state"]["_modules"]
        part = {name: list(value.meta["state"]["_parameters"].values()) for name, value in inner.items()}
        if side == 16:
            x = resample(x, *part["fromrgb"], 1, 1)
        short = resample(x, part["skip"][0], None, 2, np.sqrt(0.5))
        x = resample(resample(x, *part["conv0"], 1, 1), *part["conv1"], 2, np.sqrt(0.5)) + short
    return x.flatten(1)


@pytest.fixture(scope="module")
def pickled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = random_network(resolution=16, channels=(8, 8, 8), z_dim=8, w_dim=8, mapping_width=8)
    return write(tmp_path_factory.mktemp("pickles") / "network.pkl", network, D=discriminator())


@torch.no_grad()
def test_features_are_those_of_the_reference(pickled: Path) -> None:
    network, images = read_discriminator(pickled), torch.rand(3, 3, 16, 16) * 2 - 1
    found, expected = network.features(images), account(discriminator(), images)
    assert found.shape == (3, 16 * WIDTHS[-1])
    assert torch.allclose(found, expected, atol=1e-5)
    assert (expected.abs() > 0.5 * CLAMP).any()
    assert network.fingerprint == read_discriminator(pickled).fingerprint != ""


def test_files_without_a_discriminator_that_can_be_used(pickled: Path, tmp_path: Path) -> None:
    network = random_network(resolution=16, channels=(8, 8, 8), z_dim=8, w_dim=8, mapping_width=8)
    for changed, words in (
        ({}, "holds no discriminator"),
        ({"D": discriminator(name="PatchDiscriminator")}, "discriminator of the class PatchDiscriminator"),
        ({"D": discriminator(img_resolution=12)}, "12 pixels, which is not a power of two"),
        ({"D": discriminator(img_resolution=32)}, "without b32"),
        ({"D": discriminator(img_channels=1)}, "expected"),
    ):
        with pytest.raises(InputError, match=words):
            read_discriminator(write(tmp_path / "network.pkl", network, **changed))


def test_inversion_by_the_discriminators_features(pickled: Path, tmp_path: Path) -> None:
    photograph, place, config = tmp_path / "photo.png", tmp_path / "run", tmp_path / "few.yaml"
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(pixels).save(photograph)
    config.write_text("sample: {n: 40}\ninvert: {steps: 4, own: 0}\n")
    words = ("invert", photograph, "--gan", pickled, "--out", place, "--config", config)
    done(*words, "--features", "discriminator")
    with artifacts.open(place / "inversions.h5") as found:
        assert found.spec.config["features"] == "discriminator"
        assert found.spec.config["embedder"] == read_discriminator(pickled).fingerprint
        assert found["feature_error"][0] > 0
    done("verify", "--run", place)
    other = ("invert", photograph, "--gan", "avatars", "--out", tmp_path / "avatars", "--config", config)
    check(gmmedit(*other, "--features", "discriminator"), "holds no discriminator", "--features auto")
