"""Score editors side by side on images that no fit has seen, with a classifier that no fit has seen.

Reads samples.h5, labels.h5, mixture.h5, generator and both classifiers; writes evaluation.h5.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gmmedit import artifacts, classifiers
from gmmedit.artifacts import Artifact, Question
from gmmedit.classifiers.convnet import ConvNet
from gmmedit.config import EvaluateSettings, SampleSettings
from gmmedit.editors.base import Editor
from gmmedit.editors.interfacegan import fit_interfacegan
from gmmedit.editors.mixture import MixtureEditor
from gmmedit.editors.moments import fit_moments
from gmmedit.errors import InputError, nearest
from gmmedit.evaluation import metrics
from gmmedit.generators import Generator
from gmmedit.mixture import Layout
from gmmedit.mixture.gaussians import Draw
from gmmedit.mixture.model import AttributeMixture
from gmmedit.mixture.refining import Score
from gmmedit.pictures.pixels import as_shown
from gmmedit.spaces import Chart
from gmmedit.stages.shared.common import (
    Execution,
    autocast,
    in_batches,
    layers_of,
    load_classifier,
    load_generator,
    network_record,
    network_source,
    prepare,
    resolve_precision,
    scorer,
    seeded_latents,
)
from gmmedit.stages.shared.fitting import model_from, tensors
from gmmedit.stages.shared.problem import Problem, load_problem
from gmmedit.stages.shared.sampling import mapped, painter, sample_settings

STRENGTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0, 3.0)
UP_TO_ONE = 10  # strengths over which the target's score should only rise


@dataclass(frozen=True)
class Material:
    """What editors are made from: the fitted samples, the mixture of mixture.h5, and f(G(x)) of the labeller."""

    problem: Problem
    model: AttributeMixture
    score: Score
    settings: EvaluateSettings


def interfacegan(it: Material, conditional: bool) -> Editor:
    return fit_interfacegan(it.problem.x, it.problem.logits, it.problem.layout, it.settings.seed, conditional)


def moments(it: Material, draw: Draw) -> Editor:
    return fit_moments(it.problem.x, it.problem.labels, it.problem.layout.values, draw, it.settings.seed)


EDITORS: dict[str, Callable[[Material], Editor]] = {
    "mixture": lambda it: MixtureEditor(it.model),
    "mixture-polished": lambda it: MixtureEditor(it.model, steps=it.settings.polish, score=it.score),
    "interfacegan": lambda it: interfacegan(it, conditional=False),
    "interfacegan-conditional": lambda it: interfacegan(it, conditional=True),
    "moments": lambda it: moments(it, "coupled"),
    "patent": lambda it: moments(it, "sample"),
}


@dataclass(frozen=True)
class Judge:
    """Chart coordinates, one row per layer, to what the evaluation classifier sees there."""

    problem: Problem
    paint: Callable[[Tensor], Tensor]
    classifier: ConvNet
    precision: str
    execution: Execution

    def look(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, L, D) to logits (N, K) and nuisances (N, M)."""

        def answers(rows: Tensor) -> tuple[Tensor, Tensor]:
            with autocast(self.precision, self.execution.device):
                logits, nuisances = self.classifier.answers(as_shown(self.paint(self.problem.chart.from_x(rows))))
            return logits.float(), nuisances.float()

        logits, nuisances = in_batches(answers, x, self.execution.batch)
        return logits, nuisances


@torch.no_grad()
def run(folder: Path, settings: EvaluateSettings, execution: Execution) -> Path:
    """Write folder/evaluation.h5: per editor and category, curves along the strength."""
    prepare(execution)
    path = folder / "evaluation.h5"
    check_editors(settings.editors)
    settings = settings.model_copy(update={"precision": resolve_precision(settings.precision, execution.device)})
    source = "avatars-eval" if settings.classifier == "auto" else network_source(settings.classifier)
    settings = settings.model_copy(update={"classifier": source})
    with (
        artifacts.open(folder / "samples.h5", "samples") as samples,
        artifacts.open(folder / "labels.h5", "labels") as labels,
        artifacts.open(folder / "mixture.h5", "mixture") as mixture,
    ):
        artifacts.check_parents(mixture, samples=samples, labels=labels)
        classifier = load_evaluator(settings, labels, execution)
        question = ask(mixture, classifier, settings)
        if artifacts.finished(path, question, force=execution.force):
            return path
        config = mixture.question.config
        chart = Chart.from_arrays(tensors(mixture.group("chart")))
        problem = load_problem(samples, labels, config["space"], config["held_out"], chart)
        generator, labeller = load_generator(samples, execution), load_classifier(labels, execution)
        model = model_from(mixture)
        drawn = sample_settings(samples)
    for part, network, name in (
        ("generator", generator, drawn.gan),
        ("classifier", labeller, labels.question.config["classifier"]),
    ):
        if "mixture-polished" in settings.editors and not network.differentiable:
            raise InputError(f"mixture-polished needs gradients through the {part}, {name} has none",
                             hint="--editors mixture,interfacegan-conditional,moments")  # fmt: skip
    paint = painter(generator, config["space"], drawn)
    judge = Judge(problem, paint, classifier, settings.precision, execution)
    material = Material(problem, model, scorer(chart, paint, labeller, settings.precision, execution.device), settings)
    x = unseen(problem, generator, config["space"], settings, drawn)
    saved = artifacts.load_checkpoint(path, question, restart=execution.restart) or {}
    for name in settings.editors:
        prefix = f"curves/{name}/"
        if any(key.startswith(prefix) for key in saved):
            continue
        curves = score(name, EDITORS[name](material), judge, x, execution)
        saved |= {prefix + key: value for key, value in curves.items()}
        artifacts.save_checkpoint(path, question, saved)
    artifacts.write_whole(path, question, saved | {"report/strengths": np.array(STRENGTHS)})
    return path


