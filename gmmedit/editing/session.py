"""EditSession: networks, chart and model of a run, and what an edit does with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gmmedit.artifacts import Artifact
from gmmedit.classifiers import Classifier
from gmmedit.config import EditSettings
from gmmedit.editors.mixture import MixtureEditor
from gmmedit.generators import Generator
from gmmedit.mixture.model import AttributeMixture
from gmmedit.mixture.neighbours import Neighbours
from gmmedit.pictures.pixels import as_shown, to_bytes
from gmmedit.run.folder import RunFolder
from gmmedit.run.neighbours import neighbours_of
from gmmedit.run.rendering import Renderer
from gmmedit.runtime.batching import pad_rows
from gmmedit.runtime.execution import Execution
from gmmedit.spaces import Chart

EDITED = 1 << 14  # pixels that are moved at once: small images go faster together, a lone one slower
MOST_EDITED = 8  # images, however small: a lone one is padded to as many

MAPPED, SAME = 8, 1e-3  # latents that tell whether two generators have one mapping, and how far they may be apart

Move = tuple[int, Tensor]  # a category, and a strength for every image (N,)


@dataclass(frozen=True)
class EditSession:
    """All that an edit needs; `notes` say what the networks do not allow, and which other generator is used."""

    renderer: Renderer  # makes the images
    sampler: Renderer  # made the samples, and maps z to the w of the run; mostly the same
    classifier: Classifier
    space: str
    chart: Chart
    model: AttributeMixture
    settings: EditSettings
    execution: Execution
    notes: list[str]
    picture_weight: float  # of the change of the pixels in polishing, as in the fit
    neighbours: Neighbours | None  # of the components, from which polishing starts

    def editor(self, images: Sequence[int]) -> MixtureEditor:
        """An editor of images with these numbers (seeds, or places in a file of latents), on which draws depend."""
        settings = self.settings
        score = self.renderer.score(self.space, self.chart, self.classifier, settings.precision)
        return MixtureEditor(
            self.model, self.chart, settings.draw, settings.seed, settings.polish, score, self.picture_weight,
            self.neighbours, tuple(images),
        )  # fmt: skip

    @property
    def chunk(self) -> int:
        """How many images are moved at once: one where nothing is polished, as then little is gained by more, and in
        matrix products of several rows the last bits depend on the row's place."""
        if not self.settings.polish:
            return 1
        _, height, width = self.renderer.generator.image_shape
        return min(max(EDITED // (height * width), 1), MOST_EDITED)

    def move(self, editor: MixtureEditor, latent: Tensor, moves: list[Move]) -> Tensor:
        """Latents (N, L, D) of one chunk, moved towards one category after the other.

        It is computed on whole chunks always: matrix products of fewer rows round differently, polishing magnifies
        that, and no image's result may depend on which others are edited beside it.
        """
        rows = len(latent)
        latent, moves = (
            pad_rows(latent, self.chunk),
            [(goal, pad_rows(strength, self.chunk)) for goal, strength in moves],
        )
        x = self.chart.to_x(latent)
        for category, strength in moves:
            x = editor.edit(x, category, strength)
        return self.chart.carry(latent, x)[:rows]

    def generate(self, latent: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Images (N, H, W, C) as bytes and their labels (N, K): what the classifier sees; of a table, what the mixture
        reads.

        One latent (L, D) after the other, as matrix products of several round differently.
        """

        def generate_one(row: Tensor) -> tuple[np.ndarray, Tensor]:
            image = self.renderer.generate(row, self.space)
            if not self.classifier.sees_images:
                return to_bytes(image), self.model.responsibilities(self.chart.to_x(row).mean(1))
            return to_bytes(image), self.classifier.probabilities(as_shown(image)).cpu()

        images, labels = zip(*map(generate_one, latent.split(1)), strict=True)
        return np.concatenate(images), torch.cat(labels).numpy()

    def latents(self, seeds: Sequence[int]) -> Tensor:
        """Latents (N, D) of NVIDIA's `--seeds`."""
        return self.sampler.latents(seeds, self.space)

    def layered(self, latent: Tensor) -> Tensor:
        """Latents (N, D) or (N, L, D) to (N, L, D)."""
        return self.renderer.layered(latent, self.space).contiguous()


def open_session(run: RunFolder, settings: EditSettings, trusted: bool = True) -> EditSession:
    """What edits of a run are made with.

    trusted: whether the user names the generator in the settings, and not an artifact. InputError: the artifacts do not
    belong together, or the networks are not those any more.
    """
    mixture, samples, labels = (run.artifact(kind) for kind in ("mixture", "samples", "labels"))
    config, sampler = mixture.spec.config, run.renderer
    renderer = run.tuned_renderer(settings.gan, trusted) if settings.gan else sampler
    settings, notes = without_gradients(settings, labels, renderer.generator, run.classifier)
    if settings.gan:
        notes.append(other_generator(settings.gan, renderer, sampler, samples))
    space, chart, model = run.fitted_space, run.chart(), run.model()
    neighbours = neighbours_of(run, space, chart, model, config["held_out"]) if settings.polish else None
    return EditSession(
        renderer, sampler, run.classifier, space, chart, model, settings, run.execution, notes, config["picture"],
        neighbours,
    )  # fmt: skip


def other_generator(source: str, renderer: Renderer, sampler: Renderer, samples: Artifact) -> str:
    """A line on the generator that is used instead of the run's, and on whether it maps z to the same w."""
    z, name = sampler.generator.draw(range(MAPPED)), (samples.spec.generator or {})["name"]
    line = f"images by {Path(source).name} ({renderer.generator.fingerprint[:12]}) and not by the run's {name}"
    device = sampler.generator.device
    if "w" not in sampler.generator.spaces or torch.allclose(
        sampler.map(z.to(device)), renderer.map(z.to(device)), atol=SAME
    ):
        return line
    return f"{line}; it maps z to another w, so that the fit may not suit it"


def without_gradients(
    settings: EditSettings, labels: Artifact, generator: Generator, classifier: Classifier
) -> tuple[EditSettings, list[str]]:
    """What can be done where gradients do not pass, or the classifier sees no pictures, and a line on each loss."""
    notes, name = [], labels.spec.config["classifier"]
    if settings.polish and not (generator.differentiable and classifier.differentiable):
        settings = settings.model_copy(update={"polish": 0})
        which = name if generator.differentiable else "the generator"
        notes.append(f"not polished (--polish 0): {which} has no gradients")
    if not classifier.sees_images:
        notes.append(f"the labels are what the mixture reads in the latents: {name} cannot look at pictures")
    return settings, notes
