"""Who judges edits, and on which samples: what `evaluate` and `compare` have in common."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gmmedit import classifiers
from gmmedit.artifacts import Artifact
from gmmedit.classifiers import Classifier
from gmmedit.config import EvaluateSettings, SampleSettings
from gmmedit.errors import InputError
from gmmedit.features.embedding import Embedder, load_embedder
from gmmedit.generators import Generator
from gmmedit.pictures.pixels import as_shown
from gmmedit.run.prior import mapped
from gmmedit.run.rendering import (
    Execution,
    autocast,
    calibrate_as,
    conversion_notes,
    in_batches,
    layers_of,
    network_source,
)

MAPPED = 4096  # latents at once


@dataclass(frozen=True)
class Judge:
    """Latents to what the evaluation classifier and the feature network see in their pictures."""

    paint: Callable[[Tensor], Tensor]
    classifier: Classifier
    embedder: Embedder | None
    precision: str
    execution: Execution
    notes: list[str]
    labelling: bool  # the evaluation classifier is the one that made the labels, and calibrated as for them
    converted: list[str]  # what is done to the images first

    def look(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Latents (N, L, D) to logits (N, K), nuisances (N, M) and features (N, F); M or F may be 0."""

        def answers(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            with autocast(self.precision, self.execution.device):
                images = as_shown(self.paint(rows))
                found = self.read(images)
            return tuple(it.float() for it in found)  # type: ignore[return-value]

        logits, nuisances, features = in_batches(answers, latent, self.execution.rows_per_call)
        return logits, nuisances, features

    def look_together(self, latent: Tensor) -> tuple[Tensor, ...]:
        """The same, each process of the command looking at its share."""
        return self.execution.ranks.over_rows(self.look, latent)

    def read(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, nuisances, features = self.classifier.observe(images)
        return logits, nuisances, self.embedder.features(images) if self.embedder else features


@dataclass(frozen=True)
class Subjects:
    """The samples that are edited: latents (N, L, D), and what the judge sees in them unedited."""

    latent: Tensor
    logits: Tensor
    nuisances: Tensor
    features: Tensor


def load_judge(
    settings: EvaluateSettings,
    labels: Artifact,
    generator: Generator,
    paint: Callable[[Tensor], Tensor],
    execution: Execution,
    trusted: bool,
) -> Judge:
    """The judge that the settings name; `trusted`: whether the user answers for the name of its classifier.

    InputError: it has other attributes than the labels, sees no pictures, or an edit has nothing to keep.
    """
    if len(labels.attributes) < 2:
        raise InputError(f"{labels.path} has one attribute: there are no others for an edit to keep",
                         hint="gmmedit label with a classifier of several attributes")  # fmt: skip
    name = settings.classifier
    classifier = classifiers.load(name, execution.device, trusted=trusted)
    if not classifier.sees_images:
        raise InputError(f"{name} is a table of labels and cannot look at edited pictures",
                         hint="--classifier: a network with the same attributes")  # fmt: skip
    ours = [(attribute.name, list(attribute.values)) for attribute in classifier.attributes]
    if ours != labels.attributes:
        raise InputError(f"classifier {name} has other attributes than {labels.path}", hint="--classifier")
    converted = conversion_notes(classifier, name, generator.image_shape[0])
    notes = []
    labeller = labels.question.classifier
    labelling = labeller is not None and labeller["fingerprint"] == classifier.fingerprint
    if labelling:  # wherever its file lies
        calibrate_as(classifier, labels)
        notes.append(f"judged by {name}, which made the labels: every figure flatters; --classifier names another")
    embedder = None
    if settings.features != "auto":
        embedder = load_embedder(settings.features, execution.device, trusted=True)
        converted += conversion_notes(embedder, settings.features, generator.image_shape[0])
    return Judge(paint, classifier, embedder, settings.precision, execution, notes, labelling, converted)


def evaluator_of(settings: EvaluateSettings, labels: Artifact) -> str:
    """The evaluation classifier: as named, else an independently trained one, else the labelling one."""
    if settings.classifier != "auto":
        return network_source(settings.classifier)
    return classifiers.evaluation_classifier(labels.question.config["classifier"])


def subjects(judge: Judge, latent: Tensor) -> Subjects:
    """The samples as the judge sees them, who is calibrated on them if he asks for that."""
    calibration = judge.classifier.calibration
    if calibration is not None and not judge.labelling:
        calibration.fit(judge.look_together(latent)[0])
    return Subjects(latent, *judge.look_together(latent))


def unseen(generator: Generator, space: str, settings: EvaluateSettings, drawn: SampleSettings) -> Tensor:
    """Latents (n, L, D) of samples that no fit has seen."""
    seeds = range(settings.first_seed, settings.first_seed + settings.n)
    z = generator.draw(seeds)
    latent = z
    if space == "w":
        latent = torch.cat([mapped(generator, rows.to(generator.device), drawn).cpu() for rows in z.split(MAPPED)])
    return latent[:, None].expand(-1, layers_of(generator, space), -1)
