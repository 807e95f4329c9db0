"""Generators whose images are not square, as StyleGAN-Human's of 1024 x 512, in every format and through every step."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import done
from nvidia_pickles import random_network, write
from PIL import Image
from small_states import as_basicsr, as_genforce, as_rosinality
from test_every_generator import QUICK, classifier_of

from gmmedit import artifacts
from gmmedit.errors import InputError
from gmmedit.generators import load
from gmmedit.generators.stylegan2 import save_generator
from gmmedit.generators.stylegan3 import StyleGAN3
from gmmedit.run.disturbed import Disturbance, disturb
from gmmedit.run.rendering import COMPARED_SIDE, make_thumbnails, shrink_to_compare

DATA = Path(__file__).parent / "data"
SHAPE = {"resolution": 32, "channels": (8, 8, 8, 6), "z_dim": 16, "w_dim": 16, "mapping_layers": 2}
SIZES = {"upright": (4, 2), "lying": (2, 4), "of other sides": (3, 5)}


@pytest.mark.parametrize("const_size", SIZES.values(), ids=SIZES)
def test_every_format_brings_it_back(const_size, tmp_path):
    network = random_network(**SHAPE, const_size=const_size)
    paths = [write(tmp_path / "nvidia.pkl", network), tmp_path / "ours.safetensors"]
    save_generator(network, paths[1])
    for name, state in {
        "state.pt": network.state_dict(),
        "rosinality.pt": {"g_ema": as_rosinality(network), "latent_avg": network.w_avg},
        "basicsr.pth": {"params_ema": as_basicsr(network)},
        "genforce.pth": {"generator_smooth": as_genforce(network)},
    }.items():
        torch.save(state, tmp_path / name)
        paths.append(tmp_path / name)
    w = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    images = network.synthesize(w)
    assert images.shape[1:] == network.image_shape == (3, 8 * const_size[0], 8 * const_size[1])
    for path in paths:
        read = load(str(path))
        assert read.image_shape == network.image_shape
        torch.testing.assert_close(read.synthesize(w), images, atol=2e-5, rtol=0, msg=path.name)


def test_a_generator_on_its_side_makes_images_on_their_side():
    """Height and width are treated alike: a network whose planes and kernels are transposed makes transposed images."""
    upright = random_network(**SHAPE, const_size=(4, 2), architecture="resnet")
    lying = random_network(**SHAPE, const_size=(2, 4), architecture="resnet")
    state = {name: tensor.mT if tensor.ndim > 2 or name.endswith("noise_const") else tensor
             for name, tensor in upright.state_dict().items()}  # fmt: skip
    lying.load_state_dict(state)
    w = torch.randn(2, 16)
    for mode in ("const", "none"):
        upright.noise_mode = lying.noise_mode = mode
        torch.testing.assert_close(lying.synthesize(w), upright.synthesize(w).mT, atol=1e-5, rtol=0)
    upright.noise_mode, upright.noise_seed = "random", 3
    assert upright.synthesize(w).shape == (2, 3, 32, 16)


@pytest.mark.parametrize("name", ["sg3_a_t32.pkl", "sg3_b_r32.pkl"])
def test_a_stylegan3_tells_the_size_of_its_images(name):
    """StyleGAN-Human's has an input half as wide as high, and paddings to match."""
    config = load(str(DATA / name)).config
    assert config.image_size == (config.resolution, config.resolution)
    width, height = config.input_size
    layers = tuple(replace(layer, padding=(layer.padding[0] + 3, *layer.padding[1:])) for layer in config.layers)
    for narrow in (replace(config, input_size=(width - 6, height)), replace(config, layers=layers)):
        network = StyleGAN3(narrow)
        images = network.synthesize(torch.zeros(1, config.w_dim))
        assert images.shape[1:] == network.image_shape and images.shape[2] != images.shape[3]


def test_noise_that_a_file_lacks_has_its_shape(tmp_path):
    network = random_network(**SHAPE, const_size=(4, 2))
    state = {name: tensor for name, tensor in as_rosinality(network).items() if not name.startswith("noises.")}
    torch.save({"g_ema": state}, tmp_path / "g.pt")
    assert load(str(tmp_path / "g.pt")).image_shape == (3, 32, 16)


@pytest.mark.parametrize("shape", [(8,), (8, 4), (1, 8, 4, 2)])
def test_a_constant_of_another_form_is_refused(shape, tmp_path):
    network = random_network(**SHAPE)
    network.synthesis.b4.const.data = torch.zeros(shape)
    with pytest.raises(InputError, match="constant of shape"):
        load(str(write(tmp_path / "g.pkl", network)))


