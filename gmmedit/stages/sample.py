"""Step 1 (claim 2): draw latents as the GAN prescribes, and map them.

Reads a generator, writes samples.h5. Resumes by chunks of rows.
"""

from pathlib import Path

import numpy as np
import torch

from gmmedit import artifacts
from gmmedit.artifacts import Question
from gmmedit.config import SampleSettings
from gmmedit.generators import Generator
from gmmedit.pictures.pixels import to_bytes
from gmmedit.run.prior import load_sampled, mapped, painter
from gmmedit.run.rendering import Execution, in_batches, network_record, network_source, prepare
from gmmedit.runtime.distributed import fill


def run(folder: Path, settings: SampleSettings, execution: Execution) -> Path:
    """Write folder/samples.h5: z, w where the generator has a mapping, images on request."""
    prepare(execution)
    path = folder / "samples.h5"
    generator = load_sampled(settings, execution.device)
    settings = settings.model_copy(update={"gan": network_source(settings.gan)})
    question = ask(generator, settings)
    if execution.finished(path, question):
        return path

    def drawn(start: int, stop: int) -> dict[str, np.ndarray]:
        rows = draw(generator, settings, start, stop, execution.rows_per_call)
        execution.tick(stop, settings.n, "samples")
        return rows

    facts = {"spaces": {name: space.record() for name, space in generator.spaces.items()}}
    with execution.ranks.rows(path, question, execution.restart, facts, execution.force) as out:
        fill(out, drawn)
    return path


def ask(generator: Generator, settings: SampleSettings) -> Question:
    sizes: dict[str, artifacts.Size] = {f"{name}_dim": space.dim for name, space in generator.spaces.items()}
    if settings.images:
        channels, height, width = generator.image_shape
        sizes |= {"H": height, "W": width, "C": channels}
    return Question(
        kind="samples",
        n=settings.n,
        seed=settings.seed,
        config=settings.model_dump(),
        sizes=sizes,
        generator=network_record(settings.gan, generator.fingerprint),
    )


@torch.no_grad()
def draw(generator: Generator, settings: SampleSettings, start: int, stop: int, batch: int) -> dict[str, np.ndarray]:
    """Rows start to stop. Latents are mapped all at once, so that w does not depend on the batch."""
    z = generator.draw(range(settings.seed + start, settings.seed + stop))
    rows = {"z": z.numpy()}
    latent = z.to(generator.device)
    if "w" in generator.spaces:
        latent = mapped(generator, latent, settings)
        rows["w"] = latent.cpu().numpy()
    if settings.images:
        paint = painter(generator, "w", settings)
        (pixels,) = in_batches(lambda rows: (torch.from_numpy(to_bytes(paint(rows))),), latent, batch)
        rows["images"] = pixels.numpy()
    return rows
