"""Does it help a BiGAN to learn the graph jointly with its networks? On small images whose causal model is known.

    python benchmarks/joint.py train --out OUT              # nine trainings, each resumed where it was stopped
    python benchmarks/joint.py train --out OUT --only two-stage_1
    python benchmarks/joint.py measure --out OUT            # the table, OUT/figures.json, a sheet

Signs: grey images of 16 pixels with a ground, a sky, and a figure on it: ground -> sky <- size, sky -> tone -> shape.
Data can tell every direction of this graph. What else differs (place of the figure, noise of every tone) is not
labelled. Three ways: learned (jointly), two-stage (`gmmedit graph` of the labels, without knowledge, then the
networks), none. Values are read by the nearest of all images that the renderer can make, no network.
"""

import argparse
import json
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

from causes import variation

from gmmedit.causal.mechanisms import Mechanism
from gmmedit.causal.model import CausalModel
from gmmedit.config import GraphSettings
from gmmedit.generators.prior import draw_normal
from gmmedit.networks.bigan import BiGAN, read_bigan
from gmmedit.runtime.execution import Execution
from gmmedit.runtime.signals import StopRequest, stoppable
from gmmedit.stages import graph
from gmmedit.training.bigan_from_data import train_bigan
from gmmedit.training.from_data import DataRequest

SIDE, COUNT, IMAGES = 16, 10_000, 16_000
REACH = 2  # pixels by which a figure is off the middle at most
ATTRIBUTES = {
    "ground": ("dark", "light"), "size": ("small", "large"), "sky": ("dark", "light"), "tone": ("grey", "white"),
    "shape": ("disc", "square", "cross"),
}  # fmt: skip
NAMES, SIZES = list(ATTRIBUTES), [len(values) for values in ATTRIBUTES.values()]
GROUND, SIZE, SKY, TONE, SHAPE = range(5)
TONES = {GROUND: (0.1, 0.35), SKY: (0.0, 0.25), TONE: (0.55, 1.0)}
WAYS = ("learned", "two-stage", "none")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["train", "measure"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=IMAGES, help="shown in each training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", help="one training, WAY_SEED")
    parser.add_argument("-n", type=int, default=4_000, help="samples of each intervention")
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = [options.only] if options.only else [f"{way}_{seed}" for seed in range(options.seeds) for way in WAYS]
    if options.command == "train":
        for name in names:
            train(options.out, name, options.images)
    else:
        with torch.no_grad():
            measure(
                options.out, [name for name in names if (options.out / name / "bigan.safetensors").exists()], options.n
            )


# Images


def true_model() -> CausalModel:
    """The causal model of the images."""
    step = np.array([-1.0, 1.0])
    sky, tone = logistic(1.2 * step[:, None] + step), logistic(1.3 * step)
    tables = {
        GROUND: ((), np.full(2, 0.5)), SIZE: ((), np.full(2, 0.5)), SKY: ((GROUND, SIZE), sky), TONE: ((SKY,), tone),
        SHAPE: ((TONE,), np.array([[0.6, 0.3, 0.1], [0.1, 0.3, 0.6]])),
    }  # fmt: skip
    arrows = np.zeros((5, 5), bool)
    for node, (parents, _) in tables.items():
        arrows[list(parents), node] = True
    return CausalModel(arrows, tuple(Mechanism(*tables[node], "table") for node in range(5)))


def logistic(logits: np.ndarray) -> np.ndarray:
    """A table of two values from the logits of the second."""
    second = 1 / (1 + np.exp(-logits))
    return np.stack([1 - second, second], axis=-1)


