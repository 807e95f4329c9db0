"""RunFolder: access from a stage to the artifacts of a run and to the networks that they name.

The checks of parents, fingerprints and trust are here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from gmmedit import artifacts, classifiers, generators
from gmmedit.artifacts import Artifact
from gmmedit.classifiers import Classifier
from gmmedit.config import SampleSettings
from gmmedit.errors import InputError
from gmmedit.generators import Generator
from gmmedit.mixture import Layout
from gmmedit.mixture.model import AttributeMixture
from gmmedit.run.fitted import read_chart, read_model
from gmmedit.run.hold_out import check_unseen, labels_photographs
from gmmedit.run.network_checks import check_compatible, check_fingerprint, recorded_classifier
from gmmedit.run.recorded import Robustness, check_config, read_robustness
from gmmedit.run.rendering import Renderer
from gmmedit.run.tuned import is_tuned, read_tuned
from gmmedit.runtime.commands import on_run
from gmmedit.runtime.execution import Execution
from gmmedit.runtime.validation import explain_error
from gmmedit.spaces import Chart, Space

if TYPE_CHECKING:
    from gmmedit.features import Embedder

DISCRIMINATOR = "discriminator"  # the feature network in the generator's file
KINDS = ("samples", "labels", "single", "mixture", "evaluation", "comparison")  # parents before their children


class RunFolder:
    """A run folder: its artifacts and the networks that they name, each opened on first access.

    A context manager that closes the files. `missing`: a line for each artifact that `find` could not open, by kind;
    `notes`: the same for one who looks at this folder, with `--run` in the commands.
    """

    def __init__(self, path: Path, execution: Execution) -> None:
        self.path, self.execution = path, execution
        self.missing: dict[str, str] = {}
        self.notes: dict[str, str] = {}
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
        """The path of the artifact of that kind, whether it exists or not."""
        return self.path / f"{kind}.h5"

    def artifact(self, kind: str) -> Artifact:
        """The finished artifact of that kind, checked against all others that are open.

        InputError: it is missing, unreadable, of impossible settings, or made from others than the open ones.
        """
        if kind not in self._open:
            with ExitStack() as stack:
                artifact = stack.enter_context(artifacts.open(self.file(kind), kind))
                check_config(artifact)
                for name, other in self._open.items():
                    self.check_parents(artifact, {name: other})
                    self.check_parents(other, {kind: artifact})
                self._stack.enter_context(stack.pop_all())
            self._open[kind] = artifact
        return self._open[kind]

    @staticmethod
    def check_parents(child: Artifact, parents: Mapping[str, Artifact]) -> None:
        """InputError: `child` was made from other artifacts than `parents`, or evaluated on fitted samples.

        Photographs that are labelled may have been inverted with earlier labels.
        """
        named = {name: parent for name, parent in parents.items() if name in child.spec.parents}
        if child.kind.name == "inversions" and "labels" in named and labels_photographs(named["labels"]):
            del named["labels"]
        artifacts.check_parents(child, **named)
        if "samples" in parents:
            check_unseen(child, parents["samples"])

    def find(self, kind: str) -> Artifact | None:
        """As `artifact`, but None and a line in `missing` and `notes` instead of an InputError, also where a checksum
        anywhere in the file is wrong."""
        if kind in self.missing:
            return None
        try:
            artifact = self.artifact(kind)
            _ = artifact.fingerprint  # which reads and checks all of the file
        except InputError as error:
            self._open.pop(kind, None)
            self.note_missing(kind, error)
            return None
        return artifact

    def note_missing(self, kind: str, error: InputError, prefix: str = "") -> None:
        """Add the error, after the prefix, to `missing` and `notes`."""
        text = f"{prefix}{error.message}; {error.hint}" if error.hint else prefix + error.message
        self.notes[kind] = text.replace(f"{self.path}/", "")
        self.missing[kind] = self.notes[kind].replace(on_run("", self.path), "")

    def find_all(self, kinds: Iterable[str] = KINDS) -> dict[str, Artifact]:
        """The artifacts that exist and belong together, by kind."""
        found = {kind: self.find(kind) for kind in kinds}
        return {kind: artifact for kind, artifact in found.items() if artifact is not None}

    @property
    def opened(self) -> dict[str, Artifact]:
        """The open artifacts, by kind."""
        return dict(self._open)

    # Contents of artifacts

    @property
    def attributes(self) -> list[tuple[str, list[str]]]:
        """Names and values of the attributes; empty if no open artifact has any."""
        return next((artifact.attributes for artifact in self._open.values() if artifact.attributes), [])

    @property
    def samples(self) -> Artifact:
        """The artifact samples.h5; InputError as `artifact`."""
        return self.artifact("samples")

    @property
    def labels(self) -> Artifact:
        """The artifact labels.h5; InputError as `artifact`."""
        return self.artifact("labels")

    @cached_property
    def sample_settings(self) -> SampleSettings:
        """The settings of samples.h5. InputError: it names settings that do not exist."""
        try:
            return SampleSettings.model_validate(self.samples.spec.config)
        except ValidationError as error:
            message, _ = explain_error(error, SampleSettings)
            raise InputError(f"{self.samples.path}: {message}", hint=self.samples.kind.hint(self.path)) from None

    def space(self, name: str) -> Space:
        """The latent space of that name, as recorded in samples.h5."""
        spaces = self.samples.attrs.get("spaces")
        if spaces is None:  # files of version 0.1.0 record only the dimensions
            return Space(name, int(np.prod(self.samples.sizes[f"{name}_dim"])), normal=name == "z")
        return Space.from_record(spaces[name])

    @cached_property
    def recorded_shape(self) -> tuple[int, int, int] | None:
        """The image shape (C, H, W) in samples.h5; None: files of earlier versions have none.

        InputError: it is no shape.
        """
        found = self.samples.attrs.get("image_shape")
        if found is None:
            return None
        if not isinstance(found, list) or len(found) != 3 or not all(type(side) is int and side > 0 for side in found):
            message = f"{self.samples.path}: image_shape is {found!r}, not channels, height and width"
            raise InputError(message, hint=self.samples.kind.hint(self.path))
        channels, height, width = found
        return channels, height, width

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of the images, as recorded, else as the generator makes them; InputError as `generator`.

        Without the generator where samples.h5 records it, so that a finished file is recognised without it.
        """
        return self.recorded_shape or self.generator.image_shape

    @cached_property
    def robustness(self) -> Robustness:
        """What `label` measured of classifier and images. InputError: as `read_robustness`."""
        return read_robustness(self.labels)

    @property
    def fitted_space(self) -> str:
        """The name of the latent space that mixture.h5 was fitted in."""
        name: str = self.artifact("mixture").spec.config["space"]
        return name

    @property
    def fitted_block(self) -> str | None:
        """The block of that space which mixture.h5 was fitted in; None: all of it."""
        block: str | None = self.artifact("mixture").spec.config.get("block")
        return block

    def chart(self, fit: str = "mixture") -> Chart:
        """The chart of single.h5 or mixture.h5."""
        return read_chart(self.artifact(fit))

    def model(self, fit: str = "mixture") -> AttributeMixture:
        """The model of single.h5 or mixture.h5."""
        return read_model(self.artifact(fit))

    # Networks

    @cached_property
    def generator(self) -> Generator:
        """The generator of samples.h5.

        InputError: it is missing, its weights have changed, or it is a Python file and `--trust` is off.
        """
        generator = generators.load(self.sample_settings.gan, self.execution.device, trusted=self.execution.trusting)
        check_fingerprint(self.samples, "generator", self.samples.spec.generator, generator.fingerprint)
        if self.recorded_shape not in (None, tuple(generator.image_shape)):
            message = f"{self.samples.path} records images of another shape than its generator makes"
            raise InputError(message, hint=self.samples.kind.hint(self.path))
        return generator

    def check_generator(self, source: str) -> None:
        """InputError: the generator that the user names is not the one of samples.h5, or it cannot be loaded."""
        if artifacts.network_source(source) == self.sample_settings.gan:
            return  # `generator` compares the weights
        found = generators.load(source, self.execution.device, trusted=True)
        recorded = self.samples.spec.generator or {}
        if recorded.get("fingerprint") != found.fingerprint:
            message = f"{self.samples.path} holds samples of {recorded.get('name')}, not of {source}"
            raise InputError(message, hint="--out names another folder")

    @cached_property
    def renderer(self) -> Renderer:
        """The generator with the settings of samples.h5."""
        return Renderer(self.generator, self.sample_settings, self.samples.path.parent)

    def tuned_renderer(self, source: str, trusted: bool) -> Renderer:
        """Another generator of the same latent spaces, with the settings of samples.h5.

        trusted: the user named it, so its Python file may run. InputError: its latent spaces, image shape or classes
        differ from those of the run's generator.
        """
        if is_tuned(Path(source)):
            tuned = read_tuned(Path(source), self.generator)
        else:
            tuned = generators.load(source, self.execution.device, trusted=trusted)
        check_compatible(tuned, self.generator, source)
        return Renderer(tuned, self.sample_settings.model_copy(update={"gan": source}), self.samples.path.parent)

    @cached_property
    def classifier(self) -> Classifier:
        """The classifier of labels.h5, with the calibration recorded there.

        InputError: as `classifier_of`, or its weights have changed.
        """
        classifier = self.classifier_of(self.labels)
        check_fingerprint(self.labels, "classifier", self.labels.spec.classifier, classifier.fingerprint)
        self.calibrate(classifier)
        return classifier

    def classifier_of(self, artifact: Artifact) -> Classifier:
        """The classifier that an artifact names, without a check of its weights.

        InputError: it is missing, or it is a Python file and `--trust` is off.
        """
        name = recorded_classifier(artifact)
        return classifiers.load(name, self.execution.device, trusted=self.execution.trusting)

    def embedder_of(self, artifact: Artifact) -> Embedder:
        """The feature network that an artifact names. InputError: as `classifier_of`."""
        return self.embedder(artifact.spec.config["features"], trusted=self.execution.trusting)

    def embedder(self, name: str, trusted: bool) -> Embedder:
        """The feature network of that name or file; `discriminator`: the one in the generator's own file.

        trusted: the user named it. InputError: there is none, or it may not run.
        """
        if name == DISCRIMINATOR:
            from gmmedit.generators.catalogue import find_file
            from gmmedit.generators.formats.nvidia_discriminator import read_discriminator

            return read_discriminator(find_file(self.sample_settings.gan), self.execution.device)
        from gmmedit.features import load_embedder  # with the readers of every kind of network

        return load_embedder(name, self.execution.device, trusted=trusted)

    def calibrate(self, classifier: Classifier) -> None:
        """Load the calibration recorded in labels.h5 into the labelling classifier, if it has one."""
        if classifier.calibration:
            classifier.calibration.load(self.labels.attrs["calibration"])


def layout_of(artifact: Artifact) -> Layout:
    """The number of values of each attribute of an artifact."""
    return Layout(tuple(len(values) for _, values in artifact.attributes))
