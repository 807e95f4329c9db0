"""What edits are made with: networks, chart and model of a run. `edit` and `report` make theirs here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gmmedit.artifacts import Artifact
from gmmedit.classifiers import Classifier
from gmmedit.config import EditSettings, SampleSettings
from gmmedit.editors.mixture import MixtureEditor
from gmmedit.fitting.loop import model_from, tensors
from gmmedit.generators import Generator
from gmmedit.mixture.held import every_other
from gmmedit.mixture.members import Members
from gmmedit.mixture.model import AttributeMixture
from gmmedit.pictures.pixels import as_shown, to_bytes
from gmmedit.run.neighbours import members_of
from gmmedit.run.prior import mapped, painter, sample_settings
from gmmedit.run.rendering import Execution, layers_of, load_classifier, load_generator, load_tuned, padded, scorer
from gmmedit.spaces import Chart

EDITED = 1 << 14  # pixels that are moved at once: small images go faster together, a lone one slower
MOST_EDITED = 8  # images, however small: a lone one is padded to as many

MAPPED, SAME = 8, 1e-3  # latents that tell whether two generators have one mapping, and how far they may be apart

Move = tuple[int, Tensor]  # a category, and a strength for every image (N,)


@dataclass(frozen=True)
class Workshop:
    """All that an edit needs; `notes` say what the networks do not allow, and which other generator is used."""

    generator: Generator  # makes the images
    sampler: Generator  # made the samples, and maps z to the w of the run; mostly the same
    classifier: Classifier
    space: str
    drawn: SampleSettings
    chart: Chart
    model: AttributeMixture
    settings: EditSettings
    execution: Execution
    notes: list[str]
    picture_weight: float  # of the change of the pixels in polishing, as in the fit
    members: Members | None  # of the components, from which polishing starts

    @property
    def paint(self) -> Callable[[Tensor], Tensor]:
        return painter(self.generator, self.space, self.drawn)

    def editor(self, images: Sequence[int]) -> MixtureEditor:
        """An editor of images with these numbers (seeds, or places in a file of latents), on which draws depend."""
        settings = self.settings
        score = scorer(self.chart, self.paint, self.classifier, settings.precision, self.execution.device)
        return MixtureEditor(
            self.model, self.chart, settings.draw, settings.seed, settings.polish, score, self.picture_weight,
            self.members, tuple(images),
        )  # fmt: skip

    @property
    def chunk(self) -> int:
        """How many images are moved at once: one where nothing is polished, as then little is gained by more, and in
        matrix products of several rows the last bits depend on the row's place."""
        if not self.settings.polish:
            return 1
        _, height, width = self.generator.image_shape
        return min(max(EDITED // (height * width), 1), MOST_EDITED)

    def move(self, editor: MixtureEditor, latent: Tensor, moves: list[Move]) -> Tensor:
        """Latents (N, L, D) of one chunk, moved towards one category after the other.

        It is computed on whole chunks always: matrix products of fewer rows round differently, polishing magnifies
        that, and no image's result may depend on which others are edited beside it.
        """
        rows = len(latent)
        latent, moves = padded(latent, self.chunk), [(goal, padded(strength, self.chunk)) for goal, strength in moves]
        x = self.chart.to_x(latent)
        for category, strength in moves:
            x = editor.edit(x, category, strength)
        return self.chart.carry(latent, x)[:rows]

    def picture(self, latent: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Images as bytes and their labels (N, K): what the classifier sees; of a table, what the mixture reads.

        One latent after the other, as matrix products of several round differently.
        """

        def look(row: Tensor) -> tuple[np.ndarray, Tensor]:
            image = self.paint(row)
            if not self.classifier.sees_images:
                return to_bytes(image), self.model.responsibilities(self.chart.to_x(row).mean(1))
            return to_bytes(image), self.classifier.probabilities(as_shown(image)).cpu()

        images, labels = zip(*map(look, latent.split(1)), strict=True)
        return np.concatenate(images), torch.cat(labels).numpy()

    def seeded(self, seeds: Sequence[int]) -> Tensor:
        """Latents (N, D) of NVIDIA's `--seeds`."""
        z = self.sampler.draw(seeds)
        return z if self.space == "z" else self.map(z)

    def map(self, z: Tensor) -> Tensor:
        """z (N, z_dim) to the w (N, w_dim) that samples.h5 would keep, one after the other."""
        device = self.sampler.device
        return torch.cat([mapped(self.sampler, row[None].to(device), self.drawn).cpu() for row in z])

    def layered(self, latent: Tensor) -> Tensor:
        """Latents (N, D) or (N, L, D) to (N, L, D)."""
        latent = latent if latent.ndim == 3 else latent[:, None]
        return latent.expand(-1, layers_of(self.generator, self.space), -1).contiguous()


def open_workshop(
    samples: Artifact, labels: Artifact, mixture: Artifact, settings: EditSettings, execution: Execution,
    trusted: bool = True,
) -> Workshop:  # fmt: skip
    """From the artifacts of a run. InputError: the networks are not those any more.

    trusted: whether the user names the generator in the settings, and not an artifact.
    """
    sampler, classifier = load_generator(samples, execution), load_classifier(labels, execution)
    generator = load_tuned(settings.gan, samples, sampler, execution, trusted) if settings.gan else sampler
    settings, notes = without_gradients(settings, labels, generator, classifier)
    if settings.gan:
        notes.append(other_generator(settings.gan, generator, sampler, samples))
    space, chart = mixture.question.config["space"], Chart.from_arrays(tensors(mixture.group("chart")))
    drawn, model = sample_settings(samples), model_from(mixture)
    config = mixture.question.config
    members = None
    if settings.polish:
        held = every_other(len(labels.attributes))
        members = members_of(space, chart, model, samples, labels, sampler, config["held_out"], held)
    return Workshop(
        generator, sampler, classifier, space, drawn, chart, model, settings, execution, notes, config["picture"],
        members,
    )  # fmt: skip


def other_generator(source: str, generator: Generator, sampler: Generator, samples: Artifact) -> str:
    """A line on the generator that is used instead of the run's, and on whether it maps z to the same w."""
    z = sampler.draw(range(MAPPED)).to(sampler.device)
    drawn, name = sample_settings(samples), (samples.question.generator or {})["name"]
    line = f"images by {Path(source).name} ({generator.fingerprint[:12]}) and not by the run's {name}"
    if sampler.w_shape is None or torch.allclose(mapped(sampler, z, drawn), mapped(generator, z, drawn), atol=SAME):
        return line
    return f"{line}; it maps z to another w, so that the fit may not suit it"


def without_gradients(
    settings: EditSettings, labels: Artifact, generator: Generator, classifier: Classifier
) -> tuple[EditSettings, list[str]]:
    """What can be done where gradients do not pass, or the classifier sees no pictures, and a line on each loss."""
    notes, name = [], labels.question.config["classifier"]
    if settings.polish and not (generator.differentiable and classifier.differentiable):
        settings = settings.model_copy(update={"polish": 0})
        which = name if generator.differentiable else "the generator"
        notes.append(f"not polished (--polish 0): {which} has no gradients")
    if not classifier.sees_images:
        notes.append(f"the labels are what the mixture reads in the latents: {name} cannot look at pictures")
    return settings, notes
