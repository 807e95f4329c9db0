"""Step 2 (claim 3): let the classifier label the picture of every sample.

Reads samples.h5, the generator and a classifier, writes labels.h5. Resumes by chunks of rows. Pictures go from
generator to classifier on the device and are written nowhere.
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

CALIBRATED_ON = 1024  # first rows

Look = Callable[[int, int], Tensor]  # rows from start to stop, to their logits (stop - start, K)
See = Callable[[Tensor, str], tuple[Tensor, Tensor]]  # latents or stored pictures, precision -> pictures, logits
log = logging.getLogger("gmmedit")


def run(folder: Path, settings: LabelSettings, execution: Execution, from_images: bool = False) -> Path:
    """Write folder/labels.h5: probabilities and logits of every category.

    `from_images` takes the pictures that step 1 stored; their labels are those of pictures made on the fly.
    """
    prepare(execution)
    path = folder / "labels.h5"
    with RunFolder(folder, execution) as run_folder:
        samples = run_folder.samples
        name = paired(settings.classifier, samples.spec.config["gan"])
        classifier = classifiers.load(name, execution.device, trusted=True)
        settings = settings.model_copy(update={"classifier": artifacts.network_source(name)})
        check_addressable(classifier.attributes, name)
        spec = run_spec(samples, classifier, settings)
        if artifacts.is_up_to_date(path, spec, execution):
            return path
        look, notes = looker(run_folder, classifier, name, settings.precision, from_images)
        facts = facts_of(classifier, samples, notes) | calibrate(classifier, look, spec.n, execution.processes)
        with artifacts.open_rows(path, spec, execution, facts) as out:
            artifacts.fill_rows(out, lambda start, stop: label(classifier, look, start, stop))
    return path


def paired(classifier: str, gan: str) -> str:
    """The classifier's name; `auto` is the one that the catalogue pairs with the generator."""
    if classifier != "auto":
        return classifier
    entry = generators.CATALOGUE.get(gan)
    if entry is None or entry.classifier is None:
        raise InputError(f"no classifier is catalogued for {gan}", hint="gmmedit label --classifier NAME")
    return entry.classifier


def run_spec(samples: Artifact, classifier: Classifier, settings: LabelSettings) -> RunSpec:
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


def looker(
    run_folder: RunFolder, classifier: Classifier, name: str, precision: str, from_images: bool
) -> tuple[Look, list[str]]:
    """How rows get their logits, from a table, from stored pictures, or from pictures made on the fly; and notes on
    what is done to the pictures first.

    InputError: there are no stored pictures, or the classifier does not take their channels.
    """
    samples, execution = run_folder.samples, run_folder.execution
    if not classifier.sees_images:
        return lambda start, stop: classifier.rows(start, stop, samples.spec.seed), []
    if from_images and "images" not in samples:
        hint = "gmmedit sample --images, or leave out --from-images"
        raise InputError(f"{samples.path} holds no pictures", hint=hint)
    renderer = run_folder.renderer
    notes = conversion_notes(classifier.channels, name, renderer.generator.image_shape[0])
    space = renderer.space.name

    def see(rows: Tensor, precision: str) -> tuple[Tensor, Tensor]:
        with autocast(precision, execution.device):
            images = rows.to(execution.device) if from_images else as_shown(renderer.generate(rows, space))
            return images, classifier.logits(images).float()

    def stored(start: int, stop: int) -> Tensor:
        rows = samples.rows("images" if from_images else space, start, stop)
        return from_bytes(rows) if from_images else torch.from_numpy(rows)

    @torch.no_grad()
    def look(start: int, stop: int) -> Tensor:
        last = start

        def logits(rows: Tensor) -> tuple[Tensor]:
            nonlocal last
            answer = see(rows, precision)[1]
            last = min(last + len(rows), stop)
            execution.tick(last, samples.spec.n, "labels")
            return (answer,)

        return execution.in_batches(logits, stored(start, stop))[0]

    if precision == "bf16" and execution.processes.main:
        log.warning("note: %s", rounding(see, classifier, stored(0, min(TILE, samples.spec.n))))
    return look, notes


@torch.no_grad()
def rounding(see: See, classifier: Classifier, rows: Tensor) -> str:
    """What half precision does to these rows' pictures and labels. InputError: it makes NaN of them."""
    (picture, logits), (rough, rough_logits) = see(rows, "fp32"), see(rows, "bf16")
    if logits.isfinite().all() and not rough_logits.isfinite().all():
        raise InputError("in bf16 the classifier gives NaN or infinite labels, in fp32 none", hint="--precision fp32")
    error = (rough - picture).square().mean().sqrt() / picture.std()
    moved = (classifier.from_logits(rough_logits.cpu()) - classifier.from_logits(logits.cpu())).abs()
    return (
        f"bf16 changes the first {len(rows)} pictures by {error:.1%} (rms, of their standard deviation), "
        f"their labels by {moved.mean():.4f} on average, at most {moved.max():.3f}"
    )


def facts_of(classifier: Classifier, samples: Artifact, notes: list[str]) -> dict[str, object]:
    """What labels.h5 keeps beside labels: the notes, and of a table the number of samples that it does not label.

    InputError: that is all of them.
    """
    unlabelled, reasons = classifier.left_out(samples.spec.n, samples.spec.seed)
    notes = [*reasons, *notes]
    return ({"unlabelled": unlabelled} if unlabelled else {}) | ({"notes": notes} if notes else {})


def calibrate(classifier: Classifier, look: Look, n: int, processes: Processes) -> dict[str, object]:
    """Let a classifier that asks for it see the first rows; what labels.h5 keeps of that."""
    calibration = classifier.calibration
    if calibration is None:
        return {}

    def fitted() -> dict[str, list[float]]:
        logits = look(0, min(n, CALIBRATED_ON))
        labelled = logits.isfinite().all(1)
        if not labelled.any():
            raise InputError(f"none of the first {len(logits)} samples has a label to calibrate on", hint="label them")
        calibration.fit(logits[labelled])
        return calibration.state()

    state = processes.broadcast(fitted)
    calibration.load(state)
    return {"calibration": state}


def label(classifier: Classifier, look: Look, start: int, stop: int) -> dict[str, np.ndarray]:
    """Labels and logits of rows start to stop; NaN where a table has none.

    InputError: NaN of a network, or another number of columns than of values.
    """
    logits = look(start, stop)
    columns = sum(len(attribute.values) for attribute in classifier.attributes)
    if tuple(logits.shape) != (stop - start, columns):
        message = f"the classifier gave logits {list(logits.shape)} for {stop - start} pictures and {columns} values"
        raise InputError(message, hint="one column for each value of each attribute")
    rows = {"labels": classifier.from_logits(logits).numpy(), "logits": logits.numpy()}
    if classifier.sees_images and not all(np.isfinite(array).all() for array in rows.values()):
        message = f"the classifier gave NaN or infinite labels for rows {start} to {stop - 1} of samples.h5"
        raise InputError(message, hint="NaN in latents or weights is the usual cause")
    return rows
