"""Photographs to latents: read, cut, invert, compare with the inversions of the generator's own samples.

Reads samples.h5 and, if there is one, labels.h5, generator, encoder and features; writes inversions.h5, the PNGs and a
sheet in `inversions`, and own_inversions.h5. Resumes image by image.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gmmedit import artifacts
from gmmedit.artifacts import RunSpec
from gmmedit.config import EvaluateSettings, InvertSettings, TuneSettings
from gmmedit.editing.alignment import Landmarks, read_landmarks
from gmmedit.editing.inversion import Inversion, Inverter
from gmmedit.editing.inversion_images import make_image_folder, refuse_foreign, write_images
from gmmedit.editing.inverter import open_inverter, with_own_errors
from gmmedit.editing.photographs import is_sheet, list_images, list_photographs, read_photograph
from gmmedit.editing.tuning import tune as tune_generator
from gmmedit.errors import InputError
from gmmedit.pictures.pixels import to_bytes
from gmmedit.run.folder import RunFolder
from gmmedit.run.hold_out import first_unseen
from gmmedit.run.rendering import Renderer
from gmmedit.run.tuned import find_tuned, is_tuned, read_record, read_tuned, tuned_path, write_tuned
from gmmedit.runtime.execution import Execution, prepare
from gmmedit.runtime.storage import lock

OWN = "own_inversions.h5"
log = logging.getLogger("gmmedit")


@dataclass(frozen=True)
class Photographs:
    """The images to invert, cut, and an error for each file that cannot be used."""

    names: list[str]
    pixels: np.ndarray  # uint8 (N, H, W, C)
    refused: list[InputError]


def run(
    folder: Path,
    settings: InvertSettings,
    paths: Sequence[Path],
    execution: Execution,
    landmarks: Path | None = None,
    tune: TuneSettings | None = None,
    out: Path | None = None,
) -> tuple[Path, list[InputError]]:
    """Write inversions.h5 of the images in files and folders into `out`, by default the run folder.

    Returns its path, and an error for each unusable file.

    landmarks: a CSV of five landmarks by file name, by which faces are aligned before the cut. tune: also write a copy
    of the generator that is tuned around the latents, beside inversions.h5. InputError: no file can
    be used; an artifact or network is missing or has changed; inversions.h5 has other images or settings; `out` has
    images that no inversion wrote. RunError: another process inverts into the same folder.
    """
    prepare(execution)
    path = (out or folder) / "inversions.h5"
    found = list_photographs(paths)
    note_sheets(paths)
    with RunFolder(folder, execution) as run_folder:
        inverter = open_inverter(run_folder, settings)
        photographs = read_photographs(found, inverter, read_landmarks(landmarks) if landmarks else None)
        if not photographs.names:
            raise photographs.refused[0]
        with lock(path):
            if out:
                refuse_foreign(path)
            make_image_folder(path)
            inverter = with_own_errors(inverter, invert_own(run_folder, inverter)) if settings.own else inverter
            write_inversions(path, run_spec(run_folder, inverter, photographs), inverter, photographs.pixels)
            if tune:
                write_tuned_generator(path, inverter, tune)
            write_images(path, reconstruct_tuned(path, inverter))
    return path, photographs.refused


def note_sheets(paths: Sequence[Path]) -> None:
    """Log a note on the sheets of gmmedit's own that are in the folders."""
    sheets = [str(file) for path in paths if path.is_dir() for file in list_images(path) if is_sheet(file)]
    if sheets:
        log.warning("note: left out, written by gmmedit: %s", ", ".join(sheets))


def read_photographs(found: Sequence[tuple[str, Path]], inverter: Inverter, landmarks: Landmarks | None) -> Photographs:
    """Read and cut the images; those that cannot be are refused, and the others done."""
    names, cut, refused = [], [], []
    for name, path in found:
        try:
            image = read_photograph(path, str(path))
            cut.append(inverter.cut(landmarks.align(image, name) if landmarks else image, str(path)))
            names.append(name)
        except InputError as error:
            refused.append(error)
    return Photographs(names, np.stack(cut) if cut else np.zeros(0, np.uint8), refused)


