"""Counterfactuals of MorphoMNIST, whose causal model is known, judged by networks that others have trained.

    python benchmarks/morphomnist.py floor --data DIR
    python benchmarks/morphomnist.py train --data DIR --out OUT
    python benchmarks/morphomnist.py measure --data DIR --out OUT

DIR holds t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz, t10k-morpho.csv and predictors.safetensors, of
gulnazaki/counterfactual-benchmark (the data set after Castro et al. 2019 and Pawlowski et al. 2020). Of the 10,000
digits 8,000 train and 2,000 are held out. floor: what the predictors read of unedited images. train: `gmmedit graph`
and `gmmedit train bigan` on the 8,000, resumed where it was stopped. measure: acts on held-out images against the
counterfactual that the true mechanism gives, with labels known and with labels read by the BiGAN's own encoder, in one
pass of the encoder and after the optimisation of `gmmedit invert`; composition, reversibility, and a sheet.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent.parent))

from gmmedit import datasets
from gmmedit.config import GraphSettings, InvertSettings, SampleSettings
from gmmedit.datasets.idx import read_idx
from gmmedit.editing.inverter import open_inverter
from gmmedit.networks.bigan import BiGAN, parse_config, read_bigan, save_bigan
from gmmedit.run.folder import RunFolder
from gmmedit.runtime.execution import Execution
from gmmedit.runtime.signals import StopRequest, stoppable
from gmmedit.stages import graph, sample
from gmmedit.training.bigan_from_data import free_rest, train_bigan
from gmmedit.training.checkpoints import read_checkpoint
from gmmedit.training.from_data import DataRequest
from gmmedit.training.labelled import choose_labels

HELD_OUT = 2_000
BATCH = 250
DIGIT, THICKNESS, INTENSITY = 0, 1, 2  # places among the attributes
RANGES = {"thickness": (0.87598526, 6.255515), "intensity": (66.601204, 254.90317)}  # of the predictors
CYCLES = 10
GREY = 127.5  # grey levels in a unit of the images


@dataclass(frozen=True)
class Truth:
    """Digits (N,), thickness (N,) and intensity (N,) of images, float64 but for the digits."""

    digit: Tensor
    thickness: Tensor
    intensity: Tensor

    def act(self, name: str, values: Tensor) -> "Truth":
        """The counterfactual under do(name = values (N,)): intensity follows thickness with the image's own noise."""
        kept = {"digit": self.digit, "thickness": self.thickness, "intensity": self.intensity}
        kept[name] = values
        if name == "thickness":
            share = ((self.intensity - 64) / 191).clamp(1e-6, 1 - 1e-6)
            noise = torch.logit(share) - (2 * self.thickness - 5)
            kept["intensity"] = 64 + 191 * torch.sigmoid(noise + 2 * values - 5)
        return Truth(**kept)


