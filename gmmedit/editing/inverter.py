"""Opens the inverter of a run: generator, chart, encoder and features, as its settings choose them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gmmedit import artifacts, encoders
from gmmedit.classifiers import Classifier
from gmmedit.config import InvertSettings
from gmmedit.editing.inversion import Features, Inverter
from gmmedit.encoders import Encoder
from gmmedit.encoders.catalogue import check_encoder, holds_encoder
from gmmedit.errors import InputError
from gmmedit.run.folder import RunFolder
from gmmedit.spaces import Chart, fit_block_chart, fit_chart

ENCODER = "encoder.safetensors"  # in the run folder: what `train encoder --run` writes


def open_inverter(run_folder: RunFolder, settings: InvertSettings) -> Inverter:
    """The inverter of a run's generator, for as long as the run folder is open.

    Only samples.h5 is needed; labels.h5 gives features and thumbnails.

    The inverter's settings name the space, encoder and features that were chosen. InputError: samples.h5 or a network
    is missing or has changed; the generator has no W for --space w; the encoder is of another generator.
    """
    renderer, notes = run_folder.renderer, list[str]()
    settings = settings.model_copy(update={"space": resolve_space(run_folder, settings.space)})
    space = "z" if settings.space == "z" else "w"
    encoder_name, encoder = choose_encoder(run_folder, settings.encoder, space)
    compared = choose_features(run_folder, settings.features)
    notes += compared.notes
    chosen: dict[str, str | int] = {"encoder": encoder_name, "features": compared.name}
    if settings.steps and not renderer.generator.differentiable:
        chosen["steps"] = 0
        notes.append("no optimisation (--steps 0): the generator has no gradients")
    samples = run_folder.samples
    latents = torch.from_numpy(samples[space])
    chart, rest = fit_chart(run_folder.space(space), latents), fit_rest(run_folder, space, encoder, latents)
    labels = run_folder.labels if run_folder.file("labels").exists() else None
    return Inverter(
        renderer=renderer,
        space=space,
        shared=settings.space != "w+",
        chart=chart.to(run_folder.execution.device),
        samples=samples,
        thumbnails=labels["thumbnails"].astype(np.int16) if labels is not None and "thumbnails" in labels else None,
        encoder=encoder,
        features=compared.function,
        embedder=compared.fingerprint,
        settings=settings.model_copy(update=chosen),
        execution=run_folder.execution,
        notes=tuple(notes),
        rest=rest and rest.to(run_folder.execution.device),
    )


def fit_rest(run_folder: RunFolder, space: str, encoder: Encoder | None, latents: Tensor) -> Chart | None:
    """The chart of what is not a cause in latents (N, D); None: they hold no causes, or no encoder reads these."""
    where = run_folder.generator.spaces[space]
    if encoder is None or not run_folder.generator.causes or "rest" not in where.blocks:
        return None
    return fit_block_chart(where, latents, "rest")


def with_own_errors(inverter: Inverter, errors: np.ndarray) -> Inverter:
    """The same inverter, which compares errors with those (R,) of the generator's own samples."""
    return replace(inverter, own_errors=np.sort(errors))


def resolve_space(run_folder: RunFolder, space: str) -> str:
    """z, w or w+; `auto`: what the run's edits need. InputError: the generator has no W."""
    spaces = run_folder.generator.spaces
    if space == "auto":
        fitted = run_folder.fitted_space if run_folder.file("mixture").exists() else ""
        return "z" if fitted == "z" or "w" not in spaces else "w+"
    if space != "z" and "w" not in spaces:
        message = f"{run_folder.sample_settings.gan} has no W"
        raise InputError(message, hint="--space z")
    return space


def choose_encoder(run_folder: RunFolder, name: str, space: str) -> tuple[str, Encoder | None]:
    """The encoder and its name, `none` without one. InputError: it is of another generator or space."""
    generator, device = run_folder.generator, run_folder.execution.device
    if name == "none":
        return name, None
    if name == "auto":
        own = run_folder.path / ENCODER
        trained = [path for path in [Path(run_folder.sample_settings.gan)] if holds_encoder(path)]
        found = encoders.find_encoder(generator, [own, *trained], device)
        if found is None or found[1].space != space:
            return "none", None
        return ENCODER if found[0] == str(own) else found[0], found[1]  # a folder may be moved
    encoder = check_encoder(encoders.load(name, device), generator, name)
    if encoder.space != space:
        raise InputError(f"{name} gives latents of {encoder.space.upper()}", hint=f"--space {encoder.space}")
    return artifacts.network_source(name), encoder


@dataclass(frozen=True)
class Compared:
    """The features that are compared."""

    name: str  # `none`: only pixels are compared
    function: Features | None = None
    fingerprint: str = ""  # of a feature network; that of the labelling classifier is in labels.h5
    notes: tuple[str, ...] = ()


def choose_features(run_folder: RunFolder, name: str) -> Compared:
    """The features of that network, by name or file.

    `auto`: the features of the labelling classifier, else its logits; without labels.h5, or where a table gave the
    labels, none. InputError: as `RunFolder.embedder`.
    """
    if name == "none":
        return Compared(name)
    if name != "auto":
        embedder = run_folder.embedder(name, trusted=True)  # the user named it
        return Compared(artifacts.network_source(name), embedder.features, embedder.fingerprint)
    if not run_folder.file("labels").exists():
        return Compared(
            "none", notes=("only pixels are compared: there is no labels.h5, whose classifier gives features",)
        )
    classifier = run_folder.classifier
    label = str(run_folder.labels.spec.config["classifier"])
    if not classifier.sees_images or not classifier.differentiable:
        reason = "has no gradients" if classifier.sees_images else "does not classify images"
        return Compared("none", notes=(f"only pixels are compared: {label} {reason}",))
    return Compared(label, ClassifierFeatures(classifier))


class ClassifierFeatures:
    """A classifier's features, of one that has none its logits."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier

    def __call__(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] to features (N, F)."""
        logits, _, features = self.classifier.observe(images)
        return features if features.shape[1] else logits
