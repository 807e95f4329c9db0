"""Classifiers from files: .pt2, TorchScript, ONNX, a Python factory, plug-ins; what they say, and what is refused."""

import io
import json
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import small_networks as small
import torch
from torch import Tensor, nn

from gmmedit import classifiers
from gmmedit.classifiers.described import DescribedClassifier
from gmmedit.classifiers.description import Description
from gmmedit.errors import InputError
from gmmedit.networks import onnx as onnx_files

FACTORY = """
import torch
from neighbour import SEED

class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(5, 48, generator=torch.Generator().manual_seed(SEED)))
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x):
        return self.dropout(torch.nn.functional.avg_pool2d(x, 8).flatten(1) @ self.weight.T)

def load():
    return Network()

def function():
    return load().eval()

def whole():
    from gmmedit.classifiers import Attribute, Classifier

    class Mine(Classifier):
        attributes = [Attribute("smile", ("no", "yes"))]
        input_size, fingerprint = (32, 32), "mine"

        def logits(self, images):
            return images.flatten(1)[:, :2]

    return Mine()

def nothing():
    return 5

def broken():
    raise ValueError("no weights\\nhere")
"""
MAKERS: dict[str, Callable[[nn.Module, Path], Path]] = {
    "net.pt2": small.export,
    "net.ts": small.script,
    "net.onnx": small.onnx,  # type: ignore[dict-item]
}
BODY = """
input: {size: 32, range: [-1, 1]}
activation: sigmoid
attributes:
  smile: {}
  hair: {values: [black, blond, red, grey]}
"""


def described(folder: Path, file: str, body: str = BODY) -> str:
    path = folder / "my.yaml"
    path.write_text(f"file: {file}\n{body}")
    return str(path)


def refused(name: str | Path, *says: str) -> None:
    with pytest.raises(InputError) as caught:
        classifiers.load(str(name))
    line = f"{caught.value.message}; {caught.value.hint}"
    assert "\n" not in line and caught.value.hint and caught.value.message
    for phrase in says:
        assert phrase in line


@pytest.fixture(scope="module")
def network() -> small.Linear:
    return small.Linear(5).eval()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, network: small.Linear) -> Path:
    """A folder with the same network in every kind of file."""
    folder = tmp_path_factory.mktemp("made")
    for name, make in MAKERS.items():
        make(network, folder / name)
    (folder / "my.py").write_text(FACTORY)
    (folder / "neighbour.py").write_text("SEED = 0\n")
    return folder


@pytest.fixture
def files(made: Path, tmp_path: Path) -> Path:
    """A copy of it for one test to change."""
    return shutil.copytree(made, tmp_path, dirs_exist_ok=True)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


# What they say


@pytest.mark.parametrize("name", ["net.pt2", "net.ts", "net.onnx", "my.py:load", "my.py:function"])
def test_every_kind_says_the_same(files: Path, network: small.Linear, images: Tensor, name: str) -> None:
    classifier = classifiers.load(described(files, name))
    outputs = network(images)
    logits = classifier.logits(images)
    torch.testing.assert_close(logits[:, 1] - logits[:, 0], outputs[:, 0])
    labels = classifier.probabilities(images)
    torch.testing.assert_close(labels[:, 1], outputs[:, 0].sigmoid())
    torch.testing.assert_close(labels[:, 2:], outputs[:, 1:].softmax(1))
    assert [a.name for a in classifier.attributes] == ["smile", "hair"]
    assert classifier.input_size == (32, 32) and classifier.channels == (3,) and len(classifier.fingerprint) == 64
    assert classifier.train() is classifier and torch.equal(classifier.logits(images), logits)


@pytest.mark.parametrize("name", ["net.pt2", "net.ts", "my.py:load", "my.py:function"])
def test_gradients_reach_the_images(files: Path, network: small.Linear, images: Tensor, name: str) -> None:
    classifier = classifiers.load(described(files, name))
    assert classifier.differentiable
    found, wanted = (images.clone().requires_grad_(True) for _ in range(2))
    classifier.logits(found)[:, 1].sum().backward()
    (network(wanted)[:, 0].sum() / 2).backward()
    torch.testing.assert_close(found.grad, wanted.grad)


