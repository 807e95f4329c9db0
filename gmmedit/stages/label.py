"""Step 2 (claim 3): let the classifier label the picture of every sample.

Reads samples.h5, the generator and a classifier, writes labels.h5. Resumes by chunks of rows.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gmmedit import artifacts, classifiers, generators
from gmmedit.artifacts import Artifact, Question
from gmmedit.classifiers import Classifier
from gmmedit.config import LabelSettings
from gmmedit.errors import InputError
from gmmedit.generators import Generator
from gmmedit.pictures.pixels import from_bytes
from gmmedit.stages.shared.common import Execution, in_batches, load_generator, network_record, prepare
from gmmedit.stages.shared.sampling import painter, sample_settings


def run(folder: Path, settings: LabelSettings, execution: Execution) -> Path:
    """Write folder/labels.h5: probabilities and logits of every category."""
    prepare(execution)
    path = folder / "labels.h5"
    with artifacts.open(folder / "samples.h5", "samples") as samples:
        name = paired(settings.classifier, samples.question.config["gan"])
        classifier = classifiers.load(name, execution.device)
        question = ask(samples, classifier, name)
        if artifacts.finished(path, question, force=execution.force):
            return path
        generator = load_generator(samples, execution)
        with artifacts.create_rows(path, question, restart=execution.restart) as out:
            for start, stop in out.pending():
                out.write(start, stop, label(samples, generator, classifier, start, stop, execution.batch))
                execution.tick(stop, question.n, "labels")
            out.finish()
    return path


def paired(classifier: str, gan: str) -> str:
    """The classifier's name; `auto` is the one that the catalogue pairs with the generator."""
    if classifier != "auto":
        return classifier
    entry = generators.CATALOGUE.get(gan)
    if entry is None or entry.classifier is None:
        raise InputError(f"no classifier is catalogued for {gan}", hint="gmmedit label --classifier NAME")
    return entry.classifier


def ask(samples: Artifact, classifier: Classifier, name: str) -> Question:
    attributes = [(attribute.name, attribute.values) for attribute in classifier.attributes]
    return Question(
        kind="labels",
        n=samples.question.n,
        seed=samples.question.seed,
        config={"classifier": name},
        sizes={"K": sum(len(values) for _, values in attributes)},
        parents={"samples": samples.fingerprint},
        generator=samples.question.generator,
        classifier=network_record(name, classifier.fingerprint),
        attributes=attributes,
    )


@torch.no_grad()
def label(
    samples: Artifact, generator: Generator, classifier: Classifier, start: int, stop: int, batch: int
) -> dict[str, np.ndarray]:
    """Rows start to stop, from stored pictures or from pictures made on the fly."""
    space = "w" if "w" in samples else "z"
    paint = painter(generator, space, sample_settings(samples))

    def look(latents: Tensor) -> tuple[Tensor]:
        return (classifier.logits(paint(latents)),)

    if "images" in samples:
        images = from_bytes(samples.rows("images", start, stop))
        (logits,) = in_batches(lambda it: (classifier.logits(it.to(generator.device)),), images, batch)
    else:
        latents = torch.from_numpy(samples.rows(space, start, stop))
        (logits,) = in_batches(look, latents, batch)
    rows = {"labels": classifier.from_logits(logits).numpy(), "logits": logits.numpy()}
    if not all(np.isfinite(array).all() for array in rows.values()):
        message = f"the classifier gave NaN or infinite labels for rows {start} to {stop} of {samples.path}"
        raise InputError(message, hint="NaN in latents or weights is the usual cause")
    return rows
