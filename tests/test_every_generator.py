"""The five steps, as a user takes them, on generators of every kind and classifiers of the user's own.

The networks are small and random, their classifiers too; but what an edit aims at must come about.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import small_networks as small
import torch
from conftest import check, done, gmmedit
from PIL import Image, ImageDraw, ImageFont

from gmmedit import artifacts
from gmmedit.classifiers.preprocessing import Preprocessing
from gmmedit.mixture import optimisation
from gmmedit.pictures.pixels import from_bytes
from gmmedit.runtime import batching, execution

DATA = Path(__file__).parent / "data"
KINDS = {
    "StyleGAN2, grey, without noise": ("sg2_d_orig16gray.pkl", ()),
    "StyleGAN2, conditional": ("sg2_c_cond32.pkl", ("--class", 4, "--psi", 0.8, "--cutoff", 5, "--noise", "random")),
    "StyleGAN3": ("sg3_a_t32.pkl", ("--psi", 0.8)),
    "StyleGAN1": ("sefa_stylegan_32.pth", ("--psi", 0.7, "--cutoff", 4)),
    "BigGAN": ("biggan_deep_64.bin", ("--class", 7, "--psi", 0.6)),
    "PGGAN": ("ig_pggan_32.pth", ()),
}
QUICK = "fit_single: {{steps: 100, batch: 128, read: linear}}\nfit_mixture: {{steps: {}, batch: 8, precision: fp32}}\n"
AIMS = {"light=yes": (1, 3), "light=no": (0, 3), "warm=yes": (3, 1)}  # the column, and one that should stay


def classifier_of(folder: Path, pixels: np.ndarray) -> Path:
    """A user's classifier that labels two attributes of such pictures about half of the time with yes."""
    channels = pixels.shape[-1]
    colors = "grey" if channels == 1 else "rgb"
    images = Preprocessing((small.SIZE, small.SIZE), colors=colors, range=(-1, 1))(from_bytes(pixels))
    torch.save(small.balanced(small.Linear(2, channels), images).state_dict(), folder / "weights.pth")
    (folder / "my_classifier.py").write_text(f"""
from pathlib import Path

import torch
from small_networks import Linear


def load():
    network = Linear(2, {channels})
    network.load_state_dict(torch.load(Path(__file__).with_name("weights.pth"), weights_only=True))
    return network
""")
    described = f"input: {{size: {small.SIZE}, colors: {colors}, range: [-1, 1]}}\nactivation: sigmoid\n"
    path = folder / "classifier.yaml"
    path.write_text(f"file: my_classifier.py:load\n{described}attributes: {{light: {{}}, warm: {{}}}}\n")
    return path