def score(name: str, editor: Editor, judge: Judge, x: Tensor, execution: Execution) -> dict[str, np.ndarray]:
    """Per category: what became of the images that did not have it, at every strength."""
    layout = judge.problem.layout
    logits, nuisances = judge.look(x)
    sigma = logits.std(0)
    found: dict[str, np.ndarray] = {}
    for category in range(layout.categories):
        attribute, value = layout.locate(category)
        rows = (logits[:, layout.columns[attribute]].argmax(1) != value).nonzero().squeeze(1)
        if not len(rows):
            it = judge.classifier.attributes[attribute]
            message = f"all {len(x)} samples to score on have {it.name}={it.values[value]} already"
            raise InputError(message, hint="take more of them: -n 1000")
        seen = []
        offset = editor.offset(x[rows], category)
        for i, strength in enumerate(STRENGTHS):
            seen.append(judge.look(x[rows] + strength * offset))
            done = category * len(STRENGTHS) + i + 1
            execution.tick(done, layout.categories * len(STRENGTHS), f"evaluate {name}")
        after = torch.stack([answers for answers, _ in seen])
        moved_nuisances = torch.stack([answers for _, answers in seen])
        curves = outcome(logits[rows], after, nuisances[rows], moved_nuisances, sigma, layout, category)
        found |= {f"{category}/{key}": value.numpy() for key, value in curves.items()}
    return found


def outcome(
    before: Tensor,
    after: Tensor,
    nuisances: Tensor,
    moved: Tensor,
    sigma: Tensor,
    layout: Layout,
    category: int,
) -> dict[str, Tensor]:
    """flipped (S, N), kept (S, N, A - 1), dependency (S,), drift (S, N), monotone ()."""
    attribute, value = layout.locate(category)
    columns = layout.columns
    scores = torch.cat([before[None], after[:UP_TO_ONE]])[..., columns[attribute]]  # the target's, unedited first
    return {
        "flipped": metrics.flipped(after, columns, attribute, value),
        "kept": metrics.kept(before, after, columns, attribute),
        "dependency": metrics.attribute_dependency(before, after, sigma, columns, attribute),
        "drift": (moved - nuisances).abs().mean(2),
        "monotone": torch.tensor(metrics.monotone_share(scores.softmax(2)[..., value])),
    }


def check_editors(names: list[str]) -> None:
    for name in names:
        if name not in EDITORS:
            raise InputError(f"there is no editor called {name!r}", hint=nearest(name, EDITORS))


def load_evaluator(settings: EvaluateSettings, labels: Artifact, execution: Execution) -> ConvNet:
    """The classifier that scores.

    InputError: it made the labels, has other attributes, or estimates no nuisances; or an edit has nothing to keep.
    """
    name = settings.classifier
    if len(labels.attributes) < 2:
        raise InputError(f"{labels.path} has one attribute: there are no others for an edit to keep",
                         hint="gmmedit label with a classifier of several attributes")  # fmt: skip
    classifier = classifiers.load(name, execution.device)
    if labels.question.classifier and labels.question.classifier["fingerprint"] == classifier.fingerprint:
        raise InputError(f"classifier {name} has made {labels.path}, it cannot judge its own edits",
                         hint="gmmedit train classifier --evaluator makes another one")  # fmt: skip
    ours = [(attribute.name, list(attribute.values)) for attribute in classifier.attributes]
    if ours != labels.attributes:
        raise InputError(f"classifier {name} has other attributes than {labels.path}", hint="--classifier")
    if not isinstance(classifier, ConvNet) or not classifier.config.nuisances:
        raise InputError(
            f"classifier {name} estimates no nuisance factors", hint="gmmedit train classifier --evaluator"
        )
    return classifier


def unseen(
    problem: Problem, generator: Generator, space: str, settings: EvaluateSettings, drawn: SampleSettings
) -> Tensor:
    """Coordinates x (n, L, D) of samples that no fit has seen."""
    z = torch.from_numpy(seeded_latents(settings.first_seed, settings.first_seed + settings.n, generator.z_dim))
    latent = mapped(generator, z.to(generator.device), drawn).cpu() if space == "w" else z
    return problem.chart.to_x(latent)[:, None].expand(-1, layers_of(generator, space), -1)


def ask(mixture: Artifact, classifier: ConvNet, settings: EvaluateSettings) -> Question:
    return Question(
        kind="evaluation",
        n=settings.n,
        seed=settings.seed,
        config=settings.model_dump(),
        parents={"mixture": mixture.fingerprint},
        generator=mixture.question.generator,
        classifier=network_record(settings.classifier, classifier.fingerprint),
        attributes=mixture.question.attributes,
    )
