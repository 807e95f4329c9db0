"""Score editors on the same samples: strengths swept, one pass of pictures for all figures.

`evaluate` scores ours, `compare` ours and the rivals; both write what was seen, and figures are computed from that.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from gmmedit import artifacts
from gmmedit.artifacts import Artifact, RunSpec
from gmmedit.config import EvaluateSettings
from gmmedit.editors import catalogue as editors
from gmmedit.editors.base import Editor, Material, Unsuitable
from gmmedit.errors import InputError
from gmmedit.evaluation.fidelity import fidelity
from gmmedit.evaluation.judge import (
    Evaluators,
    Judge,
    Subjects,
    evaluator_of,
    judge_of,
    load_evaluators,
    subjects,
    unseen,
)
from gmmedit.evaluation.metrics import realism
from gmmedit.mixture.refining import Score
from gmmedit.run.folder import RunFolder, layout_of
from gmmedit.run.hold_out import first_unseen, fitted_rows, read_rows
from gmmedit.run.neighbours import neighbours_of
from gmmedit.run.precision import settle_precision
from gmmedit.runtime.cost import Cost, cost_of_fits, measure_cost
from gmmedit.runtime.execution import Execution, prepare
from gmmedit.runtime.signals import Stopped, StopRequest

SAVED_EVERY = 20  # seconds

ScoredKind = Literal["evaluation", "comparison"]
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class SweepInputs:
    """All that scoring needs: what editors are made from, the judge, and whose edits he judges."""

    spec: RunSpec
    material: Material
    judge: Judge
    subjects: Subjects
    settings: EvaluateSettings


@torch.no_grad()
def score_editors(
    kind: ScoredKind, names: list[str], folder: Path, settings: EvaluateSettings, execution: Execution
) -> Path:
    """Write folder/KIND.h5: what the judge saw of every editor, category, image and strength.

    Editors that do not suit the run are left out with a note, unless the settings name them. A killed run goes on
    with the category that it was at. InputError: an unknown or unsuitable editor, or what `load_evaluators` refuses.
    """
    prepare(execution)
    path, names = folder / f"{kind}.h5", checked(settings.editors or names)
    with RunFolder(folder, execution) as run:
        mixture, networks = run.artifact("mixture"), load_evaluators(settings, run)
        first_seed = first_unseen(settings.first_seed, settings.n, run.samples)
        named = {"classifier": evaluator_of(settings, run.labels), "first_seed": first_seed}
        spec = run_spec(kind, mixture, networks, settings.model_copy(update=named))
        if artifacts.is_up_to_date(path, spec, execution):
            return path
        spec = settle_precision(path, spec, execution)
        inputs = load_inputs(spec, run, networks, settings.model_copy(update=named | dict(spec.resolved)))
    if first_seed != settings.first_seed:
        inputs.judge.notes.append(
            f"seeds from {first_seed} on: samples.h5 has some of those from {settings.first_seed}"
        )
    with execution.processes.lock(path):
        score_all(names, inputs, path, execution)
    return path


def score_all(names: list[str], inputs: SweepInputs, path: Path, execution: Execution) -> None:
    """One editor after the other, from the checkpoint if there is one. All that is found is in the main process."""
    folder, found = path.parent, {}
    if execution.processes.main:
        found = artifacts.load_checkpoint(path, inputs.spec, execution.restart, execution.force) or {}
        found |= known_of(folder / "evaluation.h5", inputs.spec)
    fits = cost_of_fits(folder) if execution.processes.main else Cost()  # only the main one says what it leaves out
    notes, scored = [*inputs.judge.notes, *inputs.judge.converted], []
    for name in names:
        try:
            score(name, inputs, found, lambda: artifacts.save_checkpoint(path, inputs.spec, found), fits)
        except Unsuitable as reason:
            if inputs.settings.editors:
                raise
            notes.append(f"left out: {reason.message}")
        else:
            scored.append(name)
    if not execution.processes.main:
        return
    if inputs.spec.kind == "evaluation":
        found |= fidelity(inputs.judge, inputs.subjects, inputs.material)
    wanted = {"fidelity/labels", "fidelity/hits", "fidelity/coefficients", *(f"cost/{name}" for name in scored)}
    arrays = {k: v for k, v in found.items() if k in wanted or k.startswith(tuple(f"seen/{name}/" for name in scored))}
    arrays |= {
        "unedited/logits": inputs.subjects.logits.numpy(),
        "unedited/nuisances": inputs.subjects.nuisances.numpy(),
    }
    facts = {"editors": scored, "notes": notes}
    artifacts.write_whole(path, inputs.spec, arrays, attrs=facts)


def checked(names: list[str]) -> list[str]:
    """The names, once each. InputError: there is no such editor."""
    for name in names:
        editors.entry(name)
    return list(dict.fromkeys(names))


def load_inputs(spec: RunSpec, run: RunFolder, networks: Evaluators, settings: EvaluateSettings) -> SweepInputs:
    """From the artifacts of a run. InputError: the networks are not those any more, or do not fit together."""
    samples, labels, config = run.samples, run.labels, run.artifact("mixture").spec.config
    space, renderer, labeller = config["space"], run.renderer, run.classifier
    judge = judge_of(settings, networks, space, run)
    chart, model, fitted = run.chart(), run.model(), fitted_rows(labels, config["held_out"])
    score = None
    if renderer.generator.differentiable and labeller.differentiable:
        score = stopping(renderer.score(space, chart, labeller, settings.precision), run.execution.stop)
    material = Material(
        space=space,
        latents=read_rows(samples, space, fitted),
        labels=read_rows(labels, "labels", fitted),
        logits=read_rows(labels, "logits", fitted),
        layout=layout_of(labels),
        styles=renderer.generator.styles() if space == "w" else [],
        layers=renderer.generator.spaces[space].layers,
        chart=chart,
        model=model,
        score=score,
        neighbours=neighbours_of(run, space, chart, model, config["held_out"]),
        polish=settings.polish,
        image_weight=config["picture"],
        seed=settings.seed,
    )
    it = subjects(judge, unseen(renderer, space, settings))
    return SweepInputs(spec, material, judge, it, settings)


def stopping(score: Score, stop: StopRequest) -> Score:
    """The same, but it does not begin when the command is asked to stop: polishing takes minutes."""

    def seen(x: Tensor, disturbance: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        stop.check()
        return score(x, disturbance)

    return seen


def run_spec(kind: ScoredKind, mixture: Artifact, networks: Evaluators, settings: EvaluateSettings) -> RunSpec:
    return RunSpec(
        kind=kind,
        n=settings.n,
        seed=settings.seed,
        config=settings.model_dump()
        | {
            "space": mixture.spec.config["space"],
            "embedder": networks.embedder.fingerprint if networks.embedder else None,
        },
        parents={"mixture": mixture.fingerprint},
        generator=mixture.spec.generator,
        classifier=artifacts.network_record(settings.classifier, networks.classifier.fingerprint),
        attributes=mixture.spec.attributes,
    )


def known_of(path: Path, spec: RunSpec) -> Arrays:
    """What `evaluate` has seen already, if it was asked the same of the same samples."""
    if spec.kind == "evaluation" or not path.exists():
        return {}
    with artifacts.open(path, "evaluation") as evaluation:
        if identity(evaluation.spec) != identity(spec):
            return {}
        return {name: np.asarray(evaluation[name]) for name in evaluation.names if name.startswith(("seen/", "cost/"))}


def identity(spec: RunSpec) -> tuple[object, ...]:
    """What decides what is seen of an editor's edits; of networks their weights and not their names."""
    config = spec.resolved_config | dict.fromkeys(("editors", "classifier", "features"))
    classifier = spec.classifier["fingerprint"] if spec.classifier else None
    return dict(spec.parents), classifier, config


