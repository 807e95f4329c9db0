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
from gmmedit.mixture.gaussians import Form
from gmmedit.mixture.model import AttributeMixture
from gmmedit.mixture.refining import Refinement, Score, Weights
from gmmedit.mixture.surrogate import fit_surrogate
from gmmedit.mixture.writing import Correction
from gmmedit.spaces import Chart
from gmmedit.stages.shared.common import (
    Execution,
    layers_of,
    load_classifier,
    load_generator,
    prepare,
    scorer,
    settle_precision,
)
from gmmedit.stages.shared.fitting import carry_out, model_from, tensors, write_fit
from gmmedit.stages.shared.problem import Problem, load_problem
from gmmedit.stages.shared.sampling import painter, sample_settings

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
        question = ask(samples, labels, single, settings)
        if execution.finished(path, question):
            return path
        question = settle_precision(path, question, execution)
        settings = settings.model_copy(update=question.resolved)
        if execution.ranks.main or settings.consistency == "exact":
            with execution.ranks.alone(path):
                fit_together(path, question, samples, labels, single, settings, execution)
    return path


def fit_together(
    path: Path, question: Question, samples: Artifact, labels: Artifact, single: Artifact,
    settings: FitMixtureSettings, execution: Execution,
) -> None:  # fmt: skip
    """Fit, from the checkpoint if there is one, and write the result.

    Several processes make every step alike, but for its edits: each has its share of them generated and labelled.
    """
    chart = Chart.from_arrays(tensors(single.group("chart")))
    problem = load_problem(samples, labels, question.config["space"], question.config["held_out"], chart)
    score, layers = score_of(samples, labels, question.config["space"], problem, settings, execution)
    model = start(single, problem, settings, layers)
    fit = fit_of(model, problem, score, settings, question.config["likelihood"])
    history = carry_out(path, question, fit, execution)
    facts = {"converged": converged(fit.history), "steps": fit.count}
    if execution.ranks.main:
        write_fit(path, question, history, model, problem, facts)


def fit_of(
    model: AttributeMixture, problem: Problem, score: Score | None, settings: FitMixtureSettings, form: Form
) -> Fit:
    """The steps that there are to make."""
    weights = Weights(settings.sampling, settings.decoupling, settings.least_change, settings.picture)
    loss = Refinement(
        model, problem.x, problem.labels, problem.logits, score, weights, settings.seed,
        edits=settings.batch, form=form,
    )  # fmt: skip
    return Fit([p for p in model.parameters() if p.requires_grad], loss, settings.steps, settings.lr)


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


def start(single: Artifact, problem: Problem, settings: FitMixtureSettings, layers: int) -> AttributeMixture:
    """The single Gaussians as one mixture with weights 1/n, and a correction if edits will teach it.

    The subspaces stay those of fit-single: what is fitted is the mixture in them, and how it is written.
    """
    model = model_from(single)
    model.coordinates.requires_grad_(False)
    for a in range(len(problem.layout.values)):
        torch.nn.init.zeros_(model.gaussians.mixture(a).logits)
    if settings.consistency != "off" and not isinstance(model.coordinates, FullSpace):
        generator = generator_for(settings.seed, CORRECTION_STREAM)
        model.correction = Correction(problem.chart.dim, problem.layout, layers, generator=generator)
    return model


def score_of(
    samples: Artifact,
    labels: Artifact,
    space: str,
    problem: Problem,
    settings: FitMixtureSettings,
    execution: Execution,
) -> tuple[Score | None, int]:
    """What labels edits: the real networks, the surrogate, or nothing; and the layers L that it can tell apart.

    The surrogate sees one latent for all layers of W+, so what it teaches is the same for all.
    InputError: through the real networks, and one of them has no gradients.
    """
    if settings.consistency == "off":
        return None, 1
    if settings.consistency == "surrogate":
        return fit_surrogate(problem.x, problem.logits, problem.layout, settings.seed), 1
    generator, classifier = load_generator(samples, execution), load_classifier(labels, execution)
    drawn = sample_settings(samples)
    if not classifier.differentiable:
        name = labels.question.config["classifier"]
        message = f"--consistency exact needs gradients through the classifier, {name} has none"
        raise InputError(message, hint="--consistency surrogate, or off")
    if not generator.differentiable:
        message = f"--consistency exact needs gradients through the generator, {drawn.gan} has none"
        raise InputError(message, hint="--consistency surrogate, or off")
    paint = painter(generator, space, drawn)
    score = scorer(problem.chart, paint, classifier, settings.precision, execution.device)
    return execution.ranks.spread(score), layers_of(generator, space)
