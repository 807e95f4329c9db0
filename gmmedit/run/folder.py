"""RunFolder: the one door from a step to the artifacts of a run and to the networks that they name.

There is one check of parents, one of fingerprints and one of trust, and they are here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from gmmedit import artifacts, classifiers, generators
from gmmedit.artifacts import Artifact
from gmmedit.classifiers import Classifier
from gmmedit.config import SampleSettings
from gmmedit.errors import InputError
from gmmedit.features import Embedder, load_embedder
from gmmedit.generators import Generator
from gmmedit.mixture import Layout
from gmmedit.mixture.model import AttributeMixture
from gmmedit.run.hold_out import check_unseen
from gmmedit.run.rendering import Renderer
from gmmedit.runtime.execution import Execution
from gmmedit.runtime.validation import explain_error
from gmmedit.spaces import Chart, Space

KINDS = ("samples", "labels", "single", "mixture", "evaluation", "comparison")  # parents before their children


class RunFolder:
    """A run folder: its artifacts, and the networks that they name, each opened when it is first asked for.

    Use it in `with`; the files are closed with it. `missing` has a line for each artifact that `find` did not find, or
    not as one of this run.
    """

    def __init__(self, path: Path, execution: Execution) -> None:
        self.path, self.execution = path, execution
        self.missing: dict[str, str] = {}
        self._stack = ExitStack()
        self._open: dict[str, Artifact] = {}

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    # Artifacts

    def file(self, kind: str) -> Path:
        """Where the artifact of that kind lies, or would lie."""
        return self.path / f"{kind}.h5"

    def artifact(self, kind: str) -> Artifact:
        """The finished artifact of that kind, which belongs to all others that have been asked for.

        InputError: it is not there, cannot be read, or was made from others than those.
        """
        if kind not in self._open:
            with ExitStack() as stack:
                artifact = stack.enter_context(artifacts.open(self.file(kind), kind))
                for name, other in self._open.items():
                    self.check_descent(artifact, {name: other})
                    self.check_descent(other, {kind: artifact})
                self._stack.enter_context(stack.pop_all())
            self._open[kind] = artifact
        return self._open[kind]

    @staticmethod
    def check_descent(child: Artifact, parents: Mapping[str, Artifact]) -> None:
        """InputError: `child` was made from others than these, or evaluated on samples that a fit may have seen."""
        named = {name: parent for name, parent in parents.items() if name in child.spec.parents}
        artifacts.check_parents(child, **named)
        if "samples" in parents:
            check_unseen(child, parents["samples"])

    def find(self, kind: str) -> Artifact | None:
        """As `artifact`; None, and a line in `missing`, where that raises an error."""
        try:
            return self.artifact(kind) if kind not in self.missing else None
        except InputError as error:
            self.missing[kind] = self.one_line(error)
            return None

    def find_all(self, kinds: Iterable[str] = KINDS) -> dict[str, Artifact]:
        """Those artifacts that are there and belong together, by kind."""
        found = {kind: self.find(kind) for kind in kinds}
        return {kind: artifact for kind, artifact in found.items() if artifact is not None}

    def one_line(self, error: InputError) -> str:
        """What is wrong and what to do, without the folder: where it lies is no part of a result."""
        text = f"{error.message}: {error.hint}" if error.hint else error.message
        return text.replace(f"{self.path}/", "")

    @property
    def there(self) -> dict[str, Artifact]:
        """The artifacts that are open, by kind."""
        return dict(self._open)

    # What artifacts tell

    @property
    def attributes(self) -> list[tuple[str, list[str]]]:
        """Names and values; empty while nothing that is open is labelled."""
        return next((artifact.attributes for artifact in self._open.values() if artifact.attributes), [])

    @property
    def samples(self) -> Artifact:
        return self.artifact("samples")

    @property
    def labels(self) -> Artifact:
        return self.artifact("labels")

    @cached_property
    def sampled(self) -> SampleSettings:
        """What the samples were drawn with. InputError: samples.h5 names settings that there are not."""
        try:
            return SampleSettings.model_validate(self.samples.spec.config)
        except ValidationError as error:
            message, _ = explain_error(error, SampleSettings)
            raise InputError(f"{self.samples.path}: {message}", hint="make it again: gmmedit sample --force") from None

    def space(self, name: str) -> Space:
        """The generator's latent space of that name, as samples.h5 tells it."""
        spaces = self.samples.attrs.get("spaces")
        if spaces is None:  # version 0.1.0: z, and w of so many layers as the generator has
            return Space(name, int(np.prod(self.samples.sizes[f"{name}_dim"])), normal=name == "z")
        return Space.from_record(spaces[name])

    @property
    def fitted_space(self) -> str:
        """The name of the latent space that mixture.h5 was fitted in."""
        name: str = self.artifact("mixture").spec.config["space"]
        return name

    def chart(self, fit: str = "mixture") -> Chart:
        """The chart of single.h5 or mixture.h5."""
        return Chart.from_arrays(tensors(self.artifact(fit).group("chart")))

    def model(self, fit: str = "mixture") -> AttributeMixture:
        """The model of single.h5 or mixture.h5."""
        return model_from(self.artifact(fit))

    # Networks

    @cached_property
    def generator(self) -> Generator:
        """The generator that made the samples.

        InputError: its weights are not those any more, or it is a program that the user has not named.
        """
        generator = generators.load(self.sampled.gan, self.execution.device, trusted=self.execution.trusting)
        check_fingerprint(self.samples, "generator", self.samples.spec.generator, generator.fingerprint)
        return generator

    @cached_property
    def renderer(self) -> Renderer:
        """The same, as step 1 was asked to use it."""
        return Renderer(self.generator, self.sampled)

    def tuned_renderer(self, source: str, trusted: bool) -> Renderer:
        """Another generator of the same latent spaces, to be used as the run's own.

        trusted: whether the user names it. InputError: it takes other latents, makes images of another shape, or has
        other classes.
        """
        tuned = generators.load(source, self.execution.device, trusted=trusted)
        for found, wanted in zip(traits(tuned), traits(self.generator), strict=True):
            if found != wanted:
                message = f"{source} has {found}, the run's generator has {wanted}: its latents are others"
                raise InputError(message, hint="edit --gan takes a fine-tuned copy of the run's generator")
        return Renderer(tuned, self.sampled.model_copy(update={"gan": source}))

    @cached_property
    def classifier(self) -> Classifier:
        """The classifier that made the labels, calibrated as for them.

        InputError: as `classifier_of`, or its weights are not those any more.
        """
        classifier = self.classifier_of(self.labels)
        check_fingerprint(self.labels, "classifier", self.labels.spec.classifier, classifier.fingerprint)
        self.calibrate(classifier)
        return classifier

    def classifier_of(self, artifact: Artifact) -> Classifier:
        """The classifier that an artifact names, whatever its weights are.

        InputError: it is not there, or it is a program that the user has not named.
        """
        name = artifact.spec.config.get("classifier")
        if not isinstance(name, str):
            message = f"{artifact.path} does not say which classifier it was made with"
            raise InputError(message, hint=f"make it again: {artifact.kind.command} --force")
        return classifiers.load(name, self.execution.device, trusted=self.execution.trusting)

    def embedder_of(self, artifact: Artifact) -> Embedder:
        """The feature network that an artifact names. InputError: as `classifier_of`."""
        name = artifact.spec.config["features"]
        return load_embedder(name, self.execution.device, trusted=self.execution.trusting)

    def calibrate(self, classifier: Classifier) -> None:
        """Give the labelling classifier the scale and shift with which it made the labels, where it has such."""
        if classifier.calibration:
            classifier.calibration.load(self.labels.attrs["calibration"])


