"""Recompute rows of an artifact with the networks that it names, and compare them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gmmedit.artifacts import Artifact
from gmmedit.config import EditSettings
from gmmedit.editing.identity import compare_identity
from gmmedit.editing.pasting import PastedColumn, amount_of
from gmmedit.editing.request import edited_columns
from gmmedit.editing.session import open_session
from gmmedit.errors import InputError
from gmmedit.pictures.pixels import as_shown, to_bytes
from gmmedit.run.folder import RunFolder
from gmmedit.run.hold_out import labels_photographs
from gmmedit.run.rendering import make_thumbnails
from gmmedit.runtime.execution import autocast

Arrays = dict[str, np.ndarray]

# Largest difference between rows computed on different machines or with different numbers of threads, relative to the
# largest value if that is above 1. Latents of Z depend on seeds alone; images may differ by one of 255 levels.
TOLERANCE = 1e-4
TOLERANCES = {"z": 0.0, **dict.fromkeys(("images", "thumbnails", "images_before", "images_after"), 1 / 255)}


class MissingFile(Exception):
    """A file that a check needs is missing."""


def require(run: RunFolder, kind: str) -> Artifact:
    """An artifact of the run. MissingFile: it is missing. InputError: it is unreadable or of another run."""
    if not run.file(kind).is_file():
        raise MissingFile(f"missing: {kind}.h5")
    return run.artifact(kind)


def compare_weights(artifact: Artifact, run: RunFolder) -> str:
    """Load the networks of an artifact, compare their fingerprints, and list them.

    InputError: the weights of one have changed. MissingFile: an artifact that names a network is missing.
    """
    spec, compared = artifact.spec, []
    if spec.generator:
        require(run, "samples")
        compared.append(compare_fingerprint("generator", spec.generator, run.generator.fingerprint))
    if spec.classifier:
        if not artifact.kind.own_classifier:
            require(run, "labels")
        classifier = run.classifier_of(artifact) if artifact.kind.own_classifier else run.classifier
        compared.append(compare_fingerprint("classifier", spec.classifier, classifier.fingerprint))
    if spec.config.get("embedder"):
        record = {"name": Path(spec.config["features"]).name, "fingerprint": spec.config["embedder"]}
        compared.append(compare_fingerprint("feature network", record, run.embedder_of(artifact).fingerprint))
    if "gan" in spec.config and "gan_fingerprint" in spec.config:  # edits through another generator
        record = {"name": spec.config["gan"], "fingerprint": spec.config["gan_fingerprint"]}
        tuned = run.tuned_renderer(record["name"], run.execution.trusting)
        compared.append(compare_fingerprint("generator", record, tuned.generator.fingerprint))
    return ", ".join(compared)


def compare_fingerprint(part: str, recorded: Mapping[str, str], fingerprint: str) -> str:
    """Part and name of a network. InputError: its fingerprint differs from the recorded one."""
    if recorded["fingerprint"] != fingerprint:
        found = f"recorded fingerprint {recorded['fingerprint'][:12]}, now {fingerprint[:12]}"
        raise InputError(f"the {part} {recorded['name']} has changed: {found}")
    return f"{part} {recorded['name']}"


@torch.no_grad()
def resample(samples: Artifact, rows: np.ndarray, run: RunFolder) -> Arrays:
    """Rows of samples.h5: z from the seeds, w from z, images from w."""
    require(run, "samples")
    renderer, execution = run.renderer, run.execution
    z = renderer.draw((samples.spec.seed + rows).tolist())
    recomputed = {"z": z.numpy()}
    latent = z.to(renderer.generator.device)
    if "w" in samples:
        (latent,) = execution.in_batches(lambda part: (renderer.map(part),), latent)
        recomputed["w"] = latent.numpy()
    if "images" in samples:
        space = renderer.space.name
        (images,) = execution.in_batches(lambda part: (renderer.generate(part, space),), latent)
        recomputed["images"] = to_bytes(images)
    return recomputed


@torch.no_grad()
def relabel(labels: Artifact, rows: np.ndarray, run: RunFolder) -> Arrays:
    """Rows of labels.h5: latents from samples.h5, images from latents, labels and thumbnails from images."""
    samples = require(run, "samples")
    require(run, "labels")
    classifier, renderer = run.classifier, run.renderer
    recomputed: Arrays = {}
    if not classifier.sees_images:
        if labels_photographs(labels):
            classifier.join_files(require(run, "inversions").spec.config["files"])
        logits = torch.cat([classifier.rows(row, row + 1, samples.spec.seed) for row in rows.tolist()])
    else:
        space = renderer.space.name
        latent = torch.from_numpy(select_rows(samples, space, rows))
        precision = labels.spec.config.get("precision", "fp32")  # older files do not record it

        def look(part: Tensor) -> tuple[Tensor, Tensor]:
            images = as_shown(renderer.generate(part, space))
            return classifier.logits(images).float(), make_thumbnails(images)

        with autocast(precision, run.execution.device):
            logits, thumbnails = run.execution.in_batches(look, latent)
        recomputed["thumbnails"] = thumbnails.numpy()
    return recomputed | {"labels": classifier.from_logits(logits).numpy()}


@torch.no_grad()
def regenerate(edits: Artifact, rows: np.ndarray, run: RunFolder) -> Arrays:
    """Rows of edits.h5: images and labels of the stored latents before and after; the movement is not recomputed."""
    for kind in ("samples", "labels", "mixture"):
        require(run, kind)
    config = edits.spec.config
    settings = EditSettings.model_validate({key: config[key] for key in EditSettings.model_fields if key in config})
    unpolished = settings.model_copy(update={"polish": 0})  # nothing is moved, so no neighbours are needed
    session = open_session(run, unpolished, trusted=run.execution.trusting)
    images, labels = session.generate(torch.from_numpy(select_rows(edits, "latent", rows)))
    after = [session.generate(torch.from_numpy(latent)) for latent in select_rows(edits, "latents", rows)]
    if "photographs" in config:  # as they were: of later inversions none is pasted
        before, images = images, select_rows(edits, "images_before", rows)
        pasted = session.paste(np.stack([pixels for pixels, _ in after]), before, images, pasted_columns(edits, rows))
        after, labels = list(zip(*pasted, strict=True)), session.label(images)
    again = {
        "images_before": images, "labels_before": labels,
        "images_after": np.stack([pixels for pixels, _ in after]),
        "labels_after": np.stack([scores for _, scores in after]),
    }  # fmt: skip
    if "identity" in edits:
        embedder, device = run.embedder_of(edits), run.execution.device
        again["identity"] = compare_identity(embedder, images, again["images_after"], device)
    return again


def pasted_columns(edits: Artifact, rows: np.ndarray) -> list[PastedColumn]:
    """How each column of an edits.h5 is pasted, with the strengths of these rows (N,)."""
    config, along = edits.spec.config, "directions" in edits.spec.parents
    scales = torch.from_numpy(select_rows(edits, "strengths", rows))
    aims = [(category, aim[1]) for category, aim in zip(edited_columns(edits), config["attr"], strict=True)]
    if config["each"]:
        return [(scale.abs(), [(category, scale)]) for (category, _), scale in zip(aims, scales, strict=True)]
    moves = [[(category, strength * scale) for category, strength in aims] for scale in scales]
    return [(amount_of(each, scale, along), each) for each, scale in zip(moves, scales, strict=True)]


def select_rows(artifact: Artifact, name: str, rows: np.ndarray) -> np.ndarray:
    """The given rows of a dataset, concatenated along its row axis."""
    axis = artifact.kind.row_axis(name) or 0
    return np.concatenate([artifact.rows(name, row, row + 1) for row in rows.tolist()], axis)


def compare_rows(artifact: Artifact, rows: np.ndarray, recomputed: Arrays) -> str:
    """Compare recomputed rows with the stored ones. InputError: a difference is above its tolerance."""
    farthest = 0.0
    for name, again in recomputed.items():
        axis = artifact.kind.row_axis(name) or 0
        stored = select_rows(artifact, name, rows)
        missing = np.isnan(stored) & np.isnan(again)  # labels that a table does not have
        stored, again = (np.where(missing, 0, array) for array in (stored, again))
        scale = 255 if stored.dtype == np.uint8 else max(1.0, float(np.abs(stored).max()))
        gaps = np.abs(again.astype(np.float64) - stored) / scale
        worst = gaps.max(axis=tuple(i for i in range(gaps.ndim) if i != axis))
        if not worst.max() <= TOLERANCES.get(name, TOLERANCE):  # also if it is NaN
            row, gap = rows[worst.argmax()], worst.max()
            raise InputError(f"recomputed row {row} of /{name} differs by {gap:.2g} from the stored one")
        farthest = max(farthest, float(worst.max()))
    how = "identical" if farthest == 0 else f"within {farthest:.1e} (another machine, device or number of threads)"
    return f"{len(rows)} rows recomputed: {how}"
