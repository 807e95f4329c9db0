"""Generators' files: found by content, read without the discriminator, refused with what is wrong."""

import json
import pickle
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import done, gmmedit
from nvidia_pickles import Persistent, names, node, random_network, write

from gmmedit.errors import InputError
from gmmedit.generators import load
from gmmedit.generators.formats.filling import fill_network
from gmmedit.generators.stylegan2 import StyleGAN2
from gmmedit.networks.lazy_tensors import Derived, LazyTensor
from gmmedit.networks.pickle_values import Node, Refused
from gmmedit.networks.unpickling import read_pickle, read_torch

DATA = Path(__file__).parent / "data"
TINY = {"resolution": 8, "channels": (6, 4), "z_dim": 5, "w_dim": 7}


def refused(path: Path, *says: str) -> None:
    with pytest.raises(InputError) as caught:
        load(str(path))
    message = caught.value.message
    assert str(path) in message and "\n" not in message
    for phrase in says:
        assert phrase in message


# NVIDIA's pickles


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("settings", [
    {"c_dim": 3, "embedding": 4, "mapping_layers": 3, "mapping_width": 6, "mapping_lr": 0.5, "conv_clamp": 2.5},
    {"architecture": "orig", "use_noise": False, "image_channels": 1, "mapping_layers": 1},
])  # fmt: skip
def test_the_configuration_comes_back(settings, protocol, tmp_path):
    network = random_network(**TINY, **settings)
    config = load(str(write(tmp_path / "g.pkl", network, protocol))).config
    for name, value in (TINY | settings).items():
        assert getattr(config, name) == value, name


def test_todays_libraries_write_what_is_read(tmp_path):
    network = random_network(**TINY)
    network.synthesis.b8.conv1.weight.data = network.synthesis.b8.conv1.weight.to(memory_format=torch.channels_last)
    read = load(str(write(tmp_path / "g.pkl", network)))
    for name, tensor in network.state_dict().items():
        assert torch.equal(read.state_dict()[name], tensor), name


def test_a_file_is_what_it_holds_not_what_it_is_called(tmp_path):
    renamed = tmp_path / "holiday.jpg"
    renamed.write_bytes((DATA / "sg3_b_r32.pkl").read_bytes())
    assert load(str(renamed)).family == "StyleGAN3"
    bare = tmp_path / "network"
    bare.write_bytes((DATA / "sg2_d_orig16gray.pkl").read_bytes())
    assert load(str(bare)).family == "StyleGAN2"


def test_the_same_weights_have_the_same_fingerprint(tmp_path):
    network = random_network(**TINY)
    paths = [write(tmp_path / f"{protocol}.pkl", network, protocol) for protocol in (3, 4)]
    other = write(tmp_path / "other.pkl", random_network(seed=1, **TINY))
    first, second, third = (load(str(path)).fingerprint for path in (*paths, other))
    assert first == second != third


def test_only_the_moving_average_is_read(tmp_path):
    average, current = random_network(**TINY), random_network(seed=1, **TINY)
    path = write(tmp_path / "g.pkl", average, G=node(current, current.config))
    read = load(str(path))
    assert torch.equal(read.mapping.w_avg, average.mapping.w_avg)


def test_a_generator_without_an_average_or_a_snapshot_is_read_too(tmp_path):
    network = random_network(**TINY)
    path, whole = tmp_path / "g", node(network, network.config)
    with names("torch_utils.persistence._reconstruct_persistent_obj"):
        for content in (whole, {"G": whole, "D": None}, {"G": whole, "G_ema": None}):
            path.write_bytes(pickle.dumps(content))
            assert torch.equal(load(str(path)).mapping.w_avg, network.mapping.w_avg)
            torch.save(content, path)
            assert torch.equal(load(str(path)).mapping.w_avg, network.mapping.w_avg)
        path.write_bytes(pickle.dumps({"D": Persistent("Discriminator", whole.meta["state"])}))
    refused(path, "does not hold a known generator: a dictionary of 1 entries")


def without(network: StyleGAN2, *path: str) -> Persistent:
    """The node of a network, with one entry taken out of its state."""
    whole = node(network, network.config)
    place = whole
    for name in path[:-2]:
        place = place.meta["state"]["_modules"][name]
    state = place.meta["state"]
    (state[path[-2]] if path[-2] in ("_parameters", "_buffers", "_modules") else state).pop(path[-1])
    return whole


def test_what_is_missing_or_different_is_named(tmp_path):
    network = random_network(**TINY)
    path = tmp_path / "g.pkl"
    for place, says in (
        (("synthesis", "b8", "conv0", "_parameters", "bias"), ("has no tensor synthesis.b8.conv0.bias",)),
        (("mapping", "_buffers", "w_avg"), ("has no tensor mapping.w_avg",)),
        (("synthesis", "b8", "_modules", "conv0"), ("has no tensor synthesis.b8.conv0.", "and lacks 6 others")),
        (("synthesis", "_modules", "b4"), ("has a SynthesisNetwork without b4",)),
        (("attribute", "z_dim"), ("has a Generator without z_dim",)),
    ):
        refused(write(path, network, G_ema=without(network, *place)), *says)
    network.mapping.fc3.bias.data = torch.zeros(8)
    refused(write(path, network), "has mapping.fc3.bias of shape [8], expected [7]")


