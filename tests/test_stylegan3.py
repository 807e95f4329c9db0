"""StyleGAN3, configurations T and R, against vectors of NVIDIA's implementation (pickles of small random networks)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gmmedit.generators import load
from gmmedit.generators.stylegan3 import StyleGAN3, downsample, upsample

DATA = Path(__file__).parent / "data"


@pytest.fixture(params=["sg3_a_t32", "sg3_b_r32"])
def golden(request: pytest.FixtureRequest) -> tuple[StyleGAN3, dict[str, Tensor]]:
    generator = load(str(DATA / f"{request.param}.pkl"))
    assert isinstance(generator, StyleGAN3)
    with np.load(DATA / f"{request.param}.npz") as file:
        return generator, {name: torch.from_numpy(file[name]) for name in file}


def test_mapping_and_truncation(golden):
    generator, vectors = golden
    z = vectors["z"]
    assert (generator.map(z) - vectors["w_psi1"][:, 0]).abs().max() < 1e-5
    assert (generator.map(z, psi=0.7)[:, None] - vectors["w_psi07"]).abs().max() < 1e-5
    assert (generator.map(z, psi=0.7, cutoff=4) - vectors["w_psi07_cut4"]).abs().max() < 1e-5


@pytest.mark.parametrize(("psi", "cutoff", "name"), [
    (1.0, None, "img_psi1_const"), (0.7, None, "img_psi07_const"), (0.7, 4, "img_psi07_cut4_const"),
])  # fmt: skip
def test_images(golden, psi, cutoff, name):
    generator, vectors = golden
    images = generator.synthesize(generator.map(vectors["z"], psi=psi, cutoff=cutoff)[: len(vectors[name])])
    assert (images - vectors[name]).abs().max() < 2e-5


@pytest.mark.parametrize(("latents", "name"), [("w_plus", "img_wplus_const"), ("w_mix", "img_mix_const")])
def test_layers_take_their_own_w(golden, latents, name):
    generator, vectors = golden
    assert (generator.synthesize(vectors[latents][: len(vectors[name])]) - vectors[name]).abs().max() < 2e-5


@pytest.mark.parametrize("move", ["shift", "rot", "both", "far"])
def test_the_user_moves_the_picture(golden, move):
    generator, vectors = golden
    translate, degrees = vectors[f"xf_{move}_translate"].tolist(), float(vectors[f"xf_{move}_angle_deg"])
    generator.place((translate[0], translate[1]), degrees)
    assert (generator.synthesis.input.transform - vectors[f"xf_{move}_matrix"]).abs().max() < 1e-6
    images = generator.synthesize(generator.map(vectors["z"][:1]))
    assert (images - vectors[f"xf_{move}_img"]).abs().max() < 2e-5
    generator.place()
    assert (generator.synthesize(generator.map(vectors["z"][:1])) - vectors["img_psi1_const"][:1]).abs().max() < 2e-5


def test_waves_that_a_transform_makes_too_fast_are_damped(golden):
    generator, vectors = golden
    generator.synthesis.input.transform.copy_(vectors["xf_zoom_matrix"])
    images = generator.synthesize(generator.map(vectors["z"][:1]))
    assert (images - vectors["xf_zoom_img"]).abs().max() < 2e-5


def test_half_precision_keeps_the_waves(golden):
    generator, vectors = golden
    with torch.autocast("cpu", torch.bfloat16):
        images = generator.synthesize(vectors["w_psi1"][:1, 0]).float()
    error = (images - vectors["img_psi1_const"][:1]).square().mean().sqrt()
    assert error < 0.03 * vectors["img_psi1_const"].std()


def test_gradients_reach_w_twice(golden):
    generator, vectors = golden
    w = vectors["w_psi1"][:1, 0].clone().requires_grad_()
    (first,) = torch.autograd.grad(generator.synthesize(w).square().sum(), w, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), w)
    assert first.abs().max() > 0 and second.abs().max() > 0


@pytest.mark.parametrize(("up", "padding"), [(2, (3, 2, 1, 4)), (4, (-2, 5, -6, -3))])
def test_upsampling_is_a_convolution_of_the_stretched_image(up, padding):
    random = torch.Generator().manual_seed(0)
    x, taps = torch.randn(2, 3, 9, 11, generator=random), torch.randn(6 * up, generator=random)
    stretched = torch.zeros(2, 3, 9 * up, 11 * up)
    stretched[:, :, ::up, ::up] = x
    padded = torch.nn.functional.pad(stretched, padding).flatten(0, 1)[:, None]
    plane = torch.outer(taps, taps).flip(0, 1) * up**2
    expected = torch.nn.functional.conv2d(padded, plane[None, None]).unflatten(0, (2, 3))[:, :, 0]
    assert torch.allclose(upsample(x, taps, up, padding), expected, atol=2e-4)


def test_downsampling_along_both_axes_is_that_with_a_plane():
    random = torch.Generator().manual_seed(0)
    x, taps = torch.randn(2, 3, 15, 18, generator=random), torch.randn(6, generator=random)
    assert torch.allclose(downsample(x, taps, 2), downsample(x, torch.outer(taps, taps), 2), atol=1e-4)