def invert_own(run_folder: RunFolder, inverter: Inverter) -> np.ndarray:
    """The errors (R,) of inversions of samples that no fit has seen, from own_inversions.h5, written if missing."""
    count = inverter.settings.own
    first = first_unseen(EvaluateSettings().first_seed, count, run_folder.samples)
    seeds = list(range(first, first + count))
    own = Photographs([f"seed {seed}" for seed in seeds], inverter.generate_seeds(seeds), [])
    path = run_folder.path / OWN
    write_inversions(path, run_spec(run_folder, inverter, own), inverter, own.pixels, "own samples", force=True)
    with artifacts.open(path, "inversions") as found:
        return found["error"]


def write_inversions(
    path: Path, spec: RunSpec, inverter: Inverter, pixels: np.ndarray, what: str = "images", force: bool = False
) -> None:
    """Write the inversions of images uint8 (N, H, W, C), image by image, unless they are there.

    force: replace a file of other settings; `what`: the word for the images in the progress.
    """
    execution, own = inverter.execution, inverter.own_errors
    force = force or execution.force
    if artifacts.is_finished(path, spec, force=force):
        execution.kept.add(path)
        return
    constants = {} if own is None else {"own_errors": own.astype(np.float32)}
    facts = {"notes": list(inverter.notes)} if inverter.notes else {}
    held = path.name != OWN  # the caller holds the lock of inversions.h5
    with artifacts.create_rows(
        path, spec, constants, 1, execution.restart, attrs=facts, held=held, force=force
    ) as writer:
        for start, stop in writer.pending():
            execution.stop.check()
            writer.write(start, stop, dict(fields_of(inverter.invert_pixels(pixels[start]))))
            execution.tick(stop, len(pixels), what)
        writer.finish()


def write_tuned_generator(path: Path, inverter: Inverter, settings: TuneSettings) -> None:
    """Tune a copy of the generator around inversions.h5, unless it is there. InputError: it has no gradients."""
    generator = inverter.renderer.generator
    if not generator.differentiable:
        raise InputError("the generator has no gradients", hint="omit --tune")
    with artifacts.open(path, "inversions") as found:
        latents, pixels = torch.from_numpy(found["latents"]), found["images"]
        record = {"generator": generator.fingerprint, "inversions": found.fingerprint} | settings.model_dump()
    file = tuned_path(path)
    if not (is_tuned(file) and read_record(file) == record):
        write_tuned(file, tune_generator(inverter, latents.to(generator.device), pixels, settings), record)


@torch.no_grad()
def reconstruct_tuned(path: Path, inverter: Inverter) -> np.ndarray | None:
    """Reconstructions uint8 (N, H, W, C) by the generator tuned around inversions.h5; None: there is none."""
    with artifacts.open(path, "inversions") as found:
        file, latents = find_tuned(found), torch.from_numpy(found["latents"])
    if file is None:
        return None
    renderer = Renderer(read_tuned(file, inverter.renderer.generator), inverter.renderer.settings)
    return np.concatenate([to_bytes(renderer.generate(row, inverter.space)) for row in latents.split(1)])


def fields_of(inversion: Inversion) -> Iterator[tuple[str, np.ndarray]]:
    """The datasets of one row."""
    yield "latents", inversion.latent.numpy()[None]
    yield "images", inversion.image[None]
    yield "reconstructions", inversion.reconstruction[None]
    for name in ("start_error", "error", "feature_error", "density", "percentile"):
        yield name, np.array([getattr(inversion, name)], np.float32)


def run_spec(run_folder: RunFolder, inverter: Inverter, photographs: Photographs) -> RunSpec:
    """The specification of inversions.h5."""
    samples, generator = run_folder.samples, run_folder.generator
    channels, height, width = generator.image_shape
    layers, dim = generator.spaces[inverter.space].layers, generator.spaces[inverter.space].dim
    labels = {} if inverter.thumbnails is None else {"labels": run_folder.labels.fingerprint}
    config = inverter.settings.model_dump(exclude=set() if inverter.rest else {"rest_prior"}) | {
        "files": photographs.names,
        "images": artifacts.tensors_fingerprint({"images": photographs.pixels}),
        "encoder_fingerprint": inverter.encoder.fingerprint if inverter.encoder else "",
        **({"embedder": inverter.embedder} if inverter.embedder else {}),
    }
    sizes = {"L": layers, "D": dim, "H": height, "W": width, "C": channels}
    return RunSpec(
        kind="inversions",
        n=len(photographs.names),
        seed=samples.spec.seed,
        config=config,
        sizes=sizes | ({} if inverter.own_errors is None else {"R": len(inverter.own_errors)}),
        parents={"samples": samples.fingerprint} | labels,
        generator=samples.spec.generator,
    )  # fmt: skip
