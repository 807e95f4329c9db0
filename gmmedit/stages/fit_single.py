"""Step 3 (claim 4): a subspace per attribute, and in it one Gaussian per category.

Reads samples.h5 and labels.h5, writes single.h5. Resumes from its last checkpoint.
"""

from pathlib import Path

from gmmedit import artifacts
from gmmedit.artifacts import Artifact, RunSpec
from gmmedit.config import FitSingleSettings
from gmmedit.errors import InputError
from gmmedit.fitting.data import Problem, load_problem, resolve_space
from gmmedit.fitting.loop import run_fit, write_fit
from gmmedit.mixture.fitting import ReadFit
from gmmedit.mixture.model import AttributeMixture
from gmmedit.run.folder import RunFolder
from gmmedit.runtime.execution import Execution, prepare
from gmmedit.runtime.storage import lock

SAMPLES_PER_DIMENSION = 2


def run(folder: Path, settings: FitSingleSettings, execution: Execution) -> Path:
    """Write folder/single.h5: parameters, chart, history, report."""
    prepare(execution)
    path = folder / "single.h5"
    with RunFolder(folder, execution) as run_folder:
        settings = settings.model_copy(update={"space": resolve_space(run_folder.samples, settings.space)})
        spec = run_spec(run_folder, settings)
        if artifacts.is_up_to_date(path, spec, execution):
            return path
        if execution.processes.main:  # a step hardly takes longer for more rows: docs/scale.md
            with lock(path):
                fit_gaussians(path, spec, run_folder, settings)
    return path


def fit_gaussians(path: Path, spec: RunSpec, run_folder: RunFolder, settings: FitSingleSettings) -> None:
    """Fit, from the checkpoint if there is one, and write the result."""
    problem = load_problem(run_folder, spec.config["space"], settings.held_out)
    if settings.scope == "full":
        check_enough(run_folder.samples, problem)
    fit = ReadFit(
        problem.x, problem.labels, problem.layout,
        scope=settings.scope, read=settings.read, likelihood=settings.likelihood, covariance=settings.covariance,
        steps=settings.steps, batch=settings.batch, lr=settings.lr, seed=settings.seed,
    )  # fmt: skip
    history = run_fit(path, spec, fit, run_folder.execution)
    result = fit.result()
    model = AttributeMixture(result.coordinates, result.gaussians)
    facts = {"read": result.read, "converged": result.converged, "steps": fit.count}
    write_fit(path, spec, history, model, problem, facts)


def check_enough(samples: Artifact, problem: Problem) -> None:
    """InputError: Gaussians over all dimensions would be flat in some of them."""
    n, dim = problem.x.shape
    if n < SAMPLES_PER_DIMENSION * dim:
        message = f"{n} samples of {samples.path} are fitted, Gaussians over all {dim} dimensions need"
        hint = "gmmedit sample -n 5000, or scope: subspace"
        raise InputError(f"{message} {SAMPLES_PER_DIMENSION * dim}", hint=hint)


def run_spec(run_folder: RunFolder, settings: FitSingleSettings) -> RunSpec:
    samples, labels = run_folder.samples, run_folder.labels
    return RunSpec(
        kind="single",
        n=labels.spec.n,
        seed=settings.seed,
        config=settings.model_dump(),
        parents={"samples": samples.fingerprint, "labels": labels.fingerprint},
        generator=labels.spec.generator,
        classifier=labels.spec.classifier,
        attributes=labels.spec.attributes,
    )
