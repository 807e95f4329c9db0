"""Step 2 (claim 3): classify the image of every sample.

Reads samples.h5, the generator and a classifier, writes labels.h5. Resumes by chunks of rows. Images go from
generator to classifier on the device and are not stored.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gmmedit import artifacts, classifiers, generators
from gmmedit.artifacts import RunSpec
from gmmedit.classifiers import Classifier
from gmmedit.classifiers.attributes import check_addressable
from gmmedit.classifiers.preprocessing import conversion_notes
from gmmedit.config import LabelSettings
from gmmedit.errors import InputError
from gmmedit.pictures.pixels import as_shown, from_bytes
from gmmedit.run.calibration import calibrate
from gmmedit.run.folder import RunFolder
from gmmedit.run.own_labels import join_photographs, refuse_photographs
from gmmedit.run.precision import describe_rounding
from gmmedit.run.rendering import THUMBNAIL_SIDE, make_thumbnails, shrunk_size
from gmmedit.run.robustness import make_rungs, measure_robustness
from gmmedit.runtime.batching import TILE
from gmmedit.runtime.execution import Execution, autocast, prepare

ClassifyRows = Callable[[int, int], tuple[Tensor, ...]]  # rows start to stop -> logits (M, K), thumbnails of images
log = logging.getLogger("gmmedit")


@dataclass(frozen=True)
class LabelledImages:
    """The images of samples.h5, stored or generated, in the same bytes, and their logits in "fp32" or "bf16"."""

    run_folder: RunFolder
    classifier: Classifier
    from_images: bool
    precision: str

    def read(self, start: int, stop: int) -> Tensor:
        """Rows start to stop: stored images (M, C, H, W), or latents (M, D)."""
        samples = self.run_folder.samples
        rows = samples.rows("images" if self.from_images else self.run_folder.renderer.space.name, start, stop)
        return from_bytes(rows) if self.from_images else torch.from_numpy(rows)

    @torch.no_grad()
    def show(self, rows: Tensor) -> Tensor:
        """Such rows as images (M, C, H, W) as shown, on the device."""
        device, renderer = self.run_folder.execution.device, self.run_folder.renderer
        with autocast(self.precision, device):
            return rows.to(device) if self.from_images else as_shown(renderer.generate(rows, renderer.space.name))

    @torch.no_grad()
    def classify(self, images: Tensor) -> Tensor:
        """The logits (M, K) of images (M, C, H, W). InputError: the classifier gives another number of columns."""
        with autocast(self.precision, self.run_folder.execution.device):
            logits = self.classifier.logits(images).float()
        columns = sum(len(attribute.values) for attribute in self.classifier.attributes)
        if tuple(logits.shape) != (len(images), columns):
            message = f"the classifier gave logits {list(logits.shape)} for {len(images)} images and {columns} values"
            raise InputError(message, hint="return one column for each value of each attribute")
        return logits


def run(
    folder: Path, settings: LabelSettings, execution: Execution, from_images: bool = False, inverted: bool = False
) -> Path:
    """Write folder/labels.h5: probabilities and logits (N, K) of every category, and thumbnails of the images.

    from_images: classify the images stored in samples.h5, with the same result as generating them. inverted: the rows
    are the photographs of inversions.h5, labelled by a table that names their files. InputError: the classifier is
    missing, does not take the images, or gives invalid labels; labels.h5 has other settings; the table names other
    photographs, or one twice.
    """
    prepare(execution)
    path = folder / "labels.h5"
    with RunFolder(folder, execution) as run_folder:
        samples = run_folder.samples
        gan = samples.spec.config["gan"]
        name = settings.classifier if settings.classifier != "auto" else generators.paired_classifier(gan)
        classifier = classifiers.load(name, execution.device, trusted=True)
        settings = settings.model_copy(update={"classifier": artifacts.network_source(name)})
        check_addressable(classifier.attributes, name)
        if inverted:
            join_photographs(classifier, name, run_folder.artifact("inversions"))
        else:
            refuse_photographs(classifier, name, run_folder.file("inversions"))
        spec = run_spec(run_folder, classifier, settings, inverted)
        if artifacts.is_up_to_date(path, spec, execution):
            return path
        images = open_images(run_folder, classifier, settings.precision, from_images)
        classify_rows = make_row_classifier(run_folder, classifier, images)
        attributes = collect_attributes(run_folder, classifier, name, spec.n)
        attributes |= calibrate(classifier, lambda n: classify_rows(0, n)[0], spec.n, execution.processes)
        attributes |= examine_classifier(images, spec.n) if images else {}
        with artifacts.open_rows(path, spec, execution, attributes) as out:
            artifacts.fill_rows(out, lambda start, stop: label_rows(classifier, classify_rows, start, stop))
    return path


def run_spec(run_folder: RunFolder, classifier: Classifier, settings: LabelSettings, inverted: bool) -> RunSpec:
    """The specification of labels.h5."""
    samples, rows = run_folder.samples, run_folder.artifact("inversions") if inverted else run_folder.samples
    attributes = [(attribute.name, attribute.values) for attribute in classifier.attributes]
    sizes: dict[str, artifacts.Size] = {"K": sum(len(values) for _, values in attributes)}
    if classifier.sees_images:
        channels, *size = run_folder.image_shape
        height, width = shrunk_size(size, THUMBNAIL_SIDE)
        sizes |= {"t_h": height, "t_w": width, "C": channels}
    return RunSpec(
        kind="labels",
        n=rows.spec.n,
        seed=samples.spec.seed,
        config=settings.model_dump(),
        sizes=sizes,
        parents={"samples": samples.fingerprint} | ({"inversions": rows.fingerprint} if inverted else {}),
        generator=samples.spec.generator,
        classifier=artifacts.network_record(settings.classifier, classifier.fingerprint),
        attributes=attributes,
    )


def open_images(
    run_folder: RunFolder, classifier: Classifier, precision: str, from_images: bool
) -> LabelledImages | None:
    """The images of samples.h5; None: the classifier is a table. InputError: none are stored for `from_images`."""
    if not classifier.sees_images:
        return None
    samples = run_folder.samples
    if from_images and "images" not in samples:
        hint = "gmmedit sample --images, or omit --from-images"
        raise InputError(f"{samples.path} holds no images", hint=hint)
    return LabelledImages(run_folder, classifier, from_images, precision)


def make_row_classifier(run_folder: RunFolder, classifier: Classifier, images: LabelledImages | None) -> ClassifyRows:
    """The function that gives rows their logits, from a table or from images, and the images' thumbnails."""
    samples, execution = run_folder.samples, run_folder.execution
    if images is None:
        return lambda start, stop: (classifier.rows(start, stop, samples.spec.seed),)

    def classify_rows(start: int, stop: int) -> tuple[Tensor, ...]:
        last = start

        def classify(rows: Tensor) -> tuple[Tensor, Tensor]:
            nonlocal last
            shown = images.show(rows)
            logits = images.classify(shown)
            last = min(last + len(rows), stop)
            execution.tick(last, samples.spec.n, "labels")
            return logits, make_thumbnails(shown)

        return execution.in_batches(classify, images.read(start, stop))

    return classify_rows


