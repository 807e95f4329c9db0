"""Class, truncation cutoff and noise: asked for in step 1, kept in samples.h5, honoured by every later step."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import done, gmmedit
from nvidia_pickles import random_network, write

from gmmedit import artifacts, classifiers
from gmmedit.classifiers import Attribute, convnet
from gmmedit.config import SampleSettings
from gmmedit.generators import load
from gmmedit.pictures.pixels import as_shown, to_bytes
from gmmedit.stages.shared import sampling
from gmmedit.stages.shared.sampling import load_sampled, mapped, painter

DATA = Path(__file__).parent / "data"
SMALL = {"resolution": 16, "channels": (16, 16, 16), "z_dim": 12, "w_dim": 10, "mapping_layers": 2}


@pytest.fixture(scope="module")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("gan") / "conditional.pkl", random_network(c_dim=3, **SMALL))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("gan") / "plain.pkl", random_network(**SMALL))


@pytest.mark.parametrize(("options", "says", "hint"), [
    ((), "draws one of 3 classes and needs to know which", "--class 0"),
    (("--class", 3), "has no class 3", "--class 0 to --class 2"),
    (("--class", -1), "sample.class_index: ", "the default is None"),
    (("--class", "cat"), "--class", "--help"),
    (("--class", 1, "--noise", "white"), "--noise", "--help"),
    (("--class", 1, "--cutoff", -1), "sample.cutoff: ", "the default is None"),
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
            assert samples.question.config["class_index"] == index
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


def test_other_settings_are_another_question(plain, tmp_path):
    again = ("sample", "--run", tmp_path, "--gan", plain, "-n", 3)
    done(*again, "--cutoff", 2)
    result = gmmedit(*again, "--cutoff", 3)
    assert result.exit_code == 2 and "config.cutoff is 2 there and 3 now" in result.stderr
    result = gmmedit(*again, "--cutoff", 2, "--noise", "none")
    assert result.exit_code == 2 and 'config.noise is "const" there and "none" now' in result.stderr


@pytest.mark.parametrize("settings", [
    {}, {"psi": 0.6}, {"psi": 0.6, "cutoff": 3}, {"noise": "random", "seed": 3}, {"noise": "none", "cutoff": 1},
])  # fmt: skip
def test_z_and_its_w_are_painted_alike(settings, conditional):
    asked = SampleSettings(gan=str(conditional), class_index=1, **settings)
    generator = load_sampled(asked, "cpu")
    z = torch.randn(3, generator.z_dim, generator=torch.Generator().manual_seed(0))
    w = mapped(generator, z, asked)
    c = torch.eye(3)[1].expand(3, -1)
    expected = generator.synthesize(generator.map(z, c, asked.psi, asked.cutoff))
    assert torch.allclose(painter(generator, "w", asked)(w), expected, atol=1e-5)
    assert torch.allclose(painter(generator, "z", asked)(z), expected, atol=1e-5)
    w_plus = w[:, None].expand(-1, generator.w_shape[0], -1)  # what edits move: the same w for every layer
    assert torch.allclose(painter(generator, "w", asked)(w_plus), expected, atol=1e-5)
    assert torch.allclose(painter(generator, "z", asked)(z[:, None]), expected, atol=1e-5)


def balanced_classifier(gan: Path, options: tuple[object, ...], folder: Path) -> Path:
    """A random network that gives both values of two attributes to about half of the generator's pictures."""
    torch.manual_seed(0)
    attributes = (Attribute("light", ("no", "yes")), Attribute("warm", ("no", "yes")))
    network = convnet.ConvNet(convnet.ConvNetConfig(attributes=attributes, size=16, widths=(8, 8), features=8))
    done("sample", "--run", folder / "probe", "--gan", gan, "-n", 64, "--images", *options)
    with artifacts.open(folder / "probe" / "samples.h5") as samples, torch.no_grad():
        images = torch.from_numpy(samples["images"]).permute(0, 3, 1, 2) / 127.5 - 1
        network.head.weight *= 20
        network.head.bias -= network.head(network.features(images)).median(0).values
    convnet.save(network, folder / "classifier.safetensors")
    return folder / "classifier.safetensors"


@pytest.mark.parametrize(("name", "options"), [
    ("sg2_c_cond32", ("--class", 4, "--psi", 0.8, "--cutoff", 5, "--noise", "random")),
    ("sg3_a_t32", ("--psi", 0.8)),
], ids=["StyleGAN2, conditional", "StyleGAN3"])  # fmt: skip
def test_the_five_steps_on_a_pickle(name, options, tmp_path):
    gan, run = DATA / f"{name}.pkl", ("--run", tmp_path / "run")
    classifier = balanced_classifier(gan, options, tmp_path)
    settings = tmp_path / "few.yaml"
    settings.write_text("fit_single: {steps: 10}\nfit_mixture: {steps: 2, batch: 4, precision: float32}\n")
    done("sample", *run, "--gan", gan, "-n", 160, *options)
    done("label", *run, "--classifier", classifier)
    done("fit-single", *run, "--config", settings)
    done("fit-mixture", *run, "--config", settings)
    done("edit", *run, "--attr", "light", "--index", "0,3", "--polish", 1)
    with artifacts.open(tmp_path / "run" / "edits.h5") as edits, artifacts.open(tmp_path / "run/samples.h5") as samples:
        before, after, w = edits["images_before"], edits["images_after"], torch.from_numpy(samples["w"])
        asked = SampleSettings.model_validate(samples.question.config)
    paint = painter(load_sampled(asked, "cpu"), "w", asked)
    assert np.abs(before.astype(int) - to_bytes(paint(w[[0, 3]]))).max() <= 1
    assert (after[0] != before).any()
    with artifacts.open(tmp_path / "run" / "labels.h5") as labels:
        f = classifiers.load(str(classifier))
        assert np.abs(labels["labels"][:4] - f.probabilities(as_shown(paint(w[:4]))).numpy()).max() < 1e-3
    if asked.cutoff is not None:
        np.savez(tmp_path / "w.npz", w=w[:1].numpy())
        result = gmmedit("edit", *run, "--attr", "light", "--latents", tmp_path / "w.npz")
        assert result.exit_code == 2 and "would truncate the latents" in result.stderr


def test_large_pictures_are_painted_a_few_at_a_time(plain, monkeypatch):
    generator, sizes = load(str(plain)), []
    paint = painter(generator, "z", SampleSettings(gan=str(plain)))
    z = torch.randn(7, generator.z_dim, generator=torch.Generator().manual_seed(0))
    whole = paint(z)
    monkeypatch.setattr(sampling, "AT_ONCE", 3 * 16**2)
    generator.synthesis.register_forward_hook(lambda module, inputs, images: sizes.append(len(images)))
    assert torch.allclose(paint(z), whole, atol=1e-5) and sizes == [2, 2, 2, 1]
