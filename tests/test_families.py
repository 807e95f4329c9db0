"""Other people's checkpoints against vectors of their own code (small random networks): families, names, layouts.

The .npz hold latents z, w or W+ and images: psi 0.7, a truncation cutoff, a mix of two latents, no noise, a free
W+, one level of detail less.
"""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import gmmedit
from torch import Tensor

from gmmedit.errors import InputError
from gmmedit.generators import Generator, load
from gmmedit.generators.formats import genforce, tensorflow
from gmmedit.generators.stylegan1 import StyleGAN1, StyleGAN1Config
from gmmedit.networks.unpickling import read_pickle

DATA = Path(__file__).parent / "data"
WITH_W = ["sefa_stylegan_32.pth", "ig_stylegan_32_fused_old.pth", "sefa_stylegan2_32.pth", "rosi_a_32.pt",
          "sg2_l_tf4_16.pkl", "sg2_m_tf5_16.pkl"]  # fmt: skip
WITHOUT_W = ["ig_pggan_32.pth", "sefa_pggan_32_fused.pth"]
BIGGAN = "biggan_deep_64.bin"
# Of images. StyleGAN1's own code lies 2.6e-5 from itself in float64: instance normalisation amplifies rounding,
# and channels-last memory sums in another order.
TOLERANCE = {"StyleGAN1": 1e-4, "StyleGAN2": 2e-5}
Vectors = dict[str, Tensor]


def vectors_of(name: str) -> Vectors:
    with np.load((DATA / name).with_suffix(".npz")) as file:
        return {key: torch.from_numpy(np.asarray(file[key])) for key in file}


def assert_near(found: Tensor, expected: Tensor, tolerance: float) -> None:
    assert (found[: len(expected)] - expected).abs().max() < tolerance


@pytest.fixture(params=WITH_W)
def golden(request: pytest.FixtureRequest) -> tuple[Generator, Vectors]:
    return load(str(DATA / request.param)), vectors_of(request.param)


def test_mapping_and_truncation(golden):
    generator, vectors = golden
    tolerance = TOLERANCE[generator.family]
    assert_near(generator.map(vectors["z"]), vectors["w"], 1e-5)
    if "w_psi07" in vectors:
        assert_near(generator.map(vectors["z"], psi=0.7), vectors["w_psi07"], 1e-5)
        assert_near(generator.synthesize(generator.map(vectors["z"], psi=0.7)), vectors["img_psi07"], tolerance)
    if "cutoff" in vectors:
        w = generator.map(vectors["z"], psi=0.7, cutoff=int(vectors["cutoff"]))
        assert_near(w, vectors["w_cut"], 1e-5)
        assert_near(generator.synthesize(w), vectors["img_cut"], tolerance)


def test_images(golden):
    generator, vectors = golden
    tolerance = TOLERANCE[generator.family]
    w = generator.map(vectors["z"])
    assert_near(generator.synthesize(w), vectors["img"], tolerance)
    assert_near(generator.synthesize(vectors["w_plus"]), vectors["img_wplus"], tolerance)
    if "img_mix" in vectors:
        layers, cut = generator.w_shape[0], int(vectors["mix_cut"])
        mix = torch.cat([w[0].expand(cut, -1), w[1].expand(layers - cut, -1)])
        assert_near(generator.synthesize(mix[None]), vectors["img_mix"], tolerance)
    if "img_none" in vectors:
        generator.noise_mode = "none"
        assert_near(generator.synthesize(w), vectors["img_none"], tolerance)


def test_gradients_reach_w(golden):
    generator, vectors = golden
    w = vectors["w"].requires_grad_()
    (gradient,) = torch.autograd.grad(generator.synthesize(w).square().sum(), w)
    assert (gradient.abs().amax(1) > 0).all()


def test_noise_of_a_seed_repeats(golden):
    generator, vectors = golden
    generator.noise_mode, generator.noise_seed = "random", 3
    first = generator.synthesize(vectors["w"][:1])
    assert torch.equal(first, generator.synthesize(vectors["w"][:1]))
    generator.noise_seed = 4
    assert not torch.equal(first, generator.synthesize(vectors["w"][:1]))


