"""What evaluation.h5 and comparison.h5 are made of, and what a comparison takes over from an evaluation."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from gmmedit import artifacts
from gmmedit.artifacts import Artifact, RunSpec
from gmmedit.config import EvaluateSettings
from gmmedit.evaluation.judge import Evaluators
from gmmedit.run.folder import RunFolder

ScoredKind = Literal["evaluation", "do_evaluation", "comparison"]
Arrays = dict[str, np.ndarray]


def run_spec(
    kind: ScoredKind, mixture: Artifact, networks: Evaluators, settings: EvaluateSettings, graph: Artifact | None = None
) -> RunSpec:
    """The specification of the file that is written; graph: of the mode "do"."""
    config = settings.model_dump(exclude={"mode"} if graph is None else None)  # as files of earlier versions
    return RunSpec(
        kind=kind,
        n=settings.n,
        seed=settings.seed,
        config=config
        | {
            "space": mixture.spec.config["space"],
            **networks.facts,
        },
        parents={"mixture": mixture.fingerprint} | ({"graph": graph.fingerprint} if graph else {}),
        generator=mixture.spec.generator,
        classifier=artifacts.network_record(settings.classifier, networks.classifier.fingerprint),
        attributes=mixture.spec.attributes,
    )


def with_directions(spec: RunSpec, run: RunFolder, names: Sequence[str]) -> RunSpec:
    """The spec with directions.h5 as a parent, where there is one in the space of the mixture and an editor uses it."""
    if "direction" not in names or not run.file("directions").exists():
        return spec
    directions = run.artifact("directions")
    if directions.spec.config["space"] != run.fitted_space:
        return spec
    return replace(spec, parents={**spec.parents, "directions": directions.fingerprint})


def read_evaluated(path: Path, spec: RunSpec) -> Arrays:
    """For a comparison, the observations and costs in evaluation.h5, if its settings and samples are the same."""
    if spec.kind != "comparison" or not path.exists():
        return {}
    with artifacts.open(path, "evaluation") as evaluation:
        if observation_key(evaluation.spec) != observation_key(spec):
            return {}
        return {name: np.asarray(evaluation[name]) for name in evaluation.names if name.startswith(("seen/", "cost/"))}


def observation_key(spec: RunSpec) -> tuple[object, ...]:
    """What the observations of an editor depend on: parents, weights of the classifier, settings."""
    config = spec.resolved_config | dict.fromkeys(("editors", "classifier", "features"))
    classifier = spec.classifier["fingerprint"] if spec.classifier else None
    parents = {name: parent for name, parent in spec.parents.items() if name != "directions"}  # ours do not use it
    return parents, classifier, config
