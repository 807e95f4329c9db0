"""Step 1 (claim 2): draw latents from the generator's prior, and map them.

Reads a generator, writes samples.h5. Resumes by chunks of rows.
"""

from pathlib import Path

import numpy as np
import torch

from gmmedit import artifacts, generators
from gmmedit.artifacts import RunSpec
from gmmedit.config import SampleSettings
from gmmedit.generators import Generator
from gmmedit.pictures.pixels import as_shown, to_bytes
from gmmedit.run.interventions import describe_reading, find_acts
from gmmedit.run.prior import record_prior
from gmmedit.run.rendering import Renderer
from gmmedit.runtime.execution import Execution, prepare

READ = 256  # samples in which interventions are read again


def run(folder: Path, settings: SampleSettings, execution: Execution) -> Path:
    """Write folder/samples.h5: z, w if the generator has a mapping network, images on request.

    InputError: the generator is missing or the settings do not suit it; samples.h5 has other settings.
    """
    prepare(execution)
    path, settings = folder / "samples.h5", record_prior(settings)
    renderer = Renderer(generators.load(settings.gan, execution.device, trusted=True), settings)
    _ = renderer.prior  # refused before anything is written
    settings = settings.model_copy(update={"gan": artifacts.network_source(settings.gan)})
    spec = run_spec(renderer.generator, settings)
    if artifacts.is_up_to_date(path, spec, execution):
        return path

    def draw_chunk(start: int, stop: int) -> dict[str, np.ndarray]:
        rows = draw_rows(renderer, start, stop, execution)
        execution.tick(stop, settings.n, "samples")
        return rows

    facts: dict[str, object] = {
        "spaces": {name: space.record() for name, space in renderer.generator.spaces.items()},
        "image_shape": list(renderer.generator.image_shape),
    }
    if settings.do:
        facts["reading"] = read_acts(renderer)
    with artifacts.open_rows(path, spec, execution, facts) as out:
        artifacts.fill_rows(out, draw_chunk)
    return path


@torch.no_grad()
def read_acts(renderer: Renderer) -> list[str]:
    """A line for each intervention: what the encoder in the generator's own file reads in some of the samples."""
    settings, generator = renderer.settings, renderer.generator
    seeds = range(settings.seed, settings.seed + min(settings.n, READ))
    images = renderer.generate(renderer.draw_latents(seeds, "w", len(seeds)), "w")
    acts = find_acts(generator, settings.do, settings.gan)
    return describe_reading(generator, acts, settings.gan, as_shown(images))


def run_spec(generator: Generator, settings: SampleSettings) -> RunSpec:
    """The specification of samples.h5."""
    sizes: dict[str, artifacts.Size] = {f"{name}_dim": space.dim for name, space in generator.spaces.items()}
    if settings.images:
        channels, height, width = generator.image_shape
        sizes |= {"H": height, "W": width, "C": channels}
    return RunSpec(
        kind="samples",
        n=settings.n,
        seed=settings.seed,
        config=settings.record(),
        sizes=sizes,
        generator=artifacts.network_record(settings.gan, generator.fingerprint),
    )


@torch.no_grad()
def draw_rows(renderer: Renderer, start: int, stop: int, execution: Execution) -> dict[str, np.ndarray]:
    """Rows start to stop of each dataset. Latents are mapped in one call, so that w does not depend on the batch."""
    settings, generator = renderer.settings, renderer.generator
    z = renderer.draw(range(settings.seed + start, settings.seed + stop))
    rows = {"z": z.numpy()}
    latent = z.to(generator.device)
    if "w" in generator.spaces:
        latent = renderer.map(latent)
        rows["w"] = latent.cpu().numpy()
    if settings.images:
        space = renderer.space.name
        (pixels,) = execution.in_batches(
            lambda part: (torch.from_numpy(to_bytes(renderer.generate(part, space))),), latent
        )
        rows["images"] = pixels.numpy()
    return rows