def score(name: str, inputs: SweepInputs, found: Arrays, save: Callable[[], None], fits: Cost) -> None:
    """Add one editor's cost, and what its edits look like, to what has been found. Unsuitable: it cannot work here.

    fits: what our own editors cost.
    """
    layout, execution = inputs.material.layout, inputs.judge.execution
    missing = execution.processes.broadcast(lambda: missing_of(name, layout.categories, found))
    if not missing:
        return
    done = layout.categories - len(missing)
    execution.tick(done, layout.categories, name)
    with measure_cost() as cost:
        editor = editors.fit_editor(name, inputs.material)
    if editors.entry(name).from_run:
        cost = fits
    found[f"cost/{name}"] = np.array([cost.seconds, cost.memory])
    saved = time.monotonic()
    try:
        for category, seen in execution.processes.gather(missing, lambda category: sweep(editor, inputs, category)):
            found |= {f"seen/{name}/{category}/{key}": value.numpy() for key, value in seen.items()}
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


def missing_of(name: str, categories: int, found: Arrays) -> list[int]:
    """The categories of an editor that are still to be swept."""
    return [category for category in range(categories) if f"seen/{name}/{category}/logits" not in found]


def starts(inputs: SweepInputs, category: int) -> Tensor:
    """Which samples are edited towards a category: some that do not have it. InputError: all have."""
    layout, logits = inputs.material.layout, inputs.subjects.logits
    attribute, value = layout.locate(category)
    rows = (logits[:, layout.columns[attribute]].argmax(1) != value).nonzero().squeeze(1)
    if not len(rows):
        it = inputs.judge.classifier.attributes[attribute]
        message = f"all {len(logits)} samples to score on have {it.name}={it.values[value]} already"
        raise InputError(message, hint="take more of them: -n 1000")
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(category))
    return rows[order[: inputs.settings.starts]].sort().values


def sweep(editor: Editor, inputs: SweepInputs, category: int) -> dict[str, Tensor]:
    """rows (n,), strengths (S,), logits (S, n, K), nuisances (S, n, M); in features identity (S, n), frechet, path."""
    it, rows = inputs.subjects, starts(inputs, category)
    latent = it.latent[rows]
    way = editor.trajectory(latent, category)
    seen = [(it.logits[rows], it.nuisances[rows], it.features[rows])]
    for strength in editor.strengths[1:]:
        inputs.judge.execution.stop.check()
        moved = way(strength)
        seen.append(seen[0] if torch.equal(moved, latent) else inputs.judge.observe(moved))
    logits, nuisances, features = (torch.stack(parts) for parts in zip(*seen, strict=True))
    strengths = torch.tensor(editor.strengths)
    found = {"rows": rows, "strengths": strengths, "logits": logits, "nuisances": nuisances}
    if features.shape[2]:
        found |= {
            "identity": realism.identity(features[0], features),
            "frechet": torch.tensor([realism.frechet_distance(edited, it.features) for edited in features]),
            "path": realism.path_length(features, strengths),
        }
    return found