def render(values: np.ndarray, rng: np.random.Generator | None, places: np.ndarray) -> np.ndarray:
    """Images uint8 (N, 16, 16) of values (N, 5), figures off the middle by places (N, 2); rng: of the tones' noise."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    tones = {node: np.array(pair)[values[:, node]] for node, pair in TONES.items()}
    if rng is not None:
        tones = {node: tone + 0.03 * rng.standard_normal(len(tone)) for node, tone in tones.items()}
    y, x = (np.abs(axis - SIDE / 2 + 0.5 - places[:, i, None, None]) for i, axis in enumerate((rows, columns)))
    reach = np.array([3.4, 5.4])[values[:, SIZE]][:, None, None]
    figures = np.stack([y**2 + x**2 <= reach**2, (y <= reach - 0.4) & (x <= reach - 0.4),
                        (y <= reach) & (x <= reach) & ((y <= 0.3 * reach) | (x <= 0.3 * reach))])  # fmt: skip
    figure = figures[values[:, SHAPE], np.arange(len(values))]
    behind = np.where(rows >= SIDE - 4, tones[GROUND][:, None, None], tones[SKY][:, None, None])
    return (np.where(figure, tones[TONE][:, None, None], behind).clip(0, 1) * 255).round().astype(np.uint8)


def write_data(out: Path) -> Path:
    """10,000 images with their labels in OUT/signs.npz, a tenth of which the trainings hold out."""
    path = out / "signs.npz"
    if not path.exists():
        out.mkdir(parents=True, exist_ok=True)
        rng, values = np.random.default_rng(0), true_model().sample(COUNT, 0)
        images = render(values, rng, rng.integers(-REACH, REACH + 1, (COUNT, 2)))
        np.savez(path, images=images, **dict(zip(NAMES, values.T, strict=True)))
    return path


class Reader:
    """The values of the nearest of all images without noise."""

    def __init__(self) -> None:
        offsets = range(-REACH, REACH + 1)
        combinations = np.array([(*values, y, x) for *values, y, x in product(*map(range, SIZES), offsets, offsets)])
        self.values = combinations[:, :5]
        self.images = torch.from_numpy(render(self.values, None, combinations[:, 5:])).flatten(1).float() / 255

    def read(self, images: Tensor) -> np.ndarray:
        """Values (N, 5) in images (N, 1, 16, 16) in [-1, 1]."""
        shares = ((images + 1) / 2).flatten(1)
        nearest = [torch.cdist(part, self.images).argmin(dim=1) for part in shares.split(500)]
        return self.values[torch.cat(nearest).numpy()]


# Trainings


def train(out: Path, name: str, images: int) -> None:
    """One training, and for two stages the graph before it."""
    data, folder = str(write_data(out)), out / name
    if (folder / "bigan.safetensors").exists():
        return
    way, seed = name.split("_")
    stop = StopRequest()
    execution = Execution(stop=stop)
    with stoppable(stop):
        chosen = way if way != "two-stage" else str(graph.run(out, GraphSettings(), execution, data=data))
        begun = time.process_time()
        facts = train_bigan(folder, DataRequest(data, images=images, seed=int(seed)), [], chosen, False, execution)[2]
    print(f"{name}: {facts['edges']}, {time.process_time() - begun:.0f} s", flush=True)


# Figures


def measure(out: Path, names: list[str], n: int) -> None:
    """Print the figures of every training and the table of means and standard errors."""
    reader, found = Reader(), {}
    rng, values = np.random.default_rng(9), true_model().sample(2_000, 9)
    fresh = render(values, rng, rng.integers(-REACH, REACH + 1, (len(values), 2)))
    right = reader.read(torch.from_numpy(fresh)[:, None].float() / 127.5 - 1) == values
    print(
        f"the reader is right in unseen images: {dict(zip(NAMES, right.mean(axis=0).round(4).tolist(), strict=True))}"
    )
    for name in names:
        found[name] = figures_of(read_bigan(out / name / "bigan.safetensors"), reader, n)
        print(f"{name}: {found[name]}", flush=True)
    (out / "figures.json").write_text(json.dumps(found, indent=1))
    for way in WAYS:
        rows = [figures for name, figures in found.items() if name.startswith(f"{way}_")]
        cells = [mean_of([row[key] for row in rows]) for key in rows[0] if key != "edges"] if rows else []
        print(f"| {way} | {' | '.join(cells)} |")
    write_sheet(out, names)


def mean_of(numbers: list[float]) -> str:
    """Mean and standard error."""
    error = np.std(numbers, ddof=1) / np.sqrt(len(numbers)) if len(numbers) > 1 else 0
    return f"{np.mean(numbers):.3f} ± {error:.3f}"


def figures_of(network: BiGAN, reader: Reader, n: int) -> dict[str, Any]:
    """Graph, samples, interventions and the asymmetry of a trained file; total variation from the true rates."""
    truth, w = true_model(), network.map(draw_normal(range(n), network.config.dim))
    edges = network.equations.mask.numpy()
    made = {None: w} | {
        (node, value): network.counterfactual(w, {node: torch.full((n,), value)})
        for node, size in enumerate(SIZES) for value in range(size)
    }  # fmt: skip
    seen = {
        act: reader.read(torch.cat([network.synthesize(part) for part in each.split(250)]))
        for act, each in made.items()
    }
    inside = {act: network.equations.values(network.split(each)[0]).numpy() for act, each in made.items()}
    wanted = {act: rates_of(truth.sample(100_000, 0, {} if act is None else dict([act]))) for act in made}
    far = {act: variation(rates_of(values), wanted[act]) for act, values in seen.items()}
    acts = [act for act in made if act]
    others = [distance for act in acts for node, distance in enumerate(far[act]) if node != act[0]]
    return {
        "distance": float(((edges != truth.arrows) | (edges.T != truth.arrows.T))[np.triu_indices(5, 1)].sum()),
        "samples": float(np.mean(far[None])),
        "set": float(np.mean([far[act][act[0]] for act in acts])),
        "others": float(np.mean(others)),
        "others, latents": float(np.mean([
            distance for act in acts for node, distance in enumerate(variation(rates_of(inside[act]), wanted[act]))
            if node != act[0]
        ])),
        "sky on tone": effect(seen, SKY, TONE),
        "tone on sky": effect(seen, TONE, SKY),
        "tone on shape": effect(seen, TONE, SHAPE),
        "shape on tone": float((seen[SHAPE, 2][:, TONE] == 1).mean() - (seen[SHAPE, 0][:, TONE] == 1).mean()),
        "edges": [f"{NAMES[cause]}->{NAMES[effect]}" for cause, effect in np.argwhere(edges)],
    }  # fmt: skip


def effect(seen: dict[Any, np.ndarray], node: int, other: int) -> float:
    """By how much the rate of the last value of another attribute rises from do(first value) to do(second)."""
    last = SIZES[other] - 1
    return float((seen[node, 1][:, other] == last).mean() - (seen[node, 0][:, other] == last).mean())


def rates_of(values: np.ndarray) -> list[np.ndarray]:
    """The rates of each attribute's values in (N, 5)."""
    return [np.bincount(column, minlength=size) / len(values) for column, size in zip(values.T, SIZES, strict=True)]


def write_sheet(out: Path, names: list[str]) -> None:
    """Sixteen images of the data, and for every training sixteen samples, then these with a light sky."""
    rows = [np.load(out / "signs.npz")["images"][:16]]
    for name in names:
        network = read_bigan(out / name / "bigan.safetensors")
        w = network.map(draw_normal(range(16), network.config.dim))
        for latents in (w, network.counterfactual(w, {SKY: torch.ones(16, dtype=torch.long)})):
            rows.append(((network.synthesize(latents)[:, 0] + 1) * 127.5).round().clamp(0, 255).byte().numpy())
    pixels = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
    sheet = Image.fromarray(pixels)
    sheet.resize((sheet.width * 4, sheet.height * 4), Image.Resampling.NEAREST).save(out / "signs.png")


if __name__ == "__main__":
    main()