@pytest.mark.parametrize("name", WITHOUT_W)
def test_pggan_takes_z(name):
    generator, vectors = load(str(DATA / name)), vectors_of(name)
    assert generator.w_shape is None and generator.map(vectors["z"], psi=0.5) is vectors["z"]
    assert_near(generator.synthesize(vectors["z"]), vectors["img"], 2e-5)
    generator.lod = 1
    assert_near(generator.synthesize(vectors["z"]), vectors["img_lod1"], 2e-5)
    z = vectors["z"].requires_grad_()
    (gradient,) = torch.autograd.grad(generator.synthesize(z).square().sum(), z)
    assert (gradient.abs().amax(1) > 0).all()


@pytest.mark.parametrize("psi", [1.0, 0.325, 0.7, 0.67])  # on the table of statistics, and between its entries
def test_biggan_images(psi):
    generator, vectors = load(str(DATA / BIGGAN)), vectors_of(BIGGAN)
    w = generator.map(vectors["z"], vectors["c"], psi)
    dim = generator.z_dim
    assert_near(w[:, :dim], psi * vectors["z"], 1e-6)
    assert_near(w[:, dim : 2 * dim], vectors["embed"], 1e-5)
    assert_near(generator.synthesize(w), vectors[f"img_{psi:g}"], 2e-5)


def test_biggan_mixes_classes_and_rows_do_not_meet():
    generator, vectors = load(str(DATA / BIGGAN)), vectors_of(BIGGAN)
    mixed = generator.map(vectors["z"][:1], vectors["c_mix"], 0.4)
    assert_near(generator.synthesize(mixed), vectors["img_mix_0.4"], 2e-5)
    rows = torch.cat([mixed, generator.map(vectors["z"], vectors["c"], 0.7)])  # one truncation each
    assert_near(generator.synthesize(rows)[:1], vectors["img_mix_0.4"], 2e-5)
    assert_near(generator.synthesize(rows)[1:], vectors["img_0.7"], 2e-5)
    layers = generator.w_shape[0]
    assert torch.equal(generator.synthesize(mixed), generator.synthesize(mixed[:, None].expand(-1, layers, -1)))


def test_biggan_gradients_reach_z_and_the_class():
    generator, vectors = load(str(DATA / BIGGAN)), vectors_of(BIGGAN)
    w = generator.map(vectors["z"], vectors["c"], 0.5).requires_grad_()
    (gradient,) = torch.autograd.grad(generator.synthesize(w).square().sum(), w)
    assert gradient[:, : generator.z_dim].abs().max() > 0 and gradient[:, generator.z_dim : -1].abs().max() > 0


def test_biggan_wants_a_class_and_a_truncation_it_knows():
    generator, vectors = load(str(DATA / BIGGAN)), vectors_of(BIGGAN)
    with pytest.raises(ValueError, match="class"):
        generator.map(vectors["z"])
    with pytest.raises(InputError, match="psi 1.2"):
        generator.map(vectors["z"], vectors["c"], 1.2)


def test_a_fused_up_convolution_is_a_mirrored_one():
    x, kernel = torch.randn(2, 5, 6, 6, generator=seeded(0)), torch.randn(4, 5, 3, 3, generator=seeded(1))
    padded = F.pad(kernel, (1, 1, 1, 1))
    boxes = padded[..., 1:, 1:] + padded[..., :-1, 1:] + padded[..., 1:, :-1] + padded[..., :-1, :-1]
    fused = F.conv_transpose2d(x, boxes.transpose(0, 1), stride=2, padding=1)
    ours = F.conv2d(F.interpolate(x, scale_factor=2), genforce.mirror_kernel(kernel), padding=1)
    assert_near(ours, fused, 1e-5)


def test_sefa_fuses_from_128_pixels_or_where_a_file_beside_says_so(tmp_path):
    network = StyleGAN1(StyleGAN1Config(channels=(4, 4, 4, 4, 3, 2), z_dim=6, w_dim=5, mapping_layers=2))
    path = saved(tmp_path / "sefa.pth", {"generator": network.state_dict()})
    stored = network.synthesis.layer10.weight  # 128 pixels
    assert torch.equal(load(str(path)).synthesis.layer10.weight, stored.flip(2, 3))
    assert torch.equal(load(str(path)).synthesis.layer8.weight, network.synthesis.layer8.weight)
    path.with_suffix(".yaml").write_text("fused_scale: false\n")
    assert torch.equal(load(str(path)).synthesis.layer10.weight, stored)
    path.with_suffix(".yaml").write_text("fused_scale: sometimes\n")
    with pytest.raises(InputError, match="sefa.yaml.*fused_scale"):
        load(str(path))


