"""Directions of attributes and edited latents, as the files that the scripts of other projects read.

Reads samples.h5, labels.h5 and mixture.h5, for latents also an edits.h5 and the generator; writes .npy, .npz or .pt.
docs/latents.md says what is in them.
"""

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gmmedit import artifacts
from gmmedit.artifacts import Artifact
from gmmedit.editing.request import SYNTAX, Aim
from gmmedit.errors import InputError, nearest
from gmmedit.run.folder import RunFolder
from gmmedit.runtime.execution import Execution, prepare
from gmmedit.runtime.storage import write_new

Form = Literal["interfacegan", "control", "projected_w", "draggan"]
DIRECTIONS: Mapping[Form, tuple[str, ...]] = {"interfacegan": (".npy", ".npz"), "control": (".npy", ".npz")}
LATENTS: Mapping[Form, tuple[str, ...]] = {"projected_w": (".npz",), "draggan": (".pt",), "interfacegan": (".npy",)}
AVERAGED, LOOKED_AT = 1_000, 20_000  # samples without the value that a direction is the mean over, found among so many
BEFORE = "before"  # the column of the unedited latents


@dataclass(frozen=True)
class ExportRequest:
    """Either the directions of attributes (`aims`) or the latents of one column of `edits`, and how they are written.

    form: None for the first of DIRECTIONS or LATENTS. column: a heading of the edit, its strength, or BEFORE; None
    where the edit has only one.
    """

    out: Path
    aims: tuple[Aim, ...] = ()
    edits: Path | None = None
    column: str | None = None
    form: Form | None = None

    def __post_init__(self) -> None:
        if bool(self.aims) == (self.edits is not None):
            raise InputError("export takes either --attr or --edits", hint=f"--attr {SYNTAX.partition(',')[0]}")
        if any(aim.strength is not None for aim in self.aims):
            raise InputError("a direction has no strength", hint="--attr smile, --attr glasses=no")
        suffixes = self.forms.get(self.chosen)
        if suffixes is None:
            raise InputError(f"--as {self.chosen} is not for this", hint=f"--as {' or '.join(self.forms)}")
        if len(self.aims) > 1:
            suffixes = (".npz",)
        if self.out.suffix not in suffixes:
            written = " or ".join(suffixes)
            raise InputError(f"{self.out} would hold {written}", hint=f"--out {self.out.stem}{suffixes[0]}")

    @property
    def forms(self) -> Mapping[Form, tuple[str, ...]]:
        return DIRECTIONS if self.aims else LATENTS

    @property
    def chosen(self) -> Form:
        first: Form = next(iter(self.forms))
        return self.form or first


@torch.no_grad()
def run(folder: Path, request: ExportRequest, execution: Execution) -> tuple[list[Path], list[str]]:
    """Write the files; their paths, and a line on each direction.

    InputError: no such attribute, value or column; an edit of another run; a generator without W where W is written;
    another file is there, and `execution.force` is off.
    """
    prepare(execution)
    with RunFolder(folder, execution) as run_folder:
        mixture = run_folder.artifact("mixture")
        if request.edits is None:
            found = directions(request, run_folder)
            files = {request.out: directions_file(request, found)}
            lines = [f"{name}: alpha 1 goes {change.mean(0).norm():.3g} along it" for name, change in found.items()]
        else:
            with artifacts.open(request.edits, "edits") as edits:
                artifacts.check_parents(edits, mixture=mixture)
                files = latents_files(request, latents_of(request, edits, run_folder), edits["index"].tolist())
            lines = []
    for path, content in files.items():
        write_new(path, content, execution.force)
    return list(files), lines