class Predictor(nn.Module):
    """One of the three networks, see the README beside them."""

    def __init__(self, outputs: int, extra: int = 0):
        super().__init__()
        layers: list[nn.Module] = []
        for i, (inputs, width, size, stride) in enumerate(
            [(1, 8, 7, 1), (8, 16, 3, 2), (16, 16, 3, 1), (16, 32, 3, 2), (32, 32, 3, 1), (32, 64, 3, 2)]
        ):
            layers += [nn.Conv2d(inputs, width, size, stride, size // 2, bias=False), nn.BatchNorm2d(width)]
            layers += [nn.LeakyReLU(0.01), nn.Identity()] if i == 0 else [nn.LeakyReLU(0.01)]
        self.cnn = nn.Sequential(*layers)
        self.fc = nn.Sequential(
            nn.Linear(64 + extra, 64, bias=False), nn.BatchNorm1d(64), nn.LeakyReLU(0.01), nn.Linear(64, outputs)
        )

    def forward(self, images: Tensor, extra: Tensor | None = None) -> Tensor:
        """Images (N, 1, 32, 32) in [-1, 1], and a number for each or None, to outputs (N, n)."""
        features = self.cnn(images).mean(dim=(2, 3))
        return self.fc(features if extra is None else torch.cat([features, extra[:, None]], dim=1))


class Predictors:
    """What others' networks read in images."""

    def __init__(self, path: Path):
        tensors = load_file(path)
        self.networks = {"digit": Predictor(10), "thickness": Predictor(1, extra=1), "intensity": Predictor(1)}
        for name, network in self.networks.items():
            network.load_state_dict({
                key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")
            })  # fmt: skip
            network.eval()

    def read(self, images: Tensor, intensity: Tensor) -> Truth:
        """Of images (N, 1, 32, 32); intensity (N,): that they should have, which the reader of thickness is told."""
        parts = []
        for rows, told in zip(images.split(BATCH), normalise("intensity", intensity).float().split(BATCH), strict=True):
            rows = to_bytes(rows)
            digit = self.networks["digit"](rows).argmax(dim=1)
            thickness = self.networks["thickness"](rows, told)[:, 0].double()
            bright = self.networks["intensity"](rows)[:, 0].double()
            parts.append((digit, restore("thickness", thickness), restore("intensity", bright)))
        return Truth(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def normalise(name: str, numbers: Tensor) -> Tensor:
    """Thickness or intensity as the predictors know it, in [-1, 1]."""
    low, high = RANGES[name]
    return 2 * (numbers - low) / (high - low) - 1


def restore(name: str, numbers: Tensor) -> Tensor:
    """The inverse of `normalise`."""
    low, high = RANGES[name]
    return low + (numbers + 1) / 2 * (high - low)


def to_bytes(images: Tensor) -> Tensor:
    """Images as an 8-bit file would keep them."""
    return ((images + 1) * GREY).round().clamp(0, 255) / GREY - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["floor", "train", "measure"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--images", type=int, help="shown in training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path, help="a trained bigan.safetensors that is trained further")
    parser.add_argument("--partial", action="store_true", help="measure the checkpoint of a training that goes on")
    parser.add_argument("-n", type=int, default=HELD_OUT, help="held-out images that are edited")
    parser.add_argument("--tune", action="store_true", help="measure on training images, to choose settings")
    parser.add_argument("--steps", type=int, default=InvertSettings().steps, help="of the optimisation; 0: none")
    parser.add_argument("--rest-prior", type=float, default=InvertSettings().rest_prior, help="weight of its prior")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.command != "floor" and options.out is None:
        parser.error("--out is missing")
    with torch.no_grad():
        if options.command == "floor":
            print_floor(options.data)
        elif options.command == "measure":
            network = open_network(options.out, options.partial)
            data = datasets.load(str(split_data(options.data, options.out)), 32)
            acts = Acts(network, data, choose_rows(data, options.n, options.tune))
            settings = InvertSettings(steps=options.steps, rest_prior=options.rest_prior, features="none")
            measure(options.data, options.out, acts, settings)
    if options.command == "train":
        train(options.data, options.out, options.images, options.seed, options.start)


def read_all(folder: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """All images uint8 (N, 28, 28), digits (N,), and lines of the table, the first with names."""
    images, digits = (read_idx(folder / f"t10k-{name}-ubyte.gz") for name in ("images-idx3", "labels-idx1"))
    return images, digits, (folder / "t10k-morpho.csv").read_text().splitlines()


def print_floor(folder: Path) -> None:
    """What the predictors read of all unedited images."""
    images, digits, lines = read_all(folder)
    table = np.array([line.split(",")[1:] for line in lines[1:]], dtype=np.float64)
    truth = Truth(torch.from_numpy(digits.astype(np.int64)), *torch.from_numpy(table).T)
    padded = F.pad(torch.from_numpy(images.copy())[:, None].float() / GREY - 1, (2, 2, 2, 2), value=-1)
    show("unedited", compare(Predictors(folder / "predictors.safetensors").read(padded, truth.intensity), truth))


def split_data(folder: Path, out: Path) -> Path:
    """Write the two parts as idx files with tables, as MorphoMNIST itself comes, into out/data."""
    target = out / "data"
    if (target / "done").exists():
        return target
    target.mkdir(parents=True, exist_ok=True)
    images, digits, lines = read_all(folder)
    order = np.random.default_rng(0).permutation(len(images))
    for name, rows in (("train", np.sort(order[HELD_OUT:])), ("t10k", np.sort(order[:HELD_OUT]))):
        for kind, array in (("images-idx3", images[rows]), ("labels-idx1", digits[rows])):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
            (target / f"{name}-{kind}-ubyte").write_bytes(header + array.tobytes())
        chosen = [lines[0], *(lines[1 + row] for row in rows)]
        (target / f"{name}-morpho.csv").write_text("\n".join(chosen) + "\n")
    (target / "done").touch()
    return target


def train(folder: Path, out: Path, images: int | None, seed: int, start: Path | None) -> None:
    """Learn the graph, whose one direction no data can tell, and train the BiGAN of it."""
    data = str(split_data(folder, out))
    stop, told = StopRequest(), 0.0

    def tick(done: int, total: int, text: str) -> None:
        nonlocal told
        if time.monotonic() > told + 30:
            told = time.monotonic()
            print(f"{text}: {done} of {total}", flush=True)

    execution = Execution(tick=tick, stop=stop)
    with stoppable(stop):
        path = graph.run(out, GraphSettings(require=["thickness->intensity"]), execution, data=data)
        request = DataRequest(data, images=images, seed=seed)
        print(train_bigan(out, request, [], str(path), False, execution, start)[2])


def choose_rows(data: datasets.DataSet, n: int, tune: bool) -> np.ndarray:
    """The first held-out images, or some of those that were trained on."""
    if not tune:
        return data.held_out()[:n]
    return np.sort(np.random.default_rng(5).permutation(np.setdiff1d(np.arange(len(data)), data.held_out()))[:n])


class Acts:
    """Acts on images by a trained BiGAN."""

    def __init__(self, network: BiGAN, data: datasets.DataSet, rows: np.ndarray):
        self.network, self.scales = network, network.config.scales
        self.images, labels, factors = data.batch(rows)
        assert factors is not None and data.factors == ("thickness", "intensity")
        self.truth = Truth(labels[:, DIGIT], *factors.double().T)
        self.wanted = {  # the value of another image
            "digit": self.truth.digit.roll(7),
            "thickness": self.truth.thickness.roll(1),
            "intensity": self.truth.intensity.roll(1),
        }

    def encode(self, images: Tensor) -> Tensor:
        """The encoder's latents (N, D) of images as a file keeps them."""
        return torch.cat([self.network.encode(part) for part in to_bytes(images).split(BATCH)])

    def generate(self, w: Tensor) -> Tensor:
        """Images of latents (N, D)."""
        return torch.cat([self.network.synthesize(part) for part in w.split(BATCH)])

    def set_known(self, w: Tensor) -> Tensor:
        """Latents (N, D) with the true labels as causes."""
        w = self.network.open_rest(w)  # what the encoder read besides, whatever it took the causes for
        w = self.network.counterfactual(w, {DIGIT: self.truth.digit})
        shares = torch.stack([self.share(name, getattr(self.truth, name)) for name in ("thickness", "intensity")], 1)
        equations = self.network.equations
        return self.network.close_rest(equations.replace_numbers(w, equations.numbers.standardise(shares)))

    def share(self, name: str, numbers: Tensor) -> Tensor:
        """Numbers (N,) in units of the attribute's range."""
        scale = self.scales[THICKNESS if name == "thickness" else INTENSITY]
        assert scale is not None
        return scale.share(numbers).float().clamp(0, 1)

    def act(self, w: Tensor, name: str, values: Tensor) -> Tensor:
        """Latents (N, D) under do(name = values (N,))."""
        if name == "digit":
            return self.network.counterfactual(w, {DIGIT: values})
        place = THICKNESS if name == "thickness" else INTENSITY
        return self.network.counterfactual(w, {place: self.share(name, values)})


def open_network(out: Path, partial: bool) -> BiGAN:
    """The trained networks in out, or, of a training that was stopped, their moving average so far."""
    if not partial:
        return read_bigan(out / "bigan.safetensors")
    saved = read_checkpoint(out / "bigan.checkpoint")
    assert saved is not None, f"{out} has no checkpoint"
    network = BiGAN(parse_config(saved["settings"]["network"]))
    network.load_state_dict(saved["average"])
    print(f"after {saved['step'] * saved['settings']['batch']} images")
    data = datasets.load(str(out / "data"), 32)
    network = free_rest(network.eval().requires_grad_(False), data, choose_labels(data, [], numbers=True))
    save_bigan(network, out / "partial.safetensors")
    return read_bigan(out / "partial.safetensors")


def refine(acts: Acts, out: Path, w: Tensor, settings: InvertSettings) -> Tensor:
    """Latents (N, D) of the images after the optimisation of `gmmedit invert`, in batches."""
    names = {read_bigan(out / name).fingerprint: name for name in ("bigan.safetensors", "partial.safetensors")
             if (out / name).exists()}  # fmt: skip
    run = out / f"run_{acts.network.fingerprint[:8]}"
    execution = Execution()
    sample.run(run, SampleSettings(gan=str(out / names[acts.network.fingerprint]), n=1_000), execution)
    with RunFolder(run, execution) as run_folder:
        inverter = open_inverter(run_folder, settings)
        parts = zip(w[:, None].split(BATCH), acts.images.split(BATCH), strict=True)
        return torch.cat([inverter.refine(*part)[:, 0] for part in parts])


def measure(folder: Path, out: Path, acts: Acts, settings: InvertSettings) -> None:
    """Print the figures of a trained network, write them to out/figures.json and a sheet to out/acts.png."""
    judge, figures = Predictors(folder / "predictors.safetensors"), {}
    show("unedited", compare(judge.read(acts.images, acts.truth.intensity), acts.truth))
    read = acts.encode(acts.images)
    figures["encoder"] = show("the encoder's own labels", compare(read_own(acts, read), acts.truth))
    repeated = repeat(acts, acts.images)
    figures["composition"] = {str(k): distance(repeated[k - 1], acts.images) for k in (1, 2, CYCLES)}
    print(f"composition, grey levels: {figures['composition']}")
    starts = {"labels known": acts.set_known(read), "labels read": read}
    if settings.steps:
        starts |= {f"{mode}, optimised": refine(acts, out, w, settings) for mode, w in starts.items()}
    for mode, w in starts.items():
        made = acts.generate(w)
        key = f"null edit, {mode}"
        figures[key] = show(key, compare(judge.read(made, acts.truth.intensity), acts.truth))
        figures[key] |= {"changed": distance(made, acts.images)}
        for name, values in acts.wanted.items():
            wanted = acts.truth.act(name, values)
            made = acts.generate(acts.act(w, name, values))
            key = f"do({name}), {mode}"
            figures[key] = show(key, compare(judge.read(made, wanted.intensity), wanted))
            figures[key] |= show_distances(acts, made, read, name)
    figures["scaled"] = judge_scaled(acts, judge, starts)
    (out / "figures.json").write_text(json.dumps(figures, indent=1))
    write_sheet(acts, list(starts.values())[-2], out / "acts.png")


def read_own(acts: Acts, w: Tensor) -> Truth:
    """What latents (N, D) say of their images."""
    causes, _ = acts.network.split(w)
    numbers = acts.network.equations.numbers
    shares = numbers.share(acts.network.equations.take_numbers(causes)).double().T
    thickness, intensity = (scale.number(share) for scale, share in zip(numbers.scales, shares, strict=True))
    return Truth(acts.network.equations.values(causes)[:, DIGIT], thickness, intensity)


def repeat(acts: Acts, images: Tensor) -> list[Tensor]:
    """The images after 1 to CYCLES null edits: encoded and generated again."""
    found = []
    for _ in range(CYCLES):
        images = acts.generate(acts.encode(images))
        found.append(images)
    return found


def show_distances(acts: Acts, made: Tensor, read: Tensor, name: str) -> dict[str, float]:
    """Reversibility and minimality of edits: the act undone on the edited image, by the encoder's own labels; what it
    reads besides the causes, in units of the distance of two images."""
    again = acts.encode(made)
    undone = acts.generate(acts.act(again, name, getattr(acts.truth, name)))
    rests = [acts.network.split(w)[1] for w in (again, read)]
    apart = (rests[1] - rests[1].roll(1, dims=0)).norm(dim=1).mean()
    found = {
        "undone": distance(undone, acts.images),
        "changed": distance(made, acts.images),
        "rest": round(float((rests[0] - rests[1]).norm(dim=1).mean() / apart), 3),
    }
    print(f"    {found}")
    return found


def judge_scaled(acts: Acts, judge: Predictors, starts: Mapping[str, Tensor]) -> dict[str, float]:
    """The control of do(intensity): the image's own pixels, brightened; and how far the edits are from that."""
    values = acts.wanted["intensity"]
    factor = (values / acts.truth.intensity).float()[:, None, None, None]
    scaled = to_bytes(((acts.images + 1) * factor - 1).clamp(-1, 1))
    found = show("control: pixels brightened", compare(judge.read(scaled, values), acts.truth.act("intensity", values)))
    for mode, w in starts.items():
        made = acts.generate(acts.act(w, "intensity", values))
        found[f"distance of edits, {mode}"] = distance(made, scaled)
    print(f"    {found}")
    return found


def compare(read: Truth, wanted: Truth) -> dict[str, float]:
    """Share of right digits, mean absolute error of thickness and intensity."""
    return {
        "digit": round(float((read.digit == wanted.digit).double().mean()), 4),
        "thickness": round(float((read.thickness - wanted.thickness).abs().mean()), 3),
        "intensity": round(float((read.intensity - wanted.intensity).abs().mean()), 2),
    }


def distance(images: Tensor, others: Tensor) -> float:
    """Mean absolute difference in grey levels."""
    return round(float((images - others).abs().mean()) * GREY, 2)


def show(name: str, figures: dict[str, float]) -> dict[str, float]:
    """Print figures."""
    print(f"{name}: {', '.join(f'{key} {value:g}' for key, value in figures.items())}", flush=True)
    return figures


def write_sheet(acts: Acts, w: Tensor, path: Path) -> None:
    """Twelve held-out images, below them their reconstructions, and acts: thickness, intensity, digits."""
    w = w[:12]
    full: Callable[[float], Tensor] = lambda value: torch.full((len(w),), value)  # noqa: E731
    rows = [acts.images[:12], acts.generate(w)]
    rows += [acts.generate(acts.act(w, "thickness", full(value))) for value in (1.5, 2.5, 4.0)]
    rows += [acts.generate(acts.act(w, "intensity", full(value))) for value in (80.0, 160.0, 240.0)]
    rows += [acts.generate(acts.act(w, "digit", (acts.truth.digit[:12] + step) % 10)) for step in (1, 5)]
    sheet = torch.stack(rows)[:, :, 0].permute(0, 2, 1, 3).flatten(0, 1).flatten(1)
    pixels = ((sheet + 1) * GREY).round().clamp(0, 255).byte().numpy()
    Image.fromarray(pixels).resize((pixels.shape[1] * 3, pixels.shape[0] * 3), Image.Resampling.NEAREST).save(path)


if __name__ == "__main__":
    main()
