"""Step 2 (claim 3): classify the image of every sample.

Reads samples.h5, the generator and a classifier, writes labels.h5. Resumes by chunks of rows. Images go from
generator to classifier on the device and are not stored.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gmmedit import artifacts, classifiers, generators
from gmmedit.artifacts import Artifact, RunSpec
from gmmedit.classifiers import Classifier
from gmmedit.classifiers.preprocessing import conversion_notes
from gmmedit.config import LabelSettings
from gmmedit.editing.request import check_addressable
from gmmedit.errors import InputError
from gmmedit.pictures.pixels import as_shown, from_bytes
from gmmedit.run.folder import RunFolder
from gmmedit.runtime.batching import TILE
from gmmedit.runtime.distributed import Processes
from gmmedit.runtime.execution import Execution, autocast, prepare

CALIBRATED_ON = 1024  # number of first rows

ClassifyRows = Callable[[int, int], Tensor]  # rows start to stop -> logits (stop - start, K)
ClassifyImages = Callable[[Tensor, str], tuple[Tensor, Tensor]]  # latents or stored images, precision -> images, logits
log = logging.getLogger("gmmedit")


def run(folder: Path, settings: LabelSettings, execution: Execution, from_images: bool = False) -> Path:
    """Write folder/labels.h5: probabilities and logits (N, K) of every category.

    from_images: classify the images stored in samples.h5, with the same result as generating them. InputError: the
    classifier is missing, does not take the images, or gives invalid labels; labels.h5 has other settings.
    """
    prepare(execution)
    path = folder / "labels.h5"
    with RunFolder(folder, execution) as run_folder:
        samples = run_folder.samples
        name = resolve_classifier(settings.classifier, samples.spec.config["gan"])
        classifier = classifiers.load(name, execution.device, trusted=True)
        settings = settings.model_copy(update={"classifier": artifacts.network_source(name)})
        check_addressable(classifier.attributes, name)
        spec = run_spec(samples, classifier, settings)
        if artifacts.is_up_to_date(path, spec, execution):
            return path
        classify_rows, notes = make_row_classifier(run_folder, classifier, name, settings.precision, from_images)
        attributes = collect_attributes(classifier, samples, notes)
        attributes |= calibrate(classifier, classify_rows, spec.n, execution.processes)
        with artifacts.open_rows(path, spec, execution, attributes) as out:
            artifacts.fill_rows(out, lambda start, stop: label_rows(classifier, classify_rows, start, stop))
    return path


def resolve_classifier(classifier: str, gan: str) -> str:
    """The classifier's name; `auto`: the one paired with the generator. InputError: it is paired with none."""
    if classifier != "auto":
        return classifier
    entry = generators.CATALOGUE.get(gan)
    if entry is None or entry.classifier is None:
        raise InputError(f"no default classifier for {gan}", hint="gmmedit label --classifier NAME")
    return entry.classifier


def run_spec(samples: Artifact, classifier: Classifier, settings: LabelSettings) -> RunSpec:
    """The specification of labels.h5."""
    attributes = [(attribute.name, attribute.values) for attribute in classifier.attributes]
    return RunSpec(
        kind="labels",
        n=samples.spec.n,
        seed=samples.spec.seed,
        config=settings.model_dump(),
        sizes={"K": sum(len(values) for _, values in attributes)},
        parents={"samples": samples.fingerprint},
        generator=samples.spec.generator,
        classifier=artifacts.network_record(settings.classifier, classifier.fingerprint),
        attributes=attributes,
    )