def directions(request: ExportRequest, run_folder: RunFolder) -> dict[str, Tensor]:
    """By attribute, how far an unpolished edit of strength 1 moves the latent of each layer on average, (L, D).

    The mean over the first AVERAGED samples without the value. L is 1 where all layers go alike.
    """
    chart, model, space = (
        run_folder.chart(),
        run_folder.model(),
        run_folder.artifact("mixture").spec.config["space"],
    )
    latents = torch.from_numpy(run_folder.samples.rows(space, 0, LOOKED_AT))
    seen, layout = torch.from_numpy(run_folder.labels.rows("labels", 0, LOOKED_AT)), model.layout
    found = {}
    for aim in request.aims:
        category = aim.category(run_folder.labels.attributes)
        attribute, value = layout.locate(category)
        lacks = seen[:, layout.columns[attribute]].argmax(1) != value
        chosen = latents[lacks][:AVERAGED]
        x = chart.to_x(chosen)
        offset = model.offset(x, torch.full((len(x),), category))
        moved = chart.carry(chosen[:, None], x[:, None] + offset)
        found[str(aim)] = (moved - chosen[:, None]).double().mean(0).float()
    return found


def directions_file(request: ExportRequest, changes: Mapping[str, Tensor]) -> bytes:
    """.npy of the only one, or .npz: unit normals (1, D), or control vectors (1, L, D)."""
    if request.chosen == "interfacegan":
        arrays = {name: F.normalize(change.mean(0, keepdim=True)).numpy() for name, change in changes.items()}
    else:
        arrays = {name: change[None].numpy() for name, change in changes.items()}
    return as_npz(arrays) if request.out.suffix == ".npz" else as_npy(next(iter(arrays.values())))


def latents_of(request: ExportRequest, edits: Artifact, run_folder: RunFolder) -> Tensor:
    """What makes the images of a column: W+ (N, L, D) as the generator's synthesis takes it, or z (N, D)."""
    latent, gan = torch.from_numpy(column_of(request, edits)), edits.spec.config.get("gan")
    space = run_folder.fitted_space
    if request.chosen == "interfacegan" and space == "z":
        return latent[:, 0]
    trusted = run_folder.execution.trusting  # the edit names the generator
    renderer = run_folder.tuned_renderer(gan, trusted) if gan else run_folder.renderer
    if "w" not in renderer.generator.spaces:
        name = renderer.settings.gan
        raise InputError(f"{name} has no W, which --as {request.chosen} writes", hint="--as interfacegan: z")
    w = renderer.generator.spaces["w"]
    rows = [renderer.to_synthesis(row.to(renderer.generator.device), space).cpu() for row in latent.split(1)]
    return torch.cat([row.reshape(1, -1, w.dim).expand(1, w.layers, w.dim) for row in rows])


def column_of(request: ExportRequest, edits: Artifact) -> np.ndarray:
    """The latents (N, L, D) of the column that the request names."""
    headings = edits.spec.config["headings"]
    names = [BEFORE, *headings]
    if request.column == BEFORE:
        return edits["latent"]
    if request.column is None and len(headings) == 1:
        return edits["latents"][0]
    if request.column is None:
        raise InputError(f"{edits.path} has several columns", hint=f"--column {', '.join(names)}")
    for place, heading in enumerate(headings):
        if heading in (request.column, f"alpha {request.column}"):
            return edits["latents"][place]
    raise InputError(f"{edits.path} has no column {request.column!r}", hint=nearest(request.column, names))


def latents_files(request: ExportRequest, latent: Tensor, index: list[int]) -> dict[Path, bytes]:
    """The files by their paths: one of all images, but for DragGAN one each."""
    if request.chosen == "interfacegan":
        return {request.out: as_npy(latent.numpy())}
    if request.chosen == "projected_w":
        return {request.out: as_npz({"w": latent.numpy()})}
    several = [request.out.with_stem(f"{request.out.stem}_{number}") for number in index]
    paths = several if len(index) > 1 else [request.out]
    rows = zip(paths, latent.split(1), strict=True)
    return {path: saved(partial(torch.save, row.clone())) for path, row in rows}


def saved(save: Callable[[BytesIO], None]) -> bytes:
    buffer = BytesIO()
    save(buffer)
    return buffer.getvalue()


def as_npy(array: np.ndarray) -> bytes:
    return saved(lambda buffer: np.save(buffer, np.ascontiguousarray(array)))


def as_npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """As numpy.savez, which takes no array called `file`."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), as_npy(array))  # without the time of day
    return buffer.getvalue()
