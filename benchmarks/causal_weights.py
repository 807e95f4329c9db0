"""Does weighting samples by P(a) / P(a | causes) in the fit keep a component from being bent by its causes?

    python benchmarks/causal_weights.py --run runs/w --json bench/weights.json

`--run`: a run folder of the embedded generator with samples.h5 to mixture.h5. `fit-single` is repeated twice, as it is
and with the loss of every attribute weighted (back-door adjustment: among the weighted samples an attribute does not
depend on its causes), by the true edges and the mechanisms of the run's own labels. Edits of unseen samples by either
fit, with the exact write and no optimisation, and by the difference of means with and without the weights, are
labelled by the evaluation classifier: how many arrive, what the causes and the other attributes do.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from causes import NAMES, SIZES, model_of_samples, observe, open_inputs, true_model
from torch import Tensor

from gmmedit.editors.base import Editor, Material
from gmmedit.editors.baselines.regressions import fit_mean_difference
from gmmedit.editors.counterfactual import values_of
from gmmedit.editors.mixture import fit_unrefined
from gmmedit.evaluation.sweep import SweepInputs
from gmmedit.mixture.adam import Fit, Terms, generator_for
from gmmedit.mixture.coordinates import Coordinates, FullSpace, read_batched
from gmmedit.mixture.fitting import DECAY_ROWS, LIKELIHOOD_WEIGHT, MOST_DECAY, ReadFit
from gmmedit.mixture.gaussians import Gaussians
from gmmedit.mixture.model import AttributeMixture
from gmmedit.mixture.objectives import likelihood_term

LARGEST = 10.0  # weight: rarer combinations do not count more, as their samples are few
REACHED = 0.9  # share that arrives, at the first strength of which edits are compared
LINEAR = (0.02, 0.04, 0.07, 0.12, 0.2)  # strengths of the difference of means


class WeightedFit(ReadFit):
    """`ReadFit` with a weight for each row and category, of mean 1 (N, K)."""

    def __init__(self, *args: object, weights: Tensor, **settings: object) -> None:
        self.weights = weights
        super().__init__(*args, **settings)  # type: ignore[arg-type]

    def _fit(self, coordinates: Coordinates | FullSpace, gaussians: Gaussians, steps: int, lr: float) -> Fit:
        with torch.no_grad():
            known = (self.labels * self.weights).index_fill(0, self.held, 0)
            gaussians.fit_moments_(read_batched(coordinates, self.x), known)

        def terms(step: int) -> Terms:
            drawn = torch.randint(len(self.rows), (self.batch,), generator=generator_for(self.seed, step))
            rows = self.rows[drawn]
            y, labels, weights = (
                coordinates.standardised(coordinates(self.x[rows])),
                self.labels[rows],
                self.weights[rows],
            )
            misfit = (gaussians.likelihood(y, self.form) - labels).square()
            density = likelihood_term(gaussians.log_joint(y.detach()), labels * weights)
            return {"label": (misfit * weights).mean(), "likelihood": LIKELIHOOD_WEIGHT * density}

        decayed = [p for name, p in coordinates.named_parameters() if name.startswith("network")]
        decay = min(MOST_DECAY, DECAY_ROWS / len(self.rows))
        return Fit(
            [*coordinates.parameters(), *gaussians.parameters()], terms, steps, lr, decayed=decayed, weight_decay=decay
        )


def weights_of(run: Path, labels: Tensor) -> Tensor:
    """P(a) / P(a | causes) (N, K) of each row's most probable values, at most LARGEST, of mean 1 for each attribute."""
    model = model_of_samples(run)
    values = np.stack([part.argmax(1).numpy() for part in labels.split(SIZES, 1)], 1)
    columns = []
    for node, size in enumerate(SIZES):
        own = values[:, node]
        rate = np.bincount(own, minlength=size) / len(own)
        given = model.mechanisms[node].probabilities(values)[np.arange(len(own)), own]
        weight = np.minimum(rate[own] / given, LARGEST)
        columns += [weight / weight.mean()] * size
    return torch.tensor(np.stack(columns, 1), dtype=torch.float32)


def fit(material: Material, weights: Tensor, steps: int) -> AttributeMixture:
    """The model of fit-single with these weights."""
    x = material.chart.to_x(material.latents[:, None])[:, 0]
    fitted = WeightedFit(x, material.labels, material.layout, weights=weights, steps=steps)
    for _ in fitted:
        pass
    result = fitted.result()
    return AttributeMixture(result.coordinates, result.gaussians)


def weighted_difference(material: Material, weights: Tensor) -> Editor:
    """The baseline `mean-difference` of weighted labels: of samples with the value, and of those without."""

    def means(labels: Tensor) -> Tensor:
        mass = labels * weights
        return (mass / mass.sum(0)).T @ material.latents

    editor = fit_mean_difference(material)
    return replace(editor, steps=scaled_as(editor.steps, means(material.labels) - means(1 - material.labels)))


def scaled_as(steps: Tensor, directions: Tensor) -> Tensor:
    """Directions (K, D) with the lengths of steps (K, 1, D)."""
    return torch.nn.functional.normalize(directions, dim=1)[:, None] * steps.norm(dim=2, keepdim=True)


def measure(inputs: SweepInputs, editor: Editor, category: int, strengths: Sequence[float]) -> dict[str, float]:
    """Arrived, causes kept and others kept of unseen samples that lack the category, at the first strength with
    REACHED arrived, else the strongest; the evaluation classifier's values before and after."""
    node, value = inputs.material.layout.locate(category)
    latent = inputs.samples.latent
    before = observe(inputs.judge, latent)
    lacking = (values_of(inputs.samples.label_logits, inputs.material.layout)[:, node] != value).nonzero()[0]
    lacking = lacking[before[lacking, node] != value]
    causes = list(true_model().mechanisms[node].parents)
    rest = [i for i in range(len(NAMES)) if i != node and i not in causes]
    trajectory, found = editor.trajectory(latent[lacking], category), {}
    for strength in strengths:
        after = observe(inputs.judge, trajectory(strength))
        same = after == before[lacking]
        found = {"strength": strength, "n": len(lacking), "arrived": float((after[:, node] == value).mean()),
                 "causes_kept": float(same[:, causes].mean()) if causes else float("nan"),
                 "others_kept": float(same[:, rest].mean())}  # fmt: skip
        if found["arrived"] >= REACHED:
            break
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("-n", type=int, default=150, help="unseen samples")
    parser.add_argument("--steps", type=int, default=2500, help="of fit-single")
    options = parser.parse_args()
    torch.set_num_threads(1)
    inputs = open_inputs(options.run, options.n, 0, true_model())
    material = inputs.material
    weights = weights_of(options.run, material.labels)
    ones = torch.ones_like(weights)
    editors: dict[str, tuple[Editor, Sequence[float]]] = {}
    for name, each in (("plain", ones), ("weighted", weights)):
        model = fit(material, each, options.steps)
        editors[f"fit, {name}"] = fit_unrefined(replace(material, model=model)), (1.0, 1.5, 2.0)
        editors[f"difference of means, {name}"] = weighted_difference(material, each), LINEAR
    categories = [c for c in range(sum(SIZES)) if true_model().mechanisms[material.layout.locate(c)[0]].parents]
    found: dict[str, dict] = {}
    for name, (editor, strengths) in editors.items():
        for category in categories:
            found[f"{name} | {category}"] = measure(inputs, editor, category, strengths)
        rows = [row for key, row in found.items() if key.startswith(f"{name} |")]
        means = {key: round(float(np.nanmean([row[key] for row in rows])), 3) for key in rows[0]}
        print(name, means, flush=True)
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
