"""The edits of a fit through the real networks: images alone, trials of held-out samples, and what they came to."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from gmmedit.artifacts import Artifact
from gmmedit.config import FitMixtureSettings
from gmmedit.fitting.data import Problem
from gmmedit.mixture.score import Score, Show
from gmmedit.mixture.trials import Outcome, Trials
from gmmedit.run.folder import RunFolder
from gmmedit.run.rendering import images_per_call
from gmmedit.runtime.batching import TILE, in_tiles
from gmmedit.runtime.pieces import within_memory

EACH = 32  # held-out samples that are edited towards each value
MOST = 2048  # edits in all


def share_score(run_folder: RunFolder, score: Score, edits: int) -> Score:
    """The score of a step's edits, divided among the processes; on a CPU in tiles, see `edits_per_tile`.

    A step that does not fit in memory is computed in pieces.
    """
    tile = 1
    if run_folder.generator.device.type == "cpu":
        tile = edits_per_tile(edits, images_per_call(run_folder.generator))
        score = in_tiles(score, tile)
    return run_folder.execution.processes.share(within_memory(score, tile), tile)


def edits_per_tile(edits: int, limit: int) -> int:
    """Rows per tile on a CPU: the edits of a step in equal tiles of at most min(limit, TILE) rows.

    A CPU rounds products of more or fewer rows differently; with tiles, any number of processes gives the same bytes.
    Other devices are faster without, and there the fit depends on the number of processes up to rounding.
    """
    return -(-edits // -(-edits // min(limit, TILE)))


def make_show(run_folder: RunFolder, space: str, problem: Problem, settings: FitMixtureSettings) -> Show | None:
    """The images of edits, as `Renderer.make_score` has them but without their labels; None: no edit has an image."""
    if settings.consistency != "exact":
        return None
    score = run_folder.renderer.make_unlabelled(space, problem.chart, settings.precision)
    shared = share_score(run_folder, score, settings.batch)
    return lambda x: shared(x)[1]


def make_trials(
    run_folder: RunFolder, space: str, problem: Problem, settings: FitMixtureSettings, score: Score | None
) -> Trials | None:
    """Edits of held-out samples through the real networks; None: `explain_no_trials`.

    score: of the fit, used if it is that of the networks.
    """
    if explain_no_trials(settings.consistency, run_folder.labels):
        return None
    if score is None or settings.consistency != "exact":
        classifier = run_folder.classifier
        score = run_folder.renderer.make_score(space, problem.chart, classifier, settings.precision)
        tile = 1
        if run_folder.generator.device.type == "cpu":
            tile = min(TILE, images_per_call(run_folder.generator))
            score = in_tiles(score, tile)
        score = within_memory(score, tile)
    most = min(MOST, settings.steps * settings.batch)  # a short fit is not measured for longer than it takes
    each = max(min(EACH, most // problem.layout.categories), 1)
    return Trials(
        problem.held_x, problem.held_labels, score, problem.layout, run_folder.robustness.band_contrast,
        settings.seed, each, settings.batch,
    )  # fmt: skip


def explain_no_trials(consistency: str, labels: Artifact) -> list[str]:
    """Why a fit ends without a table of edits, in one line; empty if it has one."""
    if consistency == "off":
        return ["no edits of held-out samples were measured: --consistency off"]
    if "robustness" not in labels.attrs:
        return ["no edits of held-out samples were measured: a table gave the labels"]
    return []


def trial_arrays(outcome: Outcome | None) -> dict[str, np.ndarray]:
    """The outcome as datasets report/edits/NAME (K,); empty without one."""
    if outcome is None:
        return {}
    parts: dict[str, Tensor] = {"arrived": outcome.arrived, "kept": outcome.kept, "change": outcome.change}
    return {f"report/edits/{name}": part.float().numpy() for name, part in parts.items()}
