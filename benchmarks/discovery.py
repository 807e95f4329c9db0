"""What `gmmedit discover` finds against its controls: disentanglement of the encoder, purity and drift of directions.

    gmmedit train stylegan2 --data shapes --size 32 --images 80000 --out runs/shapes
    gmmedit sample --gan runs/shapes/generator.safetensors -n 4000 --run runs/shapes
    python benchmarks/discovery.py --run runs/shapes --data shapes --out runs/discovery --seeds 0,1

Every variant (the full method, its controls with the same encoder and contrast, VAEs, ablations) and seed is a line of
OUT/results.jsonl; what is there is not computed again, and a stopped discovery resumes. --most N ends after N lines.
Directions are judged by an oracle that no variant has seen: a classifier of all factors, trained on the data's own
images. The change of a factor by a shift is the total variation between the oracle's answers before and after it, in
units of two random samples.
Purity of a direction: its largest change over the sum of all; coverage: share of factors that are the largest change of
some direction of purity above 0.5. Drift: mean change of all other factors, at the shift where the largest is 0.5.
"""

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gmmedit import artifacts, classifiers, datasets
from gmmedit.config import DiscoverSettings
from gmmedit.datasets import DataSet
from gmmedit.discovery.controls import ControlSettings, make_control, training_rows
from gmmedit.discovery.latents import step_random
from gmmedit.discovery.network import CodeConfig, make_network
from gmmedit.discovery.protocol import QUICK, Pool, measure
from gmmedit.discovery.reading import read_directions, read_encoder
from gmmedit.pictures.pixels import as_shown
from gmmedit.run.folder import RunFolder
from gmmedit.runtime.execution import Execution
from gmmedit.stages import discover

VARIANTS = {
    "components": {"method": "components"},
    "components apart": {"method": "components", "share": 1.0},
    "components unturned": {"method": "components", "turn": False},
    "components by coordinates": {"method": "components", "encoder": "regression"},
    "full": {"method": "contrastive"},
    "sefa": {"method": "sefa"},
    "pca": {"method": "pca"},
    "shift": {"method": "shift"},
    "random": {"method": "random"},
    "varimax": {"method": "varimax"},
    "varimax apart": {"method": "varimax", "share": 1.0},
    "sefa read": {"method": "sefa", "encoder": "regression"},
    "sefa read apart": {"method": "sefa", "encoder": "regression", "share": 1.0},
    "pca read": {"method": "pca", "encoder": "regression"},
    "shift read": {"method": "shift", "encoder": "regression"},
    "random read": {"method": "random", "encoder": "regression"},
    "full read": {"method": "contrastive", "encoder": "regression"},
    "full without flipping": {"method": "contrastive", "flip": 1.0},
    "full without entropy": {"method": "contrastive", "entropy": 0.0},
    "full without decomposition": {"method": "contrastive", "decomposition": False},
    "full without candidates": {"method": "contrastive", "candidate_steps": 0},
    "full with NCE": {"method": "contrastive", "loss": "nce"},
}
CONTROLS, VAE_CODE = ("vae", "beta-vae"), 10
SHIFTS = (0.5, 1.0, 1.5, 2.0, 3.0)  # standard deviations of the prior
PURE, TARGET = 0.5, 0.5
MOVED = 32  # samples that every direction moves, both ways
ORACLE_STEPS, ORACLE_BATCH = 1500, 64


class Oracle:
    """Probabilities of every factor's values in images, and how much they differ between two samples."""

    def __init__(self, read: torch.nn.Module, columns: Sequence[slice], names: Sequence[str], accuracy: dict) -> None:
        self.read, self.columns, self.names, self.accuracy = read, columns, names, accuracy

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to (N, K)."""
        parts = [self.read(part) for part in images.split(256)]
        logits = torch.cat(parts)
        return torch.cat([logits[:, columns].softmax(1) for columns in self.columns], 1)

    def changes(self, before: Tensor, after: Tensor) -> Tensor:
        """Total variation (N, F) between probabilities (N, K)."""
        return torch.stack([(after - before)[:, c].abs().sum(1) / 2 for c in self.columns], 1)


def columns_of(values: Sequence[int]) -> list[slice]:
    """The columns of each factor's values."""
    ends = np.cumsum(values).tolist()
    return [slice(end - count, end) for end, count in zip(ends, values, strict=True)]