@pytest.mark.parametrize(("name", "options"), KINDS.values(), ids=KINDS)
def test_the_five_steps(
    name: str, options: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n, polish, steps = 240, 16, 4
    if name.startswith("sg3"):  # which takes ten times as long as the others
        n, polish, steps = 120, 2, 2
        monkeypatch.setattr(optimisation, "STRENGTHS", (1.0, 2.0))
        for module in (batching, execution):
            monkeypatch.setattr(module, "TILE", 8)  # as many as are edited: no row is added
    folder, quick = tmp_path / "run", tmp_path / "quick.yaml"
    run, config = ("--run", folder), ("--config", quick, "--quiet")
    quick.write_text(QUICK.format(steps))
    done("sample", *run, "--gan", DATA / name, "-n", n, "--images", *options)
    with artifacts.open(folder / "samples.h5") as samples:
        pixels, cutoff = samples["images"], samples.spec.config["cutoff"]
    classifier = classifier_of(tmp_path, pixels)
    done("label", *run, "--classifier", classifier, "--from-images", "--quiet")
    done("fit-single", *run, *config)
    done("fit-mixture", *run, *config)
    edit = ("edit", *run)
    each = ("--each", *(word for aim in AIMS for word in ("--attr", aim)), "--polish", polish)
    told = json.loads(done(*edit, *each, "--json").stdout)
    assert len(told["verdicts"]) == len(AIMS), "and none on what was left out"
    with artifacts.open(folder / "edits.h5") as edits, artifacts.open(folder / "labels.h5") as labels:
        before, after, images = edits["labels_before"], edits["labels_after"], edits["images_before"]
        assert np.abs(before - labels["labels"][:8]).max() < 0.05
    assert np.abs(images.astype(int) - pixels[:8]).max() <= 1
    rises, others = [], []  # of the images that did not have the value
    for (column, other), row in zip(AIMS.values(), after, strict=True):
        low = before[:, column] < 0.5
        rises.append((row - before)[low, column])
        others.append(np.abs(row - before)[low, other])
    rise, drift = np.concatenate(rises), np.concatenate(others)
    assert (rise > 0).mean() >= 0.8 and rise.mean() > 0.15 and rise.mean() > 2 * drift.mean()
    look_at(folder / "edits", pixels[0].shape)
    done(*edit, "--attr", "light", "--seeds", "3,5", "--polish", 0, "--out", tmp_path / "seeds")
    done(*edit, "--attr", "light", "--index", "3,5", "--polish", 0, "--out", tmp_path / "index")
    with artifacts.open(tmp_path / "seeds/edits.h5") as one, artifacts.open(tmp_path / "index/edits.h5") as other:
        assert np.abs(one["latents"] - other["latents"]).max() < 1e-3, "a seed is the row with that seed"
    if cutoff is not None:
        np.savez(tmp_path / "w.npz", w=np.zeros((1, 5), np.float32))
        refused = gmmedit("edit", *run, "--attr", "light", "--latents", tmp_path / "w.npz")
        check(refused, "would also truncate the latents of")


def look_at(folder: Path, shape: tuple[int, ...]) -> None:
    """The pictures beside edits.h5 have the generator's size and colours."""
    with Image.open(folder / "image_0_00.png") as picture:
        assert picture.size == (shape[1], shape[0]) and picture.mode == {1: "L", 3: "RGB"}[shape[2]]
    with Image.open(folder / "sheet.png") as sheet:
        assert sheet.width > 4 * 128


# Ten values


HEIGHT, WIDTH = 24, 36
MY_GAN = f"""
from pathlib import Path

import torch
from torch import nn


class Digits(nn.Module):
    z_dim = 16

    def __init__(self):
        super().__init__()
        self.digit = nn.Sequential(nn.Linear(10, 10), nn.Softmax(dim=1), nn.Linear(10, {HEIGHT * WIDTH}))
        self.colour = nn.Linear(6, 3)

    def forward(self, z):
        drawn = self.digit(z[:, :10]).reshape(-1, 1, {HEIGHT}, {WIDTH})
        return (drawn + self.colour(z[:, 10:])[:, :, None, None]).tanh()


def load():
    network = Digits()
    network.load_state_dict(torch.load(Path(__file__).with_name("my_gan.pth"), weights_only=True))
    return network
"""
MY_CLASSIFIER = """
from pathlib import Path

import torch
from torch.nn.functional import normalize


def load():
    digits = torch.load(Path(__file__).with_name("digits.pth"), weights_only=True).flatten(1)
    digits = normalize(digits - digits.mean(1, keepdim=True))

    def outputs(images):
        grey = images.mean(1).flatten(1)
        likeness = normalize(grey - grey.mean(1, keepdim=True)) @ digits.T
        return torch.cat([40 * likeness, 8 * (grey.mean(1, keepdim=True) + 0.35)], dim=1)

    return outputs
"""
DESCRIBED = f"""
file: my_classifier.py:load
input: {{size: [{HEIGHT}, {WIDTH}], range: [-1, 1]}}
activation: sigmoid
outputs: [d0, d1, d2, d3, d4, d5, d6, d7, d8, d9, bright]
attributes:
  digit: {{values: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], outputs: [d0, d1, d2, d3, d4, d5, d6, d7, d8, d9]}}
  bright: {{}}
"""


def drawn(digit: int) -> torch.Tensor:
    picture = Image.new("L", (WIDTH, HEIGHT), 40)
    font = ImageFont.load_default(22)
    ImageDraw.Draw(picture).text((WIDTH / 2, HEIGHT / 2), str(digit), 230, font, anchor="mm")
    return torch.from_numpy(np.asarray(picture, dtype=np.float32)) / 127.5 - 1


def write_networks(folder: Path) -> None:
    """A generator that mixes ten drawn digits on grounds of any colour, and what tells them apart."""
    torch.manual_seed(0)
    digits = torch.stack([drawn(digit) for digit in range(10)])
    torch.save(digits.tanh(), folder / "digits.pth")
    weights = {
        "digit.0.weight": 4 * torch.linalg.qr(torch.randn(10, 10)).Q, "digit.0.bias": torch.zeros(10),
        "digit.2.weight": digits.flatten(1).T.contiguous(), "digit.2.bias": torch.zeros(HEIGHT * WIDTH),
        "colour.weight": torch.randn(3, 6) / 4, "colour.bias": torch.zeros(3),
    }  # fmt: skip
    torch.save(weights, folder / "my_gan.pth")
    for name, text in (("my_gan.py", MY_GAN), ("my_classifier.py", MY_CLASSIFIER), ("digits.yaml", DESCRIBED)):
        (folder / name).write_text(text)


def test_every_one_of_ten_values_is_reached(tmp_path: Path) -> None:
    write_networks(tmp_path)
    quick, run = tmp_path / "quick.yaml", ("--run", tmp_path / "run")
    quick.write_text("fit_single: {steps: 300, batch: 256, read: linear}\nfit_mixture: {steps: 60, batch: 16}\n")
    done("sample", *run, "--gan", f"{tmp_path}/my_gan.py:load", "-n", 800)
    done("label", *run, "--classifier", tmp_path / "digits.yaml")
    done("fit-single", *run, "--config", quick)
    done("fit-mixture", *run, "--config", quick)
    each = ("--each", *(word for digit in range(10) for word in ("--attr", f"digit={digit}")))
    told = json.loads(done("edit", *run, *each, "--json").stdout)
    assert len(told["verdicts"]) == 10, "and none on what was left out"
    with artifacts.open(tmp_path / "run" / "edits.h5") as edits:
        before, after = edits["labels_before"], edits["labels_after"]
    for digit in range(10):
        reached = (after[digit, :, :10].argmax(1) == digit).mean()
        assert reached >= 0.75, f"{digit} is reached from {reached:.0%} of the images"
    assert np.abs(after[..., 11] - before[:, 11]).mean() < 0.1, "the ground keeps its brightness"
    look_at(tmp_path / "run" / "edits", (HEIGHT, WIDTH, 3))
