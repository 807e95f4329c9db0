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
    scorer,
    settle_precision,
)
from gmmedit.stages.shared.fidelity import fidelity
from gmmedit.stages.shared.fitting import model_from, tensors
from gmmedit.stages.shared.judging import (
    Evaluators,
    Judge,
    Subjects,
    evaluator_of,
    first_unseen,
    judge_of,
    load_evaluators,
    subjects,
    unseen,
)
from gmmedit.stages.shared.membership import members_of
from gmmedit.stages.shared.metering import cost_of_fits, metered
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
    with the category that it was at. InputError: an unknown or unsuitable editor, or what `load_evaluators` refuses.
    """
    prepare(execution)
    path, names = folder / f"{kind}.h5", checked(settings.editors or names)
    with (
        artifacts.open(folder / "samples.h5", "samples") as samples,
        artifacts.open(folder / "labels.h5", "labels") as labels,
        artifacts.open(folder / "mixture.h5", "mixture") as mixture,
    ):
        artifacts.check_parents(mixture, samples=samples, labels=labels)
        networks = load_evaluators(settings, labels, execution)  # their fingerprints tell whether there is work to do
        first_seed = first_unseen(settings.first_seed, settings.n, samples)
        named = {"classifier": evaluator_of(settings, labels), "first_seed": first_seed}
        question = ask(kind, mixture, networks, settings.model_copy(update=named))
        if execution.finished(path, question):
            return path
        question = settle_precision(path, question, execution)
        resolved = settings.model_copy(update=named | dict(question.resolved))
        bench = load_bench(question, samples, labels, mixture, networks, resolved, execution)
    if first_seed != settings.first_seed:
        bench.judge.notes.append(f"seeds from {first_seed} on: samples.h5 has some of those from {settings.first_seed}")
    with execution.ranks.alone(path):
        score_all(names, bench, path, execution)
    return path


def score_all(names: list[str], bench: Bench, path: Path, execution: Execution) -> None:
    """One editor after the other, from the checkpoint if there is one. All that is found is in the main process."""
    folder, found = path.parent, {}
    if execution.ranks.main:
        found = artifacts.load_checkpoint(path, bench.question, restart=execution.restart) or {}
        found |= known_of(folder / "evaluation.h5", bench.question)
    notes, scored = list(bench.judge.notes), []
    for name in names:
        try:
            score(name, bench, found, lambda: artifacts.save_checkpoint(path, bench.question, found), folder)
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


def load_bench(
    question: Question, samples: Artifact, labels: Artifact, mixture: Artifact, networks: Evaluators,
    settings: EvaluateSettings, execution: Execution,
) -> Bench:  # fmt: skip
    """From the artifacts of a run. InputError: the networks are not those any more, or do not fit together."""
    generator, labeller = load_generator(samples, execution), load_classifier(labels, execution)
    drawn, space = sample_settings(samples), mixture.question.config["space"]
    paint = painter(generator, space, drawn)
    judge = judge_of(settings, networks, paint, generator.image_shape[0], settings.precision, execution)
    chart = Chart.from_arrays(tensors(mixture.group("chart")))
    model = model_from(mixture)
    held_out = mixture.question.config["held_out"]
    fitted = fitted_of(samples.question.n, held_out)
    score = None
    if generator.differentiable and labeller.differentiable:
        score = stopping(scorer(chart, paint, labeller, settings.precision, execution.device))
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
        score=score,
        members=members_of(space, chart, model, samples, labels, generator, held_out),
        polish=settings.polish,
        picture=mixture.question.config["picture"],
        seed=settings.seed,
    )
    it = subjects(judge, unseen(generator, space, settings, drawn))
    return Bench(question, material, judge, it, settings)


def stopping(score: Score) -> Score:
    """The same, but it does not begin when the command is asked to stop: polishing takes minutes."""

    def seen(x: Tensor, disturbance: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        stop_if_asked()
        return score(x, disturbance)

    return seen


def ask(kind: ScoredKind, mixture: Artifact, networks: Evaluators, settings: EvaluateSettings) -> Question:
    return Question(
        kind=kind,
        n=settings.n,
        seed=settings.seed,
        config=settings.model_dump()
        | {
            "space": mixture.question.config["space"],
            "embedder": networks.embedder.fingerprint if networks.embedder else None,
        },
        parents={"mixture": mixture.fingerprint},
        generator=mixture.question.generator,
        classifier=network_record(settings.classifier, networks.classifier.fingerprint),
        attributes=mixture.question.attributes,
    )


def known_of(path: Path, question: Question) -> Arrays:
    """What `evaluate` has seen already, if it was asked the same of the same samples."""
    if question.kind == "evaluation" or not path.exists():
        return {}
    with artifacts.open(path, "evaluation") as evaluation:
        if identity(evaluation.question) != identity(question):
            return {}
        return {name: np.asarray(evaluation[name]) for name in evaluation.names if name.startswith(("seen/", "cost/"))}


def identity(question: Question) -> tuple[object, ...]:
    """What decides what is seen of an editor's edits; of networks their weights and not their names."""
    config = question.resolved_config | dict.fromkeys(("editors", "classifier", "features"))
    classifier = question.classifier["fingerprint"] if question.classifier else None
    return dict(question.parents), classifier, config


def score(name: str, bench: Bench, found: Arrays, save: Callable[[], None], folder: Path) -> None:
    """Add one editor's cost, and what its edits look like, to what has been found. Unsuitable: it cannot work here."""
    layout, execution = bench.material.layout, bench.judge.execution
    missing = execution.ranks.told(lambda: missing_of(name, layout.categories, found))
    if not missing:
        return
    done = layout.categories - len(missing)
    execution.tick(done, layout.categories, name)
    with metered() as cost:
        editor = EDITORS[name](bench.material)
    if name.startswith("mixture"):
        cost = cost_of_fits(folder)
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
            "path": metrics.path_length(features, strengths),
        }
    if features.shape[2] and len(rows) > 1:  # one image has no covariance
        found["frechet"] = torch.tensor([metrics.frechet_distance(edited, it.features) for edited in features])
    return found