def collect_attributes(run_folder: RunFolder, classifier: Classifier, name: str, n: int) -> dict[str, object]:
    """Attributes of labels.h5: notes, and the number of its n rows that a table does not label.

    InputError: it labels none, or the classifier does not take the channels of the images.
    """
    unlabelled, notes = classifier.left_out(n, run_folder.samples.spec.seed)
    if classifier.sees_images:
        notes = [*notes, *conversion_notes(classifier.channels, name, run_folder.generator.image_shape[0])]
    return ({"unlabelled": unlabelled} if unlabelled else {}) | ({"notes": notes} if notes else {})


def examine_classifier(images: LabelledImages, n: int) -> dict[str, object]:
    """Attributes of labels.h5: the classifier's robustness. With bf16 also logs a note on what it changes."""
    run_folder, classifier = images.run_folder, images.classifier
    if images.precision == "bf16" and run_folder.execution.processes.main:
        rows, exact = images.read(0, min(TILE, n)), replace(images, precision="fp32")
        found = [(shown := each.show(rows), each.classify(shown)) for each in (exact, images)]
        log.warning("note: %s", describe_rounding(classifier, *found))
    rungs, sizes = make_rungs(run_folder.generator.image_shape[1:]), [len(a.values) for a in classifier.attributes]
    return {"robustness": measure_robustness(images, rungs, sizes, n, run_folder.execution)}


def label_rows(classifier: Classifier, classify_rows: ClassifyRows, start: int, stop: int) -> dict[str, np.ndarray]:
    """Labels in [0, 1], logits and thumbnails of rows start to stop; NaN where a table has no label.

    InputError: NaN or infinite values from a network.
    """
    logits, *thumbnails = classify_rows(start, stop)
    rows = {"labels": classifier.from_logits(logits).numpy(), "logits": logits.numpy()}
    if classifier.sees_images and not all(np.isfinite(array).all() for array in rows.values()):
        message = f"the classifier gave NaN or infinite labels for rows {start} to {stop - 1} of samples.h5"
        raise InputError(message, hint="check its weights and the latents for NaN")
    return rows | ({"thumbnails": thumbnails[0].numpy()} if thumbnails else {})
