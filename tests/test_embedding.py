"""Feature networks: every kind of file that one can be, what its features are, and what is refused."""

import re
import shutil
import sys
from pathlib import Path

import pytest
import small_networks as small
import torch
from torch import Tensor, nn

from gmmedit import classifiers
from gmmedit.classifiers.convnet import ConvNet
from gmmedit.classifiers.embedded import WEIGHTS
from gmmedit.errors import InputError
from gmmedit.features import load_embedder

FACTORY = """
import torch

def load():
    class Network(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.avg_pool2d(x, 8)
    return Network()

def empty():
    return lambda x: x.mean((2, 3)) * float("nan")

def restless():
    return lambda x: torch.rand(len(x), 4)
"""
INPUT = "input: {size: 32, range: [-1, 1]}\n"
DOCS = (Path(__file__).parents[1] / "docs" / "evaluation.md").read_text(encoding="utf-8")
EXAMPLES = {it.split("\n")[0].split()[1]: it for it in re.findall(r"```yaml\n(.*?)```", DOCS, re.S)}


def described(folder: Path, file: str, body: str = INPUT) -> str:
    path = folder / "my.yaml"
    path.write_text(f"file: {file}\n{body}")
    return str(path)


def refused(name: str | Path, *says: str) -> None:
    with pytest.raises(InputError) as caught:
        load_embedder(str(name))
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
    small.export(network, folder / "net.pt2")
    small.script(network, folder / "net.ts")
    small.onnx(network, folder / "net.onnx")
    (folder / "my.py").write_text(FACTORY)
    return folder


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


# What the features are


@pytest.mark.parametrize("name", ["net.pt2", "net.ts", "net.onnx"])
def test_outputs_are_features(made: Path, tmp_path: Path, network: small.Linear, images: Tensor, name: str) -> None:
    shutil.copy(made / name, tmp_path)
    phi = load_embedder(described(tmp_path, name))
    torch.testing.assert_close(phi.features(images), network(images).detach())
    assert (phi.input_size, phi.channels, len(phi.fingerprint)) == ((32, 32), (3,), 64)
    larger = torch.rand(48, 3, 64, 64, generator=torch.Generator().manual_seed(2)) * 2 - 1
    whole = phi.features(larger)
    assert not whole.requires_grad and torch.equal(torch.cat([phi.features(it) for it in larger.split(16)]), whole)


def test_outputs_of_any_shape_are_one_vector_for_each_picture(made: Path, tmp_path: Path, images: Tensor) -> None:
    shutil.copy(made / "my.py", tmp_path)
    found = load_embedder(described(tmp_path, "my.py:load")).features(images.double())
    wanted = nn.functional.avg_pool2d(images, 8).flatten(1)
    assert found.dtype == torch.float32 and found.shape == (5, 48)
    torch.testing.assert_close(found, wanted)


def test_the_fingerprint_follows_weights_and_input_but_not_the_place(made: Path, tmp_path: Path) -> None:
    def fingerprint(folder: str, body: str = INPUT, seed: int = 0) -> str:
        (tmp_path / folder).mkdir()
        small.onnx(small.Linear(5, seed=seed), tmp_path / folder / "net.onnx")
        return load_embedder(described(tmp_path / folder, "net.onnx", body)).fingerprint

    first = fingerprint("a")
    assert first == fingerprint("b")
    assert len({first, fingerprint("c", INPUT.replace("[-1, 1]", "[0, 1]")), fingerprint("d", seed=1)}) == 3


@pytest.mark.parametrize("name", ["avatars-eval", str(WEIGHTS / "evaluator.safetensors")])
def test_convnets_are_their_own_embedders(images: Tensor, name: str) -> None:
    judge, phi = classifiers.load("avatars-eval"), load_embedder(name)
    assert isinstance(judge, ConvNet) and phi.fingerprint == judge.fingerprint
    found = phi.features(images)
    assert found.shape == (5, judge.config.features) and not found.requires_grad
    for one, other in zip(judge.read_features(found), judge.predict(images), strict=True):
        assert torch.equal(one, other)
    with torch.autocast("cpu", torch.bfloat16):
        assert phi.features(images).dtype == torch.float32


# What is refused


def test_names_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused("avatars-evil", "there is no feature network called 'avatars-evil'", "did you mean 'avatars-eval'?")
    refused("clip-faces", "there is no feature network called 'clip-faces'")
    refused(tmp_path / "gone.yaml", "there is no feature network file", "docs/evaluation.md")
    refused(described(tmp_path, "gone.onnx"), f".yaml: file: {tmp_path / 'gone.onnx'} does not exist")
    refused("nobody/no-such-model", "nor a model in the Hugging Face cache", "hf download nobody/no-such-model")
    monkeypatch.setattr(classifiers.REGISTRY, "load", lambda name: lambda: classifiers.load(table(tmp_path)))
    refused("avatars", "classifier avatars has no features", "give its network's file")