@pytest.mark.parametrize(("height", "width"), [(128, 64), (64, 128), (200, 30), (64, 64), (40, 20), (256, 256)])
def test_images_are_shrunk_in_their_proportions(height, width):
    small = shrink_to_compare(torch.ones(1, 3, height, width))
    scale = min(1, COMPARED_SIDE / max(height, width))
    assert small.shape[-2:] == (round(height * scale), round(width * scale)) and max(small.shape[-2:]) <= COMPARED_SIDE


def test_images_are_disturbed_by_their_shorter_side():
    ramp = torch.arange(64.0)[:, None].expand(1, 3, 64, 32) * 1000
    one, other = (
        disturb(turned, torch.Generator().manual_seed(1), shift=1 / 32, noise=0.3) for turned in (ramp, ramp.mT)
    )
    assert one.shape == (1, 3, 64, 32) and other.shape == (1, 3, 32, 64)
    assert (one - ramp).abs().max() < 1500, "a 32nd of the shorter side is a pixel"


def test_every_step(tmp_path: Path) -> None:
    """Sample, label, both fits, edit, evaluate, report, verify and inspect of a generator of 16 x 8."""
    network = random_network(resolution=16, channels=(8, 8, 6), z_dim=8, w_dim=8, mapping_layers=2, const_size=(4, 2))
    path, folder, quick = write(tmp_path / "human.pkl", network), tmp_path / "run", tmp_path / "quick.yaml"
    run, config = ("--run", folder), ("--config", quick, "--quiet")
    quick.write_text(QUICK.format(8))
    assert json.loads(done("inspect", path, "--json").stdout)["image_shape"] == [3, 16, 8]
    done("sample", *run, "--gan", path, "-n", 120, "--images")
    with artifacts.open(folder / "samples.h5") as samples:
        pixels = samples["images"]
        z = torch.from_numpy(samples["z"][:2])
    assert pixels.shape[1:] == (16, 8, 3)
    images = network.synthesize(network.map(z)).permute(0, 2, 3, 1)
    assert np.abs(pixels[:2] - (images.detach().numpy() * 127.5 + 128).clip(0, 255)).max() <= 1
    done("label", *run, "--classifier", classifier_of(tmp_path, pixels), "--from-images", "--quiet")
    done("fit-single", *run, *config)
    done("fit-mixture", *run, *config)
    done("edit", *run, "--attr", "light", "--alphas", "0:1:0.5", "--index", "0-1", "--polish", 1, "--quiet")
    with Image.open(folder / "edits" / "image_0_00.png") as image:
        assert image.size == (8, 16)
    with Image.open(folder / "edits" / "sheet.png") as sheet:
        assert sheet.height > sheet.width / 4
    judge = ("--classifier", tmp_path / "classifier.yaml", "--quiet")
    done("evaluate", *run, "-n", 8, "--editors", "mixture", *judge)
    done("report", *run, "--quiet")
    done("verify", *run, "--rows", 4, "--quiet")
    facts = json.loads(done("inspect", folder / "samples.h5", "--json").stdout)
    assert "images" in json.dumps(facts)


def test_a_disturbance_may_be_a_shift_or_noise_alone():
    images = torch.rand(2, 3, 32, 32)
    drawn = torch.Generator().manual_seed(3)
    assert torch.equal(disturb(images, drawn, shift=0, noise=0), images)
    again, kept = torch.Generator(), Disturbance(shift=1 / 16, noise=0.1)
    for state in [drawn.get_state()] * 2:
        drawn.set_state(state), again.set_state(state)
        assert torch.equal(kept(images, again), disturb(images, drawn, shift=1 / 16, noise=0.1))
        assert torch.equal(again.get_state(), drawn.get_state()), "a draw that is kept moves the state as a new one"
    noisy = disturb(images, drawn, shift=0, noise=0.1) - images
    assert 0.08 < noisy.std() < 0.12 and torch.allclose(noisy[0], noisy[1], atol=1e-6)
    shifted = [disturb(images, drawn, shift=1 / 16, noise=0) for _ in range(20)]
    inner = {tuple(one[0, 0, 8:24, 8:24].flatten().tolist()) for one in shifted}
    window = images[0, 0].unfold(0, 16, 1).unfold(1, 16, 1)[6:11, 6:11].reshape(25, -1)
    assert 1 < len(inner) <= 25 and inner <= {tuple(row) for row in window.tolist()}, "by up to two pixels"


@pytest.mark.parametrize(
    ("height", "width", "size"), [(128, 64, (16, 8)), (12, 20, (10, 16)), (9, 7, (9, 7)), (8, 200, (1, 16))]
)
def test_thumbnails_are_rounded_averages(height, width, size):
    levels = torch.randint(256, (2, 3, height, width))
    small = make_thumbnails(levels / 127.5 - 1)
    assert small.shape == (2, *size, 3) and small.dtype == torch.uint8
    wanted = torch.nn.functional.adaptive_avg_pool2d(levels.double(), size).permute(0, 2, 3, 1)
    assert (small - wanted).abs().max() <= 0.5
