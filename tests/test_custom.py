"""A user's own generators: Python functions, torch.export, TorchScript and ONNX, and the code of docs/generators.md."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
import torch
from conftest import check, done, gmmedit
from small_generators import SIZE, Conditional, Painter, export, module, script, to_onnx
from torch import nn

from gmmedit import artifacts
from gmmedit.classifiers import Attribute, convnet, embedded
from gmmedit.errors import InputError
from gmmedit.generators import Generator, describe, load
from gmmedit.mixture.surrogate import fit_surrogate
from gmmedit.runtime import registry
from gmmedit.runtime.batching import Memory, in_batches
from gmmedit.stages import fit_mixture

DOCS = Path(__file__).parents[1] / "docs" / "generators.md"
WRITERS: dict[str, Callable[[nn.Module, Path], Path]] = {"gan.pt2": export, "gan.pt": script, "gan.onnx": to_onnx}


@pytest.fixture(params=WRITERS)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param.endswith("onnx"):
        pytest.importorskip("onnxruntime")
    (tmp_path / "gan.yaml").write_text("z_dim: 6\nrange: [0, 1]\n")
    return WRITERS[request.param](Painter(), tmp_path / request.param)


def in_tiles(generator: Generator, z: torch.Tensor) -> torch.Tensor:
    """Images of latents as the stages generate them."""
    (images,) = in_batches(lambda rows: (generator.synthesize(rows),), z, len(z), Memory())
    return images


def test_files_give_the_networks_images(file):
    generator, z = load(str(file)), torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    assert generator.z_dim == 6 and generator.w_shape is None and generator.image_shape == (3, SIZE, SIZE)
    expected = Painter()(z) * 2 - 1
    assert (generator.synthesize(z) - expected).abs().max() < 1e-5
    whole = generator.synthesize(z)
    # Products of a few rows round differently, by a few units in the last place; in the stages' tiles they do not.
    assert (generator.synthesize(z[1:3]) - whole[1:3]).abs().max() < 4 * torch.finfo().eps
    assert torch.equal(in_tiles(generator, z[1:3]), in_tiles(generator, z)[1:3])
    assert describe(file)["family"] == "user's own" and generator.fingerprint == load(str(file)).fingerprint
    file.with_suffix(".yaml").write_text("z_dim: 6\nrange: [0, 2]\n")
    assert generator.fingerprint != load(str(file)).fingerprint, "other pictures, another generator"


def test_gradients_pass_where_the_generator_says_so(file):
    generator, z = load(str(file)), torch.ones(1, 6, requires_grad=True)
    images = generator.synthesize(z)
    assert generator.differentiable == images.requires_grad == (file.suffix != ".onnx")
    if generator.differentiable:
        (gradient,) = torch.autograd.grad(images.sum(), z)
        assert gradient.abs().max() > 0


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
    embedded.save_network(network, folder / "classifier.safetensors")
    return folder / "classifier.safetensors"


def test_without_gradients_the_surrogate_carries_the_five_steps(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(fit_mixture, "fit_surrogate", partial(fit_surrogate, steps=20))
    path = to_onnx(Painter(), tmp_path / "gan.onnx")
    (tmp_path / "gan.yaml").write_text("z_dim: 6\nrange: [0, 1]\n")
    config = tmp_path / "config.yaml"
    config.write_text("fit_single: {steps: 5, batch: 64}\nfit_mixture: {steps: 3, batch: 8}\n")
    classifier = balanced_classifier(path, (), tmp_path)
    common = ("--run", tmp_path / "run", "--config", config)
    done("sample", "--gan", path, "-n", 160, *common)
    done("label", "--classifier", classifier, *common)
    done("fit-single", *common)
    refused = gmmedit("fit-mixture", *common)
    assert refused.exit_code == 2 and "gan.onnx has none" in refused.output and "surrogate" in refused.output
    done("fit-mixture", "--consistency", "surrogate", *common)
    done("edit", "--attr", "light", "--index", "0-1", *common)


def test_an_exported_program_tells_its_sizes(tmp_path):
    generator = load(str(export(Conditional(), tmp_path / "gan.pt2")))
    assert (generator.z_dim, generator.n_classes, generator.w_shape) == (6, 3, (1, 9))
    z, c = torch.randn(2, 6, generator=torch.Generator().manual_seed(0)), torch.eye(3)[[0, 2]]
    w = generator.map(z, c, psi=0.5)
    assert (generator.synthesize(w) - Conditional()(z / 2, c)).abs().max() < 1e-5
    assert torch.equal(generator.synthesize(w[:, None]), generator.synthesize(w))
    with pytest.raises(ValueError, match="class"):
        generator.map(z)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_program_for_a_fixed_batch_is_filled_up(tmp_path, batch):
    generator, z = load(str(export(Painter(), tmp_path / "gan.pt2", batch))), torch.linspace(-1, 1, 30).view(5, 6)
    generator.description = generator.description.model_copy(update={"range": (0, 1)})
    assert (generator.synthesize(z) - (Painter()(z) * 2 - 1)).abs().max() < 1e-5


def test_python_functions_return_modules_or_generators(tmp_path):
    painter = load(module(tmp_path / "painter.py", "load = Painter"))
    assert (painter.synthesize(torch.zeros(1, 6)) - (Painter()(torch.zeros(1, 6)) * 2 - 1)).abs().max() < 1e-6
    assert load(module(tmp_path / "conditional.py", "load = Conditional")).n_classes == 3
    generator = load(module(tmp_path / "own.py", "load = own"))
    assert generator.family == "Own" and generator.fingerprint and generator.map(torch.zeros(2, 4)).shape == (2, 5)


def test_uniform_latents_are_made_of_normal_ones(tmp_path):
    text = "class load(nn.Module):\n    z_dim, z_shape, prior = 4, (1, 2, 2), 'uniform'\n    forward = lambda _, z: z\n"
    generator = load(module(tmp_path / "uniform.py", text))
    made = generator.synthesize(torch.randn(500, 4, generator=torch.Generator().manual_seed(0)))
    assert made.shape == (500, 1, 2, 2) and -1 <= made.min() < -0.98 and 0.98 < made.max() <= 1
    assert abs(made.std() - 1 / 3**0.5) < 0.02


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def load(): return 1 / 0", "ZeroDivisionError"),
        ("def load(): return 5", "returns a int"),
        ("load = nn.Identity", "no z_dim"),
        ("class load(Painter):\n    z_dim = 7", r"\[N, 7\]"),
        ("class load(Painter):\n    z_dim = 'six'", "z_dim"),
        ("class load(Painter):\n    z_shape = (2, 2)", "does not have z_dim"),
        ("class load(Painter):\n    range = (1, 1)", "range"),
        ("class load(Painter):\n    forward = lambda self, z: self.layers(z)", r"\[1, 3072\]"),
        ("class load(Painter):\n    forward = lambda self, z: Painter.forward(self, z) + len(z)", "another image"),
        (
            "class load(Painter):\n    forward = lambda self, z: Painter.forward(self, z.expand(2, 6))",
            r"\[2, 3, 32, 32\]",
        ),
        ("class load(Own):\n    def __init__(self):\n        nn.Module.__init__(self)", "no z_dim, w_shape"),
        ("import no_such_package", "no_such_package"),
        ("", "no function 'load'"),
    ],
)
def test_what_a_function_gets_wrong_is_said_in_one_line(tmp_path, text, reason):
    with pytest.raises(InputError, match=reason) as error:
        load(module(tmp_path / "bad.py", text))
    assert "bad.py" in error.value.message and "\n" not in error.value.message


@pytest.mark.parametrize("name", ["nowhere.py:load", "gan.pt2", "gan.pt", "gan.onnx"])
def test_missing_and_foreign_files_are_refused(tmp_path, name):
    with pytest.raises(InputError, match=name.partition(":")[0]):
        load(str(tmp_path / name))
    if ":" not in name:
        (tmp_path / name).write_bytes(b"\x08\x07")  # a version, and no network
        with pytest.raises(InputError, match=name):
            load(str(tmp_path / name))


def test_a_truncated_file_is_refused(file):
    whole = file.read_bytes()
    for share in (0.1, 0.6, 0.95):
        file.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InputError) as error:
            load(str(file))
        assert file.name in error.value.message and "\n" not in error.value.message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("z_dim: 6\nz_shap: [6]", "z_shap"),
        ("z_dim: -1", "z_dim"),
        ("- 6", "not a mapping of settings"),
        ("z_dim: [", "gan.yaml"),
        ("prior: normal", "z_dim"),
        ("z_dim: 5", r"\[N, 5\]"),
    ],
)
def test_a_wrong_description_is_refused(tmp_path, text, reason):
    path = script(Painter(), tmp_path / "gan.pt")
    (tmp_path / "gan.yaml").write_text(text)
    with pytest.raises(InputError, match=reason):
        load(str(path))


def test_a_script_needs_a_description(tmp_path):
    with pytest.raises(InputError, match="gan.pt does not give") as error:
        load(str(script(Painter(), tmp_path / "gan.pt")))
    assert "gan.yaml" in error.value.hint


def test_a_missing_extra_and_a_forgotten_function_are_named(tmp_path, monkeypatch):
    (tmp_path / "gan.onnx").write_bytes(b"\x08\x07")  # a version, and no network
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    check(gmmedit("sample", "--gan", tmp_path / "gan.onnx", "--run", tmp_path), "pip install gmmedit[onnx]")
    module(tmp_path / "gan.py", "load = Painter")
    check(gmmedit("sample", "--gan", tmp_path / "gan.py", "--run", tmp_path), f"--gan {tmp_path}/gan.py:load")


def test_packages_offer_generators_by_name(monkeypatch):
    point = EntryPoint("painter", "small_generators:Painter", "gmmedit.generators")
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints([point]))
    assert load("painter").image_shape == (3, SIZE, SIZE)
    with pytest.raises(InputError, match="'paynter'") as error:
        load("paynter")
    assert "painter" in error.value.hint


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of docs/generators.md, and weights."""
    for text in blocks("python"):
        if match := re.match(r"# (\w+\.py)\n", text):
            (tmp_path / match[1]).write_text(text)
    monkeypatch.chdir(tmp_path)
    code = "import torch, my_gan; torch.manual_seed(0); torch.save(my_gan.DCGAN().state_dict(), 'my_gan.pth')"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    return tmp_path


