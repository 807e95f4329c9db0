"""Class, truncation cutoff and noise: asked for in step 1, kept in samples.h5, honoured by every later step."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import done, gmmedit, refuse
from nvidia_pickles import random_network, write

from gmmedit import artifacts
from gmmedit.config import SampleSettings
from gmmedit.generators import load
from gmmedit.pictures.pixels import to_bytes
from gmmedit.run import rendering
from gmmedit.run.rendering import Renderer

SMALL = {"resolution": 16, "channels": (16, 16, 16), "z_dim": 12, "w_dim": 10, "mapping_layers": 2}


@pytest.fixture(scope="module")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("gan") / "conditional.pkl", random_network(c_dim=3, **SMALL))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("gan") / "plain.pkl", random_network(**SMALL))


@pytest.mark.parametrize(("options", "says", "hint"), [
    ((), "is conditional (3 classes) and needs a class", "--class 0"),
    (("--class", 3), "has no class 3", "--class 0 to --class 2"),
    (("--class", -1), "sample.class_index: ", "the default is None"),
    (("--class", "cat"), "--class", "--help"),
    (("--class", 1, "--noise", "white"), "--noise", "--help"),
    (("--class", 1, "--cutoff", -1), "sample.cutoff: ", "the default is None"),
    (("--class", 1, "--cutoff", 7), "cutoff 7 exceeds the 6 layers", "omit --cutoff"),
])  # fmt: skip
def test_wrong_options(options, says, hint, conditional, tmp_path):
    result = gmmedit("sample", "--run", tmp_path, "--gan", conditional, "-n", 3, *options)
    first, second = result.stderr.splitlines()
    assert result.exit_code == 2 and says in first and hint in second
    assert not (tmp_path / "samples.h5").exists()


def test_a_class_of_a_generator_without(plain, tmp_path):
    result = gmmedit("sample", "--run", tmp_path, "--gan", plain, "-n", 3, "--class", 0)
    assert result.exit_code == 2 and "has no classes" in result.stderr


def test_the_class_reaches_the_mapping(conditional, tmp_path):
    generator = load(str(conditional))
    for index in (0, 2):
        run = tmp_path / str(index)
        done("sample", "--run", run, "--gan", conditional, "-n", 3, "--class", index)
        with artifacts.open(run / "samples.h5") as samples:
            assert samples.spec.config["class_index"] == index
            z, w = torch.from_numpy(samples["z"]), torch.from_numpy(samples["w"])
        assert torch.allclose(generator.map(z, torch.eye(3)[index].expand(3, -1)), w, atol=1e-6)
        assert not torch.allclose(generator.map(z, torch.eye(3)[1].expand(3, -1)), w, atol=1e-2)


def test_cutoff_and_noise_reach_the_pictures(plain, tmp_path):
    generator = load(str(plain))
    options = ("--gan", plain, "-n", 4, "--psi", 0.5, "--images")
    for words in (("--cutoff", 2), ("--noise", "none"), ("--noise", "random", "--seed", 7), ()):
        run = tmp_path / "-".join(map(str, words))
        done("sample", "--run", run, *options, *words)
        given = dict(zip(words[::2], words[1::2], strict=True))
        generator.noise_mode = given.get("--noise", "const")
        generator.noise_seed = given.get("--seed", 0)
        with artifacts.open(run / "samples.h5") as samples:
            z, w, images = torch.from_numpy(samples["z"]), torch.from_numpy(samples["w"]), samples["images"]
        expected = to_bytes(generator.synthesize(generator.map(z, psi=0.5, cutoff=given.get("--cutoff"))))
        assert np.abs(expected.astype(int) - images).max() <= 1
        untruncated = torch.allclose(w, generator.map(z), atol=1e-6)
        assert untruncated == ("--cutoff" in given), "with a cutoff no single w says what was truncated"


def test_another_generator_in_the_place_of_the_one_that_was_sampled(conditional, plain, tmp_path):
    gan, run = tmp_path / "gan.pkl", tmp_path / "run"
    gan.write_bytes(conditional.read_bytes())
    done("sample", "--run", run, "--gan", gan, "-n", 3, "--class", 1)
    gan.write_bytes(plain.read_bytes())
    refuse(run, "label", "--classifier", "avatars", says=("the generator has changed", "gmmedit sample --force"))


def test_other_settings_are_told_apart(plain, tmp_path):
    again = ("sample", "--run", tmp_path, "--gan", plain, "-n", 3)
    done(*again, "--cutoff", 2)
    result = gmmedit(*again, "--cutoff", 3)
    assert result.exit_code == 2 and "settings: cutoff is 2 there and 3 now" in result.stderr
    result = gmmedit(*again, "--cutoff", 2, "--noise", "none")
    assert result.exit_code == 2 and 'settings: noise is "const" there and "none" now' in result.stderr


@pytest.mark.parametrize("settings", [
    {}, {"psi": 0.6}, {"psi": 0.6, "cutoff": 3}, {"noise": "random", "seed": 3}, {"noise": "none", "cutoff": 1},
])  # fmt: skip
def test_z_and_its_w_give_the_same_images(settings, conditional):
    asked = SampleSettings(gan=str(conditional), class_index=1, **settings)
    renderer = Renderer(load(asked.gan), asked)
    generator = renderer.generator
    z = torch.randn(3, generator.z_dim, generator=torch.Generator().manual_seed(0))
    w = renderer.map(z)
    c = torch.eye(3)[1].expand(3, -1)
    expected = generator.synthesize(generator.map(z, c, asked.psi, asked.cutoff))
    assert torch.allclose(renderer.generate(w, "w"), expected, atol=1e-5)
    assert torch.allclose(renderer.generate(z, "z"), expected, atol=1e-5)
    w_plus = renderer.to_layers(w, "w")  # what edits move: the same w for every layer
    assert w_plus.shape == (3, *generator.w_shape)
    assert torch.allclose(renderer.generate(w_plus, "w"), expected, atol=1e-5)
    assert torch.allclose(renderer.generate(z[:, None], "z"), expected, atol=1e-5)


def test_large_images_are_generated_a_few_at_a_time(plain, monkeypatch):
    renderer, sizes = Renderer(load(str(plain)), SampleSettings(gan=str(plain))), []
    z = torch.randn(7, renderer.generator.z_dim, generator=torch.Generator().manual_seed(0))
    whole = renderer.generate(z, "z")
    monkeypatch.setattr(rendering, "PIXELS_PER_CALL", 3 * 16**2)
    renderer.generator.synthesis.register_forward_hook(lambda module, inputs, images: sizes.append(len(images)))
    assert torch.allclose(renderer.generate(z, "z"), whole, atol=1e-5) and sizes == [2, 2, 2, 1]
