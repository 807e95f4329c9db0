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
from gmmedit.classifiers import Classifier
from gmmedit.classifiers.convnet import ConvNet
from gmmedit.config import EvaluateSettings
from gmmedit.editors.base import Editor
from gmmedit.editors.interfacegan import fit_interfacegan
from gmmedit.editors.mixture import MixtureEditor
from gmmedit.editors.moments import fit_moments
from gmmedit.errors import InputError, nearest
from gmmedit.evaluation import metrics
from gmmedit.generators import Generator
from gmmedit.mixture import Layout
from gmmedit.mixture.model import AttributeMixture
from gmmedit.spaces import Chart
from gmmedit.stages.shared.common import (
    Execution,
    autocast,
    in_batches,
    load_classifier,
    load_generator,
    network_record,
    painter,
    prepare,
    resolve_precision,
    scorer,
    seeded_latents,
)
from gmmedit.stages.shared.fitting import model_from, tensors
from gmmedit.stages.shared.problem import Problem, load_problem

STRENGTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.5, 2.0, 3.0)
UP_TO_ONE = 10  # strengths over which the target's score should only rise

Fitter = Callable[[Problem, EvaluateSettings], Editor]

OURS = ("mixture", "mixture-polished")
RIVALS: dict[str, Fitter] = {
    "interfacegan": lambda p, s: fit_interfacegan(p.x, p.logits, p.layout, s.seed, conditional=False),
    "interfacegan-conditional": lambda p, s: fit_interfacegan(p.x, p.logits, p.layout, s.seed, conditional=True),
    "moments": lambda p, s: fit_moments(p.x, p.labels, p.layout.values, "coupled", s.seed),
    "patent": lambda p, s: fit_moments(p.x, p.labels, p.layout.values, "sample", s.seed),
}


@dataclass(frozen=True)
class Judge:
    """Chart coordinates to what the evaluation classifier sees there."""

    problem: Problem
    paint: Callable[[Tensor], Tensor]
    classifier: ConvNet
    precision: str
    execution: Execution

    def look(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, D) to logits (N, K) and nuisances (N, M)."""

        def answers(rows: Tensor) -> tuple[Tensor, Tensor]:
            with autocast(self.precision, self.execution.device):
                logits, nuisances = self.classifier.answers(self.paint(self.problem.chart.from_x(rows)))
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
    if settings.classifier == "auto":
        settings = settings.model_copy(update={"classifier": "avatars-eval"})
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
        if "mixture-polished" in settings.editors and not labeller.differentiable:
            message = f"mixture-polished needs gradients, {labels.question.config['classifier']} has none"
            raise InputError(message, hint=f"--editors {','.join(it for it in settings.editors if it != OURS[1])}")
        model = model_from(mixture)
        psi = samples.question.config["psi"]
    judge = Judge(problem, painter(generator, config["space"], psi), classifier, settings.precision, execution)
    x = unseen(problem, generator, config["space"], settings, psi)
    editors = ours(model, judge, labeller, settings)
    saved = artifacts.load_checkpoint(path, question, restart=execution.restart) or {}
    for name in settings.editors:
        prefix = f"curves/{name}/"
        if any(key.startswith(prefix) for key in saved):
            continue
        editor = editors[name] if name in editors else RIVALS[name](problem, settings)
        saved |= {prefix + key: value for key, value in score(name, editor, judge, x, execution).items()}
        artifacts.save_checkpoint(path, question, saved)
    artifacts.write_whole(path, question, saved | {"report/strengths": np.array(STRENGTHS)})
    return path


def ours(
    model: AttributeMixture, judge: Judge, labeller: Classifier, settings: EvaluateSettings
) -> dict[str, MixtureEditor]:
    """This project's editor, as it is and with every zs polished through the labelling classifier."""
    label = scorer(judge.problem.chart, judge.paint, labeller, settings.precision, judge.execution.device)
    polished = MixtureEditor(model, steps=settings.polish, score=label)
    return {"mixture": MixtureEditor(model), "mixture-polished": polished}


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
        if name not in (*OURS, *RIVALS):
            raise InputError(f"there is no editor called {name!r}", hint=nearest(name, [*OURS, *RIVALS]))


def load_evaluator(settings: EvaluateSettings, labels: Artifact, execution: Execution) -> ConvNet:
    """The classifier that scores. InputError: it has other attributes, or estimates no nuisances."""
    name = settings.classifier
    classifier = classifiers.load(name, execution.device)
    ours = [(attribute.name, list(attribute.values)) for attribute in classifier.attributes]
    if ours != labels.attributes:
        raise InputError(f"classifier {name} has other attributes than {labels.path}", hint="--classifier")
    if not isinstance(classifier, ConvNet) or not classifier.config.nuisances:
        raise InputError(
            f"classifier {name} estimates no nuisance factors", hint="gmmedit train classifier --evaluator"
        )
    return classifier


def unseen(problem: Problem, generator: Generator, space: str, settings: EvaluateSettings, psi: float) -> Tensor:
    """Coordinates x (n, D) of samples that no fit has seen."""
    z = torch.from_numpy(seeded_latents(settings.first_seed, settings.first_seed + settings.n, generator.z_dim))
    latent = generator.map(z.to(generator.device), psi=psi).cpu() if space == "w" else z
    return problem.chart.to_x(latent)


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
