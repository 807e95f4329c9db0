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
from gmmedit.artifacts import Artifact, Question
from gmmedit.config import EvaluateSettings
from gmmedit.editors.base import Editor, Material, Unsuitable
from gmmedit.editors.catalogue import EDITORS
from gmmedit.errors import InputError, nearest
from gmmedit.evaluation import metrics
from gmmedit.mixture.refining import Score
from gmmedit.spaces import Chart
from gmmedit.stages.shared.common import (
    Execution,
    layers_of,
    load_classifier,
    load_generator,
    network_record,
    prepare,
    resolve_precision,
    scorer,
)
from gmmedit.stages.shared.fidelity import fidelity
from gmmedit.stages.shared.fitting import model_from, tensors
from gmmedit.stages.shared.judging import Judge, Subjects, evaluator_of, load_judge, subjects, unseen
from gmmedit.stages.shared.membership import members_of
from gmmedit.stages.shared.metering import Cost, cost_of_fits, metered
from gmmedit.stages.shared.problem import fitted_of, layout_of
from gmmedit.stages.shared.sampling import painter, sample_settings
from gmmedit.stopping import Stopped, stop_if_asked

SAVED_EVERY = 20  # seconds

ScoredKind = Literal["evaluation", "comparison"]
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Bench:
    """All that scoring needs: what editors are made from, the judge, and whose edits he judges."""

    question: Question
    material: Material
    judge: Judge
    it: Subjects
    settings: EvaluateSettings


@torch.no_grad()
def score_editors(
    kind: ScoredKind, names: list[str], folder: Path, settings: EvaluateSettings, execution: Execution
) -> Path:
    """Write folder/KIND.h5: what the judge saw of every editor, category, image and strength.

    Editors that do not suit the run are left out with a note, unless the settings name them. A killed run goes on
    with the category that it was at. InputError: an unknown or unsuitable editor, or what `load_judge` refuses.
    """
    prepare(execution)
    path, names = folder / f"{kind}.h5", checked(settings.editors or names)
    bench = load_bench(kind, folder, settings, execution)
    if execution.finished(path, bench.question):
        return path
    with execution.ranks.alone(path):
        score_all(names, bench, path, execution)
    return path


def score_all(names: list[str], bench: Bench, path: Path, execution: Execution) -> None:
    """One editor after the other, from the checkpoint if there is one. All that is found is in the main process."""
    folder, found = path.parent, {}
    if execution.ranks.main:
        found = artifacts.load_checkpoint(path, bench.question, restart=execution.restart) or {}
        found |= known_of(folder / "evaluation.h5", bench.question)
    fits = cost_of_fits(folder) if execution.ranks.main else Cost()  # only the main one says what it leaves out
    notes, scored = list(bench.judge.notes), []
    for name in names:
        try:
            score(name, bench, found, lambda: artifacts.save_checkpoint(path, bench.question, found), fits)
        except Unsuitable as reason:
            if bench.settings.editors:
                raise
            notes.append(f"left out: {reason.message}")
        else:
            scored.append(name)
    if not execution.ranks.main:
        return
    if bench.question.kind == "evaluation":
        found |= fidelity(bench.judge, bench.it, bench.material)
    wanted = {"fidelity/labels", "fidelity/hits", "fidelity/coefficients", *(f"cost/{name}" for name in scored)}
    arrays = {k: v for k, v in found.items() if k in wanted or k.startswith(tuple(f"seen/{name}/" for name in scored))}
    arrays |= {"unedited/logits": bench.it.logits.numpy(), "unedited/nuisances": bench.it.nuisances.numpy()}
    facts = {"editors": scored, "notes": notes}
    artifacts.write_whole(path, bench.question, arrays, attrs=facts)


def checked(names: list[str]) -> list[str]:
    """The names, once each. InputError: there is no such editor."""
    for name in names:
        if name not in EDITORS:
            raise InputError(f"there is no editor called {name!r}", hint=nearest(name, EDITORS))
    return list(dict.fromkeys(names))


def load_bench(kind: ScoredKind, folder: Path, settings: EvaluateSettings, execution: Execution) -> Bench:
    """From the artifacts of a run. InputError: they do not belong together, or what `load_judge` refuses."""
    with (
        artifacts.open(folder / "samples.h5", "samples") as samples,
        artifacts.open(folder / "labels.h5", "labels") as labels,
        artifacts.open(folder / "mixture.h5", "mixture") as mixture,
    ):
        artifacts.check_parents(mixture, samples=samples, labels=labels)
        precision = resolve_precision(settings.precision, execution.device)
        settings = settings.model_copy(update={"precision": precision, "classifier": evaluator_of(settings, labels)})
        generator, labeller = load_generator(samples, execution), load_classifier(labels, execution)
        drawn, space = sample_settings(samples), mixture.question.config["space"]
        paint = painter(generator, space, drawn)
        judge = load_judge(settings, labels, generator, paint, execution)
        chart = Chart.from_arrays(tensors(mixture.group("chart")))
        model = model_from(mixture)
        held_out = mixture.question.config["held_out"]
        fitted = fitted_of(samples.question.n, held_out)
        differentiable = generator.differentiable and labeller.differentiable
        material = Material(
            space=space,
            latents=torch.from_numpy(samples.rows(space, 0, fitted)),
            labels=torch.from_numpy(labels.rows("labels", 0, fitted)),
            logits=torch.from_numpy(labels.rows("logits", 0, fitted)),
            layout=layout_of(labels),
            styles=generator.styles() if space == "w" else [],
            layers=layers_of(generator, space),
            chart=chart,
            model=model,
            score=stopping(scorer(chart, paint, labeller, precision, execution.device)) if differentiable else None,
            members=members_of(space, chart, model, samples, labels, generator, held_out),
            polish=settings.polish,
            picture=mixture.question.config["picture"],
            seed=settings.seed,
        )
        question = ask(kind, mixture, judge, settings)
    it = subjects(judge, unseen(generator, space, settings, drawn))
    return Bench(question, material, judge, it, settings)