def test_a_label_of_stylegan1_is_embedded_before_the_normalisation(tmp_path):
    network = StyleGAN1(StyleGAN1Config(channels=(4, 4), z_dim=6, w_dim=5, label_size=3, mapping_layers=1))
    generator = load(str(saved(tmp_path / "label.pth", {"generator_smooth": network.state_dict()})))
    assert generator.n_classes == 3 and generator.z_dim == 6
    z, c = torch.randn(2, 6, generator=seeded(0)), F.one_hot(torch.tensor([0, 2]), 3).float()
    joined = torch.cat([z, c @ network.mapping.label_weight], dim=1)
    expected = network.mapping.dense0(joined / joined.square().mean(1, keepdim=True).sqrt())
    assert_near(generator.map(z, c), expected, 1e-6)
    with pytest.raises(ValueError, match="class"):
        generator.map(z)


def test_an_early_rosinality_file_gets_noise_and_a_mean(tmp_path):
    vectors, content = vectors_of("rosi_a_32.pt"), torch.load(DATA / "rosi_a_32.pt")
    weights = {name: value for name, value in content["g_ema"].items() if not name.startswith("noises.")}
    training = {"g": weights, "g_ema": weights, "g_optim": {"state": {}}, "args": argparse.Namespace(size=32)}
    path = saved(tmp_path / "early.pt", training, _use_new_zipfile_serialization=False)
    generator, again = load(str(path)), load(str(path))
    w = generator.map(vectors["z"])
    assert generator.synthesize(w).std() > 0 and torch.equal(generator.synthesize(w), again.synthesize(w))
    assert_near(generator.w_avg, generator.map(torch.randn(5000, 64, generator=seeded(0))).mean(0), 0.1)
    generator.noise_mode = "none"
    assert_near(generator.synthesize(w), vectors["img_none"], 2e-5)


def test_a_checkpoint_of_genforce_s_training(tmp_path):
    models = torch.load(DATA / "sefa_stylegan_32.pth")
    training = {"models": models, "running_metadata": {"iter": 5}, "optimizers": {"generator": {"state": {}}}}
    path = saved(tmp_path / "training.pth", training)
    assert load(str(path)).fingerprint == load(str(DATA / "sefa_stylegan_32.pth")).fingerprint


def test_a_network_of_tensorflow_without_noise():
    path, vectors = DATA / "sg2_l_tf4_16.pkl", vectors_of("sg2_l_tf4_16.pkl")
    content = read_pickle(path)
    synthesis = content[2].state["components"]["synthesis"].state
    synthesis["variables"] = [(name, value) for name, value in synthesis["variables"] if "noise" not in name]
    content[2].state["static_kwargs"] |= {"use_noise": False}
    generator = tensorflow.read_generator(path, content)
    assert_near(generator.synthesize(generator.map(vectors["z"])), vectors["img_none"], 2e-5)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def saved(path: Path, content: object, **options: bool) -> Path:
    torch.save(content, path, **options)
    return path


@pytest.mark.parametrize(("name", "options", "says"), [
    (BIGGAN, ("--class", 10), "has no class 10"),
    (BIGGAN, ("--class", 1, "--psi", 1.5), "no statistics for psi 1.5"),
    (BIGGAN, ("--class", 1, "--cutoff", 2), "has no mean w"),
    ("ig_pggan_32.pth", ("--psi", 0.7), "has no W"),
])  # fmt: skip
def test_what_a_family_cannot_do_is_said_at_once(name, options, says, tmp_path):
    result = gmmedit("sample", "--gan", DATA / name, "-n", 4, "--run", tmp_path, *options)
    assert result.exit_code == 2 and says in result.stderr and not (tmp_path / "samples.h5").exists()
