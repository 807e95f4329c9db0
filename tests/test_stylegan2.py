"""StyleGAN2 against vectors of NVIDIA's implementation (small random networks), and against its definition."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from nvidia_pickles import random_network, write
from torch import Tensor

from gmmedit.errors import InputError
from gmmedit.generators import load, resampling, stylegan2
from gmmedit.generators.stylegan2 import StyleGAN2, StyleGAN2Config

DATA = Path(__file__).parent / "data"
NETWORKS = ["sg2_c_cond32", "sg2_d_orig16gray", "sg3_d_sg2cfg32"]


@pytest.fixture(params=NETWORKS)
def golden(request: pytest.FixtureRequest) -> tuple[StyleGAN2, dict[str, Tensor]]:
    generator = load(str(DATA / f"{request.param}.pkl"))
    assert isinstance(generator, StyleGAN2)
    with np.load(DATA / f"{request.param}.npz") as file:
        return generator, {name: torch.from_numpy(file[name]) for name in file}


def mapped(generator: StyleGAN2, vectors: dict[str, Tensor], psi: float = 1, cutoff: int | None = None) -> Tensor:
    return generator.map(vectors["z"], vectors["c"] if generator.n_classes else None, psi, cutoff)


def test_mapping_and_truncation(golden):
    generator, vectors = golden
    assert (mapped(generator, vectors) - vectors["w_psi1"][:, 0]).abs().max() < 1e-5
    assert (mapped(generator, vectors, 0.7)[:, None] - vectors["w_psi07"]).abs().max() < 1e-5
    assert (mapped(generator, vectors, 0.7, 4) - vectors["w_psi07_cut4"]).abs().max() < 1e-5


@pytest.mark.parametrize(("psi", "cutoff", "noise", "name"), [
    (1.0, None, "const", "img_psi1_const"), (1.0, None, "none", "img_psi1_none"),
    (0.7, None, "const", "img_psi07_const"), (0.7, 4, "const", "img_psi07_cut4_const"),
])  # fmt: skip
def test_images(golden, psi, cutoff, noise, name):
    generator, vectors = golden
    generator.noise_mode = noise
    images = generator.synthesize(mapped(generator, vectors, psi, cutoff)[: len(vectors[name])])
    assert (images - vectors[name]).abs().max() < 5e-5


@pytest.mark.parametrize(("latents", "name"), [("w_plus", "img_wplus_const"), ("w_mix", "img_mix_const")])
def test_layers_take_their_own_w(golden, latents, name):
    generator, vectors = golden
    images = generator.synthesize(vectors[latents][: len(vectors[name])])
    assert (images - vectors[name]).abs().max() < 5e-5


def test_soft_classes():
    generator = load(str(DATA / "sg2_c_cond32.pkl"))
    with np.load(DATA / "sg2_c_cond32.npz") as vectors:
        z, c, w = (torch.from_numpy(vectors[name]) for name in ("z", "c_soft", "w_c_soft"))
    assert (generator.map(z, c)[:, None] - w).abs().max() < 1e-5


def by_definition(generator: StyleGAN2, ws: Tensor) -> Tensor:
    """Images (N, C, H, W) from modulated weights, inserted zeros and a filter plane: Karras et al. 2020, appendix B."""
    state, config = generator.state_dict(), generator.config
    taps = torch.tensor(config.resample_filter) / sum(config.resample_filter)
    filter_plane = torch.outer(taps, taps)
    even, odd = (len(taps) + 1) // 2, len(taps) // 2 - 1

    def smooth(x: Tensor, before: int, after: int) -> Tensor:
        n, channels, *_ = x.shape
        x = F.pad(x, (before, after, before, after)).flatten(0, 1)[:, None]
        y = F.conv2d(x, 4 * filter_plane.flip(0, 1)[None, None])
        return y.unflatten(0, (n, channels))[:, :, 0]

    def stretched(x: Tensor) -> Tensor:
        y = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
        y[:, :, ::2, ::2] = x
        return y

    def convolved(x: Tensor, name: str, w: Tensor, up: bool, demodulate: bool) -> Tensor:
        style = F.linear(w, state[f"{name}.affine.weight"] / math.sqrt(w.shape[1]), state[f"{name}.affine.bias"])
        weight = state[f"{name}.weight"]
        kernels = weight[None] * style[:, None, :, None, None]
        if demodulate:
            kernels = kernels / (kernels.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
        else:
            kernels = kernels / math.sqrt(weight[0].numel())
        if up:  # a convolution of the stretched image, over its whole reach
            whole = F.pad(stretched(x)[:, :, :-1, :-1], (2, 2, 2, 2))
            y = torch.cat([F.conv2d(one[None], kernel.flip(2, 3)) for one, kernel in zip(whole, kernels, strict=True)])
            return smooth(y, (len(taps) - 1) // 2, len(taps) // 2 - 1)
        reach = weight.shape[2] // 2
        return torch.cat([F.conv2d(one[None], k, padding=reach) for one, k in zip(x, kernels, strict=True)])

    def layer(x: Tensor, name: str, w: Tensor, up: bool, gain: float = 1) -> Tensor:
        x = convolved(x, name, w, up, demodulate=True)
        if config.use_noise:
            x = x + state[f"{name}.noise_const"] * state[f"{name}.noise_strength"]
        x = F.leaky_relu(x + state[f"{name}.bias"][:, None, None], 0.2) * math.sqrt(2) * gain
        return x if config.conv_clamp is None else x.clamp(-config.conv_clamp * gain, config.conv_clamp * gain)

    columns = iter(ws.unbind(1))
    x = layer(state["synthesis.b4.const"].expand(len(ws), -1, -1, -1), "synthesis.b4.conv1", next(columns), up=False)
    image, w = None, next(columns)
    for resolution in config.resolutions:
        block = f"synthesis.b{resolution}"
        if resolution > 4:
            before = x
            gain = math.sqrt(0.5) if config.architecture == "resnet" else 1
            x = layer(x, f"{block}.conv0", w, up=True)
            x = layer(x, f"{block}.conv1", next(columns), up=False, gain=gain)
            w = next(columns)
            if config.architecture == "resnet":
                kernel = state[f"{block}.skip.weight"]
                short = F.conv2d(before, kernel / math.sqrt(kernel.shape[1]))
                x = x + gain * smooth(stretched(short), even, odd)
        image = None if image is None else smooth(stretched(image), even, odd)
        if resolution == config.resolution or config.architecture == "skip":
            colours = convolved(x, f"{block}.torgb", w, up=False, demodulate=False)
            colours = colours + state[f"{block}.torgb.bias"][:, None, None]
            if config.conv_clamp is not None:
                colours = colours.clamp(-config.conv_clamp, config.conv_clamp)
            image = colours if image is None else image + colours
    assert image is not None
    return image


SMALL = {"resolution": 16, "channels": (12, 10, 6), "z_dim": 7, "w_dim": 9}


@pytest.mark.parametrize("settings", [
    {"architecture": "resnet", "conv_clamp": 0.9},
    {"architecture": "resnet", "resample_filter": (1.0, 2.0, 1.0), "use_noise": False},
    {"architecture": "skip", "conv_clamp": 0.9, "image_channels": 1},
    {"architecture": "skip", "resample_filter": (1.0, 2.0, 1.0)},
    {"architecture": "skip", "resample_filter": (1.0, 1.0)},
    {"architecture": "skip", "resample_filter": (1.0, 4.0, 7.0, 5.0, 2.0)},
    {"architecture": "orig", "resample_filter": (1.0, 3.0, 5.0, 7.0, 7.0, 5.0, 3.0, 1.0)},
], ids=lambda s: " ".join(map(str, s.values())))  # fmt: skip
def test_every_architecture_and_filter(settings, tmp_path):
    network = random_network(**SMALL, **settings)
    generator = load(str(write(tmp_path / "g.pkl", network)))
    ws = torch.randn(2, *generator.w_shape, generator=torch.Generator().manual_seed(1))
    expected = by_definition(network, ws)
    assert expected.std() > 0.05
    assert (generator.synthesize(ws) - expected).abs().max() < 5e-5
    if "conv_clamp" in settings:
        unclamped = StyleGAN2(StyleGAN2Config(**SMALL | settings | {"conv_clamp": None}))
        unclamped.load_state_dict(network.state_dict())
        assert (unclamped.synthesize(ws) - expected).abs().max() > 0.1, "the clamp must bite"


def test_random_noise_differs_from_call_to_call_unless_seeded():
    generator = load(str(DATA / "sg3_d_sg2cfg32.pkl"))
    w = torch.zeros(2, generator.w_shape[1])
    stored = generator.synthesize(w)
    generator.noise_mode = "random"
    assert not torch.equal(generator.synthesize(w), generator.synthesize(w))
    generator.noise_seed = 5
    seeded = generator.synthesize(w)
    assert torch.equal(seeded, generator.synthesize(w)) and not torch.equal(seeded, stored)
    assert torch.allclose(seeded[:1], generator.synthesize(w[:1]), atol=1e-5), "no picture depends on the batch"
    generator.noise_seed = 6
    assert not torch.equal(seeded, generator.synthesize(w))


def test_a_conditional_generator_wants_classes():
    generator = load(str(DATA / "sg2_c_cond32.pkl"))
    with pytest.raises(ValueError, match="class"):
        generator.map(torch.zeros(1, generator.z_dim))


@pytest.mark.parametrize("name", ["sg2_d_orig16gray", "sg2_c_cond32"], ids=["no clamp", "clamp"])
def test_gradients_reach_w_twice(name):
    generator = load(str(DATA / f"{name}.pkl"))
    w = torch.randn(2, generator.w_shape[1], requires_grad=True, generator=torch.Generator().manual_seed(0))
    (first,) = torch.autograd.grad(generator.synthesize(w).square().sum(), w, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), w)
    assert first.abs().max() > 0 and second.abs().max() > 0


@pytest.mark.parametrize("taps", [(1, 3, 3, 1), (1, 2, 1), (1, 1)])
def test_phases_are_the_transposed_convolution_and_so_are_their_gradients(taps):
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(5, 3, 3, 3, generator=random, dtype=torch.float64)
    plane = resampling.fir_filter(taps).double()
    images, gradients = [], []
    for kernel in (weight.transpose(0, 1), resampling.as_phases(weight)):
        x = torch.randn(2, 3, 6, 7, generator=random.manual_seed(1), dtype=torch.float64).requires_grad_()
        images.append(resampling.up_convolve(x, kernel, plane))
        images[-1].pow(3).sum().backward()
        gradients.append(x.grad)
    assert images[0].shape == (2, 5, 12, 14)
    assert torch.allclose(*images, rtol=0, atol=1e-12)
    assert torch.allclose(*gradients, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", NETWORKS)
def test_half_precision_paints_the_same_picture_roughly(name):
    generator = load(str(DATA / f"{name}.pkl")).requires_grad_(False)
    w = torch.randn(4, generator.w_shape[1], generator=torch.Generator().manual_seed(0))
    exact = generator.synthesize(w)
    with torch.autocast("cpu", torch.bfloat16):
        rough = generator.synthesize(w)
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).square().mean().sqrt() < 0.04 * exact.std()


def test_what_is_remembered_of_weights_follows_them():
    generator = load(str(DATA / "sg2_d_orig16gray.pkl"))
    w = torch.ones(1, generator.w_shape[1])
    weight, first = generator.synthesis.b8.conv0.weight, generator.synthesize(w)
    with torch.no_grad():
        weight[0].neg_()
    changed = generator.synthesize(w)
    assert not torch.allclose(changed, first, atol=1e-3)
    generator.load_state_dict({k: v.clone() for k, v in generator.state_dict().items()}, assign=True)
    assert torch.equal(generator.synthesize(w), changed)
    with torch.no_grad():
        generator.synthesis.b8.conv0.weight[0].neg_()
    assert torch.equal(generator.synthesize(w), first)
    assert torch.allclose(generator.double().synthesize(w.double()).float(), first, atol=1e-4)


def test_weights_in_training_get_gradients_and_what_inference_has_seen_does_too():
    generator = load(str(DATA / "sg2_d_orig16gray.pkl"))
    w = torch.ones(1, generator.w_shape[1], requires_grad=True)
    with torch.inference_mode():
        generator.synthesize(w)
    generator.synthesize(w).sum().backward()
    assert w.grad is not None and w.grad.abs().max() > 0
    weight = generator.synthesis.b8.conv0.weight.requires_grad_()
    generator.synthesize(w).square().sum().backward()
    assert weight.grad is not None and weight.grad.abs().max() > 0


def test_round_trip_and_fingerprint(tmp_path):
    generator = load(str(DATA / "sg2_d_orig16gray.pkl"))
    stylegan2.save_generator(generator, tmp_path / "g.safetensors")
    again = load(str(tmp_path / "g.safetensors"))
    assert again.fingerprint == generator.fingerprint and again.config == generator.config
    with torch.no_grad():
        again.synthesis.b4.const[0, 0, 0] += 1
    stylegan2.save_generator(again, tmp_path / "other.safetensors")
    assert load(str(tmp_path / "other.safetensors")).fingerprint != generator.fingerprint


@pytest.mark.parametrize("name", ["nowhere", "nowhere.safetensors"])
def test_unknown_generators_are_refused(name):
    with pytest.raises(InputError, match="nowhere"):
        load(name)


def test_damaged_and_foreign_files_are_refused(tmp_path):
    stylegan2.save_generator(load(str(DATA / "sg2_d_orig16gray.pkl")), tmp_path / "whole.safetensors")
    whole = (tmp_path / "whole.safetensors").read_bytes()
    for content in (
        b"",
        b"no safetensors",
        whole[: len(whole) // 2],
        (DATA / "sg2_d_orig16gray.npz").read_bytes(),
    ):
        path = tmp_path / "bad.safetensors"
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"bad\.safetensors"):
            load(str(path))
