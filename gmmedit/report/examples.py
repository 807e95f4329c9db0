"""The best and the worst edits of an evaluation, selected by their figures."""

from dataclasses import dataclass

import torch

from gmmedit.artifacts import Artifact
from gmmedit.evaluation.metrics import editing
from gmmedit.evaluation.results import held_attributes, observations_of
from gmmedit.run.folder import layout_of

ORDINARY, BEST, WORST = 0, 1, 2  # roles


@dataclass(frozen=True)
class Example:
    """One edit and its evaluation.

    Attributes:
        role: BEST or WORST of its category.
        seed: of its latent.
        strength: the least swept strength at which the evaluation classifier predicts the target value; if there is
            none, that of the highest label.
        reached: whether there is one.
        label: probability of the target value at that strength.
        moved: mean change of the held attributes' logits there, in standard deviations.
        lost: held attributes whose predicted value has changed.
    """

    role: int
    category: int
    seed: int
    strength: float
    reached: bool
    label: float
    moved: float
    lost: list[int]

    @property
    def badness(self) -> tuple[bool, float]:
        """Sort key, best first: edits that reach the target by the change of other labels, then the others by label."""
        return not self.reached, self.moved if self.reached else -self.label


def leading_editor(scored: Artifact) -> str:
    """The first of the evaluated editors, which the report shows."""
    return str(scored.attrs["editors"][0])


def examples_of(evaluation: Artifact) -> list[Example]:
    """The best and the worst edit of each category; no best one if none reaches the target."""
    found = []
    for category in range(layout_of(evaluation).categories):
        ranked = sorted(candidates(evaluation, category), key=lambda example: example.badness)
        if ranked[0].reached:
            found.append(ranked[0])
        if len(ranked) > 1 or not ranked[0].reached:
            worst = ranked[-1]
            found.append(Example(**{**vars(worst), "role": WORST}))
    return found


def candidates(evaluation: Artifact, category: int) -> list[Example]:
    """Every edit towards a category, at its own strength, with the role BEST."""
    layout, editor = layout_of(evaluation), leading_editor(evaluation)
    attribute, value = layout.locate(category)
    held = held_attributes(evaluation, attribute)
    observed, columns = observations_of(evaluation, editor, category), layout.columns
    flips = editing.flipped(observed.logits, columns, attribute, value)  # (S, n)
    label = observed.logits[..., columns[attribute]].softmax(-1)[..., value]
    apart = editing.dependencies(observed.logits[0], observed.logits, observed.sigma, columns, held)
    moved = apart.mean(2) if held else torch.zeros_like(label)
    values = editing.values_of(observed.logits, columns)  # (S, n, A)
    step = torch.where(flips.any(0), flips.argmax(0), label.argmax(0))
    rows = evaluation[f"seen/{editor}/{category}/rows"]
    first_seed = int(evaluation.spec.config["first_seed"])
    found = []
    for i, s in enumerate(step.tolist()):
        lost = [a for a in held if values[s, i, a] != values[0, i, a]]
        found.append(Example(
            BEST, category, first_seed + int(rows[i]), float(observed.strengths[s]), bool(flips[s, i]),
            float(label[s, i]), float(moved[s, i]), lost,
        ))  # fmt: skip
    return found