@pytest.mark.parametrize("name", ["net.pt2", "net.ts", "my.py:load"])
def test_fits_may_compute_in_half_precision(files: Path, images: Tensor, name: str) -> None:
    classifier = classifiers.load(described(files, name))
    with torch.autocast("cpu", torch.bfloat16):
        logits = classifier.logits(images.clone().requires_grad_(True))
    assert logits.dtype == torch.float32 and logits.requires_grad
    torch.testing.assert_close(logits, classifier.logits(images), atol=0.05, rtol=0.05)


def test_onnx_has_no_gradients(files: Path, images: Tensor) -> None:
    classifier = classifiers.load(described(files, "net.onnx"))
    assert not classifier.differentiable
    assert not classifier.logits(images.requires_grad_(True)).requires_grad


def test_networks_that_cut_the_gradient_are_found_out(tmp_path: Path) -> None:
    class Cut(small.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return self.outputs(x.detach())

    small.script(Cut(5), tmp_path / "cut.ts")
    assert not classifiers.load(described(tmp_path, "cut.ts")).differentiable


def test_outputs_are_named_by_all_attributes_or_none(files: Path) -> None:
    body = "input: {size: 32}\nactivation: sigmoid\nattributes: {a: {outputs: x}, b: {}}"
    refused(described(files, "net.ts", body), "either every attribute names its outputs, or none does")


def test_pairs_of_logits_and_grey_pictures(tmp_path: Path, images: Tensor) -> None:
    class Pairs(small.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return self.outputs(x).view(-1, 3, 2)

    network = Pairs(6, channels=1).eval()
    small.export(network, tmp_path / "pairs.pt2", channels=1)
    body = "input: {size: 32, colors: grey, range: [-1, 1]}\nactivation: pairs\noutputs: [a, b, c]\n"
    classifier = classifiers.load(described(tmp_path, "pairs.pt2", body + "attributes: {c: {}, a: {}}"))
    assert classifier.channels == (1,)
    labels, wanted = classifier.probabilities(images[:, :1]), network(images[:, :1]).softmax(2)
    torch.testing.assert_close(labels, torch.cat([wanted[:, 2], wanted[:, 0]], 1))
    assert classifier.probabilities(images).shape == (5, 4)


@pytest.mark.parametrize("name", ["net.pt2", "net.ts", "net.onnx", "my.py:load"])
def test_rows_do_not_depend_on_the_batch(files: Path, name: str) -> None:
    classifier = classifiers.load(described(files, name))
    images = torch.rand(48, 3, 64, 64, generator=torch.Generator().manual_seed(2)) * 2 - 1
    whole = classifier.logits(images)
    for _ in range(3):  # TorchScript would rewrite itself after the first runs
        assert torch.equal(torch.cat([classifier.logits(part) for part in images.split(16)]), whole)


def test_fingerprints_follow_weights_and_description(files: Path, network: small.Linear) -> None:
    def fingerprint(file: str, body: str = BODY) -> str:
        return classifiers.load(described(files, file, body)).fingerprint

    for file in ("net.pt2", "net.onnx", "my.py:load"):
        first = fingerprint(file)
        assert fingerprint(file) == first != fingerprint(file, BODY.replace("black", "brown"))
    before = fingerprint("net.onnx"), fingerprint("my.py:load")
    other = small.Linear(5, seed=9)
    small.onnx(other, files / "net.onnx")
    (files / "neighbour.py").write_text("SEED = 1\n")
    sys.modules.pop("neighbour", None)
    assert fingerprint("net.onnx") != before[0] and fingerprint("my.py:load") != before[1]
    small.onnx(network, files / "net.onnx")
    assert fingerprint("net.onnx") == before[0]


def test_the_fingerprint_covers_tensors_in_files_of_their_own(made: Path, tmp_path: Path) -> None:
    import onnx

    def saved(name: str, change: float = 0) -> str:
        folder = tmp_path / name
        folder.mkdir()
        onnx.save(onnx.load(made / "net.onnx"), folder / "net.onnx", save_as_external_data=True,
                  location="tensors.bin", size_threshold=0)  # fmt: skip
        tensors = bytearray((folder / "tensors.bin").read_bytes())
        tensors[0] ^= int(change)
        (folder / "tensors.bin").write_bytes(tensors)
        return classifiers.load(described(folder, "net.onnx")).fingerprint

    assert saved("a") == saved("b") != saved("c", change=1)


def with_location(path: Path, location: str) -> Path:
    """A model with a tensor in a file of its own: a branch's, inside a node."""
    from onnx import TensorProto, helper

    tensor = TensorProto(name="w", data_type=1, dims=[1], data_location=1)
    tensor.external_data.add(key="location", value=location)
    branch = helper.make_graph([], "branch", [], [], [tensor])
    node = helper.make_node("If", ["z"], ["y"], then_branch=branch)
    path.write_bytes(helper.make_model(helper.make_graph([node], "g", [], [])).SerializeToString())
    return path


@pytest.mark.parametrize("repeats", [0, 70])
def test_files_with_tensors_are_found_however_long_their_names(repeats: int, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    (tmp_path / "in.bin").touch()
    path = with_location(tmp_path / "a.onnx", "./" * repeats + "in.bin")
    assert [file.name for file in onnx_files.files_of(path)] == ["a.onnx", "in.bin"]
    for outside in ("./" * repeats + "../in.bin", "*/_ORT_MEM_ADDR_/*"):
        with pytest.raises(InputError, match="outside its folder"):
            onnx_files.check_locations(with_location(tmp_path / "b.onnx", outside))


def test_numbers_of_more_bytes_than_needed_hide_no_file(tmp_path: Path) -> None:
    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, 128 | len(content), 0]) + content

    entry = field(2, b"in.bin") + field(1, b"location")  # and the value first
    (tmp_path / "a.onnx").write_bytes(b"\x08\x09" + field(7, field(5, field(13, entry))))
    assert onnx_files.external_names(tmp_path / "a.onnx") == ["in.bin"]
    for damaged in (b"\x3a\x7f", b"\x80" * 11, b"\x0f", b"\x3a\x80"):
        (tmp_path / "b.onnx").write_bytes(damaged)
        with pytest.raises(InputError, match="cannot be read as ONNX network"):
            onnx_files.external_names(tmp_path / "b.onnx")


@pytest.fixture(autouse=True)
def fresh_neighbours() -> Iterator[None]:
    """Every test's factory imports its own neighbour."""
    yield
    sys.modules.pop("neighbour", None)


# Names


def test_a_factory_of_a_whole_classifier(files: Path) -> None:
    classifier = classifiers.load(f"{files}/my.py:whole")
    assert classifier.attributes == [classifiers.Attribute("smile", ("no", "yes"))] and classifier.differentiable
    assert str(files) not in sys.path


def test_names_of_other_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "outsider-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outsider\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[gmmedit.classifiers]\ntheirs = outsider_classifier:make\nodd = outsider_classifier:odd\n"
        "empty = outsider_classifier:empty\navatars = outsider_classifier:odd\n"
    )
    (tmp_path / "outsider_classifier.py").write_text(
        "from gmmedit.classifiers import Classifier\n"
        "from gmmedit.classifiers.embedded import load_avatars\n"
        "class Empty(Classifier):\n    def logits(self, images): pass\n"
        "def make(): return load_avatars()\ndef odd(): return 3\ndef empty(): return Empty()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    embedded = ["avatars", "avatars-eval", "avatars-factors"]
    assert classifiers.list_names() == [*embedded, "empty", "odd", "theirs", "clip-faces"]
    assert classifiers.load("theirs").fingerprint == classifiers.load("avatars").fingerprint
    refused("odd", "odd returns a int, not a Classifier")
    refused("empty", "the Classifier of empty has no attributes, input_size, fingerprint")
    sys.modules.pop("outsider_classifier", None)


def test_names_that_are_none(tmp_path: Path) -> None:
    refused("avatar", "there is no classifier called 'avatar'", "did you mean 'avatars'?")
    refused(tmp_path / "gone.pt2", "there is no classifier file", "gone.pt2")
    refused(tmp_path / "gone.yaml", "there is no classifier file", "gone.yaml")
    says = f"my.yaml: file: {tmp_path / 'gone.onnx'} does not exist", "relative to the folder of the YAML file"
    refused(described(tmp_path, "gone.onnx"), *says)
    refused(described(tmp_path, "gone"), f"my.yaml: file: {tmp_path / 'gone'} does not exist")
    refused(
        "nobody/no-such-model", "neither a local folder nor a model in the Hugging Face cache", "hf download nobody/no"
    )


# Files that do not fit


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("activation: sigmoid\nattributes: {smile: {}}", "does not tell the preprocessing of its images"),
        ("input: {size: 32}\nattributes: {smile: {}}", "does not say what its outputs are"),
        ("input: {size: 32}\nactivation: sigmoid", "does not say what its outputs mean"),
        (BODY + "  age: {}\n", "returns outputs of shape (2, 5), its description has 6 columns"),
        (BODY + "outputs: [a, b, c]\n", "smile has no output 'smile'; there are: a, b, c"),
        (BODY.replace("sigmoid", "probabilities"), "not probabilities; activation: sigmoid, softmax"),
        (BODY.replace("size: 32", "size: 48"), "fails on 2 images of 48 x 48 pixels"),
        (BODY + "rates: {smile: {no: 0.5}}", "the rates of smile must name no, yes and sum to 1"),
        (BODY + "rates: {smile: {no: 0.5, yes: 0.2}}", "the rates of smile must name no, yes and sum to 1"),
        (
            BODY + "rates: {simle: {no: 0.5, yes: 0.5}}",
            "there is no attribute 'simle' to calibrate; did you mean 'smile'",
        ),
        (BODY + "accuracy: {simle: 0.9}", "there is no attribute 'simle' to calibrate"),
        (
            BODY + "accuracy: 0.8\nrates: {smile: {no: 0.9, yes: 0.1}}",
            "the accuracy of smile, 0.8, is not above the rate of its most frequent value, 0.9",
        ),
        ("input: {size: 32}\nprompts: {smile: {yes: a, no: b}}", "cannot read prompts"),
    ],
)
@pytest.mark.parametrize("file", ["net.pt2", "net.onnx"])
def test_descriptions_that_do_not_fit_their_file(files: Path, file: str, body: str, says: str) -> None:
    refused(described(files, file, body), file, says)


