"""What lies beside a generator in its file: nothing of it is imported or run, and it does not keep the file out."""

import argparse
import collections
import datetime
import enum
import functools
import json
import pathlib
import pickle
import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from conftest import done
from nvidia_pickles import names, node, random_network, write

from gmmedit.errors import InputError
from gmmedit.generators import load
from gmmedit.networks.unpickling import read_pickle

DATA = Path(__file__).parent / "data"
TINY = {"resolution": 8, "channels": (6, 4), "z_dim": 5, "w_dim": 7}


class Phase(enum.Enum):
    COARSE = "coarse"


class Settings(dict):  # as EasyDict and omegaconf's are
    pass


class Numbered:
    """Pickles by NEWOBJ_EX."""

    def __new__(cls, *, size: int = 1) -> "Numbered":
        return super().__new__(cls)

    def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, int]]:
        return (), {"size": 3}


def discriminator() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.LeakyReLU(0.2), torch.nn.Linear(4, 1))


def optimizer() -> torch.optim.Optimizer:
    network = discriminator()
    found = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 3, 3, 6)).sum().backward()
    found.step()
    return found


BESIDE: dict[str, Any] = {
    "a discriminator of torch.nn": discriminator,
    "an optimizer": optimizer,
    "an optimizer's state by addresses": lambda: {"state": {140_203_948_123_456: {"step": 3}}},
    "a path": lambda: pathlib.Path("/data/ffhq"),
    "a date": lambda: datetime.datetime(2021, 2, 3, tzinfo=datetime.UTC),
    "a time span": lambda: datetime.timedelta(seconds=3),
    "Python's random state": random.getstate,
    "a random.Random": lambda: random.Random(0),
    "numpy's random state": np.random.get_state,
    "a numpy generator": lambda: np.random.default_rng(0),
    "a RandomState": lambda: np.random.RandomState(0),
    "torch's random state": torch.get_rng_state,
    "arguments": lambda: argparse.Namespace(out=pathlib.Path("runs"), started=datetime.date(2021, 2, 3)),
    "settings": lambda: Settings(batch=4, phases={(0, 1): "a", 2.5: "b", Phase.COARSE: "c", b"raw": "d"}),
    "containers": lambda: [collections.deque([1, 2], 5), collections.Counter("abc"), frozenset({1, (2, 3)})],
    "a default dictionary": lambda: collections.defaultdict(list, {"loss": [0.5]}),
    "numpy arrays of every kind": lambda: [
        np.array(["a", None], dtype=object), np.arange(3, dtype=">f4"), np.array([1 + 2j]), np.uint32(7),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f4")]), np.datetime64("2021-02-03"), np.array(["text"]),
    ],
    "tensors of every kind": lambda: [
        torch.ones(2, dtype=torch.complex64), torch.ones(2, 2).to_sparse(), torch.ones(2).to(torch.float8_e4m3fn),
        torch.nn.Parameter(torch.ones(2)),
    ],
    "types": lambda: [torch.float16, torch.nn.Linear, torch.Size([2, 3]), torch.device("cuda"), int, dict],
    "numbers": lambda: [1 << 80, 2 + 3j, range(4), slice(1, 2), bytearray(b"ab"), Ellipsis],
    "functions": lambda: [functools.partial(sorted, key=len), "".join, torch.nn.functional.relu],
    "an object made with keywords": Numbered,
    "itself": lambda: (lambda again: again.append(again) or again)([]),
}  # fmt: skip


@pytest.mark.parametrize("beside", BESIDE.values(), ids=BESIDE)
def test_what_lies_beside_does_not_keep_a_generator_out(beside, tmp_path):
    network = random_network(**TINY)
    read = load(str(write(tmp_path / "g.pkl", network, D=beside(), training_set_kwargs={"x": beside()})))
    assert torch.equal(read.mapping.w_avg, network.mapping.w_avg)


@pytest.mark.parametrize("protocol", [2, 3, 5])
def test_whatever_the_protocol(protocol, tmp_path):
    network, things = random_network(**TINY), {name: beside() for name, beside in BESIDE.items()}
    read = load(str(write(tmp_path / "g.pkl", network, protocol, D=things)))
    assert torch.equal(read.mapping.w_avg, network.mapping.w_avg)


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "older"])
def test_nor_out_of_a_torch_save(is_zip, tmp_path):
    things = {name: beside() for name, beside in BESIDE.items()}
    if not is_zip:
        del things["tensors of every kind"]  # where the size of a number is unknown, so is where the next ones begin
    torch.save(
        {"args": things, **torch.load(DATA / "rosi_a_32.pt")}, tmp_path / "g.pt", _use_new_zipfile_serialization=is_zip
    )
    assert load(str(tmp_path / "g.pt")).fingerprint == load(str(DATA / "rosi_a_32.pt")).fingerprint


