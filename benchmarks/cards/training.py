"""Training of the embedded generator for as long as a card is there."""

import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from gmmedit.datasets.avatars.factors import sample_causal
from gmmedit.datasets.avatars.renderer import render
from gmmedit.errors import InputError
from gmmedit.generators.stylegan2 import StyleGAN2, StyleGAN2Config, save_generator
from gmmedit.runtime.execution import Execution
from gmmedit.runtime.signals import Stopped
from gmmedit.training.checkpoints import read_checkpoint
from gmmedit.training.embedded import train_generator
from gmmedit.training.loop import run_training
from gmmedit.training.pools import to_pixels
from gmmedit.training.stylegan2 import GANTraining
from gmmedit.training.stylegan2_settings import EMBEDDED, GANSettings, Knot
from gmmedit.training.stylegan2_terms import config_at

LONGER = 4  # times the images at 64 pixels of the shipped weights' training
TINY = StyleGAN2Config(resolution=16, channels=(8, 8, 8), z_dim=8, w_dim=8)


def train_on(out: Path, device: str, seconds: float, quick: bool) -> dict[str, Any]:
    """Train in `out`, from its checkpoint if there is one, for so many seconds at most, and write the moving average.

    Of the shipped weights' training the phase at 64 pixels is LONGER times as long. The weights so far are written to
    out/so-far.safetensors; out/generator.jsonl is the log.
    """
    out.mkdir(parents=True, exist_ok=True)
    execution = Execution(device)
    timer = threading.Timer(seconds, execution.stop.ask)
    timer.start()
    began = time.monotonic()
    try:
        train_tiny(out, execution) if quick else train_generator(out, longer_settings(), execution)
    except Stopped:
        pass
    finally:
        timer.cancel()
    return {"seconds": time.monotonic() - began} | write_average(out, TINY if quick else EMBEDDED)


def longer_settings() -> GANSettings:
    """The shipped weights' settings with a longer last phase."""
    usual = GANSettings()
    first, (size, images) = usual.phases
    schedule = tuple(replace(knot, images=knot.images * LONGER) for knot in usual.schedule)
    return replace(usual, phases=(first, (size, images * LONGER)), schedule=schedule)


def train_tiny(out: Path, execution: Execution) -> None:
    """A few steps at 16 pixels."""
    settings = GANSettings(network=TINY, width=8, phases=((16, 32),), pool=16, batch=8, schedule=(Knot(0),))
    training = GANTraining(settings, to_pixels(render(sample_causal(16, 1))), device=execution.device, bf16=False)
    run_training(training, out, lambda path: save_generator(training.average, path), execution)


def write_average(out: Path, network: StyleGAN2Config) -> dict[str, Any]:
    """Write the moving average of the last checkpoint; the step and the last line of the log."""
    saved = read_checkpoint(out / "generator.checkpoint")
    if saved is None:
        raise InputError(f"{out} has no checkpoint of a generator yet", hint="train for longer")
    size = saved["settings"]["phases"][saved["phase"]][0]
    generator = StyleGAN2(config_at(network, size))
    generator.load_state_dict(saved["average"])
    save_generator(generator, out / "so-far.safetensors")
    log = out / "generator.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    return {"step": saved["step"], "size": size, "log": json.loads(lines[-1]) if lines else None}
