"""Recognition of letters from few real images and many generated ones, against the number of steps.

Real images are of 100 or 200 rows of the training typefaces; generated ones of the SAAE, in styles drawn from the
mixture that is fitted to its codes. The test images are all letters of the held-out typefaces. A small network is
trained for the same number of steps on every set: a batch is drawn from all of its images alike.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmmedit.datasets.glyphs import Glyphs
from gmmedit.generators.saae import SAAEGenerator
from gmmedit.runtime.execution import Execution
from gmmedit.training.disturbances import Augmentation
from style.drawing import draw_latents
from style.variants import open_fonts, train_variant

REAL, GENERATED = (100, 200), (0, 500, 2_000, 8_000)
STEPS, BATCH, EVERY = 800, 64, 100
WIDTHS = (16, 32, 48)
SHIFT = 0.06


def run(fonts: str, out: Path, execution: Execution) -> None:
    """Train on every set that OUT/recognition.jsonl lacks, and print accuracies at every EVERY steps."""
    data, log = open_fonts(fonts), out / "recognition.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    known = {line["name"] for line in lines}
    held = data.held_out()
    test = data.images(held), data.labels(held)[:, 0]
    generator = SAAEGenerator(train_variant(out, fonts, "main", 0, execution))
    made, contents = draw_latents(generator, max(GENERATED))
    for real in REAL:
        rows = choose_rows(data, real)
        sets = {f"{real} real + {n} generated": (n, 0, False) for n in GENERATED}
        sets |= {f"{real} real, augmented": (0, 0, True)}
        sets |= {f"{real} real + {n} more real": (0, n, False) for n in GENERATED[1:]}
        for name, (n, more, augmented) in sets.items():
            if name in known:
                continue
            all_rows = np.concatenate([rows, choose_rows(data, more, 1)]) if more else rows
            images = torch.cat([data.images(all_rows), made[:n]])
            labels = torch.cat([data.labels(all_rows)[:, 0], contents[:n]])
            with log.open("a") as file:
                file.write(json.dumps({"name": name, "accuracy": train(images, labels, test, augmented)}) + "\n")
    for line in log.read_text().splitlines():
        found = json.loads(line)
        print(f"{found['name']:34}" + "  ".join(f"{value:.3f}" for value in found["accuracy"]))


def choose_rows(data: Glyphs, n: int, seed: int = 0) -> np.ndarray:
    """n rows of the training typefaces."""
    rows = np.setdiff1d(np.arange(len(data)), data.held_out())
    return np.random.default_rng([seed, 9]).permutation(rows)[:n]


def train(images: Tensor, labels: Tensor, test: tuple[Tensor, Tensor], augmented: bool) -> list[float]:
    """Test accuracy of a network trained on images and labels, every EVERY steps."""
    augmentation, found = Augmentation(shift=SHIFT), []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = make_network(int(test[1].max()) + 1)
    adam = torch.optim.Adam(network.parameters(), lr=1e-3)
    random = torch.Generator().manual_seed(0)
    for step in range(STEPS):
        rows = torch.randint(len(images), (BATCH,), generator=random)
        batch = images[rows]
        batch = augmentation(batch.expand(-1, 3, -1, -1), random)[:, :1] if augmented else batch
        loss = F.cross_entropy(network.train()(batch), labels[rows])
        adam.zero_grad()
        loss.backward()
        adam.step()
        if (step + 1) % EVERY == 0:
            with torch.no_grad():
                logits = torch.cat([network.eval()(part) for part in test[0].split(256)])
            found.append(round(float((logits.argmax(1) == test[1]).float().mean()), 4))
    return found


def make_network(values: int) -> nn.Module:
    """Three convolutions, each with a pool, and a linear layer; for images of 32 pixels."""
    layers: list[nn.Module] = []
    for n_in, n_out in zip((1, *WIDTHS), WIDTHS, strict=False):
        layers += [nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(WIDTHS[-1] * 16, values))