def test_networks_that_do_other_things(tmp_path: Path) -> None:
    class Two(small.Linear):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
            return self.outputs(x), x

    class Flat(small.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return self.outputs(x).flatten()

    for network, says in ((Two(5), "returns a tuple, expected one tensor"), (Flat(5), "outputs of shape (10,)")):
        small.script(network, tmp_path / "odd.ts")
        refused(described(tmp_path, "odd.ts"), says)
    small.export(small.Linear(5, channels=4), tmp_path / "four.pt2", channels=4)
    refused(described(tmp_path, "four.pt2"), "fails on 2 images of 32 x 32 pixels")

    class One(small.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return self.outputs(x[:1])

    small.script(One(5), tmp_path / "one.ts")
    refused(described(tmp_path, "one.ts"), "outputs of shape (1, 5)")


def test_factories_that_fail(files: Path) -> None:
    for name, says in (
        ("nothing", "returns a int"),
        ("broken", "fails with ValueError: no weights here; --debug shows where"),
        ("absent", "has no function 'absent'"),
    ):
        refused(described(files, f"my.py:{name}"), f"my.py:{name}" if name != "absent" else "my.py", says)
    refused(f"{files}/my.py:load", "returns a Network, not a Classifier", "describe it in a YAML file")
    refused(f"{files}/gone.py:load", "there is no file", "gone.py", "a function in it: my_classifier.py:load")
    (files / "my.py").write_text("import surely_not_installed\ndef load(): pass\n")
    refused(described(files, "my.py:load"), "fails with ModuleNotFoundError: No module named 'surely_not_installed'")
    (files / "my.py").write_text("def load(:\n")
    refused(described(files, "my.py:load"), "fails with SyntaxError")


def test_files_of_the_wrong_kind(files: Path, network: small.Linear) -> None:
    torch.save(network.state_dict(), files / "weights.pth")
    torch.save(network.state_dict(), files / "old.pth", _use_new_zipfile_serialization=False)
    (files / "notes.md").write_text("hello\n")
    (files / "empty.pt2").write_bytes(b"")
    with zipfile.ZipFile(files / "older.pt2", "w") as archive:
        archive.writestr("serialized_exported_program.json", "{}")
    for name, says in (
        ("weights.pth", "without their network, or something else; write a function my_network.py:load"),
        ("old.pth", "without their network"),
        ("notes.md", "is not a classifier: .pt2, TorchScript, ONNX"),
        ("empty.pt2", "is not a classifier"),
        ("my.py", "is a Python file; give a function in it: my.py:load"),
        ("older.pt2", "such networks do not have; save it with torch.export.save in this version of torch"),
    ):
        refused(described(files, name), name, says)
        refused(files / name, name, says)
    for name in ("net.pt2", "net.ts", "net.onnx"):
        refused(files / name, name, "does not tell the preprocessing of its", "docs/classifiers.md")
    refused(described(files, "../" + files.name), "is not a transformers model: it has no config.json")
    embedded = Path(classifiers.__file__).parents[1] / "datasets" / "avatars" / "weights" / "classifier.safetensors"
    refused(described(files, str(embedded)), "needs no description", "--classifier")


@pytest.mark.parametrize("name", ["net.pt2", "net.ts", "net.onnx"])
def test_damaged_files(files: Path, name: str) -> None:
    path, yaml = files / name, described(files, name)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:200], whole[:-30]):
        path.write_bytes(content)
        refused(yaml, name)
    for place in range(0, len(whole), max(1, len(whole) // 25)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            classifiers.load(yaml)  # a flipped weight is nobody's fault
        except InputError as error:
            assert "\n" not in error.message + error.hint


def test_a_network_exported_for_a_fixed_number_of_pictures(tmp_path: Path, network: small.Linear) -> None:
    """It gets that number at a time, and no picture's answer depends on the others, nor its gradient."""
    small.export(network, tmp_path / "two.pt2", batch=False)
    classifier = classifiers.load(described(tmp_path, "two.pt2"))
    images = torch.rand(5, 3, 40, 40, generator=torch.Generator().manual_seed(1)).requires_grad_(True)
    logits = classifier.logits(images)
    small.export(network, tmp_path / "any.pt2")
    torch.testing.assert_close(logits, classifiers.load(described(tmp_path, "any.pt2")).logits(images))
    gradient = torch.autograd.grad(logits[4, 1], images)[0]
    assert classifier.differentiable and gradient[4].abs().max() > 0 and not gradient[:4].any()


@pytest.mark.parametrize("batch", ["n", 1, 3])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("dtype", ["FLOAT", "FLOAT16", "UINT8"])
@pytest.mark.parametrize("channels", [1, 3])
def test_onnx_of_any_make(tmp_path: Path, batch: int | str, layout: str, dtype: str, channels: int) -> None:
    """What the file tells need not be described: size, channels and their place, numbers, how many at once."""
    network = small.Linear(2, channels, size=(32, 24)).eval()
    small.onnx(network, tmp_path / "net.onnx", batch=batch, layout=layout, dtype=dtype)
    body = "input: {}\nactivation: sigmoid\nattributes: {a: {}, b: {}}\n"
    classifier = classifiers.load(described(tmp_path, "net.onnx", body))
    assert classifier.input_size == (32, 24) and classifier.channels == (channels,) and not classifier.differentiable
    images = torch.randint(256, (5, channels, 32, 24), generator=torch.Generator().manual_seed(1)) / 127.5 - 1
    pixels = (images + 1) / 2
    wanted = network(pixels.half().float() if dtype == "FLOAT16" else pixels)
    torch.testing.assert_close(classifier.logits(images)[:, 1::2] * 2, wanted, atol=1e-4, rtol=1e-4)


def test_onnx_that_must_be_described(tmp_path: Path, network: small.Linear, images: Tensor) -> None:
    path = tmp_path / "net.onnx"
    small.onnx(network, path, dtype="UINT8")
    refused(described(tmp_path, "net.onnx"), "takes uint8 from 0 to 255", "remove range, mean and std from `input`")
    small.onnx(network, path, more=True)
    refused(described(tmp_path, "net.onnx"), "returns a dict", "output: one of tiles, logits")
    refused(described(tmp_path, "net.onnx", "output: logit\n" + BODY), "no tensor 'logit'", "did you mean 'logits'?")
    refused(described(tmp_path, "net.onnx", "output: 2\n" + BODY), "no tensor '2' among its outputs")
    named = classifiers.load(described(tmp_path, "net.onnx", "output: logits\n" + BODY))
    numbered = classifiers.load(described(tmp_path, "net.onnx", "output: 1\n" + BODY))
    assert torch.equal(named.logits(images), numbered.logits(images))
    torch.testing.assert_close(named.logits(images)[:, 1] * 2, network(images)[:, 0])
    assert named.fingerprint != numbered.fingerprint
    wide = "input: {range: [-1, 1], layout: nhwc}\n" + BODY.partition("}\n")[2]
    refused(described(tmp_path, "net.onnx", "output: logits\n" + wide), "fails on 2 images")
    small.export(network, tmp_path / "net.pt2")
    refused(described(tmp_path, "net.pt2", "output: 0\n" + BODY), "returns one tensor", "remove `output`")


@pytest.mark.parametrize("kind", ["tuple", "dict"])
def test_one_of_several_outputs_of_a_function(files: Path, network: small.Linear, images: Tensor, kind: str) -> None:
    returned = "x, logits" if kind == "tuple" else "{'pixels': x, 'logits': logits}"
    body = f"    def call(x):\n        logits = inner(x)\n        return {returned}\n    return call\n"
    (files / "my.py").write_text(f"{FACTORY}\ndef several():\n    inner = load().eval()\n{body}")
    refused(described(files, "my.py:several"), f"returns a {kind}", "output: one of")
    which = "1" if kind == "tuple" else "logits"
    found = classifiers.load(described(files, "my.py:several", f"output: {which}\n" + BODY))
    torch.testing.assert_close(found.logits(images)[:, 1] * 2, network(images)[:, 0])


def test_descriptions_of_before_keep_their_fingerprint() -> None:
    """Labels know their classifier by it: a key that came later must not show where it is not used."""
    description = Description.model_validate({"file": "x", "input": {"size": 32}, "attributes": {"a": {}}})
    assert description.record() == (
        '{"input":{"size":[32,32],"resize":null,"interpolation":"bilinear","colors":"rgb","range":[0.0,1.0],'
        '"mean":[0.0],"std":[1.0]},"activation":null,"outputs":null,"attributes":{"a":{"values":["no","yes"],'
        '"outputs":null}},"prompts":null,"templates":["a photo of {}"],"accuracy":null,"rates":{},"by":null}'
    )


# Hostile files


def rewritten(path: Path, change: Callable[[str, bytes], bytes], **more: bytes) -> Path:
    """The archive with changed records, and more of them."""
    with zipfile.ZipFile(path) as old:
        records = {name: change(name, old.read(name)) for name in old.namelist()}
        top = old.namelist()[0].split("/")[0]
    with zipfile.ZipFile(path, "w") as new:
        for name, content in (records | {f"{top}/{name}": content for name, content in more.items()}).items():
            new.writestr(name, content)
    return path


class Touch:
    """Unpickled by the ordinary unpickler, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def pickled(path: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save({"a": Touch(path)}, buffer)
    return buffer.getvalue()


def edited(change: Callable[[dict[str, Any]], None]) -> Callable[[str, bytes], bytes]:
    """A change of the JSON of the program."""

    def changed(name: str, content: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return content
        program = json.loads(content)
        change(program)
        return json.dumps(program).encode()

    return changed


def sizes_of(program: dict[str, Any]) -> dict[str, Any]:
    return next(
        size["as_expr"]
        for tensor in program["graph_module"]["graph"]["tensor_values"].values()
        for size in tensor["sizes"]
        if "as_expr" in size
    )


def test_a_hostile_pt2_runs_nothing(made: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    call = f"__import__('pathlib').Path({str(ran)!r}).touch()"
    path, yaml = tmp_path / "bad.pt2", described(tmp_path, "bad.pt2")

    def keep(_: str, content: bytes) -> bytes:
        return content

    def pickles(name: str, content: bytes) -> bytes:
        return pickled(ran) if name.endswith("sample_inputs/model.pt") else content

    def use_pickle(name: str, content: bytes) -> bytes:
        if name.endswith("model_weights_config.json"):
            return content.replace(b'"use_pickle": false', b'"use_pickle": true')
        return pickled(ran) if name.endswith("/weight_0") else content

    def constants(name: str, content: bytes) -> bytes:
        entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
        return json.dumps({"config": {"a": entry}}).encode() if name.endswith("constants_config.json") else content

    def node(program: dict[str, Any]) -> dict[str, Any]:
        return program["graph_module"]["graph"]["nodes"][0]

    hostile: list[tuple[Callable[[str, bytes], bytes], dict[str, bytes]]] = [
        (pickles, {}),
        (use_pickle, {}),
        (constants, {"data/constants/opaque_obj_0": pickle.dumps(Touch(ran))}),
        (keep, {"data/aotinductor/model/a.so": b"\x7fELF"}),
        (keep, {"data/weights/model.pt": pickled(ran)}),
        (edited(lambda it: sizes_of(it).update(expr_str=call)), {}),
        (edited(lambda it: sizes_of(it).update(expr_str="().__class__.__base__")), {}),
        (edited(lambda it: it.update(guards_code=[call])), {}),
        (edited(lambda it: node(it).update(target="torch.os.system")), {}),
        (edited(lambda it: node(it).update(target="torch.ops.aten.from_file.default")), {}),
        (edited(lambda it: node(it).update(name=f"x\n    {call}")), {}),
        (edited(lambda it: it["graph_module"]["module_call_graph"][0]["signature"].update(
            forward_arg_names=[f"x={call}"])), {}),
    ]  # fmt: skip
    for change, more in hostile:
        rewritten(shutil.copy(made / "net.pt2", path), change, **more)
        refused(yaml, "bad.pt2")
        assert not ran.exists()
    rewritten(shutil.copy(made / "net.pt2", path), keep)
    assert isinstance(classifiers.load(yaml), DescribedClassifier), "the archive is sound when nothing is changed"


def test_torch_reads_the_records_that_were_checked(made: Path, tmp_path: Path) -> None:
    """Python finds the records of the second archive in the file; torch those of the first, which would be run."""
    ran = tmp_path / "ran"

    def pickles(name: str, content: bytes) -> bytes:
        return pickled(ran) if name.endswith("sample_inputs/model.pt") else content

    good = rewritten(shutil.copy(made / "net.pt2", tmp_path / "good.pt2"), lambda _, content: content).read_bytes()
    bad = rewritten(shutil.copy(made / "net.pt2", tmp_path / "bad.pt2"), pickles).read_bytes()
    start, end = zipfile.ZipFile(tmp_path / "bad.pt2").start_dir, len(bad) - 22  # of the table of contents
    length = zipfile.ZipFile(tmp_path / "good.pt2").start_dir
    assert start <= length
    (tmp_path / "bad.pt2").write_bytes(bad[:start].ljust(length, b"\0") + bad[start:end] + good)
    with pytest.raises(Exception, match="."):
        torch.export.load(tmp_path / "bad.pt2")
    assert ran.exists(), "torch alone runs it"
    ran.unlink()
    classifiers.load(described(tmp_path, "bad.pt2"))
    assert not ran.exists()


def test_what_real_networks_hold_passes(tmp_path: Path) -> None:
    """Convolutions, normalisation, attention, sizes computed from sizes, gradients switched off inside."""

    class Busy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolutions = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.BatchNorm2d(8), nn.GELU(), nn.Dropout())
            self.attention = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.register_buffer("grid", torch.arange(8.0))
            self.head = nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = self.convolutions(x)
            rows = x.view(x.shape[0], 8, -1).transpose(1, 2)
            with torch.no_grad():
                scale = rows.std()
            rows = self.attention(rows / scale + self.grid)
            joined = torch.cat([rows, rows], 0).reshape(x.shape[0] * 2, -1, 8)
            return self.head(joined[: x.shape[0]]).amax(1)

    small.export(Busy().eval(), tmp_path / "busy.pt2")
    classifier = classifiers.load(described(tmp_path, "busy.pt2"))
    assert classifier.differentiable and classifier.logits(torch.rand(16, 3, 32, 32)).shape == (16, 6)


def test_a_hostile_torchscript_runs_nothing(tmp_path: Path) -> None:
    class Writes(small.Linear):
        def forward(self, x: Tensor) -> Tensor:
            torch.save(x, "ran")
            return self.outputs(x)

    class Reads(small.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return self.outputs(x) + torch.from_file("/etc/passwd", False, 1)

    for network, word in ((Writes(5), "torch.save"), (Reads(5), "torch.from_file")):
        small.script(network, tmp_path / "bad.ts")
        refused(described(tmp_path, "bad.ts"), f"calls '{word}', which networks do not need")


def test_torchscript_programs_are_checked_whatever_their_case(tmp_path: Path) -> None:
    path = tmp_path / "bad.ts"
    small.script(small.Linear(5), path)
    with zipfile.ZipFile(path) as old:
        records = {name: old.read(name) for name in old.namelist()}
    for spelled in ("PY", "Py"):
        with zipfile.ZipFile(path, "w") as new:
            for name, content in records.items():
                new.writestr(f"{name[:-2]}{spelled}" if name.endswith(".py") else name, content)
        refused(described(tmp_path, "bad.ts"), "which such networks do not have")
    with zipfile.ZipFile(path, "w") as new:
        for name, content in records.items():
            new.writestr(name, content)
            if name.endswith(".py"):
                new.writestr(name.replace("__torch__", "__TORCH__"), content)
    refused(described(tmp_path, "bad.ts"), "holds two records of the same name")


# Extras


@pytest.mark.parametrize(
    ("module", "extra", "name"), [("onnxruntime", "onnx", "net.onnx"), ("transformers", "hf", "folder")]
)
def test_a_missing_extra(files: Path, monkeypatch: pytest.MonkeyPatch, module: str, extra: str, name: str) -> None:
    (files / "folder").mkdir()
    monkeypatch.setitem(sys.modules, module, None)
    refused(described(files, name), f"pip install gmmedit[{extra}]")


def test_onnxruntime_reports_nothing(files: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    code = f"from gmmedit import classifiers; classifiers.load({described(files, 'net.onnx')!r})"
    environment = {"HOME": str(home), "PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert not [path for path in home.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "line",
    [
        'torch. save(x, "ran")', 'torch\\\n.save(x, "ran")', 'ops. aten.save(x, "ran")',
        '_9 = ops.aten.from_file("ran", True, 9)',
        'getattr(torch, "save")(x, "ran")', "print (x)", "ops.mine.run(x)",
    ],
)  # fmt: skip
def test_a_hostile_torchscript_is_found_however_it_is_spelled(line: str) -> None:
    from gmmedit.networks.torchscript import check_program

    program = "def forward(self, x: Tensor) -> Tensor:\n  {}\n  return torch.mean(x, [2, 3])\n"
    check_program(program.format('torch.warn("a network may")'))
    with pytest.raises(InputError, match="which networks do not need"):
        check_program(program.format(line))