def test_modules_that_are_not_installed(tmp_path):
    network = random_network(**TINY)
    with names("omegaconf.dictconfig.DictConfig", "training.loss.StyleGAN2Loss"):
        config = sys.modules["omegaconf.dictconfig"].DictConfig()
        config.__dict__["_content"] = {"batch": 4}
        path = write(tmp_path / "g.pkl", network, cfg=config, loss=sys.modules["training.loss"].StyleGAN2Loss())
    assert torch.equal(load(str(path)).mapping.w_avg, network.mapping.w_avg)
    facts = json.loads(done("inspect", path, "--json").stdout)
    assert facts["inert_names"] == ["omegaconf.dictconfig.DictConfig", "training.loss.StyleGAN2Loss"]
    assert "inert_names" not in json.loads(done("inspect", DATA / "sg3_a_t32.pkl", "--json").stdout)


def of_the_generator(place: str) -> dict[str, Any]:
    """G_ema with something in it that is no plain data."""
    whole = node(network := random_network(**TINY), network.config)
    state = whole.meta["state"]
    mapping = state["_modules"]["mapping"].meta["state"]
    match place:
        case "a buffer":
            mapping["_buffers"]["w_avg"] = pathlib.PurePosixPath("w")
        case "a size":
            state["z_dim"] = pathlib.PurePosixPath("z")
        case "a type":
            state["z_dim"] = pathlib.PurePosixPath
        case "a part":
            state["_modules"]["mapping"] = pathlib.PurePosixPath("m")
        case "its parts":
            state["_modules"] = pathlib.PurePosixPath("m")
        case "the whole":
            return {"G_ema": pathlib.PurePosixPath("g"), "G": whole}
    return {"G_ema": whole, "G": whole}


@pytest.mark.parametrize("place", ["a buffer", "a size", "a type", "a part", "its parts", "the whole"])
def test_what_the_generator_needs_is_refused_by_its_name(place, tmp_path):
    path = write(tmp_path / "g.pkl", random_network(**TINY), **of_the_generator(place))
    with pytest.raises(InputError, match=r"g.pkl needs pathlib\.\w*\.?PurePosixPath, which is not plain data"):
        load(str(path))


def test_a_tensor_of_a_state_dictionary_is_refused_by_its_name_too(tmp_path):
    content = torch.load(DATA / "rosi_a_32.pt")
    content["g_ema"]["style.3.weight"] = torch.ones(2, 2).to_sparse()
    torch.save(content, tmp_path / "g.pt")
    with pytest.raises(InputError, match=r"g.pt needs torch\._utils\._rebuild_sparse_tensor, which is not plain"):
        load(str(tmp_path / "g.pt"))


def test_numbers_of_another_order_are_not_taken_for_ours(tmp_path):
    whole = node(network := random_network(**TINY), network.config)
    whole.meta["state"]["_modules"]["mapping"].meta["state"]["_buffers"]["w_avg"] = np.arange(7, dtype=">f4")
    path = write(tmp_path / "g.pkl", network, G_ema=whole)
    with pytest.raises(InputError, match=r"big-endian"):
        load(str(path))


def test_other_readers_stay_strict(tmp_path):
    """Where there is no generator to look for, a name that is not on the list is refused at once."""
    path = tmp_path / "latents.pkl"
    path.write_bytes(pickle.dumps({"w": np.zeros(3), "made": pathlib.PurePosixPath("x")}))
    with pytest.raises(InputError, match="PurePosixPath"):
        read_pickle(path)


def test_a_file_without_a_generator_says_what_it_named(tmp_path):
    path = tmp_path / "d.pkl"
    path.write_bytes(pickle.dumps({"D": discriminator()}))
    with pytest.raises(InputError, match=r"a dictionary of 1 entries.*torch\.nn\.modules\.conv\.Conv2d"):
        load(str(path))


def test_nothing_is_imported(tmp_path, monkeypatch):
    module = ModuleType("beside_g")
    exec("class Thing:\n    def __setstate__(self, state):\n        raise SystemExit('ran')", module.__dict__)
    monkeypatch.setitem(sys.modules, "beside_g", module)
    thing = module.Thing()
    thing.__dict__["a"] = 1
    path = write(tmp_path / "g.pkl", random_network(**TINY), D=thing)
    load(str(path))  # while the module is there
    monkeypatch.delitem(sys.modules, "beside_g")
    load(str(path))
    assert "beside_g" not in sys.modules
