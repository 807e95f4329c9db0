"""The data of both fits: coordinates and labels of the samples, of which a share is held out."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from gmmedit.artifacts import Artifact
from gmmedit.errors import InputError, nearest
from gmmedit.mixture import Layout
from gmmedit.mixture.model import AttributeMixture
from gmmedit.networks.saae import STYLE
from gmmedit.run.folder import RunFolder, layout_of
from gmmedit.run.hold_out import as_compact_index, count_fitted, labelled_rows, labels_photographs, name_of_rows
from gmmedit.run.labelled import labelled_latents
from gmmedit.runtime.commands import on_run
from gmmedit.spaces import Chart, Space, first_non_finite, fit_block_chart, fit_chart

FEWEST = 100  # samples that a fit needs to estimate covariances
FEWEST_OF_A_VALUE = 10  # samples that must be labelled with every value


@dataclass(frozen=True)
class Problem:
    """The data of a fit. Samples without a label are left out; `notes` say how many.

    Attributes:
        chart: of the coordinates x.
        x, labels, logits: (N, D), (N, K), (N, K) of the fitted samples.
        held_x, held_labels: (M, D), (M, K) of the held-out ones.
        held_out: their share.
    """

    chart: Chart
    layout: Layout
    x: Tensor
    labels: Tensor
    logits: Tensor
    held_x: Tensor
    held_labels: Tensor
    held_out: float
    notes: list[str]


def resolve_space(samples: Artifact, space: Literal["auto", "z", "w"]) -> Literal["z", "w"]:
    """The space to fit in; `auto` is W where the generator has one. InputError: it has no W."""
    if space == "auto":
        return "w" if "w" in samples else "z"
    if space == "w" and "w" not in samples:
        raise InputError(f"the generator of {samples.path} has no W", hint="--space z")
    return space


def load_problem(
    run: RunFolder, space: Literal["z", "w"], held_out: float, chart: Chart | None = None, block: str | None = None
) -> Problem:
    """Read and check latents and labels; fit the chart, of one block if it is named, on the fitted rows.

    Where photographs are labelled, they are the rows of the fit, and the chart is that of all samples.

    InputError: files that do not belong together, non-finite latents, too few samples, or too few of one value; no such
    block.
    """
    samples, labels = run.samples, run.labels
    n, inverted = labels.spec.n, labels_photographs(labels)
    what = name_of_rows(labels)
    if samples.spec.n < FEWEST:
        command = on_run("gmmedit sample -n 5000 --force", samples.path.parent)
        message = f"{samples.path} holds {samples.spec.n} samples, a fit needs {FEWEST}"
        raise InputError(message, hint=f"run: {command}")
    labelled = labelled_rows(labels)
    if len(labelled) < FEWEST:
        message = f"{labels.path} has labels of {len(labelled)} {what}, a fit needs {FEWEST}"
        raise InputError(message, hint=f"run gmmedit label with a table that labels more {what}")
    latents = torch.from_numpy(samples[space])
    row = first_non_finite(latents)
    if row is not None:
        message = f"{samples.path}:/{space} holds NaN or infinite latents, first in row {row}"
        raise InputError(message, hint=samples.kind.hint(samples.path.parent))
    scores = torch.from_numpy(labels["labels"])
    check_values(labels, scores[as_compact_index(labelled)])
    count = count_fitted(len(labelled), held_out)
    fitted, held = as_compact_index(labelled[:count]), as_compact_index(labelled[count:])
    chart = chart or make_chart(run.space(space), latents if inverted else latents[fitted], block)
    latents = labelled_latents(run, space, np.arange(n), chart) if inverted else latents
    x, logits = chart.to_x_(latents), torch.from_numpy(labels["logits"])
    without = n - len(labelled)
    notes = [f"{without} of {n} {what} have no label and are left out of the fit"] if without else []
    return Problem(
        chart, layout_of(labels),
        x[fitted], scores[fitted], logits[fitted], x[held], scores[held], held_out, notes,
    )  # fmt: skip


def make_chart(space: Space, latents: Tensor, block: str | None) -> Chart:
    """The chart of the space, or of one block. InputError: it has no such block."""
    if block is None:
        return fit_chart(space, latents)
    if block not in space.blocks:
        raise InputError(f"{space.name} has no block {block!r}", hint=nearest(block, space.blocks))
    return fit_block_chart(space, latents, block)


def check_values(labels: Artifact, scores: Tensor) -> None:
    """InputError: fewer than FEWEST_OF_A_VALUE rows have one of the values. scores: (n, K) of those with labels."""
    start, what = 0, name_of_rows(labels)
    for name, values in labels.attributes:
        counts = scores[:, start : start + len(values)].argmax(1).bincount(minlength=len(values)).tolist()
        for value, count in zip(values, counts, strict=True):
            if count < FEWEST_OF_A_VALUE:
                message = f"{count} of {len(scores)} {what} are labelled {name}={value}"
                source = "a table" if labels_photographs(labels) else "a classifier"
                hint = f"use more {what}, or {source} without {name}"
                if name == STYLE:  # of an SAAE, whose groups may have stayed empty
                    hint += ", or train longer or with fewer of them: groups in --config of gmmedit train saae"
                raise InputError(f"{message}, a fit needs {FEWEST_OF_A_VALUE}", hint=hint)
        start += len(values)


@torch.no_grad()
def held_out_report(model: AttributeMixture, problem: Problem) -> dict[str, np.ndarray]:
    """How well held-out samples are read, as arrays.

    accuracy (A,); separation (A,) of the means in units of their spread; rate_read, rate_labelled (K,), how often each
    category is read and labelled; angles (A, A) in degrees between the attributes' subspaces.
    """
    read = model.responsibilities(problem.held_x)
    columns = problem.layout.columns
    hits = [read[:, c].argmax(1) == problem.held_labels[:, c].argmax(1) for c in columns]
    mixtures = [model.gaussians.mixture(a) for a in range(len(columns))]
    return {
        "accuracy": torch.stack([hit.float().mean() for hit in hits]).numpy(),
        "separation": torch.stack([mixture.separation() for mixture in mixtures]).numpy(),
        "rate_read": read.mean(0).numpy(),
        "rate_labelled": problem.held_labels.mean(0).numpy(),
        "angles": subspace_angles(model, problem.held_x[:256]).numpy(),
    }


def subspace_angles(model: AttributeMixture, x: Tensor) -> Tensor:
    """Smallest principal angle (A, A) in degrees between the attributes' directions dy/dx, averaged over x."""
    rows = model.layout.rows
    x = x[:1] if model.coordinates.linear else x  # a linear read's are the same everywhere
    bases = [torch.linalg.qr(model.coordinates.jacobian(x)[:, r].mT).Q for r in rows]  # (n, D, r_a)
    angles = torch.zeros(len(rows), len(rows))
    for a, first in enumerate(bases):
        for b, second in enumerate(bases):
            cosine = torch.linalg.svdvals(first.mT @ second)[:, 0].clamp(max=1)
            angles[a, b] = torch.rad2deg(torch.arccos(cosine)).mean()
    return angles
