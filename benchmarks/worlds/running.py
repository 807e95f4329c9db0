"""The commands of a comparison on a prepared world, each in a process of its own, and its table."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tables import cell, heading, row

ROOT = Path(__file__).parent.parent.parent
COLUMNS = {
    "DT": "dt", "AD@1sd": "ad_mean@1sd", "flips@1": "flips@1", "kept@1": "kept@1", "identity@1": "identity@1",
    "pixels@1": "pixels@1", "precision@1": "precision@1", "fit s": "fit_seconds",
}  # fmt: skip


@dataclass(frozen=True)
class World:
    """A world's files in its folder, and the edits on its sheets."""

    gan: str
    labels: str
    judge: str
    features: str
    edits: tuple[str, ...]


WORLDS = {
    "faces": World(
        "faces_gan.py:load", "faces_labels.yaml", "faces_judge.yaml", "faces_identity.yaml",
        ("smile", "gender=male", "gender=female", "age=old", "mouth=open", "pose=left", "background=light"),
    ),
    "digits": World(
        "digits_networks.py:generator", "digits_labels.yaml", "digits_judge.yaml", "digits_features.yaml",
        ("digit=3", "digit=7", "digit=8", "stroke=thin", "stroke=thick", "slant=left", "slant=right"),
    ),
    "fashion": World(
        "generator.safetensors", "fashion_labels.yaml", "fashion_judge.yaml", "fashion_features.yaml",
        ("kind=trousers", "kind=dress", "kind=sneaker", "kind=bag", "brightness=light", "width=narrow"),
    ),
}  # fmt: skip


def run_world(name: str, folder: Path, run: Path, samples: int, evaluated: int, settings: Path | None) -> None:
    """Sample, label, fit, edit, compare; prints a row for each editor. CalledProcessError: a command failed.

    settings: a YAML file for each command's --config.
    """
    config = ["--config", str(settings.resolve())] if settings else []
    world = WORLDS[name]
    folder = folder.resolve()
    judged = ("--classifier", str(folder / world.judge), "--features", str(folder / world.features))
    each = [word for edit in world.edits for word in ("--attr", edit)]
    for words in (
        ["sample", "--gan", str(folder / world.gan), "-n", str(samples)],
        ["label", "--classifier", str(folder / world.labels)],
        ["fit-single"],
        ["fit-mixture"],
        ["edit", "--each", *each],
        ["compare", "-n", str(evaluated), *judged],
    ):
        call([*words, *config], run)
    print_rows(run / "comparison.jsonl")


def call(words: list[str], run: Path) -> None:
    """`gmmedit WORDS` in the run folder; what is finished is not done again."""
    print("gmmedit", *words, flush=True)
    subprocess.run(
        [sys.executable, "-m", "gmmedit", *words, "--run", str(run.resolve()), "--quiet"], check=True, cwd=ROOT
    )


def print_rows(path: Path) -> None:
    """A row for each editor of a comparison.jsonl: means over all categories."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    figures = {(line["method"], line["metric"], line["attribute"]): line for line in lines}
    heading("editor", *COLUMNS)
    for editor in dict.fromkeys(line["method"] for line in lines):
        print(row(editor, *(cell(figures, editor, metric, "all", None) for metric in COLUMNS.values())))