def test_the_documented_python_file_works(documented):
    lines = [line for line in (documented / "my_gan.py").read_text().splitlines() if line.strip()]
    assert len(lines) < 30
    command = next(text for text in blocks("sh") if "my_gan.py" in text)
    done(*command.split()[1:], "--run", "run")
    done("label", "--classifier", "avatars", "--run", "run")
    with artifacts.open("run/labels.h5", "labels") as labels:
        assert labels.spec.n == 200 and labels["labels"].std(0).max() > 0


def test_the_documented_export_gives_the_same_images(documented):
    subprocess.run([sys.executable, "export.py"], check=True, cwd=documented)
    z = torch.randn(3, 100, generator=torch.Generator().manual_seed(0))
    exported, python = load("my_gan.pt2"), load("my_gan.py:load")
    assert (exported.synthesize(z) - python.synthesize(z)).abs().max() < 1e-5
    (documented / "my_gan.yaml").write_text(blocks("yaml")[0])
    assert torch.equal(load("my_gan.pt2").synthesize(z), exported.synthesize(z))
    assert json.loads(done("inspect", "my_gan.pt2", "--json").output)["z_dim"] == 100


def test_a_function_that_fails_ends_in_one_line_on_the_command_line(tmp_path):
    result = gmmedit("sample", "--gan", module(tmp_path / "bad.py", "def load(): return 1 / 0"), "--run", tmp_path)
    assert result.exit_code == 2 and "ZeroDivisionError" in result.output and "Traceback" not in result.output
