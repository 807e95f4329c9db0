"""Step 3 (claim 4): a subspace per attribute, and in it one Gaussian per category.

Reads samples.h5 and labels.h5, writes single.h5. Resumes from its last checkpoint.
"""

from pathlib import Path

from gmmedit import artifacts
from gmmedit.artifacts import Artifact, Question
from gmmedit.config import FitSingleSettings
from gmmedit.errors import InputError
from gmmedit.fitting.data import Problem, load_problem, resolve_space
from gmmedit.fitting.loop import carry_out, write_fit
from gmmedit.mixture.fitting import ReadFit
from gmmedit.mixture.model import AttributeMixture
from gmmedit.run.rendering import Execution, prepare
from gmmedit.runtime.storage import alone

SAMPLES_PER_DIMENSION = 2


def run(folder: Path, settings: FitSingleSettings, execution: Execution) -> Path:
    """Write folder/single.h5: parameters, chart, history, report."""
    prepare(execution)
    path = folder / "single.h5"
    with (
        artifacts.open(folder / "samples.h5", "samples") as samples,
        artifacts.open(folder / "labels.h5", "labels") as labels,
    ):
        settings = settings.model_copy(update={"space": resolve_space(samples, settings.space)})
        question = ask(samples, labels, settings)
        if execution.finished(path, question):
            return path
        if execution.ranks.main:  # a step hardly takes longer for more rows: docs/scale.md
            with alone(path):
                fit_alone(path, question, samples, labels, settings, execution)
    return path


def fit_alone(
    path: Path, question: Question, samples: Artifact, labels: Artifact, settings: FitSingleSettings,
    execution: Execution,
) -> None:  # fmt: skip
    """Fit, from the checkpoint if there is one, and write the result."""
    problem = load_problem(samples, labels, question.config["space"], settings.held_out)
    if settings.scope == "full":
        check_enough(samples, problem)
    fit = ReadFit(
        problem.x, problem.labels, problem.layout,
        scope=settings.scope, read=settings.read, likelihood=settings.likelihood, covariance=settings.covariance,
        steps=settings.steps, batch=settings.batch, lr=settings.lr, seed=settings.seed,
    )  # fmt: skip
    history = carry_out(path, question, fit, execution)
    result = fit.result()
    model = AttributeMixture(result.coordinates, result.gaussians)
    facts = {"read": result.read, "converged": result.converged, "steps": fit.count}
    write_fit(path, question, history, model, problem, facts)


def check_enough(samples: Artifact, problem: Problem) -> None:
    """InputError: Gaussians over all dimensions would be flat in some of them."""
    n, dim = problem.x.shape
    if n < SAMPLES_PER_DIMENSION * dim:
        message = f"{n} samples of {samples.path} are fitted, Gaussians over all {dim} dimensions need"
        hint = "gmmedit sample -n 5000, or scope: subspace"
        raise InputError(f"{message} {SAMPLES_PER_DIMENSION * dim}", hint=hint)


def ask(samples: Artifact, labels: Artifact, settings: FitSingleSettings) -> Question:
    return Question(
        kind="single",
        n=labels.question.n,
        seed=settings.seed,
        config=settings.model_dump(),
        parents={"samples": samples.fingerprint, "labels": labels.fingerprint},
        generator=labels.question.generator,
        classifier=labels.question.classifier,
        attributes=labels.question.attributes,
    )
