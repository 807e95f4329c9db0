"""Make rows of an artifact once more, with the networks that it names, and compare them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from gmmedit.artifacts import Artifact
from gmmedit.config import EditSettings
from gmmedit.editing.session import open_session
from gmmedit.errors import InputError
from gmmedit.pictures.pixels import as_shown, to_bytes
from gmmedit.run.folder import RunFolder
from gmmedit.runtime.execution import autocast

Arrays = dict[str, np.ndarray]

# How far rows may be from those made on another machine or by another number of threads, as a share of the largest
# value where that is above 1. Latents of Z come from seeds alone; pictures may differ by a level where they round.
TOLERANCE = 1e-4
TOLERANCES = {"z": 0.0, "images": 1 / 255, "images_before": 1 / 255, "images_after": 1 / 255}


class NotHere(Exception):
    """What a check needs is not there."""


def needed(run: RunFolder, kind: str) -> Artifact:
    """An artifact of the run. NotHere: it is not there. InputError: it cannot be read, or is of another run."""
    if not run.file(kind).is_file():
        raise NotHere(f"{kind}.h5 not there")
    return run.artifact(kind)


def compare_weights(artifact: Artifact, run: RunFolder) -> str:
    """Load the networks that made the artifact and compare fingerprints.

    InputError: other weights. NotHere: what names a network is not there.
    """
    spec, said = artifact.spec, []
    if spec.generator:
        needed(run, "samples")
        said.append(same("generator", spec.generator, run.generator.fingerprint))
    if spec.classifier:
        if not artifact.kind.own_classifier:
            needed(run, "labels")
        classifier = run.classifier_of(artifact) if artifact.kind.own_classifier else run.classifier
        said.append(same("classifier", spec.classifier, classifier.fingerprint))
    if spec.config.get("embedder"):
        record = {"name": Path(spec.config["features"]).name, "fingerprint": spec.config["embedder"]}
        said.append(same("feature network", record, run.embedder_of(artifact).fingerprint))
    if "gan" in spec.config and "gan_fingerprint" in spec.config:  # edits through another generator
        record = {"name": spec.config["gan"], "fingerprint": spec.config["gan_fingerprint"]}
        tuned = run.tuned_renderer(record["name"], run.execution.trusting)
        said.append(same("generator", record, tuned.generator.fingerprint))
    return ", ".join(said)


def same(part: str, recorded: Mapping[str, str], fingerprint: str) -> str:
    """A few words. InputError: the network has other weights than were recorded."""
    if recorded["fingerprint"] != fingerprint:
        found = f"made with {recorded['fingerprint'][:12]}, its weights are now {fingerprint[:12]}"
        raise InputError(f"the {part} {recorded['name']} has changed: {found}")
    return f"{part} {recorded['name']}"


@torch.no_grad()
def resample(samples: Artifact, rows: np.ndarray, run: RunFolder) -> Arrays:
    """z from the seeds, w from z, images from w."""
    needed(run, "samples")
    renderer, execution = run.renderer, run.execution
    z = renderer.generator.draw((samples.spec.seed + rows).tolist())
    made = {"z": z.numpy()}
    latent = z.to(renderer.generator.device)
    if "w" in samples:
        (latent,) = execution.in_batches(lambda part: (renderer.map(part),), latent)
        made["w"] = latent.numpy()
    if "images" in samples:
        space = renderer.space.name
        (images,) = execution.in_batches(lambda part: (renderer.generate(part, space),), latent)
        made["images"] = to_bytes(images)
    return made


@torch.no_grad()
def relabel(labels: Artifact, rows: np.ndarray, run: RunFolder) -> Arrays:
    """Latents from samples.h5, images from them, labels from those."""
    samples = needed(run, "samples")
    needed(run, "labels")
    classifier, renderer = run.classifier, run.renderer
    if not classifier.sees_images:
        logits = torch.cat([classifier.rows(row, row + 1, samples.spec.seed) for row in rows.tolist()])
    else:
        space = renderer.space.name
        latent = torch.from_numpy(picked(samples, space, rows))
        precision = labels.spec.config.get("precision", "fp32")  # older files do not say
        with autocast(precision, run.execution.device):
            (logits,) = run.execution.in_batches(
                lambda part: (classifier.logits(as_shown(renderer.generate(part, space))).float(),), latent
            )
    return {"labels": classifier.from_logits(logits).numpy()}


@torch.no_grad()
def regenerate(edits: Artifact, rows: np.ndarray, run: RunFolder) -> Arrays:
    """Images and labels of the latents before and after; where the latents were moved to is taken as it is."""
    for kind in ("samples", "labels", "mixture"):
        needed(run, kind)
    config = edits.spec.config
    settings = EditSettings.model_validate({key: config[key] for key in EditSettings.model_fields if key in config})
    unpolished = settings.model_copy(update={"polish": 0})  # nothing is moved here, and members are not looked up
    session = open_session(run, unpolished, trusted=run.execution.trusting)
    images, labels = session.generate(torch.from_numpy(picked(edits, "latent", rows)))
    after = [session.generate(torch.from_numpy(latent)) for latent in picked(edits, "latents", rows)]
    return {
        "images_before": images, "labels_before": labels,
        "images_after": np.stack([pixels for pixels, _ in after]),
        "labels_after": np.stack([scores for _, scores in after]),
    }  # fmt: skip


def picked(artifact: Artifact, name: str, rows: np.ndarray) -> np.ndarray:
    """Single rows of a dataset, along the axis of its rows."""
    axis = artifact.kind.row_axis(name) or 0
    return np.concatenate([artifact.rows(name, row, row + 1) for row in rows.tolist()], axis)


def compare_rows(artifact: Artifact, rows: np.ndarray, made: Arrays) -> str:
    """How well rows made once more agree. InputError: one of them differs by more than the tolerance."""
    farthest = 0.0
    for name, again in made.items():
        axis = artifact.kind.row_axis(name) or 0
        kept = picked(artifact, name, rows)
        missing = np.isnan(kept) & np.isnan(again)  # labels that a table does not have
        kept, again = (np.where(missing, 0, array) for array in (kept, again))
        scale = 255 if kept.dtype == np.uint8 else max(1.0, float(np.abs(kept).max()))
        gaps = np.abs(again.astype(np.float64) - kept) / scale
        worst = gaps.max(axis=tuple(i for i in range(gaps.ndim) if i != axis))
        if not worst.max() <= TOLERANCES.get(name, TOLERANCE):  # NaN is none
            row, gap = rows[worst.argmax()], worst.max()
            raise InputError(f"row {row} of /{name}, made once more, is {gap:.2g} away from what is kept")
        farthest = max(farthest, float(worst.max()))
    how = "identical" if farthest == 0 else f"within {farthest:.1e} (another machine, device or number of threads)"
    return f"{len(rows)} rows made once more: {how}"
