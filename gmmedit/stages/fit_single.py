"""Step 3 (claim 4): fit a subspace per attribute, and in it one Gaussian per category.

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
from gmmedit.runtime.commands import on_run
from gmmedit.runtime.execution import Execution, prepare
from gmmedit.runtime.storage import lock

SAMPLES_PER_DIMENSION = 2


def run(folder: Path, settings: FitSingleSettings, execution: Execution) -> Path:
    """Write folder/single.h5: parameters, chart, history, report.

    InputError: samples or labels are missing or cannot be fitted; single.h5 has other settings.
    """
    prepare(execution)
    path = folder / "single.h5"
    with RunFolder(folder, execution) as run_folder:
        settings = settings.model_copy(update={"space": resolve_space(run_folder.samples, settings.space)})
        spec = run_spec(run_folder, settings)
        if artifacts.is_up_to_date(path, spec, execution):
            return path
        if execution.processes.main:  # more processes would not make it faster: docs/scale.md
            with lock(path):
                fit_gaussians(path, spec, run_folder, settings)
    return path


def fit_gaussians(path: Path, spec: RunSpec, run_folder: RunFolder, settings: FitSingleSettings) -> None:
    """Fit, from the checkpoint if there is one, and write single.h5."""
    problem = load_problem(run_folder, spec.config["space"], settings.held_out, block=settings.block)
    if settings.scope == "full":
        check_sample_count(run_folder.samples, problem)
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


def check_sample_count(samples: Artifact, problem: Problem) -> None:
    """InputError: too few samples for the covariances of Gaussians over all D dimensions."""
    n, dim = problem.x.shape
    if n < SAMPLES_PER_DIMENSION * dim:
        needed = SAMPLES_PER_DIMENSION * dim
        message = f"{samples.path} gives {n} samples to fit, Gaussians over all {dim} dimensions need {needed}"
        command = on_run("gmmedit sample -n 5000 --force", samples.path.parent)
        raise InputError(message, hint=f"scope: subspace, or run: {command}")


def run_spec(run_folder: RunFolder, settings: FitSingleSettings) -> RunSpec:
    """The specification of single.h5."""
    samples, labels = run_folder.samples, run_folder.labels
    return RunSpec(
        kind="single",
        n=labels.spec.n,
        seed=settings.seed,
        config=settings.record(),
        parents={"samples": samples.fingerprint, "labels": labels.fingerprint},
        generator=labels.spec.generator,
        classifier=labels.spec.classifier,
        attributes=labels.spec.attributes,
    )
