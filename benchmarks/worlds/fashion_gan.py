"""A StyleGAN2 of Fashion-MNIST at 32 pixels (28, with a black border); a stopped training resumes."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from gmmedit.generators import stylegan2
from gmmedit.generators.stylegan2 import StyleGAN2Config
from gmmedit.training.checkpoints import append_log, cut_log, read_checkpoint, save_checkpoint
from gmmedit.training.loop import save_sheet
from gmmedit.training.stylegan2 import GANTraining
from gmmedit.training.stylegan2_settings import GANSettings, Knot

NETWORK = StyleGAN2Config(resolution=32, channels=(64, 64, 64, 32), z_dim=64, w_dim=64)
SETTINGS = GANSettings(
    network=NETWORK,
    width=64,
    phases=((16, 64_000), (32, 320_000)),
    schedule=(Knot(0), Knot(192_000), Knot(320_000, 0.05)),
)
CHECKPOINT_EVERY, SHEET_EVERY, LOG_EVERY = 250, 500, 50  # steps


def train(images: np.ndarray, folder: Path) -> Path:
    """Train on images uint8 (n, 32, 32) in the folder, from its checkpoint if there is one; the weights' path."""
    torch.set_num_threads(1)
    path, checkpoint = folder / "generator.safetensors", folder / "generator.checkpoint"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    pool = np.repeat(images[..., None], 3, axis=3)
    saved = read_checkpoint(checkpoint)
    cut_log(checkpoint.with_suffix(".jsonl"), saved)
    training = GANTraining(SETTINGS, None, saved["phase"] if saved else 0)
    if saved:
        training.load_state(saved)
    run_phase(training, pool, folder)
    while training.phase < len(SETTINGS.phases) - 1:
        training = training.grow()
        run_phase(training, pool, folder)
    save_sheet(training, folder / "samples.png")
    stylegan2.save_generator(training.average, path)
    return path


def run_phase(training: GANTraining, pool: np.ndarray, folder: Path) -> None:
    """Train to the end of the phase, with a checkpoint, a log and sheets of samples."""
    for done in training.run(pool):
        if training.step % LOG_EVERY == 0:
            append_log(folder / "generator.jsonl", {"resolution": training.resolution, **asdict(done)})
            print(f"{training.resolution} px, {done.images} images, D {done.d_loss:.2f}, G {done.g_loss:.2f}, "
                  f"{done.images_per_second:.0f} images/s", flush=True)  # fmt: skip
        if training.step % CHECKPOINT_EVERY == 0:
            save_checkpoint(training.state(), folder / "generator.checkpoint")
        if training.step % SHEET_EVERY == 0:
            save_sheet(training, folder / f"samples_{training.resolution}px_{done.images:07d}.png")
            stylegan2.save_generator(training.average, folder / "latest.safetensors")
    save_checkpoint(training.state(), folder / "generator.checkpoint")
