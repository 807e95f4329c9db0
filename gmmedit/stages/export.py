"""Export directions of attributes and edited latents in the formats of other projects' scripts.

Reads samples.h5, labels.h5 and mixture.h5, for latents also an edits.h5 and the generator; writes .npy, .npz or .pt.
The formats are described in docs/latents.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gmmedit import artifacts
from gmmedit.artifacts import Artifact
from gmmedit.config import EditSettings
from gmmedit.editing.latent_files import save_to_bytes, to_npy, to_npz
from gmmedit.editing.request import Aim
from gmmedit.editors.mixture import MixtureEditor
from gmmedit.errors import InputError, nearest
from gmmedit.mixture.model import AttributeMixture
from gmmedit.run.folder import RunFolder
from gmmedit.run.hold_out import read_rows
from gmmedit.run.labelled import labelled_latents
from gmmedit.run.optimisation import make_optimisation
from gmmedit.runtime.execution import Execution, prepare
from gmmedit.runtime.storage import write_new
from gmmedit.spaces import Chart

Form = Literal["interfacegan", "control", "projected_w", "draggan"]
DIRECTIONS: Mapping[Form, tuple[str, ...]] = {"interfacegan": (".npy", ".npz"), "control": (".npy", ".npz")}
LATENTS: Mapping[Form, tuple[str, ...]] = {"projected_w": (".npz",), "draggan": (".pt",), "interfacegan": (".npy",)}
READERS: Mapping[Form, str] = {
    "interfacegan": "InterFaceGAN",
    "control": "stylegan3-editing",
    "projected_w": "NVIDIA's --projected-w",
    "draggan": "DragGAN (torch.load)",
}
AVERAGED, SEARCHED = 256, 20_000  # samples without the value that are averaged; samples they are taken from
BEFORE = "before"  # name of the column of unedited latents


@dataclass(frozen=True)
class ExportRequest:
    """Either the directions of attributes (`aims`) or the latents of one column of `edits`, and their format.

    form: None for the first of DIRECTIONS or LATENTS. column: a heading of the edit, its strength, or BEFORE; None if
    the edit has only one. InputError: both or neither, aims with strengths, or a format or suffix that does not apply.
    """

    out: Path
    aims: tuple[Aim, ...] = ()
    edits: Path | None = None
    column: str | None = None
    form: Form | None = None

    def __post_init__(self) -> None:
        if bool(self.aims) == (self.edits is not None):
            raise InputError("export takes either --attr or --edits", hint="--attr NAME[=VALUE], or --edits FILE")
        if any(aim.strength is not None for aim in self.aims):
            raise InputError("a direction has no strength", hint="--attr smile, --attr glasses=no")
        suffixes = self.forms.get(self.chosen)
        if suffixes is None:
            raise InputError(
                f"--as {self.chosen} does not apply to {'--attr' if self.aims else '--edits'}",
                hint=f"--as {' or '.join(self.forms)}",
            )
        if len(self.aims) > 1:
            suffixes = (".npz",)
        if self.out.suffix not in suffixes:
            expected = " or ".join(suffixes)
            reason = "the format of several directions" if len(self.aims) > 1 else f"which {READERS[self.chosen]} reads"
            message = f"{self.out}: the suffix must be {expected}, {reason}"
            raise InputError(message, hint=f"--out {self.out.stem}{suffixes[0]}")

    @property
    def forms(self) -> Mapping[Form, tuple[str, ...]]:
        """The formats for what is exported, with their suffixes."""
        return DIRECTIONS if self.aims else LATENTS

    @property
    def chosen(self) -> Form:
        """The format to write."""
        first: Form = next(iter(self.forms))
        return self.form or first


@torch.no_grad()
def run(folder: Path, request: ExportRequest, execution: Execution) -> tuple[list[Path], list[str]]:
    """Write the files; their paths, and a line on each direction.

    InputError: an unknown attribute, value or column; an edit of another run; a generator without W where the format
    needs W; a file with other content exists and `execution.force` is off.
    """
    prepare(execution)
    with RunFolder(folder, execution) as run_folder:
        mixture = run_folder.artifact("mixture")
        if request.edits is None:
            found = measure_directions(request, run_folder)
            files = {request.out: serialise_directions(request, found)}
            lines = [f"{name}: alpha 1 moves a latent by {change.mean(0).norm():.3g}" for name, change in found.items()]
        else:
            with artifacts.open(request.edits, "edits") as edits:
                artifacts.check_parents(edits, mixture=mixture)
                files = serialise_latents(request, load_latents(request, edits, run_folder), edits["index"].tolist())
            lines = []
    for path, content in files.items():
        write_new(path, content, execution.force)
    return list(files), lines


def measure_directions(request: ExportRequest, run_folder: RunFolder) -> dict[str, Tensor]:
    """By aim, the mean movement of the latents (L, D) in an edit of strength 1 without optimisation.

    The mean is over the first AVERAGED samples that lack the value; L is 1 if all layers move alike.
    """
    chart, model, space = run_folder.chart(), run_folder.model(), run_folder.fitted_space
    rows = np.arange(min(SEARCHED, run_folder.labels.spec.n))
    latents, layout = labelled_latents(run_folder, space, rows, chart), model.layout
    labels = read_rows(run_folder.labels, "labels", rows)
    editor, found = make_editor(run_folder, model, chart), {}
    for aim in request.aims:
        category = aim.category(run_folder.labels.attributes)
        attribute, value = layout.locate(category)
        lacks = labels[:, layout.columns[attribute]].argmax(1) != value
        chosen = latents[lacks][:AVERAGED]
        x = chart.to_x(chosen)[:, None]
        moved = chart.carry(chosen[:, None], x + editor.offset(x, category))
        found[str(aim)] = (moved - chosen[:, None]).double().mean(0).float()
    return found


def make_editor(run_folder: RunFolder, model: AttributeMixture, chart: Chart) -> MixtureEditor:
    """The editor of one pass; the networks are needed only for a combination of neighbours."""
    if model.combination is None:
        return MixtureEditor(model, chart)
    settings, held_out = EditSettings(), run_folder.artifact("mixture").spec.config["held_out"]
    one_pass = make_optimisation(run_folder, run_folder.renderer, model, "fp32", settings.picture, 0, held_out)
    return MixtureEditor(model, chart, optimisation=one_pass)


def serialise_directions(request: ExportRequest, changes: Mapping[str, Tensor]) -> bytes:
    """A .npy or .npz file of unit directions (1, D) for InterFaceGAN, or of control vectors (1, L, D)."""
    if request.chosen == "interfacegan":
        arrays = {name: F.normalize(change.mean(0, keepdim=True)).numpy() for name, change in changes.items()}
    else:
        arrays = {name: change[None].numpy() for name, change in changes.items()}
    return to_npz(arrays) if request.out.suffix == ".npz" else to_npy(next(iter(arrays.values())))


def load_latents(request: ExportRequest, edits: Artifact, run_folder: RunFolder) -> Tensor:
    """The latents of a column: W+ (N, L, D) as the generator's synthesis takes them, or z (N, D).

    InputError: the format needs W, and the generator has none.
    """
    latent, gan = torch.from_numpy(read_column(request, edits)), edits.spec.config.get("gan")
    space = run_folder.fitted_space
    if request.chosen == "interfacegan" and space == "z":
        return latent[:, 0]
    trusted = run_folder.execution.trusting  # since the edit, not the user, names the generator
    renderer = run_folder.tuned_renderer(gan, trusted) if gan else run_folder.renderer
    if "w" not in renderer.generator.spaces:
        name = renderer.settings.gan
        raise InputError(f"{name} has no W, which --as {request.chosen} needs", hint="--as interfacegan writes z")
    return renderer.to_projected(latent, space)


def read_column(request: ExportRequest, edits: Artifact) -> np.ndarray:
    """The latents (N, L, D) of the requested column. InputError: it is unknown, or missing among several."""
    headings = edits.spec.config["headings"]
    names = [BEFORE, *headings]
    if request.column == BEFORE:
        return edits["latent"]
    if request.column is None and len(headings) == 1:
        return edits["latents"][0]
    if request.column is None:
        hint = f"--column with one of {', '.join(map(repr, names))}"
        raise InputError(f"{edits.path} has several columns", hint=hint)
    for i, heading in enumerate(headings):
        if heading in (request.column, f"alpha {request.column}"):
            return edits["latents"][i]
    raise InputError(f"{edits.path} has no column {request.column!r}", hint=nearest(request.column, names))


def serialise_latents(request: ExportRequest, latent: Tensor, index: list[int]) -> dict[Path, bytes]:
    """The files by their paths: one for all images, for DragGAN one per image."""
    if request.chosen == "interfacegan":
        return {request.out: to_npy(latent.numpy())}
    if request.chosen == "projected_w":
        return {request.out: to_npz({"w": latent.numpy()})}
    several = [request.out.with_stem(f"{request.out.stem}_{number}") for number in index]
    paths = several if len(index) > 1 else [request.out]
    rows = zip(paths, latent.split(1), strict=True)
    return {path: save_to_bytes(partial(torch.save, row.clone())) for path, row in rows}
