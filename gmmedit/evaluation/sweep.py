"""Score editors on the same samples over a sweep of strengths.

`evaluate` scores our editors, `compare` also the baselines. Both store the outputs of the evaluation networks, from
which all figures are computed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gmmedit import artifacts
from gmmedit.artifacts import RunSpec
from gmmedit.config import EvaluateSettings
from gmmedit.discovery.reading import read_directions
from gmmedit.editors import catalogue as editors
from gmmedit.editors.base import Discovered, Editor, Material, Unsuitable
from gmmedit.editors.counterfactual import held_by_causes, values_of
from gmmedit.errors import InputError
from gmmedit.evaluation.fidelity import measure_fidelity
from gmmedit.evaluation.judge import (
    EvaluationSamples,
    Evaluators,
    Judge,
    draw_unseen,
    evaluation_classifier_of,
    load_evaluators,
    make_judge,
    observe_samples,
)
from gmmedit.evaluation.latent_attributes import find_codes, find_structure
from gmmedit.evaluation.metrics import editing, realism
from gmmedit.evaluation.specification import Arrays, ScoredKind, read_evaluated, run_spec, with_directions
from gmmedit.evaluation.strength_one import Starts, choose_strength, observe_edits, observe_samples_alone
from gmmedit.mixture.score import Score
from gmmedit.run.folder import RunFolder, layout_of
from gmmedit.run.graphs import read_graph
from gmmedit.run.hold_out import first_unseen, fitted_rows, read_rows
from gmmedit.run.labelled import labelled_latents
from gmmedit.run.optimisation import make_optimisation
from gmmedit.run.precision import settle_precision
from gmmedit.runtime.cost import Cost, cost_of_fits, measure_cost
from gmmedit.runtime.execution import Execution, prepare
from gmmedit.runtime.signals import Stopped, StopRequest

SAVED_EVERY = 20  # seconds


@dataclass(frozen=True)
class SweepInputs:
    """Everything that scoring needs: material for the editors, the judge, and the evaluation samples."""

    spec: RunSpec
    material: Material
    judge: Judge
    samples: EvaluationSamples
    settings: EvaluateSettings


@torch.no_grad()
def score_editors(
    kind: ScoredKind, names: list[str], folder: Path, settings: EvaluateSettings, execution: Execution
) -> Path:
    """Write folder/KIND.h5: the judge's outputs for every editor, category, image and strength.

    Editors that do not apply to the run are omitted with a note, unless the settings name them. A stopped run resumes
    at its last checkpoint. InputError: an editor is unknown or does not apply; an artifact or network is missing, has
    changed or does not fit (see `load_evaluators`).
    """
    prepare(execution)
    path, names = folder / f"{kind}.h5", check_names(settings.editors or names)
    with RunFolder(folder, execution) as run:
        mixture, networks = run.artifact("mixture"), load_evaluators(settings, run)
        first_seed = first_unseen(settings.first_seed, settings.n, run.samples)
        named = {"classifier": evaluation_classifier_of(settings, run.labels), "first_seed": first_seed}
        graph = run.artifact("graph") if settings.mode == "do" else None
        spec = run_spec(kind, mixture, networks, settings.model_copy(update=named), graph)
        spec = with_directions(spec, run, names)
        if artifacts.is_up_to_date(path, spec, execution):
            return path
        editors.check_extras(names)
        spec = settle_precision(path, spec, execution)
        inputs = load_inputs(spec, run, networks, settings.model_copy(update=named | dict(spec.resolved)))
    if first_seed != settings.first_seed:
        inputs.judge.notes.append(
            f"evaluated on seeds from {first_seed} on: samples.h5 contains some of those from {settings.first_seed} on"
        )
    with execution.processes.lock(path):
        score_all(names, inputs, path, execution)
    return path


def score_all(names: list[str], inputs: SweepInputs, path: Path, execution: Execution) -> None:
    """Score the editors one after the other, from the checkpoint if there is one; the main process writes the file."""
    folder, found = path.parent, {}
    if execution.processes.main:
        found = artifacts.load_checkpoint(path, inputs.spec, execution.restart, execution.force) or {}
        found |= read_evaluated(folder / "evaluation.h5", inputs.spec)
    fits = cost_of_fits(folder) if execution.processes.main else Cost()  # which warns about damaged lines
    notes, scored = [*inputs.judge.notes, *inputs.judge.converted], []
    for name in names:
        try:
            score_editor(name, inputs, found, lambda: artifacts.save_checkpoint(path, inputs.spec, found), fits)
        except Unsuitable as reason:
            if inputs.settings.editors:
                raise
            notes.append(f"omitted: {reason.message}")
        else:
            scored.append(name)
    if not execution.processes.main:
        return
    if inputs.spec.kind == "evaluation":
        found |= measure_fidelity(inputs.judge, inputs.samples, inputs.material)
    wanted = {"fidelity/labels", "fidelity/hits", "fidelity/coefficients", *(f"cost/{name}" for name in scored)}
    arrays = {k: v for k, v in found.items() if k in wanted or k.startswith(tuple(f"seen/{name}/" for name in scored))}
    unedited = observe_samples_alone(inputs.samples, inputs.material.layout, inputs.settings.starts)
    arrays |= {f"unedited/{name}": part.numpy() for name, part in unedited.items()}
    facts: dict[str, Any] = {"editors": scored, "notes": notes}
    if inputs.material.causes is not None:
        facts["held"] = held_by_causes(inputs.material.causes).tolist()
    artifacts.write_whole(path, inputs.spec, arrays, attrs=facts)


def check_names(names: list[str]) -> list[str]:
    """The names without repetition. InputError: an unknown editor."""
    for name in names:
        editors.entry(name)
    return list(dict.fromkeys(names))


def load_inputs(spec: RunSpec, run: RunFolder, networks: Evaluators, settings: EvaluateSettings) -> SweepInputs:
    """The inputs from the artifacts of a run. InputError: networks have changed, or do not fit together."""
    labels, config = run.labels, run.artifact("mixture").spec.config
    space, renderer = config["space"], run.renderer
    judge = make_judge(settings, networks, space, run)
    chart, model, fitted = run.chart(), run.model(), fitted_rows(labels, config["held_out"])
    optimisation = make_optimisation(
        run, renderer, model, settings.precision, settings.picture, settings.polish, config["held_out"],
        lambda score: interruptible(score, run.execution.stop),
    )  # fmt: skip
    material = Material(
        space=space,
        latents=labelled_latents(run, space, fitted, chart),
        labels=read_rows(labels, "labels", fitted),
        logits=read_rows(labels, "logits", fitted),
        layout=layout_of(labels),
        styles=renderer.generator.styles() if space == "w" else [],
        layers=renderer.generator.spaces[space].layers,
        chart=chart,
        model=model,
        optimisation=optimisation,
        seed=settings.seed,
        discovered=read_discovered(run) if "directions" in spec.parents else None,
        causes=read_graph(run.artifact("graph"), labels.attributes).model if settings.mode == "do" else None,
        codes=find_codes(renderer.generator, labels.attributes),
        structure=find_structure(renderer.generator, labels.attributes) if space == "w" else None,
    )
    observed = observe_samples(judge, draw_unseen(renderer, space, settings))
    return SweepInputs(spec, material, judge, observed, settings)


def interruptible(score: Score, stop: StopRequest) -> Score:
    """A score that first stops the command if a signal asks for it: the optimisation takes minutes."""

    def checked_score(x: Tensor, random: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        stop.check()
        return score(x, random)

    return checked_score


def read_discovered(run: RunFolder) -> Discovered:
    """The directions of directions.h5."""
    found = read_directions(run.artifact("directions"))
    return Discovered(found.chart, found.steps)


def score_editor(name: str, inputs: SweepInputs, found: Arrays, save: Callable[[], None], fits: Cost) -> None:
    """Add the cost and observations of one editor to `found`, saving from time to time.

    fits: the cost of our own editors, whose fits are steps 3 and 4. Unsuitable: the editor does not apply to the run.
    """
    layout, execution = inputs.material.layout, inputs.judge.execution
    missing = execution.processes.broadcast(lambda: missing_categories(name, layout.categories, found))
    if not missing:
        return
    for category in missing:  # before the first edit: whether each of them has images to edit
        select_starts(inputs, category)
    done = layout.categories - len(missing)
    execution.tick(done, layout.categories, name)
    with measure_cost() as cost:
        editor = editors.fit_editor(name, inputs.material)
    if editors.entry(name).from_run:
        cost = fits
    found[f"cost/{name}"] = np.array([cost.seconds, cost.memory])
    saved = time.monotonic()
    try:
        observations = execution.processes.gather(missing, lambda category: sweep_strengths(editor, inputs, category))
        for category, observed in observations:
            found |= {f"seen/{name}/{category}/{key}": value.numpy() for key, value in observed.items()}
            done += 1
            execution.tick(done, layout.categories, name)
            if time.monotonic() - saved > SAVED_EVERY:
                save()
                saved = time.monotonic()
            execution.stop.check()
    except Stopped:
        if execution.processes.main:
            save()
        raise
    if execution.processes.main:
        save()


def missing_categories(name: str, categories: int, found: Arrays) -> list[int]:
    """The categories of an editor without observations."""
    return [category for category in range(categories) if f"seen/{name}/{category}/logits" not in found]


def select_starts(inputs: SweepInputs, category: int) -> Tensor:
    """Rows (n,) of the samples to edit towards a category: some that lack it. InputError: all have it."""
    layout, logits = inputs.material.layout, inputs.samples.logits
    attribute, value = layout.locate(category)
    rows = (logits[:, layout.columns[attribute]].argmax(1) != value).nonzero().squeeze(1)
    if not len(rows):
        target = inputs.judge.classifier.attributes[attribute]
        message = f"all {len(logits)} evaluation samples already have {target.name}={target.values[value]}"
        raise InputError(message, hint=f"use more samples: -n {max(1000, 10 * len(logits))}")
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(category))
    return rows[order[: inputs.settings.starts]].sort().values


def sweep_strengths(editor: Editor, inputs: SweepInputs, category: int) -> dict[str, Tensor]:
    """Observations of one editor and category: rows (n,), strengths (S,), logits (S, n, K), nuisances (S, n, M).

    With a feature network also identity (S, n), frechet (S,) and path (n,). one/...: those of `observe_edits`.
    """
    samples, rows = inputs.samples, select_starts(inputs, category)
    starts = Starts(samples, inputs.material.layout, category, rows)
    latent = starts.latent
    trajectory = editor.trajectory(latent, category)
    observed = [(samples.logits[rows], samples.nuisances[rows], samples.features[rows])]
    swept = sorted({0.0, 1.0, *editor.strengths})
    for strength in swept[1:]:
        inputs.judge.execution.stop.check()
        moved = trajectory(strength)
        observed.append(observed[0] if torch.equal(moved, latent) else inputs.judge.observe(moved))
    logits, nuisances, features = (torch.stack(parts) for parts in zip(*observed, strict=True))
    strengths = torch.tensor(swept)
    found = {"rows": rows, "strengths": strengths, "logits": logits, "nuisances": nuisances}
    if features.shape[2]:
        found |= {
            "identity": realism.identity(features[0], features),
            "frechet": torch.tensor([realism.frechet_distance(edited, samples.features) for edited in features]),
            "path": realism.path_length(features, strengths),
        }
    flips = editing.flipped(logits, starts.layout.columns, *starts.layout.locate(category)).mean(1)
    inputs.judge.execution.stop.check()
    strength = choose_strength(editor, flips, swept)
    one = observe_edits(editor, inputs.judge, starts, trajectory, strength)
    if inputs.material.causes is not None:
        attribute, value = starts.layout.locate(category)
        before = values_of(samples.logits[rows], starts.layout)
        predicted = inputs.material.causes.distribution(before, {attribute: value})
        one["predicted"] = torch.from_numpy(predicted).float()
    return found | {f"one/{name}": part for name, part in one.items()}