def train_oracle(data: DataSet, out: Path) -> Oracle:
    """A classifier of all factors, trained on images that are not held out; accuracy of each on those that are."""
    columns = columns_of([len(attribute.values) for attribute in data.attributes])
    network = make_network(CodeConfig(data.image_shape, columns[-1].stop), 99)
    names, path = [attribute.name for attribute in data.attributes], out / "oracle.pt"
    if path.exists():
        network.load_state_dict(torch.load(path, weights_only=True))
    else:
        adam, rows = torch.optim.Adam(network.parameters(), lr=2e-3), training_rows(data)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, ORACLE_STEPS)
        for step in range(ORACLE_STEPS):
            chosen = rows[torch.randint(len(rows), (ORACLE_BATCH,), generator=step_random(99, step)).numpy()]
            images, labels, _ = data.batch(chosen)
            answers = network(images)
            loss = sum(F.cross_entropy(answers[:, c], labels[:, f]) for f, c in enumerate(columns))
            adam.zero_grad()
            loss.backward()  # type: ignore[union-attr]
            adam.step()
            schedule.step()
        torch.save(network.state_dict(), path)
    network.eval().requires_grad_(False)
    images, labels, _ = data.batch(data.held_out()[:1000])
    right = {name: float((network(images)[:, c].argmax(1) == labels[:, f]).float().mean())
             for f, (name, c) in enumerate(zip(names, columns, strict=True))}  # fmt: skip
    return Oracle(network, columns, names, right)


