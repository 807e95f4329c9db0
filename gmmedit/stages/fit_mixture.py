"""Step 4 (claim 5): all Gaussians together as a mixture, taught by real edits.

Reads samples.h5, labels.h5, single.h5, generator and classifier; writes mixture.h5. Resumes from its
last checkpoint.
"""

from pathlib import Path

import torch

from gmmedit import artifacts
from gmmedit.artifacts import Artifact, Question
from gmmedit.config import FitMixtureSettings
from gmmedit.errors import InputError
from gmmedit.mixture.adam import Fit, converged, generator_for
from gmmedit.mixture.coordinates import FullSpace
from gmmedit.mixture.model import AttributeMixture
from gmmedit.mixture.refining import Refinement, Score, Weights
from gmmedit.mixture.surrogate import fit_surrogate
from gmmedit.mixture.writing import Correction
from gmmedit.spaces import Chart
from gmmedit.stages.shared.common import (
    Execution,
    load_classifier,
    load_generator,
    painter,
    prepare,
    resolve_precision,
    scorer,
)
from gmmedit.stages.shared.fitting import carry_out, model_from, tensors, write_fit
from gmmedit.stages.shared.problem import Problem, load_problem

CORRECTION_STREAM = -1  # the random stream that starts the correction


def run(folder: Path, settings: FitMixtureSettings, execution: Execution) -> Path:
    """Write folder/mixture.h5: parameters, chart, history, report."""
    prepare(execution)
    path = folder / "mixture.h5"
    with (
        artifacts.open(folder / "samples.h5", "samples") as samples,
        artifacts.open(folder / "labels.h5", "labels") as labels,
        artifacts.open(folder / "single.h5", "single") as single,
    ):
        artifacts.check_parents(single, samples=samples, labels=labels)
        precision = resolve_precision(settings.precision, execution.device)
        settings = settings.model_copy(update={"precision": precision})
        question = ask(samples, labels, single, settings)
        if artifacts.finished(path, question, force=execution.force):
            return path
        chart = Chart.from_arrays(tensors(single.group("chart")))
        problem = load_problem(samples, labels, single.question.config["space"],
                               single.question.config["held_out"], chart)  # fmt: skip
        model = start(single, problem, settings)
        score = score_of(samples, labels, question.config["space"], problem, settings, execution)
    weights = Weights(settings.sampling, settings.decoupling, settings.least_change)
    loss = Refinement(
        model, problem.x, problem.labels, problem.logits, score, weights, settings.seed,
        edits=settings.batch, form=question.config["likelihood"],
    )  # fmt: skip
    fit = Fit([p for p in model.parameters() if p.requires_grad], loss, settings.steps, settings.lr)
    history = carry_out(path, question, fit, execution)
    facts = {"converged": converged(fit.history), "steps": fit.count}
    return write_fit(path, question, history, model, problem, facts)


def ask(samples: Artifact, labels: Artifact, single: Artifact, settings: FitMixtureSettings) -> Question:
    parents = {name: it.fingerprint for name, it in (("samples", samples), ("labels", labels), ("single", single))}
    inherited = {key: single.question.config[key] for key in ("space", "likelihood", "held_out")}
    return Question(
        kind="mixture",
        n=labels.question.n,
        seed=settings.seed,
        config=settings.model_dump() | inherited,
        parents=parents,
        generator=labels.question.generator,
        classifier=labels.question.classifier,
        attributes=labels.question.attributes,
    )


def start(single: Artifact, problem: Problem, settings: FitMixtureSettings) -> AttributeMixture:
    """The single Gaussians as one mixture with weights 1/n, and a correction if edits will teach it.

    The subspaces stay those of fit-single: what is fitted is the mixture in them, and how it is written.
    """
    model = model_from(single)
    model.coordinates.requires_grad_(False)
    for a in range(len(problem.layout.values)):
        torch.nn.init.zeros_(model.gaussians.mixture(a).logits)
    if settings.consistency != "off" and not isinstance(model.coordinates, FullSpace):
        generator = generator_for(settings.seed, CORRECTION_STREAM)
        model.correction = Correction(problem.chart.dim, problem.layout, generator=generator)
    return model


def score_of(
    samples: Artifact,
    labels: Artifact,
    space: str,
    problem: Problem,
    settings: FitMixtureSettings,
    execution: Execution,
) -> Score | None:
    """x (N, D) to logits (N, K): through the real networks, through the surrogate, or not at all.

    InputError: through the real networks, and the classifier has no gradients.
    """
    if settings.consistency == "off":
        return None
    if settings.consistency == "surrogate":
        return fit_surrogate(problem.x, problem.logits, problem.layout, settings.seed)
    generator, classifier = load_generator(samples, execution), load_classifier(labels, execution)
    if not classifier.differentiable:
        name = labels.question.config["classifier"]
        message = f"--consistency exact needs gradients through the classifier, {name} has none"
        raise InputError(message, hint="--consistency surrogate, or off")
    paint = painter(generator, space, samples.question.config["psi"])
    return scorer(problem.chart, paint, classifier, settings.precision, execution.device)
