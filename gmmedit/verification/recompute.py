"""Make rows of an artifact once more, with the networks that it names, and compare them."""

from collections.abc import Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from gmmedit import artifacts
from gmmedit.artifacts import Artifact
from gmmedit.classifiers import Classifier
from gmmedit.config import EditSettings
from gmmedit.editing.session import open_workshop
from gmmedit.errors import InputError
from gmmedit.features import load_embedder
from gmmedit.generators import Generator
from gmmedit.pictures.pixels import as_shown, to_bytes
from gmmedit.run.prior import mapped, painter, sample_settings
from gmmedit.run.rendering import (
    Execution,
    autocast,
    in_batches,
    load_classifier,
    load_generator,
    load_tuned,
    open_classifier,
)

Arrays = dict[str, np.ndarray]

# How far rows may be from those made on another machine or by another number of threads, as a share of the largest
# value where that is above 1. Latents of Z come from seeds alone; pictures may differ by a level where they round.
TOLERANCE = 1e-4
TOLERANCES = {"z": 0.0, "images": 1 / 255, "images_before": 1 / 255, "images_after": 1 / 255}


class NotHere(Exception):
    """What a check needs is not there."""


class Run:
    """The artifacts of a folder and the networks that they name, opened when they are first asked for."""

    def __init__(self, folder: Path, execution: Execution, stack: ExitStack) -> None:
        self.folder, self.execution = folder, execution
        self._stack = stack
        self._open: dict[str, Artifact] = {}

    def has(self, kind: str) -> bool:
        return (self.folder / f"{kind}.h5").is_file()

    def artifact(self, kind: str) -> Artifact:
        """NotHere: it is not there. InputError: it cannot be read."""
        if not self.has(kind):
            raise NotHere(f"{kind}.h5 not there")
        if kind not in self._open:
            self._open[kind] = self._stack.enter_context(artifacts.open(self.folder / f"{kind}.h5", kind))
        return self._open[kind]

    @cached_property
    def generator(self) -> Generator:
        return load_generator(self.artifact("samples"), self.execution)

    @cached_property
    def classifier(self) -> Classifier:
        return load_classifier(self.artifact("labels"), self.execution)

    def weights(self, artifact: Artifact) -> str:
        """Load what made the artifact and compare fingerprints. InputError: other weights. NotHere as `artifact`."""
        question, said = artifact.question, []
        if question.generator:
            said.append(same("generator", question.generator, self.generator.fingerprint))
        if question.classifier:
            judged = artifact.kind.name in ("evaluation", "comparison")
            classifier = open_classifier(artifact, self.execution) if judged else self.classifier
            said.append(same("classifier", question.classifier, classifier.fingerprint))
        if question.config.get("embedder"):
            name = question.config["features"]
            embedder = load_embedder(name, self.execution.device, trusted=self.execution.trusting)
            record = {"name": Path(name).name, "fingerprint": question.config["embedder"]}
            said.append(same("feature network", record, embedder.fingerprint))
        if artifact.kind.name == "edits" and "gan" in question.config:
            said.append(self.tuned_weights(question.config["gan"], question.config["gan_fingerprint"]))
        return ", ".join(said)

    def tuned_weights(self, source: str, fingerprint: str) -> str:
        """As `weights`, of the generator that an edit used instead of the run's."""
        execution = self.execution
        tuned = load_tuned(source, self.artifact("samples"), self.generator, execution, execution.trusting)
        return same("generator", {"name": source, "fingerprint": fingerprint}, tuned.fingerprint)


def same(part: str, recorded: Mapping[str, str], fingerprint: str) -> str:
    if recorded["fingerprint"] != fingerprint:
        found = f"made with {recorded['fingerprint'][:12]}, its weights are now {fingerprint[:12]}"
        raise InputError(f"the {part} {recorded['name']} has changed: {found}")
    return f"{part} {recorded['name']}"


@torch.no_grad()
def sampled_again(samples: Artifact, rows: np.ndarray, run: Run) -> Arrays:
    """z from the seeds, w from z, pictures from w."""
    settings, generator = sample_settings(samples), run.generator
    z = generator.draw((samples.question.seed + rows).tolist())
    made = {"z": z.numpy()}
    latent = z.to(generator.device)
    if "w" in samples:
        (latent,) = in_batches(lambda it: (mapped(generator, it, settings),), latent, run.execution.rows_per_call)
        made["w"] = latent.numpy()
    if "images" in samples:
        paint = painter(generator, "w", settings)
        (pictures,) = in_batches(lambda it: (paint(it),), latent, run.execution.rows_per_call)
        made["images"] = to_bytes(pictures)
    return made


@torch.no_grad()
def labelled_again(labels: Artifact, rows: np.ndarray, run: Run) -> Arrays:
    """Latents from samples.h5, pictures from them, labels from those."""
    samples, classifier = run.artifact("samples"), run.classifier
    if not classifier.sees_images:
        logits = torch.cat([classifier.rows(row, row + 1, samples.question.seed) for row in rows.tolist()])
    else:
        space = "w" if "w" in samples else "z"
        paint = painter(run.generator, space, sample_settings(samples))
        latent = torch.from_numpy(picked(samples, space, rows))
        precision = labels.question.config.get("precision", "fp32")  # older files do not say
        with autocast(precision, run.execution.device):
            (logits,) = in_batches(
                lambda it: (classifier.logits(as_shown(paint(it))).float(),), latent, run.execution.rows_per_call
            )
    return {"labels": classifier.from_logits(logits).numpy()}


@torch.no_grad()
def edited_again(edits: Artifact, rows: np.ndarray, run: Run) -> Arrays:
    """Pictures and labels of the latents before and after; where the latents were moved to is taken as it is."""
    config = edits.question.config
    settings = EditSettings.model_validate({key: config[key] for key in EditSettings.model_fields if key in config})
    parents = (run.artifact("samples"), run.artifact("labels"), run.artifact("mixture"))
    unpolished = settings.model_copy(update={"polish": 0})  # nothing is moved here, and members are not looked up
    workshop = open_workshop(*parents, unpolished, run.execution, trusted=run.execution.trusting)
    images, labels = workshop.picture(torch.from_numpy(picked(edits, "latent", rows)))
    after = [workshop.picture(torch.from_numpy(latent)) for latent in picked(edits, "latents", rows)]
    return {
        "images_before": images, "labels_before": labels,
        "images_after": np.stack([pixels for pixels, _ in after]),
        "labels_after": np.stack([scores for _, scores in after]),
    }  # fmt: skip


def picked(artifact: Artifact, name: str, rows: np.ndarray) -> np.ndarray:
    """Single rows of a dataset, along the axis of its rows."""
    axis = artifact.kind.row_axis(name) or 0
    return np.concatenate([artifact.rows(name, row, row + 1) for row in rows.tolist()], axis)


def compared(artifact: Artifact, rows: np.ndarray, made: Arrays) -> str:
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