def table(folder: Path) -> str:
    (folder / "labels.csv").write_text("smile\n0.5\n")
    return str(folder / "labels.csv")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("", "does not tell the preprocessing of its images; input: {size: 224, ...}; docs/evaluation.md"),
        (INPUT + "attributes: {smile: {}}", "attributes: unknown key; there are: file, input"),
        ("input: {sise: 32}", "input.sise: unknown key; did you mean 'size'?"),
        ("input: {size: 0}", "input.size"),
        ("input: {size: 48}", "fails on 2 images of 48 x 48 pixels"),
        ("input: {size: 32, colors: grey}", "fails on 2 images of 32 x 32 pixels"),
        ("input: [", "is not valid YAML"),
    ],
)
def test_descriptions_that_do_not_fit(made: Path, tmp_path: Path, body: str, says: str) -> None:
    shutil.copy(made / "net.onnx", tmp_path)
    refused(described(tmp_path, "net.onnx", body), says)


def test_networks_that_do_other_things(made: Path, tmp_path: Path) -> None:
    class Two(small.Linear):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
            return self.outputs(x), x

    class One(small.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return self.outputs(x[:1])

    class Flat(small.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return self.outputs(x).flatten()

    for network, says in (
        (Two(5), "returns a tuple, expected one tensor"),
        (One(5), "outputs of shape (1, 5) for 2 images"),
        (Flat(5), "outputs of shape (10,) for 2 images"),
    ):
        small.script(network, tmp_path / "odd.ts")
        refused(described(tmp_path, "odd.ts"), says)
    shutil.copy(made / "my.py", tmp_path)
    refused(described(tmp_path, "my.py:empty"), "my.py:empty returns non-finite features")
    refused(described(tmp_path, "my.py:restless"), "my.py:restless returns different features")


def test_pictures_that_it_cannot_see(made: Path, tmp_path: Path, images: Tensor) -> None:
    shutil.copy(made / "net.pt2", tmp_path)
    phi = load_embedder(described(tmp_path, "net.pt2"))
    assert torch.equal(phi.features(images[:, :1]), phi.features(images[:, :1].expand(-1, 3, -1, -1)))
    with pytest.raises(InputError, match="takes images of 3 channels, these have 5"):
        phi.features(torch.zeros(2, 5, 32, 32))
    with pytest.raises(InputError, match="non-finite"):
        phi.features(images * torch.nan)


def test_files_of_the_wrong_kind(made: Path, tmp_path: Path, network: small.Linear) -> None:
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    (tmp_path / "notes.txt").write_text("hello\n")
    (tmp_path / "half.pt2").write_bytes((made / "net.pt2").read_bytes()[:2000])
    for path, says in (
        (tmp_path / "weights.pth", "without their network"),
        (tmp_path / "notes.txt", "is not a feature network: .pt2, TorchScript, ONNX or safetensors"),
        (Path(table(tmp_path)), "is not a feature network"),
        (tmp_path / "half.pt2", "is damaged"),
    ):
        refused(path, str(path), says)
        refused(described(tmp_path, path.name), path.name, says)
    refused(described(tmp_path, str(WEIGHTS / "evaluator.safetensors")), "needs no description", "itself")
    refused(tmp_path, "is not a transformers model: it has no config.json")


@pytest.mark.parametrize(
    ("module", "extra", "name"), [("onnxruntime", "onnx", "net.onnx"), ("transformers", "hf", ".")]
)
def test_a_missing_extra(made: Path, monkeypatch: pytest.MonkeyPatch, module: str, extra: str, name: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    refused(described(made, name), f"pip install gmmedit[{extra}]")


# The examples of docs/evaluation.md, word for word


def test_examples(tmp_path: Path, images: Tensor) -> None:
    library = small.transformers()
    small.onnx(small.Linear(8, size=(112, 112)), tmp_path / "w600k_r50.onnx")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 112, "patch_size": 56}
    library.Dinov2Model(library.Dinov2Config(**sizes)).save_pretrained(tmp_path / "dinov2-small")
    assert EXAMPLES.keys() == {"arcface.yaml", "dino.yaml"}
    for name, size in (("arcface.yaml", 112), ("dino.yaml", 224)):
        (tmp_path / name).write_text(EXAMPLES[name])
        phi = load_embedder(str(tmp_path / name))
        assert phi.input_size == (size, size) and phi.features(images).shape == (5, 8)
