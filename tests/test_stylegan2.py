"""StyleGAN2 against vectors of NVIDIA's implementation (G_ema of small random networks, converted to safetensors)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gmmedit.errors import InputError
from gmmedit.generators import load, stylegan2

DATA = Path(__file__).parent / "data"
NETWORKS = ["sg2_c_cond32", "sg2_d_orig16gray", "sg3_d_sg2cfg32"]


@pytest.fixture(params=NETWORKS)
def golden(request: pytest.FixtureRequest) -> tuple[stylegan2.StyleGAN2, dict[str, torch.Tensor]]:
    generator = load(str(DATA / f"{request.param}.safetensors"))
    assert isinstance(generator, stylegan2.StyleGAN2)
    with np.load(DATA / f"{request.param}.npz") as file:
        return generator, {name: torch.from_numpy(file[name]) for name in file}


def mapped(generator: stylegan2.StyleGAN2, vectors: dict[str, torch.Tensor], psi: float = 1.0) -> torch.Tensor:
    return generator.map(vectors["z"], vectors["c"] if generator.n_classes else None, psi)


def test_mapping_and_truncation(golden):
    generator, vectors = golden
    assert (mapped(generator, vectors) - vectors["w_psi1"][:, 0]).abs().max() < 1e-5
    assert (mapped(generator, vectors, 0.7) - vectors["w_psi07"][:, 0]).abs().max() < 1e-5


@pytest.mark.parametrize(("psi", "noise", "name"), [(1.0, "const", "img_psi1_const"), (1.0, "none", "img_psi1_none"),
                                                    (0.7, "const", "img_psi07_const")])  # fmt: skip
def test_images(golden, psi, noise, name):
    generator, vectors = golden
    generator.noise_mode = noise
    images = generator.synthesize(mapped(generator, vectors, psi)[: len(vectors[name])])
    assert (images - vectors[name]).abs().max() < 2e-5


def test_layers_take_their_own_w(golden):
    generator, vectors = golden
    images = generator.synthesize(vectors["w_plus"])[: len(vectors["img_wplus_const"])]
    assert (images - vectors["img_wplus_const"]).abs().max() < 2e-5


def test_random_noise_differs_from_call_to_call():
    generator = load(str(DATA / "sg3_d_sg2cfg32.safetensors"))
    generator.noise_mode = "random"
    w = torch.zeros(1, generator.w_shape[1])
    assert not torch.equal(generator.synthesize(w), generator.synthesize(w))


def test_a_conditional_generator_wants_classes():
    generator = load(str(DATA / "sg2_c_cond32.safetensors"))
    with pytest.raises(ValueError, match="class"):
        generator.map(torch.zeros(1, generator.z_dim))


def test_gradients_reach_w_twice():
    generator = load(str(DATA / "sg2_d_orig16gray.safetensors"))
    w = torch.randn(2, generator.w_shape[1], requires_grad=True, generator=None)
    (first,) = torch.autograd.grad(generator.synthesize(w).square().sum(), w, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), w)
    assert first.abs().max() > 0 and second.abs().max() > 0


def test_round_trip_and_fingerprint(tmp_path):
    generator = load(str(DATA / "sg2_d_orig16gray.safetensors"))
    stylegan2.save(generator, tmp_path / "g.safetensors")
    again = load(str(tmp_path / "g.safetensors"))
    assert again.fingerprint == generator.fingerprint and again.config == generator.config
    with torch.no_grad():
        again.synthesis.b4.const[0, 0, 0] += 1
    stylegan2.save(again, tmp_path / "other.safetensors")
    assert load(str(tmp_path / "other.safetensors")).fingerprint != generator.fingerprint


@pytest.mark.parametrize("name", ["nowhere", "nowhere.safetensors"])
def test_unknown_generators_are_refused(name):
    with pytest.raises(InputError, match="nowhere"):
        load(name)


def test_damaged_and_foreign_files_are_refused(tmp_path):
    whole = (DATA / "sg2_d_orig16gray.safetensors").read_bytes()
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