def make_row_classifier(
    run_folder: RunFolder, classifier: Classifier, name: str, precision: str, from_images: bool
) -> tuple[ClassifyRows, list[str]]:
    """The function that gives rows their logits, from a table, stored images or generated images; and notes on how
    images are converted.

    InputError: no images are stored, or the classifier does not take their channels.
    """
    samples, execution = run_folder.samples, run_folder.execution
    if not classifier.sees_images:
        return lambda start, stop: classifier.rows(start, stop, samples.spec.seed), []
    if from_images and "images" not in samples:
        hint = "gmmedit sample --images, or omit --from-images"
        raise InputError(f"{samples.path} holds no images", hint=hint)
    renderer = run_folder.renderer
    notes = conversion_notes(classifier.channels, name, renderer.generator.image_shape[0])
    space = renderer.space.name

    def classify_images(rows: Tensor, precision: str) -> tuple[Tensor, Tensor]:
        with autocast(precision, execution.device):
            images = rows.to(execution.device) if from_images else as_shown(renderer.generate(rows, space))
            return images, classifier.logits(images).float()

    def read_rows(start: int, stop: int) -> Tensor:
        rows = samples.rows("images" if from_images else space, start, stop)
        return from_bytes(rows) if from_images else torch.from_numpy(rows)

    @torch.no_grad()
    def classify_rows(start: int, stop: int) -> Tensor:
        last = start

        def logits(rows: Tensor) -> tuple[Tensor]:
            nonlocal last
            answer = classify_images(rows, precision)[1]
            last = min(last + len(rows), stop)
            execution.tick(last, samples.spec.n, "labels")
            return (answer,)

        return execution.in_batches(logits, read_rows(start, stop))[0]

    if precision == "bf16" and execution.processes.main:
        rows = read_rows(0, min(TILE, samples.spec.n))
        log.warning("note: %s", describe_rounding(classify_images, classifier, rows))
    return classify_rows, notes


@torch.no_grad()
def describe_rounding(classify_images: ClassifyImages, classifier: Classifier, rows: Tensor) -> str:
    """A note on how bf16 changes the images and labels of these rows. InputError: labels become NaN or infinite."""
    (images, logits), (rough, rough_logits) = classify_images(rows, "fp32"), classify_images(rows, "bf16")
    if logits.isfinite().all() and not rough_logits.isfinite().all():
        raise InputError(
            "the classifier gives NaN or infinite labels in bf16, but not in fp32", hint="--precision fp32"
        )
    error = (rough - images).square().mean().sqrt() / images.std()
    moved = (classifier.from_logits(rough_logits.cpu()) - classifier.from_logits(logits.cpu())).abs()
    return (
        f"bf16 changes the first {len(rows)} images by {error:.1%} of their standard deviation (rms), "
        f"their labels by {moved.mean():.4f} on average, at most {moved.max():.3f}"
    )


def collect_attributes(classifier: Classifier, samples: Artifact, notes: list[str]) -> dict[str, object]:
    """Attributes of labels.h5: notes, and the number of samples that a table does not label.

    InputError: it labels none.
    """
    unlabelled, reasons = classifier.left_out(samples.spec.n, samples.spec.seed)
    notes = [*reasons, *notes]
    return ({"unlabelled": unlabelled} if unlabelled else {}) | ({"notes": notes} if notes else {})


def calibrate(classifier: Classifier, classify_rows: ClassifyRows, n: int, processes: Processes) -> dict[str, object]:
    """Calibrate the classifier on the first rows, if it supports that; attributes of labels.h5.

    InputError: none of these rows has a label.
    """
    calibration = classifier.calibration
    if calibration is None:
        return {}

    def fit() -> dict[str, list[float]]:
        logits = classify_rows(0, min(n, CALIBRATED_ON))
        labelled = logits.isfinite().all(1)
        if not labelled.any():
            message = f"none of the first {len(logits)} samples has a label to calibrate on"
            raise InputError(message, hint="add labels of these rows")
        calibration.fit(logits[labelled])
        return calibration.state()

    state = processes.broadcast(fit)
    calibration.load(state)
    return {"calibration": state}


def label_rows(classifier: Classifier, classify_rows: ClassifyRows, start: int, stop: int) -> dict[str, np.ndarray]:
    """Labels in [0, 1] and logits of rows start to stop; NaN where a table has no label.

    InputError: NaN or infinite values from a network, or a number of columns other than K.
    """
    logits = classify_rows(start, stop)
    columns = sum(len(attribute.values) for attribute in classifier.attributes)
    if tuple(logits.shape) != (stop - start, columns):
        message = f"the classifier gave logits {list(logits.shape)} for {stop - start} images and {columns} values"
        raise InputError(message, hint="return one column for each value of each attribute")
    rows = {"labels": classifier.from_logits(logits).numpy(), "logits": logits.numpy()}
    if classifier.sees_images and not all(np.isfinite(array).all() for array in rows.values()):
        message = f"the classifier gave NaN or infinite labels for rows {start} to {stop - 1} of samples.h5"
        raise InputError(message, hint="check its weights and the latents for NaN")
    return rows
