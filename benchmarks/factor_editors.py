"""IFcVAE-GAN's own editor beside the mixture's, on the same held-out renders: inverted, edited, held against the truth.

    python benchmarks/factor_editors.py runs/factor -n 100               # after make factor
    python benchmarks/factor_editors.py runs/factor -n 40 --other runs/default --steps 100

`code` encodes once, sets the attribute's unit and decodes once. The mixture of the same model edits the same latents
(`invert --steps 0`, `edit --inverted`), decoded as they are, and as `edit` pastes changes into the render. `--other`
is a run of another generator of avatars, of its own size, to which the same renders are inverted with STEPS steps, and
whose edits are pasted. Every render is edited to the other value of each attribute. Read by `avatars-eval`, which no
training used.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

from gmmedit import artifacts, classifiers, datasets
from gmmedit.classifiers.trained import TrainedNetwork
from gmmedit.datasets import DataSet
from gmmedit.datasets.avatars.factors import ATTRIBUTES
from gmmedit.evaluation.metrics.editing import wilson_interval
from gmmedit.networks.ifcvae import IFcVAE, read_ifcvae
from gmmedit.pictures.pixels import as_shown, to_bytes
from gmmedit.training.labelled import spread

Edited = dict[tuple[str, int], Tensor]  # images (N, C, S, S) by attribute and value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of make factor: ifcvae-gan.safetensors, and run with a mixture")
    parser.add_argument("--data", default="avatars-independent", choices=("avatars", "avatars-independent"))
    parser.add_argument("-n", type=int, default=100, help="held-out renders")
    parser.add_argument("--other", type=Path, help="run with the mixture of another generator")
    parser.add_argument("--steps", type=int, default=100, help="of the inversion to it")
    options = parser.parse_args()
    network = read_ifcvae(options.folder / "ifcvae-gan.safetensors")
    names = [name for name, _ in network.config.attributes]
    data = datasets.load(options.data, network.config.image_shape[1])
    rows = spread(data.held_out(), options.n)
    print("| editor | arrives (95 %) | other labels kept | error to the true render / of the inversion |")
    print("|---|---|---|---|")
    images = data.images(rows)
    latents = network.encode(images)
    report("code", data, rows, names, network.decode(latents), set_units(network, latents, names))
    run = options.folder / "run"
    before, pasted = edit_run(run, write_renders(images, options.folder / "renders"), 0, names)
    report("mixture, the same latents", data, rows, names, before, decode_edits(network, run, names))
    report("the same, pasted into the render", data, rows, names, before, pasted)
    if options.other:
        with artifacts.open(options.other / "samples.h5") as samples:
            size = samples["images"].shape[1]
        data = datasets.load(options.data, size)
        files = write_renders(data.images(rows), options.folder / f"renders-{size}")
        found = edit_run(options.other, files, options.steps, names)
        report(f"mixture of {options.other.name}", data, rows, names, *found)


def set_units(network: IFcVAE, latents: Tensor, names: list[str]) -> Edited:
    """The images of latents (N, K + nz) with each attribute's unit set to each value."""
    found = {}
    for unit, name in enumerate(names):
        for value in (0, 1):
            edited = latents.clone()
            edited[:, unit] = value
            found[name, value] = network.decode(edited)
    return found


def write_renders(images: Tensor, folder: Path) -> Path:
    """The folder with images (N, C, S, S) as PNG files, in the order of their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(to_bytes(as_shown(images))):
        Image.fromarray(pixels).save(folder / f"render_{number:04d}.png")
    return folder


def edit_run(run: Path, renders: Path, steps: int, names: list[str]) -> tuple[Tensor, Edited]:
    """Invert the renders in a run and edit them with its mixture: their reconstructions, and the edits."""
    gmmedit("invert", renders, "--run", run, "--steps", steps, "--force")
    wanted = [(name, value) for name in names for value in (0, 1)]
    attrs = [word for name, value in wanted for word in ("--attr", f"{name}={ATTRIBUTES[name][value]}")]
    gmmedit("edit", "--inverted", "--each", *attrs, "--run", run, "--index", f"0-{len(list(renders.iterdir())) - 1}")
    with artifacts.open(run / "inversions.h5") as found, artifacts.open(run / "edits.h5") as edits:
        before, after = to_images(found["reconstructions"]), map(to_images, edits["images_after"])
        return before, dict(zip(wanted, after, strict=True))


@torch.no_grad()
def decode_edits(network: IFcVAE, run: Path, names: list[str]) -> Edited:
    """The images of the edited latents of a run's edits.h5, as they are, not pasted into the photographs."""
    with artifacts.open(run / "edits.h5") as edits:
        latents = torch.from_numpy(np.asarray(edits["latents"])).flatten(2)
    wanted = [(name, value) for name in names for value in (0, 1)]
    return {place: network.decode(some) for place, some in zip(wanted, latents, strict=True)}


def to_images(pixels: np.ndarray) -> Tensor:
    """Pixels uint8 (N, H, W, C) as images (N, C, H, W) in [-1, 1]."""
    return torch.from_numpy(np.asarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1


def gmmedit(*words: str | int | Path) -> None:
    """Run a command of gmmedit. CalledProcessError: it failed."""
    subprocess.run([sys.executable, "-m", "gmmedit", *map(str, words), "--quiet"], check=True)


@torch.no_grad()
def report(editor: str, data: DataSet, rows: np.ndarray, names: list[str], before: Tensor, edits: Edited) -> None:
    """A line of the table: each render's edits to the other value of each attribute."""
    images, labels, _ = data.batch(rows)
    read, arrived, kept, errors = open_reader(), [], [], []
    for name in names:
        column = list(ATTRIBUTES).index(name)
        others = [i for i in range(len(ATTRIBUTES)) if i != column]
        for value in (0, 1):
            chosen = labels[:, column] == 1 - value
            made = edits[name, value][chosen]
            truth = data.counterfactual(rows[chosen.numpy()], {name: ATTRIBUTES[name][value]})
            guesses = read(made)
            arrived.append(guesses[:, column] == value)
            kept.append((guesses == labels[chosen])[:, others].float().mean(1))
            errors.append((made - truth).abs().mean((1, 2, 3)))
    share, n = float(torch.cat(arrived).float().mean()), len(torch.cat(arrived))
    low, high = wilson_interval(share, n)
    error, own = float(torch.cat(errors).mean()), float((before - images).abs().mean())
    print(
        f"| {editor} | {share:.3f} ({low:.3f}-{high:.3f}) | {float(torch.cat(kept).mean()):.3f} "
        f"| {error:.4f} / {own:.4f} = {error / own:.2f} |",
        flush=True,
    )


def open_reader() -> Callable[[Tensor], Tensor]:
    """Images (n, C, S, S) to the values (n, A) of all attributes of avatars that `avatars-eval` reads."""
    network = classifiers.load("avatars-eval")
    assert isinstance(network, TrainedNetwork)
    widths = [len(values) for values in ATTRIBUTES.values()]
    return lambda images: torch.stack([part.argmax(1) for part in network.logits(images).split(widths, dim=1)], dim=1)


if __name__ == "__main__":
    main()
