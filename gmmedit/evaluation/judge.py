"""Who judges edits, and on which samples: what `evaluate` and `compare` have in common."""

from dataclasses import dataclass

from torch import Tensor

from gmmedit import artifacts, classifiers
from gmmedit.artifacts import Artifact
from gmmedit.classifiers import Classifier
from gmmedit.classifiers.preprocessing import conversion_notes
from gmmedit.config import EvaluateSettings
from gmmedit.errors import InputError
from gmmedit.features import Embedder, load_embedder
from gmmedit.pictures.pixels import as_shown
from gmmedit.run.folder import RunFolder
from gmmedit.run.rendering import Renderer
from gmmedit.runtime.execution import Execution, autocast

MAPPED = 4096  # latents at once


@dataclass(frozen=True)
class Judge:
    """Latents to what the evaluation classifier and the feature network see in their pictures."""

    renderer: Renderer
    space: str
    classifier: Classifier
    embedder: Embedder | None
    precision: str
    execution: Execution
    notes: list[str]
    labelling: bool  # the evaluation classifier is the one that made the labels, and calibrated as for them
    converted: list[str]  # what is done to the images first

    def observe(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Latents (N, L, D) to logits (N, K), nuisances (N, M) and features (N, F); M or F may be 0."""

        def answers(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            with autocast(self.precision, self.execution.device):
                images = as_shown(self.renderer.generate(rows, self.space))
                found = self.read(images)
            return tuple(it.float() for it in found)  # type: ignore[return-value]

        logits, nuisances, features = self.execution.in_batches(answers, latent)
        return logits, nuisances, features

    def observe_all(self, latent: Tensor) -> tuple[Tensor, ...]:
        """The same, each process of the command looking at its share."""
        return self.execution.processes.map_rows(self.observe, latent)

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


@dataclass(frozen=True)
class Evaluators:
    """The networks that look at edits; `labelling`: the classifier is the one that made the labels."""

    classifier: Classifier
    embedder: Embedder | None
    labelling: bool


def load_evaluators(settings: EvaluateSettings, run: RunFolder) -> Evaluators:
    """The evaluation classifier and the feature network that the settings name.

    InputError: the classifier has other attributes than the labels or sees no images, or an edit has nothing to keep.
    """
    labels, device = run.labels, run.execution.device
    if len(labels.attributes) < 2:
        raise InputError(f"{labels.path} has one attribute: there are no others for an edit to keep",
                         hint="gmmedit label with a classifier of several attributes")  # fmt: skip
    name, named_by_user = evaluator_of(settings, labels), settings.classifier != "auto"
    classifier = classifiers.load(name, device, trusted=named_by_user or run.execution.trusting)
    if not classifier.sees_images:
        raise InputError(f"{name} is a table of labels and cannot look at edited images",
                         hint="--classifier: a network with the same attributes")  # fmt: skip
    ours = [(attribute.name, list(attribute.values)) for attribute in classifier.attributes]
    if ours != labels.attributes:
        raise InputError(f"classifier {name} has other attributes than {labels.path}", hint="--classifier")
    record = labels.spec.classifier
    labelling = record is not None and record["fingerprint"] == classifier.fingerprint  # wherever its file lies
    if labelling:
        run.calibrate(classifier)
    embedder = load_embedder(settings.features, device, trusted=True) if settings.features != "auto" else None
    return Evaluators(classifier, embedder, labelling)


def judge_of(settings: EvaluateSettings, networks: Evaluators, space: str, run: RunFolder) -> Judge:
    """What looks at edits in that space with these networks. InputError: they do not take the generator's images."""
    name, channels = evaluator_of(settings, run.labels), run.generator.image_shape[0]
    converted = conversion_notes(networks.classifier.channels, name, channels)
    if networks.embedder:
        converted += conversion_notes(networks.embedder.channels, settings.features, channels)
    notes = []
    if networks.labelling:
        notes.append(f"judged by {name}, which made the labels: every figure flatters; --classifier names another")
    return Judge(
        run.renderer, space, networks.classifier, networks.embedder, settings.precision, run.execution, notes,
        networks.labelling, converted,
    )  # fmt: skip


def evaluator_of(settings: EvaluateSettings, labels: Artifact) -> str:
    """The evaluation classifier: as named, else an independently trained one, else the labelling one."""
    if settings.classifier != "auto":
        return artifacts.network_source(settings.classifier)
    return classifiers.evaluation_classifier(labels.spec.config["classifier"])


def subjects(judge: Judge, latent: Tensor) -> Subjects:
    """The samples as the judge sees them, who is calibrated on them if he asks for that."""
    calibration = judge.classifier.calibration
    if calibration is not None and not judge.labelling:
        calibration.fit(judge.observe_all(latent)[0])
    return Subjects(latent, *judge.observe_all(latent))


def unseen(renderer: Renderer, space: str, settings: EvaluateSettings) -> Tensor:
    """Latents (n, L, D) of samples that no fit has seen."""
    seeds = range(settings.first_seed, settings.first_seed + settings.n)
    return renderer.layered(renderer.latents(seeds, space, MAPPED), space)