def stopping(score: Score) -> Score:
    """The same, but it does not begin when the command is asked to stop: polishing takes minutes."""

    def seen(x: Tensor, disturbance: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        stop_if_asked()
        return score(x, disturbance)

    return seen


def ask(kind: ScoredKind, mixture: Artifact, judge: Judge, settings: EvaluateSettings) -> Question:
    return Question(
        kind=kind,
        n=settings.n,
        seed=settings.seed,
        config=settings.model_dump()
        | {
            "space": mixture.question.config["space"],
            "embedder": judge.embedder.fingerprint if judge.embedder else None,
        },
        parents={"mixture": mixture.fingerprint},
        generator=mixture.question.generator,
        classifier=network_record(settings.classifier, judge.classifier.fingerprint),
        attributes=mixture.question.attributes,
    )


def known_of(path: Path, question: Question) -> Arrays:
    """What `evaluate` has seen already, if it was asked the same of the same samples."""
    if question.kind == "evaluation" or not path.exists():
        return {}
    with artifacts.open(path, "evaluation") as evaluation:
        before = evaluation.question
        same = before.parents == question.parents and before.classifier == question.classifier
        if not same or dict(before.config, editors=None) != dict(question.config, editors=None):
            return {}
        return {name: np.asarray(evaluation[name]) for name in evaluation.names if name.startswith(("seen/", "cost/"))}


def score(name: str, bench: Bench, found: Arrays, save: Callable[[], None], fits: Cost) -> None:
    """Add one editor's cost, and what its edits look like, to what has been found. Unsuitable: it cannot work here.

    fits: what our own editors cost.
    """
    layout, execution = bench.material.layout, bench.judge.execution
    missing = execution.ranks.told(lambda: missing_of(name, layout.categories, found))
    if not missing:
        return
    done = layout.categories - len(missing)
    execution.tick(done, layout.categories, name)
    with metered() as cost:
        editor = EDITORS[name](bench.material)
    if name.startswith("mixture"):
        cost = fits
    found[f"cost/{name}"] = np.array([cost.seconds, cost.memory])
    saved = time.monotonic()
    try:
        for category, seen in execution.ranks.collected(missing, lambda category: sweep(editor, bench, category)):
            found |= {f"seen/{name}/{category}/{key}": value.numpy() for key, value in seen.items()}
            done += 1
            execution.tick(done, layout.categories, name)
            if time.monotonic() - saved > SAVED_EVERY:
                save()
                saved = time.monotonic()
            stop_if_asked()
    except Stopped:
        if execution.ranks.main:
            save()
        raise
    if execution.ranks.main:
        save()


def missing_of(name: str, categories: int, found: Arrays) -> list[int]:
    """The categories of an editor that are still to be swept."""
    return [category for category in range(categories) if f"seen/{name}/{category}/logits" not in found]


def starts(bench: Bench, category: int) -> Tensor:
    """Which samples are edited towards a category: some that do not have it. InputError: all have."""
    layout, logits = bench.material.layout, bench.it.logits
    attribute, value = layout.locate(category)
    rows = (logits[:, layout.columns[attribute]].argmax(1) != value).nonzero().squeeze(1)
    if not len(rows):
        it = bench.judge.classifier.attributes[attribute]
        message = f"all {len(logits)} samples to score on have {it.name}={it.values[value]} already"
        raise InputError(message, hint="take more of them: -n 1000")
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(category))
    return rows[order[: bench.settings.starts]].sort().values


def sweep(editor: Editor, bench: Bench, category: int) -> dict[str, Tensor]:
    """rows (n,), strengths (S,), logits (S, n, K), nuisances (S, n, M); in features identity (S, n), frechet, path."""
    it, rows = bench.it, starts(bench, category)
    latent = it.latent[rows]
    way = editor.way(latent, category)
    seen = [(it.logits[rows], it.nuisances[rows], it.features[rows])]
    for strength in editor.strengths[1:]:
        stop_if_asked()
        moved = way(strength)
        seen.append(seen[0] if torch.equal(moved, latent) else bench.judge.look(moved))
    logits, nuisances, features = (torch.stack(parts) for parts in zip(*seen, strict=True))
    strengths = torch.tensor(editor.strengths)
    found = {"rows": rows, "strengths": strengths, "logits": logits, "nuisances": nuisances}
    if features.shape[2]:
        found |= {
            "identity": metrics.identity(features[0], features),
            "frechet": torch.tensor([metrics.frechet_distance(edited, it.features) for edited in features]),
            "path": metrics.path_length(features, strengths),
        }
    return found
