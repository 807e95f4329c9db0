"""Step 5 (claim 6): draw control vectors from a component, interpolate towards them, generate.

Reads samples.h5, labels.h5 and mixture.h5 of the run, generator and classifier; writes edits.h5, a PNG
per image and a contact sheet. Resumes by chunks of images.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.lib.npyio import NpzFile
from torch import Tensor

from gmmedit import artifacts
from gmmedit.artifacts import Artifact, Question
from gmmedit.classifiers import Classifier
from gmmedit.classifiers.table import Table
from gmmedit.config import EditSettings
from gmmedit.editors.mixture import MixtureEditor
from gmmedit.errors import InputError
from gmmedit.generators import Generator
from gmmedit.mixture.model import AttributeMixture
from gmmedit.pictures.pixels import as_shown, to_bytes
from gmmedit.spaces import Chart
from gmmedit.stages.shared.common import (
    Execution,
    in_batches,
    layers_of,
    load_classifier,
    load_generator,
    padded,
    prepare,
    scorer,
    seeded_latents,
)
from gmmedit.stages.shared.fitting import model_from, tensors
from gmmedit.stages.shared.request import Request
from gmmedit.stages.shared.sampling import mapped, painter, sample_settings
from gmmedit.stages.shared.showing import picture_folder, write_pictures

__all__ = ["Request", "run"]

CHUNK = 8  # images
HUGE = 1e6  # for a coordinate of a latent
FARTHEST, STRIDE, HALVINGS = 3.0, 0.25, 5  # of the search for a target label


Move = tuple[int, Tensor]  # a category, and a strength for every image (N,)


@dataclass(frozen=True)
class Workshop:
    """All that an edit needs: networks, chart, model, and the request's categories and strengths."""

    paint: Callable[[Tensor], Tensor]
    classifier: Classifier
    chart: Chart
    model: AttributeMixture
    settings: EditSettings
    categories: list[int]
    strengths: list[float]
    batch: int
    device: str

    def editor(self, chunk: int) -> MixtureEditor:
        """The editor of one chunk of images, with random draws of its own."""
        settings = self.settings
        score = scorer(self.chart, self.paint, self.classifier, "float32", self.device)
        return MixtureEditor(self.model, self.chart, settings.draw, settings.seed + chunk, settings.polish, score)

    def move(self, editor: MixtureEditor, latent: Tensor, moves: list[Move]) -> Tensor:
        """Latents (N, L, D) of one chunk, moved towards one category after the other.

        It is computed on CHUNK rows always: matrix products of fewer round differently, polishing magnifies that,
        and no image's result may depend on which others are edited beside it.
        """
        rows = len(latent)
        latent, moves = padded(latent, CHUNK), [(category, padded(strength, CHUNK)) for category, strength in moves]
        x = self.chart.to_x(latent)
        for category, strength in moves:
            x = editor.edit(x, category, strength)
        return self.chart.carry(latent, x)[:rows]

    def picture(self, latent: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Images as bytes and their labels (N, K): what the classifier sees; of a table, what the mixture reads."""

        def look(rows: Tensor) -> tuple[Tensor, Tensor]:
            images = self.paint(rows)
            if isinstance(self.classifier, Table):
                return images, self.model.responsibilities(self.chart.to_x(rows).mean(1))
            return images, self.classifier.probabilities(as_shown(images))

        images, labels = in_batches(look, latent, self.batch)
        return to_bytes(images), labels.numpy()


def attributes_of(folder: Path) -> list[tuple[str, list[str]]]:
    """What can be edited in a run folder: names and values."""
    with artifacts.open(folder / "mixture.h5", "mixture") as mixture:
        return mixture.attributes


@torch.no_grad()
def run(folder: Path, settings: EditSettings, request: Request, execution: Execution, out: Path | None = None) -> Path:
    """Write edits.h5 and pictures into `out`, by default the run folder; an older edit there is replaced."""
    prepare(execution)
    with (
        artifacts.open(folder / "mixture.h5", "mixture") as mixture,
        artifacts.open(folder / "samples.h5", "samples") as samples,
        artifacts.open(folder / "labels.h5", "labels") as labels,
    ):
        artifacts.check_parents(mixture, samples=samples, labels=labels)
        categories = [aim.category(labels.attributes) for aim in request.aims]
        generator, classifier = load_generator(samples, execution), load_classifier(labels, execution)
        settings, notes = without_gradients(settings, labels, generator, classifier)
        space = mixture.question.config["space"]
        index, latent = chosen_latents(request, samples, space, generator)
        paint = painter(generator, space, sample_settings(samples))
        question = ask(mixture, latent, index, generator, settings, request)
        chart = Chart.from_arrays(tensors(mixture.group("chart")))
        model = model_from(mixture)
    path = (out or folder) / "edits.h5"
    strengths = [1.0 if aim.strength is None else aim.strength for aim in request.aims]
    workshop = Workshop(
        paint, classifier, chart, model, settings, categories, strengths, execution.batch, execution.device
    )
    if not artifacts.finished(path, question, force=True):
        picture_folder(path)  # what stands in its way is found before the work
        fill(path, question, workshop, request, index, latent, execution, notes)
    write_pictures(path, request.title())
    return path


def without_gradients(
    settings: EditSettings, labels: Artifact, generator: Generator, classifier: Classifier
) -> tuple[EditSettings, list[str]]:
    """What can be done where gradients do not pass, or the classifier sees no pictures, and a line on each loss."""
    notes, name = [], labels.question.config["classifier"]
    if settings.polish and not (generator.differentiable and classifier.differentiable):
        settings = settings.model_copy(update={"polish": 0})
        which = name if generator.differentiable else "the generator"
        notes.append(f"not polished (--polish 0): {which} has no gradients")
    if isinstance(classifier, Table):
        notes.append(f"the labels are what the mixture reads in the latents: {name} cannot look at pictures")
    return settings, notes


def fill(
    path: Path, question: Question, workshop: Workshop, request: Request,
    index: np.ndarray, latent: Tensor, execution: Execution, notes: list[str],
) -> None:  # fmt: skip
    constants, attrs = {"alphas": np.array(request.alphas)}, {"notes": notes}
    with artifacts.create_rows(path, question, constants, CHUNK, restart=execution.restart, attrs=attrs) as writer:
        for start, stop in writer.pending():
            editor = workshop.editor(start)
            rows = edit_rows(workshop, editor, request, latent[start:stop])
            writer.write(start, stop, rows | {"index": index[start:stop]})
            execution.tick(stop, len(latent), "edits")
        writer.finish()


def edit_rows(workshop: Workshop, editor: MixtureEditor, request: Request, latent: Tensor) -> dict[str, np.ndarray]:
    """One chunk of images at every strength, with labels and pictures."""
    images, labels = workshop.picture(latent)
    columns = plan(workshop, editor, request, latent)
    moved = [workshop.move(editor, latent, moves) for _, moves in columns]
    pictures = [workshop.picture(one) for one in moved]
    return {
        "latent": latent.numpy(),
        "latents": torch.stack(moved).numpy(),
        "strengths": torch.stack([scale for scale, _ in columns]).numpy(),
        "labels_before": labels,
        "labels_after": np.stack([scores for _, scores in pictures]),
        "images_before": images,
        "images_after": np.stack([pixels for pixels, _ in pictures]),
    }


def plan(
    workshop: Workshop, editor: MixtureEditor, request: Request, latent: Tensor
) -> list[tuple[Tensor, list[Move]]]:
    """The columns of the result: a strength for every image (N,), and the moves that it stands for."""
    n = len(latent)
    aims = list(zip(workshop.categories, workshop.strengths, strict=True))
    if request.each:
        alone = [(torch.full((n,), strength), category) for category, strength in aims]
        return [(strength, [(category, strength)]) for strength, category in alone]
    scales = [torch.full((n,), alpha) for alpha in request.alphas]
    if request.target is not None:
        scales = [reaching(workshop, editor, latent, request.target)]
    return [(scale, [(category, strength * scale) for category, strength in aims]) for scale in scales]


def reaching(workshop: Workshop, editor: MixtureEditor, latent: Tensor, target: float) -> Tensor:
    """The least strength (N,) at which the first aim's label reaches the target; where none does, the best."""
    grid = torch.arange(0, FARTHEST + STRIDE, STRIDE)
    aims = list(zip(workshop.categories, workshop.strengths, strict=True))

    def label(scale: Tensor) -> Tensor:
        moved = workshop.move(editor, latent, [(category, strength * scale) for category, strength in aims])
        return torch.from_numpy(workshop.picture(moved)[1])[:, aims[0][0]]

    scores = torch.stack([label(alpha.expand(len(latent))) for alpha in grid])  # (S, N)
    reached = scores >= target
    first = torch.where(reached.any(0), reached.int().argmax(0), scores.argmax(0))
    high = grid[first]
    low = (high - STRIDE).clamp_min(0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        enough = label(middle) >= target
        high = torch.where(enough, middle, high)
        low = torch.where(enough, low, middle)
    return high


def chosen_latents(request: Request, samples: Artifact, space: str, generator: Generator) -> tuple[np.ndarray, Tensor]:
    """Row numbers or seeds (N,), and latents (N, L, D) of the images to edit."""
    index, latent = named_latents(request, samples, space, generator)
    latent = latent if latent.ndim == 3 else latent[:, None]
    return index, latent.expand(-1, layers_of(generator, space), -1).contiguous()


def named_latents(request: Request, samples: Artifact, space: str, generator: Generator) -> tuple[np.ndarray, Tensor]:
    """Row numbers or seeds (N,), and the latents behind them, (N, D) or W+ (N, L, D)."""
    settings = sample_settings(samples)
    if request.latents is not None:
        if settings.cutoff is not None and space == "w":
            message = f"the cutoff of {samples.path} would truncate the latents of {request.latents} too"
            raise InputError(message, hint="gmmedit sample without --cutoff")
        latent = read_latents(request.latents, space, generator)
        return np.arange(len(latent)), latent
    index = np.array(request.rows, dtype=np.int64)
    if request.source == "index":
        if index.max() >= samples.question.n:
            raise InputError(
                f"row {index.max()} is not in {samples.path}, it has {samples.question.n}",
                hint="--seeds draws others",
            )
        return index, torch.from_numpy(samples[space][index])
    z = torch.from_numpy(np.concatenate([seeded_latents(seed, seed + 1, generator.z_dim) for seed in request.rows]))
    if space == "z":
        return index, z
    return index, torch.cat([mapped(generator, row[None].to(generator.device), settings).cpu() for row in z])


def read_latents(path: Path, space: str, generator: Generator) -> Tensor:
    """The latents of an npz with the key of the edited space: w (N, D) or W+ (N, L, D), or z (N, D).

    InputError: no such file, no such key, other shapes, NaN.
    """
    hint = f"numpy.savez(file, {space}=...)"
    try:
        with path.open("rb") as stream, NpzFile(stream) as file:
            keys = list(file)
            array = file[space] if space in keys else None
    except Exception as error:  # numpy and zipfile raise whatever the damage leads to
        raise InputError(f"{path} cannot be read as npz: {error}", hint=hint) from error
    if not isinstance(array, np.ndarray | None):
        raise InputError(f"{path}: {space} is no array", hint=hint)
    if array is None:
        raise InputError(f"{path} has no {space!r}, it holds {', '.join(keys) or 'nothing'}", hint=hint)
    size = generator.w_shape[1] if space == "w" and generator.w_shape else generator.z_dim
    layers = generator.w_shape[0] if generator.w_shape else 0
    fits = array.shape[1:] == (size,) or (space == "w" and array.shape[1:] == (layers, size))
    if not fits or not len(array) or array.dtype.kind != "f":
        expected = f"(N, {size})" + (f" or (N, {layers}, {size})" if space == "w" else "")
        found = f"{array.dtype} of shape {array.shape}"
        raise InputError(f"{path}: {space} is {found}, floats of shape {expected} were expected", hint=hint)
    latent = torch.from_numpy(array.astype(np.float64)).float()
    if not (latent.abs() < HUGE).all():
        raise InputError(f"{path}: {space} holds NaN or infinite or huge values", hint=hint)
    return latent


def ask(
    mixture: Artifact, latent: Tensor, index: np.ndarray, generator: Generator,
    settings: EditSettings, request: Request,
) -> Question:  # fmt: skip
    channels, height, width = generator.image_shape
    config = settings.model_dump() | {
        "attr": [[str(aim), aim.strength] for aim in request.aims],
        "each": request.each,
        "target": request.target,
        "headings": request.headings(),
        "alphas": list(request.alphas),
        "source": request.source,
        "index": index.tolist(),
        "latents": artifacts.tensors_fingerprint({"latent": latent.numpy()}),
    }
    return Question(
        kind="edits",
        n=len(latent),
        seed=settings.seed,
        config=config,
        sizes={
            "S": len(request.alphas), "L": latent.shape[1], "D": latent.shape[2],
            "K": sum(len(values) for _, values in mixture.attributes),
            "H": height, "W": width, "C": channels,
        },
        parents={"mixture": mixture.fingerprint},
        generator=mixture.question.generator,
        classifier=mixture.question.classifier,
        attributes=mixture.question.attributes,
    )  # fmt: skip
