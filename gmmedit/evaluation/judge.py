"""The evaluation networks and samples of `evaluate` and `compare`."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gmmedit import artifacts, classifiers
from gmmedit.artifacts import Artifact
from gmmedit.classifiers import Classifier
from gmmedit.classifiers.preprocessing import conversion_notes
from gmmedit.config import EvaluateSettings
from gmmedit.errors import InputError
from gmmedit.evaluation.label_regression import LabelRegression
from gmmedit.features import Embedder, load_embedder
from gmmedit.pictures.pixels import as_shown
from gmmedit.run.folder import RunFolder
from gmmedit.run.network_checks import check_there
from gmmedit.run.rendering import Renderer, shrink_to_compare
from gmmedit.runtime.execution import Execution, autocast

MAPPED = 4096  # latents per call of the mapping network


@dataclass(frozen=True)
class Judge:
    """Latents to the outputs of the evaluation classifier and the feature network for their images."""

    renderer: Renderer
    space: str
    classifier: Classifier
    embedder: Embedder | None
    precision: str
    execution: Execution
    notes: list[str]
    labelling: bool  # the evaluation classifier is the labelling one, with its calibration
    converted: list[str]  # notes on how images are converted for the networks
    labeller: Classifier | None = None  # the labelling classifier, if it is another one and sees images

    def observe(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Latents (N, L, D) to logits (N, K), nuisances (N, M) and features (N, F); M or F may be 0."""

        def observe_rows(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            with autocast(self.precision, self.execution.device):
                images = as_shown(self.renderer.generate(rows, self.space))
                outputs = self.observe_images(images)
            return tuple(output.float() for output in outputs)  # type: ignore[return-value]

        logits, nuisances, features = self.execution.in_batches(observe_rows, latent)
        return logits, nuisances, features

    def examine(self, latent: Tensor, other: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """As `observe`, then the logits of the labelling classifier (N, K), (N, 0) if it is a table, and pixels (N,).

        These are the mean absolute differences from the images of `other` latents (N, L, D), at COMPARED_SIDE pixels a
        side at most; images are not kept.
        """

        def examine_rows(pairs: Tensor) -> tuple[Tensor, ...]:
            with autocast(self.precision, self.execution.device):
                images, others = (as_shown(self.renderer.generate(rows, self.space)) for rows in pairs.unbind(1))
                logits, nuisances, features = (part.float() for part in self.observe_images(images))
                label_logits = logits if self.labelling else logits[:, :0]
                if self.labeller is not None:
                    label_logits = self.labeller.logits(images).float()
            apart = (shrink_to_compare(images) - shrink_to_compare(others)).abs().flatten(1).mean(1)
            return logits, nuisances, features, label_logits, apart

        logits, nuisances, features, label_logits, pixels = self.execution.in_batches(
            examine_rows, torch.stack([latent, other], 1)
        )
        return logits, nuisances, features, label_logits, pixels

    def share(self, look: Callable[[Tensor], tuple[Tensor, ...]], latent: Tensor) -> tuple[Tensor, ...]:
        """A function of latents, with the latents shared between the processes of the command."""
        return self.execution.processes.map_rows(look, latent)

    def observe_images(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images (N, C, H, W) in [-1, 1] to logits, nuisances and features, as `observe`."""
        logits, nuisances, features = self.classifier.observe(images)
        return logits, nuisances, self.embedder.features(images) if self.embedder else features


@dataclass(frozen=True)
class EvaluationSamples:
    """Unedited samples: latents (N, L, D), and what `Judge.examine` returns for them, each compared with the next."""

    latent: Tensor
    logits: Tensor
    nuisances: Tensor
    features: Tensor
    label_logits: Tensor
    pixels: Tensor


@dataclass(frozen=True)
class Evaluators:
    """The evaluation classifier and the feature network; `labelling`: the classifier is the labelling one."""

    classifier: Classifier
    embedder: Embedder | None
    labelling: bool

    @property
    def facts(self) -> dict[str, object]:
        """What an evaluation records of them in its settings."""
        found: dict[str, object] = {"embedder": self.embedder.fingerprint if self.embedder else None}
        return found | ({"reader": self.classifier.reader} if isinstance(self.classifier, LabelRegression) else {})


def load_evaluators(settings: EvaluateSettings, run: RunFolder) -> Evaluators:
    """The evaluation classifier and the feature network named in the settings.

    Where a table made the labels and no classifier is named, it is a regression that `make_judge` fits. InputError: the
    classifier has other attributes than the labels, or a table is named.
    """
    labels, device = run.labels, run.execution.device
    name, named_by_user = evaluation_classifier_of(settings, labels), settings.classifier != "auto"
    if not named_by_user:
        check_there(labels, name)
    classifier = classifiers.load(name, device, trusted=named_by_user or run.execution.trusting)
    embedder = load_embedder(settings.features, device, trusted=True) if settings.features != "auto" else None
    if not classifier.sees_images and not named_by_user:
        return Evaluators(LabelRegression(run, held_out_of(run), embedder), embedder, False)
    if not classifier.sees_images:
        raise InputError(f"{name} is a table of labels and cannot classify edited images",
                         hint="--classifier names a network with the same attributes, or is left out")  # fmt: skip
    ours = [(attribute.name, list(attribute.values)) for attribute in classifier.attributes]
    if ours != labels.attributes:
        found, wanted = (", ".join(attribute for attribute, _ in part) for part in (ours, labels.attributes))
        message = f"classifier {name} has other attributes or values than {labels.path}: {found}, not {wanted}"
        raise InputError(message, hint="--classifier names a network of the same attributes, values and order")
    record = labels.spec.classifier
    labelling = record is not None and record["fingerprint"] == classifier.fingerprint  # whatever its path
    if labelling:
        run.calibrate(classifier)
    return Evaluators(classifier, embedder, labelling)


def held_out_of(run: RunFolder) -> float:
    """The share of the labelled rows that no fit of the run uses."""
    share: float = run.artifact("mixture").spec.config["held_out"]
    return share


def make_judge(settings: EvaluateSettings, networks: Evaluators, space: str, run: RunFolder) -> Judge:
    """The judge of edits in that space. InputError: the networks do not take images with the generator's channels."""
    name, channels = evaluation_classifier_of(settings, run.labels), run.generator.image_shape[0]
    converted = conversion_notes(networks.classifier.channels, name, channels)
    if networks.embedder:
        converted += conversion_notes(networks.embedder.channels, settings.features, channels)
    notes, labeller = [], None
    if not networks.labelling and run.classifier.sees_images:
        labeller = run.classifier
    if isinstance(networks.classifier, LabelRegression):
        notes.append(networks.classifier.fit(run, held_out_of(run)))
    if networks.labelling:
        notes.append(f"evaluated by {name}, which also made the labels: all figures are optimistic; see --classifier")
    return Judge(
        run.renderer, space, networks.classifier, networks.embedder, settings.precision, run.execution, notes,
        networks.labelling, converted, labeller,
    )  # fmt: skip


def evaluation_classifier_of(settings: EvaluateSettings, labels: Artifact) -> str:
    """The evaluation classifier: as named, else an independently trained one, else the labelling one."""
    if settings.classifier != "auto":
        return artifacts.network_source(settings.classifier)
    return classifiers.evaluation_classifier(labels.spec.config["classifier"])


def observe_samples(judge: Judge, latent: Tensor) -> EvaluationSamples:
    """The judge's outputs for unedited latents (N, L, D), after calibrating on them if the classifier supports it."""
    calibration = judge.classifier.calibration
    if calibration is not None and not judge.labelling:
        calibration.fit(judge.share(judge.observe, latent)[0])
    pairs = torch.stack([latent, latent.roll(-1, 0)], 1)
    return EvaluationSamples(latent, *judge.share(lambda rows: judge.examine(*rows.unbind(1)), pairs))


def draw_unseen(renderer: Renderer, space: str, settings: EvaluateSettings) -> Tensor:
    """Latents (n, L, D) of the evaluation samples, whose seeds no fit has used."""
    seeds = range(settings.first_seed, settings.first_seed + settings.n)
    return renderer.to_layers(renderer.draw_latents(seeds, space, MAPPED), space)
