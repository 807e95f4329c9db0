"""A sheet of an IFcVAE-GAN on held-out avatars: each attribute's unit set to the other value, beside the true render.

    python benchmarks/factor_sheet.py runs/factor/ifcvae-gan.safetensors --out runs/factor/factor.png

Below each edit stands what `avatars-eval`, which no training used, says of the attribute.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

from gmmedit import classifiers, datasets
from gmmedit.datasets import DataSet
from gmmedit.networks.ifcvae import IFcVAE, read_ifcvae
from gmmedit.pictures.pixels import as_shown, to_bytes
from gmmedit.pictures.sheets import contact_sheet, to_png
from gmmedit.runtime.storage import write_file
from gmmedit.training.labelled import spread

ROWS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="ifcvae-gan.safetensors")
    parser.add_argument("--data", default="avatars-independent", choices=("avatars", "avatars-independent"))
    parser.add_argument("--out", type=Path, default=Path("factor.png"))
    options = parser.parse_args()
    network = read_ifcvae(options.file)
    data = datasets.load(options.data, network.config.image_shape[1])
    columns, images, captions = show_edits(network, data, spread(data.held_out(), ROWS))
    title = f"Held-out renders of {data.name}: one unit of the latent set, and the true counterfactual"
    write_file(options.out, to_png(contact_sheet(images, columns, captions, title)))
    print(f"wrote {options.out}")


@torch.no_grad()
def show_edits(network: IFcVAE, data: DataSet, rows: np.ndarray) -> tuple[list[str], np.ndarray, list[list[str]]]:
    """Headings, images uint8 (rows, columns, S, S, C) and captions of a sheet."""
    images, labels, _ = data.batch(rows)
    latents = network.encode(images)
    columns, shown = ["render", "reconstruction"], [images, network.decode(latents)]
    captions = [[""] * 2 for _ in rows]
    for unit, (name, values) in enumerate(network.config.attributes):
        place = [attribute.name for attribute in data.attributes].index(name)
        goal = 1 - labels[:, place]
        edited = latents.clone()
        edited[:, unit] = goal.float()
        made = as_shown(network.decode(edited))
        truth = [
            data.counterfactual([row], {name: values[value]}) for row, value in zip(rows, goal.tolist(), strict=True)
        ]
        columns += [f"{name} set", "true render"]
        shown += [made, torch.cat(truth)]
        for caption, value, share in zip(captions, goal.tolist(), judge(made, name, goal), strict=True):
            caption += [f"{values[value]}: {share:.2f}", values[value]]
    pixels = np.stack([to_bytes(as_shown(part)) for part in shown], axis=1)
    return columns, pixels, captions


def judge(images: Tensor, name: str, goal: Tensor) -> list[float]:
    """The evaluation classifier's probability of each image's goal (n,) of a two-valued attribute."""
    classifier = classifiers.load("avatars-eval")
    start = 0
    for attribute in classifier.attributes:
        if attribute.name == name:
            break
        start += len(attribute.values)
    labels = classifier.probabilities(images)
    return [float(row[start + value]) for row, value in zip(labels, goal.tolist(), strict=True)]


if __name__ == "__main__":
    main()