def traits(generator: Generator) -> tuple[str, str, str]:
    """What two generators must have in common for the edits of one to suit the other."""
    channels, height, width = generator.image_shape
    spaces = ", ".join(map(str, generator.spaces.values()))
    return spaces, f"images of {height} x {width} pixels and {channels} channels", f"{generator.n_classes} classes"


def check_fingerprint(artifact: Artifact, part: str, recorded: object, fingerprint: str) -> None:
    """InputError: a network is another one than the artifact was made with."""
    expected = recorded["fingerprint"] if isinstance(recorded, dict) else None
    if expected != fingerprint:
        found = f"fingerprint {fingerprint[:12]}, {artifact.path} was made with {str(expected)[:12]}"
        raise InputError(f"the {part} has changed ({found})", hint=f"{artifact.kind.command} --force")


def layout_of(artifact: Artifact) -> Layout:
    """The attributes of an artifact as the mixture counts them."""
    return Layout(tuple(len(values) for _, values in artifact.attributes))


def tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Arrays to tensors, under the same names."""
    return {name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()}


def model_from(fit: Artifact) -> AttributeMixture:
    """The model of a single.h5 or mixture.h5."""
    layout = tuple(len(values) for _, values in fit.attributes)
    return AttributeMixture.from_state(layout, tensors(fit.group("parameters")))
