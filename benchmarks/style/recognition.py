"""Recognition of letters from few real images and many generated ones, against the number of steps.

Real images are of 100 or 200 rows of the training typefaces; generated ones of the SAAE, in styles drawn from the
mixture that is fitted to its codes; it has seen all training typefaces. The test images are all letters of the held-out
typefaces. A small network is trained for the same number of steps on every set: a batch is drawn from all of its images
alike, so that few images are shown as often as many; oversampled: half of every batch is real.
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
from gmmedit.training.disturbances import StrongAugmentation
from style.drawing import draw_latents
from style.variants import open_fonts, train_variant

REAL, GENERATED = (100, 200), (0, 500, 2_000, 8_000)
BATCH, CHECKS = 64, (25, 50, 100, 200, 400)  # steps at which it is tested, the last one is the end
WIDTHS = (16, 32, 48)
AUGMENTATION = StrongAugmentation(ghost=0.0, blotches=0.0, shift=0.06)  # moved, bent, blurred, noisy


def run(fonts: str, out: Path, execution: Execution) -> None:
    """Train on every set that OUT/recognition.jsonl lacks, and print accuracies after CHECKS steps."""
    data, log = open_fonts(fonts), out / "recognition.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    known = {line["name"] for line in lines}
    held = data.held_out()
    test = data.images(held), data.labels(held)[:, 0]
    generator = SAAEGenerator(train_variant(out, fonts, "three", 0, execution))
    made, contents = draw_latents(generator, max(GENERATED))
    for real in REAL:
        for name, (more, n, kind) in make_sets(real).items():
            if name in known:
                continue
            execution.stop.check()
            rows = choose_rows(data, real + more)
            images = torch.cat([data.images(rows), made[:n]])
            labels = torch.cat([data.labels(rows)[:, 0], contents[:n]])
            accuracy = train(images, labels, test, real if kind == "oversampled" else None, kind == "augmented")
            with log.open("a") as file:
                file.write(json.dumps({"name": name, "accuracy": accuracy}) + "\n")
    for line in log.read_text().splitlines():
        found = json.loads(line)
        print(f"{found['name']:42}" + "  ".join(f"{value:.3f}" for value in found["accuracy"]))


def make_sets(real: int) -> dict[str, tuple[int, int, str]]:
    """How many more real images, how many generated ones, and how they are used, by name."""
    sets = {f"{real} real + {n} generated": (0, n, "") for n in GENERATED}
    sets |= {f"{real} real, oversampled, + {n} generated": (0, n, "oversampled") for n in GENERATED[-1:]}
    sets |= {f"{real} real, augmented": (0, 0, "augmented")}
    sets |= {f"{real} real + {n} generated, augmented": (0, n, "augmented") for n in GENERATED[-1:]}
    return sets | {f"{real} real + {n} more real": (n, 0, "") for n in GENERATED[2:]}


def choose_rows(data: Glyphs, n: int) -> np.ndarray:
    """n rows of the training typefaces; more rows are these and others."""
    rows = np.setdiff1d(np.arange(len(data)), data.held_out())
    return np.random.default_rng(9).permutation(rows)[:n]


def train(
    images: Tensor, labels: Tensor, test: tuple[Tensor, Tensor], half: int | None, augmented: bool
) -> list[float]:
    """Test accuracy after CHECKS steps of a network trained on images and labels.

    half: how many of the first images are half of every batch.
    """
    found = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = make_network(int(test[1].max()) + 1)
    adam = torch.optim.Adam(network.parameters(), lr=1e-3)
    random = torch.Generator().manual_seed(0)
    for step in range(CHECKS[-1]):
        rows = torch.randint(len(images), (BATCH,), generator=random)
        if half:
            rows[: BATCH // 2] = torch.randint(half, (BATCH // 2,), generator=random)
        batch = AUGMENTATION(images[rows].expand(-1, 3, -1, -1), random)[:, :1] if augmented else images[rows]
        loss = F.cross_entropy(network.train()(batch), labels[rows])
        adam.zero_grad()
        loss.backward()
        adam.step()
        if step + 1 in CHECKS:
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
