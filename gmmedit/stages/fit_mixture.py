"""Step 4 (claim 5): all Gaussians together as a mixture, taught by real edits.

Reads samples.h5, labels.h5, single.h5, generator and classifier; writes mixture.h5. Resumes from its
last checkpoint.
"""

from pathlib import Path

import torch

from gmmedit import artifacts
from gmmedit.artifacts import RunSpec
from gmmedit.config import FitMixtureSettings
from gmmedit.errors import InputError
from gmmedit.fitting.data import Problem, load_problem
from gmmedit.fitting.loop import run_fit, write_fit
from gmmedit.mixture.adam import Fit, generator_for, has_converged
from gmmedit.mixture.coordinates import FullSpace
from gmmedit.mixture.gaussians import Form
from gmmedit.mixture.model import AttributeMixture
from gmmedit.mixture.refining import Refinement, Score, Weights
from gmmedit.mixture.surrogate import fit_surrogate
from gmmedit.mixture.writing import Correction
from gmmedit.run.folder import RunFolder
from gmmedit.run.precision import settle_precision
from gmmedit.run.rendering import images_at_once
from gmmedit.runtime.batching import TILE, in_tiles
from gmmedit.runtime.execution import Execution, prepare

CORRECTION_STREAM = -1  # the random stream that starts the correction


def run(folder: Path, settings: FitMixtureSettings, execution: Execution) -> Path:
    """Write folder/mixture.h5: parameters, chart, history, report."""
    prepare(execution)
    path = folder / "mixture.h5"
    with RunFolder(folder, execution) as run_folder:
        spec = run_spec(run_folder, settings)
        if artifacts.is_up_to_date(path, spec, execution):
            return path
        spec = settle_precision(path, spec, execution)
        settings = settings.model_copy(update=spec.resolved)
        if execution.processes.main or settings.consistency == "exact":
            with execution.processes.lock(path):
                fit_together(path, spec, run_folder, settings)
    return path


def fit_together(path: Path, spec: RunSpec, run_folder: RunFolder, settings: FitMixtureSettings) -> None:
    """Fit, from the checkpoint if there is one, and write the result.

    Several processes make every step alike, but for its edits: each has its share of them generated and labelled.
    """
    space, execution = spec.config["space"], run_folder.execution
    problem = load_problem(run_folder, space, spec.config["held_out"], run_folder.chart("single"))
    score, layers = score_of(run_folder, space, problem, settings)
    model = start(run_folder.model("single"), problem, settings, layers)
    fit = fit_of(model, problem, score, settings, spec.config["likelihood"])
    history = run_fit(path, spec, fit, execution)
    facts = {"converged": has_converged(fit.history), "steps": fit.count}
    if execution.processes.main:
        write_fit(path, spec, history, model, problem, facts)


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


def run_spec(run_folder: RunFolder, settings: FitMixtureSettings) -> RunSpec:
    parents = {kind: run_folder.artifact(kind).fingerprint for kind in ("samples", "labels", "single")}
    labels, single = run_folder.labels, run_folder.artifact("single")
    inherited = {key: single.spec.config[key] for key in ("space", "likelihood", "held_out")}
    return RunSpec(
        kind="mixture",
        n=labels.spec.n,
        seed=settings.seed,
        config=settings.model_dump() | inherited,
        parents=parents,
        generator=labels.spec.generator,
        classifier=labels.spec.classifier,
        attributes=labels.spec.attributes,
    )


def start(model: AttributeMixture, problem: Problem, settings: FitMixtureSettings, layers: int) -> AttributeMixture:
    """The single Gaussians as one mixture with weights 1/n, and a correction if edits will teach it.

    The subspaces stay those of fit-single: what is fitted is the mixture in them, and how it is written.
    """
    model.coordinates.requires_grad_(False)
    for a in range(len(problem.layout.values)):
        torch.nn.init.zeros_(model.gaussians.mixture(a).logits)
    if settings.consistency != "off" and not isinstance(model.coordinates, FullSpace):
        generator = generator_for(settings.seed, CORRECTION_STREAM)
        model.correction = Correction(problem.chart.dim, problem.layout, layers, generator=generator)
    return model


def score_of(
    run_folder: RunFolder, space: str, problem: Problem, settings: FitMixtureSettings
) -> tuple[Score | None, int]:
    """What labels edits: the real networks, the surrogate, or nothing; and the layers L that it can tell apart.

    The surrogate sees one latent for all layers of W+, so what it teaches is the same for all.
    InputError: through the real networks, and one of them has no gradients.
    """
    if settings.consistency == "off":
        return None, 1
    if settings.consistency == "surrogate":
        return fit_surrogate(problem.x, problem.logits, problem.layout, settings.seed), 1
    generator, classifier = run_folder.generator, run_folder.classifier
    names = {"generator": run_folder.sampled.gan, "classifier": run_folder.labels.spec.config["classifier"]}
    for part, network in (("classifier", classifier), ("generator", generator)):
        if not network.differentiable:
            message = f"--consistency exact needs gradients through the {part}, {names[part]} has none"
            raise InputError(message, hint="--consistency surrogate, or off")
    score = run_folder.renderer.score(space, problem.chart, classifier, settings.precision)
    tile = 1
    if generator.device.type == "cpu":
        tile = edits_at_once(settings.batch, images_at_once(generator))
        score = in_tiles(score, tile)
    return run_folder.execution.processes.share(score, tile), generator.spaces[space].layers


def edits_at_once(edits: int, most: int) -> int:
    """Rows of a tile: edits in equal tiles of up to TILE rows, no more than the generator takes at once.

    A CPU rounds products of more or fewer rows differently: by tiles, any number of processes fits the same bytes.
    Other devices are faster with all rows at once; there the fit by several processes is that of one but for rounding.
    """
    return -(-edits // -(-edits // min(most, TILE)))
