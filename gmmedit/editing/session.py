"""EditSession: the networks, chart and model of a run, and the operations of an edit on them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gmmedit.artifacts import Artifact
from gmmedit.classifiers import Classifier
from gmmedit.config import EditSettings
from gmmedit.editing.latents import read_latents
from gmmedit.editing.pasting import Move, PastedColumn, paste_columns
from gmmedit.editing.request import LatentSpace
from gmmedit.editors.mixture import MixtureEditor
from gmmedit.errors import InputError
from gmmedit.generators import Generator
from gmmedit.mixture.model import AttributeMixture
from gmmedit.mixture.optimisation import Optimisation
from gmmedit.pictures.pixels import as_shown, from_bytes, to_bytes
from gmmedit.run.folder import RunFolder
from gmmedit.run.optimisation import make_optimisation
from gmmedit.run.rendering import Renderer
from gmmedit.runtime.batching import pad_rows
from gmmedit.runtime.execution import Execution
from gmmedit.spaces import Chart

PIXELS_PER_CHUNK = 1 << 14  # small images are faster together; a single one is padded and slower
MAX_CHUNK = 8  # images

BY_MIXTURE = "labels are predicted from latents by the mixture"  # begins a note
COMPARED, TOLERANCE = 8, 1e-3  # latents mapped to compare two mapping networks; largest difference of equal ones


@dataclass(frozen=True)
class EditSession:
    """Everything that an edit needs; `notes` tell what the networks do not support and which generator is used."""

    renderer: Renderer  # generates the images
    sampler: Renderer  # the generator of the samples, which maps z to w; usually the same
    classifier: Classifier
    space: str
    chart: Chart
    model: AttributeMixture
    settings: EditSettings
    execution: Execution
    notes: list[str]
    optimisation: Optimisation | None  # how edits are found for each image; None: the fitted displacement
    contrast: float | None  # mean absolute difference of two samples' images, see `robustness`; None: a table labels

    def make_editor(self, images: Sequence[int]) -> MixtureEditor:
        """An editor of the images with these numbers (seeds, or rows of a file of latents), which seed their draws."""
        draw, seed = self.settings.draw, self.settings.seed
        return MixtureEditor(self.model, self.chart, draw, seed, self.optimisation, tuple(images))

    def in_one_pass(self) -> "EditSession":
        """The session that edits in one pass, as with `--polish 0`."""
        found, settings = self.optimisation, self.settings.model_copy(update={"polish": 0})
        return replace(self, optimisation=found and found.in_one_pass(), settings=settings)

    @property
    def chunk(self) -> int:
        """Number of images that are moved together: 1 without optimisation.

        Then more are hardly faster, and in matrix products of several rows the last bits depend on a row's position.
        """
        if not self.settings.polish:
            return 1
        _, height, width = self.renderer.generator.image_shape
        return min(max(PIXELS_PER_CHUNK // (height * width), 1), MAX_CHUNK)

    def move(self, editor: MixtureEditor, latent: Tensor, moves: list[Move]) -> Tensor:
        """Latents (N, L, D) of one chunk, N <= chunk, moved towards all categories.

        With an optimisation and equal strengths at once, by one price; else towards one after the other.
        They are padded to a whole chunk: matrix products of fewer rows round differently, the optimisation amplifies
        that, and the result of an image must not depend on the other images.
        """
        rows = len(latent)
        latent, moves = (
            pad_rows(latent, self.chunk),
            [(goal, pad_rows(strength, self.chunk)) for goal, strength in moves],
        )
        x, first = self.chart.to_x(latent), moves[0][1]
        alike = all(torch.equal(strength, first) for _, strength in moves) and bool((first >= 0).all())
        if self.optimisation is not None and len(moves) > 1 and alike:
            x = editor.edit_together(x, [category for category, _ in moves], first)
        else:
            for category, strength in moves:
                x = editor.edit(x, category, strength)
        return self.chart.carry(latent, x)[:rows]

    def generate(self, latent: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Images, uint8 (N, H, W, C), and labels (N, K) in [0, 1] of latents (N, L, D).

        Labels are the classifier's probabilities; if it is a table, the responsibilities of the mixture. One latent at
        a time, since matrix products of several round differently.
        """

        def generate_one(row: Tensor) -> tuple[np.ndarray, Tensor]:
            image = self.renderer.generate(row, self.space)
            if not self.classifier.sees_images:
                return to_bytes(image), self.model.responsibilities(self.chart.to_x(row).mean(1))
            return to_bytes(image), self.classifier.probabilities(as_shown(image)).cpu()

        images, labels = zip(*map(generate_one, latent.split(1)), strict=True)
        return np.concatenate(images), torch.cat(labels).numpy()

    @property
    def pastes(self) -> bool:
        """Whether edits of photographs are pasted into them; not where a table labels: it cannot label the result."""
        return self.settings.paste and self.contrast is not None and self.classifier.sees_images

    def paste(
        self, edited: np.ndarray, unedited: np.ndarray, photographs: np.ndarray, columns: Sequence[PastedColumn]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Edits pasted into photographs, see `paste_columns`, and their labels (S, N, K).

        edited uint8 (S, N, H, W, C), the others (N, H, W, C); columns: of each of the S edits. One by one.
        """

        def label(images: Tensor) -> Tensor:
            return self.classifier.probabilities(as_shown(images).to(self.execution.device)).cpu()

        pasted = np.empty_like(edited)
        for i in range(len(photographs)):
            own = [
                (amount[i : i + 1], [(category, strength[i : i + 1]) for category, strength in moves])
                for amount, moves in columns
            ]
            parts = from_bytes(edited[:, i]), from_bytes(unedited[i : i + 1]), from_bytes(photographs[i : i + 1])
            pasted[:, i] = to_bytes(paste_columns(*parts, self.contrast or 0.0, own, label))
        return pasted, np.stack([self.label(images) for images in pasted])

    def label(self, pixels: np.ndarray) -> np.ndarray:
        """The classifier's probabilities (N, K) of images uint8 (N, H, W, C), one at a time, as in `generate`."""
        images = from_bytes(pixels).to(self.execution.device)
        return torch.cat([self.classifier.probabilities(image).cpu() for image in images.split(1)]).numpy()

    def draw_latents(self, seeds: Sequence[int]) -> Tensor:
        """Latents (N, D) of the seeds, as NVIDIA's `--seeds`."""
        return self.sampler.draw_latents(seeds, self.space)

    def read_latents(self, source: Path, given: LatentSpace | None, run: Path) -> Tensor:
        """Latents (N, D) or (N, L, D) of FILE or FILE:KEY in the space of the edits; those of Z are mapped to W.

        given: the space that the user names. run: the run folder. InputError: see `read_latents`; the run has a cutoff.
        """
        renderer = self.renderer
        if renderer.settings.cutoff is not None and self.space == "w" and given != "z":
            message = f"{run / 'samples.h5'} has a cutoff, which would also truncate the latents of {source}"
            raise InputError(message, hint="gmmedit sample without --cutoff, or latents of Z with --latents-space z")
        kind, latent = read_latents(source, self.space, renderer.generator, given, run)
        return self.sampler.map(latent) if (kind, self.space) == ("z", "w") else latent

    def to_layers(self, latent: Tensor) -> Tensor:
        """Latents (N, D) or (N, L, D) to (N, L, D)."""
        return self.renderer.to_layers(latent, self.space).contiguous()


def open_session(run: RunFolder, settings: EditSettings, trusted: bool = True) -> EditSession:
    """The session for edits of a run.

    trusted: the user named the generator in the settings, so its Python file may run. InputError: the artifacts do not
    belong together, or a network is missing or has changed.
    """
    mixture, samples = run.artifact("mixture"), run.artifact("samples")
    config, sampler = mixture.spec.config, run.renderer
    renderer = run.tuned_renderer(settings.gan, trusted) if settings.gan else sampler
    settings, notes = disable_unsupported(settings, run, renderer.generator)
    if settings.gan:
        notes.append(describe_generator(settings.gan, renderer, sampler, samples))
    space, chart, model = run.fitted_space, run.chart(), run.model()
    optimisation = make_optimisation(
        run, renderer, model, settings.precision, settings.picture, settings.polish, config["held_out"]
    )
    return EditSession(
        renderer, sampler, run.classifier, space, chart, model, settings, run.execution, notes, optimisation,
        run.robustness.contrast if "robustness" in run.labels.attrs else None,
    )  # fmt: skip


def describe_generator(source: str, renderer: Renderer, sampler: Renderer, samples: Artifact) -> str:
    """A note on the generator used instead of the run's, and on whether it maps z to the same w."""
    z, name = sampler.draw(range(COMPARED)), (samples.spec.generator or {})["name"]
    line = f"images are generated by {Path(source).name} ({renderer.generator.fingerprint[:12]}), not by {name}"
    device = sampler.generator.device
    if "w" not in sampler.generator.spaces or torch.allclose(
        sampler.map(z.to(device)), renderer.map(z.to(device)), atol=TOLERANCE
    ):
        return line
    return f"{line}; it maps z to a different w, so the fit may not apply to it"


def disable_unsupported(settings: EditSettings, run: RunFolder, generator: Generator) -> tuple[EditSettings, list[str]]:
    """The settings without what the networks do not support, and a note on each change.

    Without gradients, and of a fit of one block, `polish` is 0; without a classifier of images, labels come from the
    mixture.
    """
    notes, name, classifier = [], run.labels.spec.config["classifier"], run.classifier
    if settings.polish and run.fitted_block:
        settings = settings.model_copy(update={"polish": 0})
        notes.append(f"no optimisation (--polish 0): the fit is of the block {run.fitted_block} alone")
    if settings.polish and not (generator.differentiable and classifier.differentiable):
        settings = settings.model_copy(update={"polish": 0})
        part = name if generator.differentiable else "the generator"
        notes.append(f"no optimisation (--polish 0): {part} has no gradients")
    if not classifier.sees_images:
        notes.append(f"{BY_MIXTURE}: {name} does not classify images; gmmedit evaluate looks at them")
    return settings, notes