def embedded_oracle() -> Oracle:
    """The evaluation classifier of avatars."""
    classifier = classifiers.load("avatars-eval")
    columns = columns_of([len(attribute.values) for attribute in classifier.attributes])
    names = [attribute.name for attribute in classifier.attributes]

    class Read(torch.nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return classifier.logits(images)

    return Oracle(Read(), columns, names, {})


@torch.no_grad()
def judge_directions(run: Path, path: Path, oracle: Oracle, execution: Execution) -> dict:
    """Purity, coverage and drift of the directions in a directions.h5."""
    with RunFolder(run, execution) as folder, artifacts.open(path, "directions") as artifact:
        directions, renderer = read_directions(artifact), folder.renderer
        units = torch.from_numpy(artifact["directions"])
        latents = torch.from_numpy(folder.samples[directions.space][-2 * MOVED :])
    chart, space = directions.chart, directions.space

    def read(latent: Tensor) -> Tensor:
        return oracle.probabilities(as_shown(renderer.generate(latent, space)))

    before = read(latents)
    unit = oracle.changes(before, before.roll(MOVED, 0)).mean(0)  # (F,)
    latents, before = latents[:MOVED], before[:MOVED]
    x = chart.to_x(latents)
    table = torch.zeros(len(units), len(SHIFTS), len(unit))
    for number, direction in enumerate(units):
        for s, shift in enumerate(SHIFTS):
            both = [read(chart.from_x(x + sign * shift * direction)) for sign in (1, -1)]
            table[number, s] = torch.stack([oracle.changes(before, after).mean(0) for after in both]).mean(0) / unit
    return summarise(table, oracle.names)


def summarise(table: Tensor, names: Sequence[str]) -> dict:
    """From changes (k, shifts, F): purity, coverage, drift, how many directions reach the target."""
    at_one = table[:, SHIFTS.index(1.0)]
    purity, best = (at_one / at_one.sum(1, keepdim=True)).max(1)
    found = {names[int(f)] for f, pure in zip(best, purity, strict=True) if pure > PURE}
    drift = []
    for number in range(len(table)):
        target = table[number].mean(0).argmax()
        curve = np.maximum.accumulate(table[number, :, target].numpy())
        if curve[-1] < TARGET:
            continue
        others = [f for f in range(len(names)) if f != target]
        at = np.interp(TARGET, np.concatenate([[0], curve]), [0, *SHIFTS])
        drift.append(float(np.mean([np.interp(at, [0, *SHIFTS], [0, *table[number, :, f]]) for f in others])))
    return {
        "purity": float(purity.mean()), "purity_best": float(purity.max()), "coverage": len(found) / len(names),
        "covered": sorted(found), "drift": float(np.mean(drift)) if drift else None, "reached": len(drift),
    }  # fmt: skip


def discover_variant(args: argparse.Namespace, name: str, seed: int, execution: Execution) -> Path:
    """The directions.h5 of a variant and seed, in a folder of its own, which shares stage 1 with those before it."""
    place = args.out / f"{name.replace(' ', '_')}_{seed}"
    place.mkdir(parents=True, exist_ok=True)
    if not (place / "samples.h5").exists():
        shutil.copy(args.run / "samples.h5", place)
    shared, own = args.out / f"candidates_{seed}", place / "directions"
    if shared.exists() and not own.exists():
        shutil.copytree(shared, own)
    settings = DiscoverSettings(
        k=args.k, seed=seed, steps=args.steps, candidate_steps=args.candidate_steps, groups=args.groups,
        repeats=args.repeats,
    ).model_copy(update=VARIANTS[name])  # fmt: skip
    path = discover.run(place, settings, execution)
    if not shared.exists() and (own / "candidates.safetensors").exists():
        shared.mkdir()
        for file in own.glob("candidates.*"):
            shutil.copy(file, shared)
    return path


def run_variant(args: argparse.Namespace, name: str, seed: int, pool: Pool, oracle: Oracle) -> dict:
    """A line of the results."""
    execution, began = Execution(), time.process_time()
    if name in CONTROLS:
        code = VAE_CODE if args.k == "auto" else args.k
        encode = make_control(name, pool.data, ControlSettings(code, args.vae_steps, seed), execution)
        judged = {}
    else:
        path = discover_variant(args, name, seed, execution)
        with artifacts.open(path, "directions") as artifact:
            encode = read_encoder(artifact)
        judged = judge_directions(args.run, path, oracle, execution)
    trained = time.process_time() - began
    scores = measure(encode, pool, 0, execution)
    return {"variant": name, "seed": seed, "seconds": round(trained), **scores, **judged}


def main() -> None:
    """Compute what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", default="shapes")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--variants", default=",".join([*VARIANTS, *CONTROLS]))
    for name, default in (("steps", 500), ("candidate-steps", 300), ("groups", 8), ("repeats", 4),
                          ("vae-steps", 1000), ("most", 1000)):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--k", default="auto")
    args = parser.parse_args()
    args.k = args.k if args.k == "auto" else int(args.k)
    args.out.mkdir(parents=True, exist_ok=True)
    with RunFolder(args.run, Execution()) as folder:
        size = folder.image_shape[1]
    data = datasets.load(args.data, size)
    oracle = embedded_oracle() if args.data.startswith("avatars") else train_oracle(data, args.out)
    pool = Pool(data, QUICK)
    print(json.dumps({"oracle": oracle.accuracy}), flush=True)
    results = args.out / "results.jsonl"
    lines = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    done = {(line["variant"], line["seed"]) for line in lines}
    for seed in map(int, args.seeds.split(",")):
        for name in args.variants.split(","):
            if (name, seed) not in done and len(done) < len(lines) + args.most:
                line = run_variant(args, name, seed, pool, oracle)
                with results.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(json.dumps(line), flush=True)
                done.add((name, seed))


if __name__ == "__main__":
    main()
