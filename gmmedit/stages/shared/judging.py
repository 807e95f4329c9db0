"""Who judges edits, and on which samples: what `evaluate` and `compare` have in common."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gmmedit import classifiers
from gmmedit.artifacts import Artifact
from gmmedit.classifiers import Classifier
from gmmedit.classifiers.convnet import ConvNet
from gmmedit.classifiers.embedding import Embedder, load_embedder
from gmmedit.classifiers.table import Table
from gmmedit.config import EvaluateSettings, SampleSettings
from gmmedit.errors import InputError
from gmmedit.generators import Generator
from gmmedit.pictures.pixels import as_shown
from gmmedit.stages.shared.common import (
    Execution,
    autocast,
    calibrate_as,
    check_channels,
    in_batches,
    layers_of,
    network_source,
    seeded_latents,
)
from gmmedit.stages.shared.sampling import mapped

MAPPED = 4096  # latents at once
SEEDS = 1 << 32  # that numpy.random.RandomState takes
EVALUATORS = {"avatars": "avatars-eval"}  # classifiers to those that were trained apart to judge them


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

    def look(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Latents (N, L, D) to logits (N, K), nuisances (N, M) and features (N, F); M or F may be 0."""

        def answers(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            with autocast(self.precision, self.execution.device):
                images = as_shown(self.paint(rows))
                found = self.read(images)
            return tuple(it.float() for it in found)  # type: ignore[return-value]

        logits, nuisances, features = in_batches(answers, latent, self.execution.batch)
        return logits, nuisances, features

    def look_together(self, latent: Tensor) -> tuple[Tensor, ...]:
        """The same, each process of the command looking at its share."""
        return self.execution.ranks.over_rows(self.look, latent)

    def read(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        nothing = images.new_empty(len(images), 0)
        if isinstance(self.classifier, ConvNet):
            features = self.classifier.features(images)
            logits, nuisances = self.classifier.read(features)
        else:
            logits, nuisances, features = self.classifier.logits(images), nothing, nothing
        return logits, nuisances, self.embedder.features(images) if self.embedder else features


@dataclass(frozen=True)
class Subjects:
    """The samples that are edited: latents (N, L, D), and what the judge sees in them unedited."""

    latent: Tensor
    logits: Tensor
    nuisances: Tensor
    features: Tensor


@dataclass(frozen=True)
class Evaluators:
    """The networks that look at edits; `labelling`: the classifier is the one that made the labels."""

    classifier: Classifier
    embedder: Embedder | None
    labelling: bool


def load_evaluators(settings: EvaluateSettings, labels: Artifact, execution: Execution) -> Evaluators:
    """The evaluation classifier and the feature network that the settings name.

    InputError: it has other attributes than the labels, sees no images, or an edit has nothing to keep.
    """
    if len(labels.attributes) < 2:
        raise InputError(f"{labels.path} has one attribute: there are no others for an edit to keep",
                         hint="gmmedit label with a classifier of several attributes")  # fmt: skip
    name, named_by_user = evaluator_of(settings, labels), settings.classifier != "auto"
    classifier = classifiers.load(name, execution.device, trusted=named_by_user or execution.trusting)
    if isinstance(classifier, Table):
        raise InputError(f"{name} is a table of labels and cannot look at edited pictures",
                         hint="--classifier: a network with the same attributes")  # fmt: skip
    ours = [(attribute.name, list(attribute.values)) for attribute in classifier.attributes]
    if ours != labels.attributes:
        raise InputError(f"classifier {name} has other attributes than {labels.path}", hint="--classifier")
    record = labels.question.classifier
    labelling = record is not None and record["fingerprint"] == classifier.fingerprint  # wherever its file lies
    if labelling:
        calibrate_as(classifier, labels)
    embedder = None
    if settings.features != "auto":
        embedder = load_embedder(settings.features, execution.device, trusted=True)
    return Evaluators(classifier, embedder, labelling)


def judge_of(
    settings: EvaluateSettings, networks: Evaluators, paint: Callable[[Tensor], Tensor], channels: int, precision: str,
    execution: Execution,
) -> Judge:  # fmt: skip
    """The judge that looks at images of so many channels with these networks. InputError: they do not take them."""
    check_channels(networks.classifier, settings.classifier, channels)
    if networks.embedder:
        check_channels(networks.embedder, settings.features, channels)
    notes = []
    if networks.labelling:
        name = settings.classifier
        notes.append(f"judged by {name}, which made the labels: every figure flatters; --classifier names another")
    return Judge(paint, networks.classifier, networks.embedder, precision, execution, notes, networks.labelling)


def evaluator_of(settings: EvaluateSettings, labels: Artifact) -> str:
    """The classifier that judges: as named, else the one that was trained to judge the labelling one, else that one."""
    own: str = labels.question.config["classifier"]
    return EVALUATORS.get(own, own) if settings.classifier == "auto" else network_source(settings.classifier)


def subjects(judge: Judge, latent: Tensor) -> Subjects:
    """The samples as the judge sees them, who is calibrated on them if he asks for that."""
    calibration = judge.classifier.calibration
    if calibration is not None and not judge.labelling:
        calibration.fit(judge.look_together(latent)[0])
    return Subjects(latent, *judge.look_together(latent))


def first_unseen(first: int, n: int, samples: Artifact) -> int:
    """The first of n seeds in a row that samples.h5 does not have: `first`, else beyond its own, else 0.

    InputError: there are not so many seeds.
    """
    start, stop = samples.question.seed, samples.question.seed + samples.question.n
    for seed in (first, stop, 0):
        if seed + n <= SEEDS and not overlap(seed, seed + n, start, stop):
            return seed
    raise InputError(f"{samples.path} leaves no {n} seeds in a row for samples that no fit has seen", hint="-n 1000")


def overlap(first: int, last: int, start: int, stop: int) -> bool:
    """Whether two ranges of seeds, their ends excluded, share one."""
    return first < stop and start < last


def check_unseen(scored: Artifact, samples: Artifact) -> None:
    """InputError: edits were evaluated on samples of samples.h5, which a fit may have seen."""
    first, ours = scored.question.config.get("first_seed"), samples.question
    if first is not None and overlap(first, first + scored.question.n, ours.seed, ours.seed + ours.n):
        message = f"{scored.path} was made on seeds from {first} on, which {samples.path} has too"
        raise InputError(message, hint=f"make it again: {scored.kind.command} --force")


def unseen(generator: Generator, space: str, settings: EvaluateSettings, drawn: SampleSettings) -> Tensor:
    """Latents (n, L, D) of samples that no fit has seen."""
    seeds = range(settings.first_seed, settings.first_seed + settings.n)
    z = torch.from_numpy(seeded_latents(seeds, generator.z_dim))
    latent = z
    if space == "w":
        latent = torch.cat([mapped(generator, rows.to(generator.device), drawn).cpu() for rows in z.split(MAPPED)])
    return latent[:, None].expand(-1, layers_of(generator, space), -1)
