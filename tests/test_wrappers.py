"""State dictionaries of the known families, however they are wrapped and whatever they are stored in."""

import gzip
import io
import pickle
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch
from conftest import check, gmmedit
from nvidia_pickles import Persistent, names, node, random_network, write
from PIL import Image
from safetensors.torch import save_file
from small_states import as_basicsr, as_genforce, as_rosinality
from torch import Tensor

from gmmedit.errors import InputError
from gmmedit.generators import load
from gmmedit.generators.formats.detect import describe

DATA = Path(__file__).parent / "data"
TINY = {"resolution": 8, "channels": (6, 4), "z_dim": 5, "w_dim": 7, "mapping_layers": 2}
NAMES: dict[str, Callable[..., dict[str, Tensor]]] = {
    "NVIDIA": lambda network: dict(network.state_dict()),
    "rosinality": as_rosinality,
    "BasicSR": as_basicsr,
    "GenForce": as_genforce,
}


def equal_images(path: Path, network: torch.nn.Module) -> None:
    read, w = load(str(path)), torch.randn(2, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(read.synthesize(w), network.synthesize(w), atol=2e-5, rtol=0)
    z = torch.randn(2, 5, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(read.map(z), network.map(z), atol=2e-5, rtol=0)


def prefixed(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def other(state: dict[str, Any]) -> dict[str, Any]:
    """The same tensors with other numbers: the generator in training beside its average."""
    return {name: tensor + 1 for name, tensor in state.items()}


WRAPPERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "bare": lambda state: state,
    "module.": lambda state: prefixed(state, "module."),
    "_orig_mod.": lambda state: prefixed(state, "_orig_mod."),
    "nested prefixes": lambda state: prefixed(state, "module._orig_mod.decoder."),
    "an encoder beside": lambda state: {
        "state_dict": prefixed(state, "decoder.") | {"encoder.a.weight": torch.ones(2)}
    },
    "g_ema": lambda state: {"g": other(state), "g_ema": state, "d": {"final.weight": torch.ones(2)}, "iter": 3},
    "G_EMA": lambda state: {"G": other(state), "G_EMA": prefixed(state, "module.")},
    "ema": lambda state: {"model": other(state), "ema": state},
    "params_ema": lambda state: {"params": other(state), "params_ema": state},
    "generator": lambda state: {"generator": state, "discriminator": {"final.weight": torch.ones(2)}},
    "in a training": lambda state: {"epoch": 3, "models": {"netG": other(state), "netG_ema": state}},
    "lightning": lambda state: {"state_dict": prefixed(other(state), "G.") | prefixed(state, "G_ema.")},
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("family", NAMES)
def test_wrapped_state_dictionaries(family, wrap, tmp_path):
    network = random_network(**TINY)
    torch.save(wrap(NAMES[family](network)), tmp_path / "g.pt")
    equal_images(tmp_path / "g.pt", network)


@pytest.mark.parametrize("name", ["sefa_stylegan_32.pth", "ig_stylegan_32_fused_old.pth", "sefa_stylegan2_32.pth",
                                  "ig_pggan_32.pth", "sefa_pggan_32_fused.pth", "rosi_a_32.pt"])  # fmt: skip
def test_safetensors_of_known_families(name, tmp_path):
    content = torch.load(DATA / name)
    state = content.get("g_ema", content.get("generator_smooth", content))
    if "latent_avg" in content:
        state = state | {"latent_avg": content["latent_avg"]}
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, tmp_path / "g.safetensors")
    assert load(str(tmp_path / "g.safetensors")).fingerprint == load(str(DATA / name)).fingerprint


@pytest.mark.parametrize("family", NAMES)
def test_safetensors_and_plain_pickles(family, tmp_path):
    network = random_network(**TINY)
    state = NAMES[family](network)
    save_file(prefixed(state, "module."), tmp_path / "g.safetensors")
    equal_images(tmp_path / "g.safetensors", network)
    arrays = {name: tensor.detach().numpy() for name, tensor in state.items()}
    (tmp_path / "g.pkl").write_bytes(pickle.dumps({"G_ema": arrays}))
    equal_images(tmp_path / "g.pkl", network)


@pytest.mark.parametrize("settings", [
    {"architecture": "resnet", "image_channels": 1},
    {"architecture": "orig", "use_noise": False, "resample_filter": (1, 2, 1)},
    {"c_dim": 3, "embedding": 4, "mapping_width": 6},
    {"resolution": 16, "channels": (3, 5, 4), "resample_filter": tuple(range(1, 9))},
    {"const_size": (4, 2)},
])  # fmt: skip
def test_what_a_state_dictionary_tells(settings, tmp_path):
    network = random_network(**(TINY | settings))
    torch.save(network.state_dict(), tmp_path / "g.pt")
    read = load(str(tmp_path / "g.pt"))
    for name, value in (TINY | settings).items():
        found = getattr(read.config, name)
        if name == "resample_filter":
            torch.testing.assert_close(torch.tensor(found), torch.tensor(value) / sum(value))
        else:
            assert found == value, name
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(read.state_dict()[name], tensor, atol=1e-7, rtol=0, msg=name)


def test_a_clamp_stands_beside_a_state_dictionary(tmp_path):
    network = random_network(**TINY, conv_clamp=0.5)
    torch.save(network.state_dict(), tmp_path / "g.pt")
    assert load(str(tmp_path / "g.pt")).config.conv_clamp is None
    (tmp_path / "g.yaml").write_text("conv_clamp: 0.5\n")
    equal_images(tmp_path / "g.pt", network)
    (tmp_path / "g.yaml").write_text("conv_clamp: tight\n")
    with pytest.raises(InputError, match="conv_clamp is 'tight'"):
        load(str(tmp_path / "g.pt"))


def test_a_stylegan3_without_its_settings_is_refused(tmp_path):
    torch.save(load(str(DATA / "sg3_b_r32.pkl")).state_dict(), tmp_path / "g.pt")
    with pytest.raises(InputError, match="a state dictionary of a StyleGAN3, which lacks the sampling rates"):
        load(str(tmp_path / "g.pt"))


def test_a_mean_w_repeated_for_each_layer(tmp_path):
    network = random_network(**TINY)
    state = as_rosinality(network)
    mean = state.pop("latent_avg")
    whole = {"state_dict": prefixed(state, "decoder."), "latent_avg": mean.repeat(4, 1), "opts": {"n_styles": 4}}
    torch.save(whole, tmp_path / "psp.pt")
    equal_images(tmp_path / "psp.pt", network)
    torch.testing.assert_close(load(str(tmp_path / "psp.pt")).w_avg, network.w_avg)


def test_two_generators_of_one_rank_are_not_chosen_between(tmp_path):
    state = dict(random_network(**TINY).state_dict())
    torch.save({"student": state, "teacher": other(state)}, tmp_path / "g.pt")
    with pytest.raises(
        InputError, match="holds 2 generators, and it is ambiguous which one to read: at student and teach"
    ):
        load(str(tmp_path / "g.pt"))


@pytest.mark.parametrize("key", ["G_ema", "g_ema", "G_EMA", "ema", "generator_ema", "netG_ema", "Gs", "G", "generator"])
def test_networks_under_other_keys(key, tmp_path):
    network, training = random_network(**TINY), random_network(1, **TINY)
    content = {"model": {key: node(network, network.config), "D": Persistent("Discriminator", {})}}
    if key.lower() not in ("g", "generator"):
        content["G"] = node(training, training.config)
    with names("torch_utils.persistence._reconstruct_persistent_obj"):
        (tmp_path / "g.pkl").write_bytes(pickle.dumps(content))
    assert torch.equal(load(str(tmp_path / "g.pkl")).w_avg, network.w_avg)


def test_networks_in_ddp_and_compiled(tmp_path):
    network = random_network(**TINY)
    whole = node(network, network.config)
    with names("torch_utils.persistence._reconstruct_persistent_obj", "beside.DistributedDataParallel"):
        import beside  # type: ignore[import-not-found]

        for inner in ("module", "_orig_mod"):
            wrapped = beside.DistributedDataParallel()
            wrapped.__dict__.update(_parameters={}, _buffers={}, _modules={inner: whole})
            whole = wrapped
        (tmp_path / "g.pkl").write_bytes(pickle.dumps({"G_ema": whole}))
    equal_images(tmp_path / "g.pkl", network)


# What is no checkpoint


def archive(path: Path) -> bytes:
    """A zip of a folder with a checkpoint in it."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.write(path, "models/network.pkl")
        file.writestr("models/README.md", "read me")
    return content.getvalue()


def tarball(path: Path) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as file:
        file.add(path, "network.pkl")
    return content.getvalue()


def picture() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 8)).save(content, "PNG")
    return content.getvalue()


def artifact(folder: Path) -> bytes:
    with h5py.File(folder / "a.h5", "w") as file:
        file["a"] = 1
    return (folder / "a.h5").read_bytes()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:ca0036\nsize 381646055\n"


def test_what_lies_in_place_of_a_checkpoint_is_named(tmp_path):
    good = write(tmp_path / "good.pkl", random_network(**TINY))
    torch.save(dict(random_network(**TINY).state_dict()), tmp_path / "g.pt")
    save_file(dict(random_network(**TINY).state_dict()), tmp_path / "g.safetensors")
    zipped, stored = (tmp_path / "g.pt").read_bytes(), (tmp_path / "g.safetensors").read_bytes()
    cases = {
        "is a git-LFS pointer": (POINTER, "git lfs pull"),
        "is a web page, not the file itself": (b"\n<!DOCTYPE html><html><title>Sign in", "in a browser"),
        "web page": (b"<html><body>Google Drive - Virus scan warning", "in a browser"),
        "is JSON text": (b'{"error": "Invalid username or password."}', "download the file again"),
        "is empty": (b"", "download or copy it again"),
        "is a file of zeros": (bytes(1 << 20), "download or copy it again"),
        "is a zip of 2 files (models/network.pkl, ...), not a checkpoint": (archive(good), "unpack it"),
        "is a tar archive": (tarball(good), "unpack it"),
        "is a gzip archive": (gzip.compress(good.read_bytes()), "unpack it"),
        "is an image": (picture(), "a generator's file"),
        "is an HDF5 file": (artifact(tmp_path), "gmmedit inspect"),
    }
    cuts = [content[: int(share * len(content))] for content in (zipped, stored) for share in (0.1, 0.5, 0.99)]
    for says, (content, hint) in [
        *cases.items(),
        *(("is truncated", (cut, "download or copy it again")) for cut in cuts),
    ]:
        path = tmp_path / "network-snapshot.pkl"
        path.write_bytes(content)
        check(gmmedit("sample", "--gan", path, "--run", tmp_path / "run"), f"{path} ", says, hint)
        if says != "is an HDF5 file":
            with pytest.raises(InputError, match=re.escape(says)):
                describe(path)
