"""Step 4 (claim 5): fit all Gaussians together as a mixture, with losses on generated edits.

Reads samples.h5, labels.h5, single.h5, generator and classifier; writes mixture.h5. Resumes from its
last checkpoint.
"""

from pathlib import Path

import torch

from gmmedit import artifacts
from gmmedit.artifacts import RunSpec
from gmmedit.config import FitMixtureSettings
from gmmedit.errors import InputError
from gmmedit.fitting.combining import can_combine, make_combination
from gmmedit.fitting.data import Problem, load_problem
from gmmedit.fitting.edits import explain_no_trials, make_show, make_trials, share_score, trial_arrays
from gmmedit.fitting.loop import describe_end, run_fit, write_fit
from gmmedit.mixture.adam import Chain, Fit, generator_for
from gmmedit.mixture.coordinates import FullSpace
from gmmedit.mixture.gaussians import Form
from gmmedit.mixture.model import AttributeMixture
from gmmedit.mixture.refining import Refinement, Weights
from gmmedit.mixture.score import Score, Show
from gmmedit.mixture.surrogate import fit_surrogate
from gmmedit.mixture.trials import Move, Trials
from gmmedit.mixture.watching import WatchedFit
from gmmedit.mixture.writing import Correction
from gmmedit.run.folder import RunFolder
from gmmedit.run.precision import settle_precision
from gmmedit.runtime.execution import Execution, prepare

INHERITED = ("space", "block", "likelihood", "held_out")  # settings of fit-single; a block, if there is one
CORRECTION_STREAM = -1  # random stream of the initial correction


def run(folder: Path, settings: FitMixtureSettings, execution: Execution) -> Path:
    """Write folder/mixture.h5: parameters, chart, history, report.

    InputError: an artifact or network is missing or has changed, or has no gradients where the consistency losses need
    them; mixture.h5 has other settings.
    """
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
                fit_model(path, spec, run_folder, settings)
    return path


def fit_model(path: Path, spec: RunSpec, run_folder: RunFolder, settings: FitMixtureSettings) -> None:
    """Fit, from the checkpoint if there is one, and write mixture.h5.

    All processes make the same steps; each generates and classifies its share of the edits of a step.
    """
    space, execution = spec.config["space"], run_folder.execution
    problem = load_problem(run_folder, space, spec.config["held_out"], run_folder.chart("single"))
    score, layers = make_score(run_folder, space, problem, settings)
    model = initialise_model(run_folder.model("single"), problem, settings, layers)
    trials = make_trials(run_folder, space, problem, settings, score)
    show = make_show(run_folder, space, problem, settings)
    first = make_fit(model, problem, score, settings, spec.config["likelihood"], trials, show)
    fit, move = Chain({"mixture": first}), make_move(model)
    if can_combine(run_folder, space, settings, model):
        combination = make_combination(run_folder, space, problem, settings, model)
        fit, move = Chain({"mixture": first, "combination": combination.fit}), combination.move
    history = run_fit(path, spec, fit, execution)
    report = trial_arrays(trials(move) if trials else None)
    if execution.processes.main:
        facts = describe_end(first) | {"no_edits": explain_no_trials(settings.consistency, run_folder.labels)}
        write_fit(path, spec, history, model, problem, facts, report)


def make_move(model: AttributeMixture) -> Move:
    """The fitted displacement in one pass."""
    return lambda x, category: model.offset(x, category)


def make_fit(
    model: AttributeMixture, problem: Problem, score: Score | None, settings: FitMixtureSettings, form: Form,
    trials: Trials | None, show: Show | None,
) -> Fit:  # fmt: skip
    """The optimisation of the model's parameters; without a score there are no losses on edits.

    A fit through the real networks ends when their edits of held-out samples no longer improve.
    """
    weights = Weights(settings.sampling, settings.decoupling, settings.least_change, settings.picture)
    loss = Refinement(
        model, problem.x, problem.labels, problem.logits, score, weights, settings.seed,
        edits=settings.batch, form=form, contrast=trials.contrast if trials else None, show=show,
    )  # fmt: skip
    parameters = [p for p in model.parameters() if p.requires_grad]
    if trials is None or settings.consistency != "exact":
        return Fit(parameters, loss, settings.steps, settings.lr)
    return WatchedFit(
        parameters, loss, settings.steps, settings.lr, lambda: trials(make_move(model), brief=True).quality
    )


def run_spec(run_folder: RunFolder, settings: FitMixtureSettings) -> RunSpec:
    """The specification of mixture.h5."""
    parents = {kind: run_folder.artifact(kind).fingerprint for kind in ("samples", "labels", "single")}
    labels, single = run_folder.labels, run_folder.artifact("single")
    inherited = {key: single.spec.config[key] for key in INHERITED if key in single.spec.config}
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


def initialise_model(
    model: AttributeMixture, problem: Problem, settings: FitMixtureSettings, layers: int
) -> AttributeMixture:
    """The Gaussians of fit-single as a mixture with equal weights, plus a correction of edits of one latent if they are
    fitted; where every layer has one, the combination of neighbours takes its place.

    The subspaces stay as in fit-single; the mixture in them and the correction are fitted.
    """
    model.coordinates.requires_grad_(False)
    for a in range(len(problem.layout.values)):
        torch.nn.init.zeros_(model.gaussians.mixture(a).logits)
    if settings.consistency != "off" and layers == 1 and not isinstance(model.coordinates, FullSpace):
        generator = generator_for(settings.seed, CORRECTION_STREAM)
        model.correction = Correction(problem.chart.dim, problem.layout, generator=generator)
    return model


def make_score(
    run_folder: RunFolder, space: str, problem: Problem, settings: FitMixtureSettings
) -> tuple[Score | None, int]:
    """The function that classifies edits (the real networks, a surrogate, or None), and the number of layers it sees.

    The surrogate sees one latent for all layers of W+. InputError: consistency is exact and a network has no gradients.
    """
    if settings.consistency == "off":
        return None, 1
    if settings.consistency == "surrogate":
        return fit_surrogate(problem.x, problem.logits, problem.layout, settings.seed), 1
    generator, classifier = run_folder.generator, run_folder.classifier
    names = {"generator": run_folder.sample_settings.gan, "classifier": run_folder.labels.spec.config["classifier"]}
    for part, network in (("classifier", classifier), ("generator", generator)):
        if not network.differentiable:
            message = f"--consistency exact needs gradients of the {part}, {names[part]} has none"
            raise InputError(message, hint="--consistency surrogate, or off")
    score = run_folder.renderer.make_score(space, problem.chart, classifier, settings.precision)
    return share_score(run_folder, score, settings.batch), generator.spaces[space].layers