@pytest.mark.parametrize(("place", "value", "says"), [
    ((), {"z_dim": -1}, "whose z_dim is not a size"),
    ((), {"img_resolution": 12}, "a resolution of 12"),
    ((), {"img_resolution": 1 << 40}, "whose img_resolution is not a size"),
    ((), {"img_resolution": 1 << 14}, "without b16"),
    (("mapping",), {"num_layers": "8"}, "whose num_layers is not a size"),
    (("mapping", "fc0"), {"activation": "relu"}, "other than the leaky ReLU"),
    (("synthesis", "b8"), {"architecture": "dense"}, "neither skip nor resnet nor orig"),
    (("synthesis", "b8", "conv1"), {"conv_clamp": float("nan")}, "whose conv_clamp is not a number"),
])  # fmt: skip
def test_attributes_that_cannot_be(place, value, says, tmp_path):
    network = random_network(**TINY)
    whole = inner = node(network, network.config)
    for name in place:
        inner = inner.meta["state"]["_modules"][name]
    inner.meta["state"].update(value)
    refused(write(tmp_path / "g.pkl", network, G_ema=whole), says)


def test_relatives_with_other_weights_are_not_taken_for_the_family(tmp_path):
    network = random_network(**TINY)
    relative = node(network, network.config)
    relative.meta["state"]["_parameters"]["attention"] = torch.zeros(3)
    refused(write(tmp_path / "g.pkl", network, G_ema=relative), "a tensor attention, which no StyleGAN2 has")


def test_other_networks_are_named(tmp_path):
    network = random_network(**TINY)
    path = tmp_path / "g.pkl"
    other = Persistent("SuperresGenerator", node(network, network.config).meta["state"])
    refused(write(path, network, G_ema=other), "of the class SuperresGenerator")
    refused(write(path, network, G_ema=None), "does not hold a known generator: a dictionary of 3 entries")
    path.write_bytes(pickle.dumps([1, 2]))
    refused(path, "does not hold a known generator: a list")


def test_truncated_pickles(tmp_path):
    whole = (DATA / "sg2_d_orig16gray.pkl").read_bytes()
    path = tmp_path / "cut.pkl"
    for size in (2, 3, 100, 5000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        refused(path, "is truncated")


MEMORY = """
import resource, sys
from gmmedit.generators import load
load(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
network = load(sys.argv[2])
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert "sympy" not in sys.modules, "PyTorch's compiler costs 36 MB and half the time"
print((after - before) * 1024, sum(t.numel() * t.itemsize for t in network.state_dict().values()))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss")
def test_loading_takes_the_memory_of_the_generator_alone(tmp_path):
    small, large = random_network(**TINY), random_network(resolution=32, channels=(448, 448, 448, 448))
    rest = torch.nn.ParameterDict({"weight": torch.zeros(1 << 24)})  # 64 MB, like a discriminator
    other = Persistent("Discriminator", {"_parameters": dict(rest), "_buffers": {}, "_modules": {}})
    paths = [write(tmp_path / "small.pkl", small), write(tmp_path / "large.pkl", large, D=other)]
    command = [sys.executable, "-c", MEMORY, *map(str, paths)]
    taken, needed = map(int, subprocess.run(command, capture_output=True, check=True).stdout.split())
    assert needed > 50e6 and taken < 1.3 * needed


# Files of torch.save


@pytest.mark.parametrize("container", [True, False], ids=["zip", "older"])
def test_torch_files(container, tmp_path):
    base = torch.arange(24.0)
    content = {
        "whole": base.reshape(2, 3, 4),
        "columns": base.reshape(4, 6).T,
        "part": base[5:11],
        "number": torch.tensor(3.5),
        "half": torch.randn(5).half(),
        "brain": torch.randn(5).bfloat16(),
        "counts": torch.arange(3),
        "empty": torch.zeros(0, 3),
        "network": torch.nn.Linear(2, 3).state_dict(),
        "args": Namespace(size=256, path="/data"),
        "step": 7,
    }
    torch.save(content, tmp_path / "c.pt", _use_new_zipfile_serialization=container)
    read = read_torch(tmp_path / "c.pt")
    assert list(read) == list(content) and read["step"] == 7
    assert isinstance(read["args"], Node) and read["args"].state == {"size": 256, "path": "/data"}
    pairs = [(read["network"][name], tensor) for name, tensor in content["network"].items()]
    pairs += [(read[name], tensor) for name, tensor in content.items() if isinstance(tensor, torch.Tensor)]
    for lazy, tensor in pairs:
        assert lazy.shape == tensor.shape
        assert lazy.read().dtype == tensor.dtype and torch.equal(lazy.read(), tensor)


@pytest.mark.parametrize("container", [True, False], ids=["zip", "older"])
def test_damaged_torch_files(container, tmp_path):
    path = tmp_path / "c.pt"
    torch.save({"a": torch.randn(100), "b": torch.randn(100)}, path, _use_new_zipfile_serialization=container)
    whole = path.read_bytes()
    for size in (len(whole) - 50, len(whole) // 2, 30):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="c.pt"):
            for tensor in read_torch(path).values():
                tensor.read()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_numpy_arrays(protocol, tmp_path):
    content = {
        "rows": np.arange(12, dtype=np.float32).reshape(3, 4),
        "columns": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        "bytes": np.arange(5, dtype=np.uint8),
    }
    numbers = {"f": np.float64(0.25), "i": np.int64(-7), "b": np.bool_(True)}
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(content | numbers | {"set": {1, 2}}, protocol=protocol))
    read = read_pickle(path)
    for name, array in content.items():
        assert np.array_equal(read[name].read().numpy(), array), name
    assert {name: read[name] for name in numbers} == {name: value.item() for name, value in numbers.items()}


# Networks from tensors


def lazy(tmp_path: Path, tensor: torch.Tensor) -> LazyTensor:
    torch.save({"t": tensor}, tmp_path / "t.pt")
    return read_torch(tmp_path / "t.pt")["t"]


def test_derived_tensors(tmp_path):
    tensor = torch.arange(6.0).reshape(2, 3)
    derived = Derived(lazy(tmp_path, tensor), lambda t: t.flip(0).T)
    assert derived.shape == (3, 2) and torch.equal(derived.read(), tensor.flip(0).T)


def test_tensors_that_share_memory_cannot_swell(tmp_path):
    network = random_network(**TINY)
    path = tmp_path / "t.pt"
    torch.save({"t": torch.zeros(10_000)}, path)
    base = read_torch(path)["t"]
    shared = {
        name: LazyTensor(base.open, 0, tuple(tensor.shape), tuple(tensor.contiguous().stride()))
        for name, tensor in network.state_dict().items()
    }
    network_bytes = sum(tensor.numel() for tensor in network.state_dict().values())
    assert fill_network(lambda: random_network(**TINY), shared, path).w_avg.sum() == 0
    path.write_bytes(path.read_bytes()[: network_bytes // 2])
    with pytest.raises(Refused, match="overlap"):
        fill_network(lambda: random_network(**TINY), shared, path)


# Names and descriptions


def test_public_generators_are_never_fetched_unasked(tmp_path, monkeypatch):
    monkeypatch.setenv("GMMEDIT_CACHE", str(tmp_path))
    result = gmmedit("sample", "--gan", "stylegan2-ffhq")
    first, second = result.stderr.splitlines()
    assert result.exit_code == 2
    assert f"there is no {tmp_path}/models/stylegan2-ffhq-1024x1024.pkl" in first
    assert "gmmedit models fetch stylegan2-ffhq (about 381 MB; NVIDIA" in second
    assert "research and evaluation only" in second
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "stylegan2-ffhq-1024x1024.pkl").write_bytes((DATA / "sg3_b_r32.pkl").read_bytes())
    assert load("stylegan2-ffhq").image_shape == (3, 32, 32)
    assert list(tmp_path.rglob("*.*")) == [tmp_path / "models" / "stylegan2-ffhq-1024x1024.pkl"]


def test_inspect_knows_names(tmp_path, monkeypatch):
    monkeypatch.setenv("GMMEDIT_CACHE", str(tmp_path))
    assert json.loads(done("inspect", "avatars", "--json").stdout)["fingerprint"] == load("avatars").fingerprint
    refused = gmmedit("inspect", "stylegan3-t-ffhq")
    assert refused.exit_code == 2 and "gmmedit models fetch stylegan3-t-ffhq" in refused.stderr
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "stylegan3-t-ffhq-1024x1024.pkl").write_bytes((DATA / "sg3_a_t32.pkl").read_bytes())
    assert json.loads(done("inspect", "stylegan3-t-ffhq", "--json").stdout)["family"] == "StyleGAN3"


def test_inspect(tmp_path):
    path = DATA / "sg2_c_cond32.pkl"
    facts = json.loads(done("inspect", path, "--json").stdout)
    assert (facts["family"], facts["format"]) == ("StyleGAN2", "NVIDIA PyTorch pickle")
    assert facts["image_shape"] == [3, 32, 32] and facts["w_shape"] == [8, 64]
    assert (facts["z_dim"], facts["n_classes"], facts["architecture"]) == (64, 5, "skip")
    generator = load(str(path))
    assert facts["fingerprint"] == generator.fingerprint
    assert facts["parameters"] == sum(p.numel() for p in generator.parameters())
    text = done("inspect", DATA / "sg3_a_t32.pkl").stdout
    assert "StyleGAN3" in text and "L14_32_3" in text
    (tmp_path / "cut.pkl").write_bytes(path.read_bytes()[:1000])
    result = gmmedit("inspect", tmp_path / "cut.pkl")
    assert result.exit_code == 2 and "truncated" in result.stderr.splitlines()[0]
