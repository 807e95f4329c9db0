"""The best and the worst edits of an evaluation, picked by number and not by eye."""

from dataclasses import dataclass

import torch

from gmmedit.artifacts import Artifact
from gmmedit.evaluation.metrics import editing
from gmmedit.evaluation.results import held_of, seen_by
from gmmedit.run.folder import layout_of

ORDINARY, BEST, WORST = 0, 1, 2  # roles


@dataclass(frozen=True)
class Example:
    """One edit, and what the judge saw in it.

    Attributes:
        role: BEST or WORST of its category.
        seed: of its latent.
        strength: the least of the sweep at which the judge sees the wanted value; where he never does, that of the
            target's highest label.
        reached: whether he does.
        label: the target's, there.
        moved: mean change of the held attributes' logits there, in standard deviations.
        lost: held attributes whose value has changed with it.
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
        """What examples are sorted by: those that do not arrive come last; what else changes, or how far they get."""
        return not self.reached, self.moved if self.reached else -self.label


def leading_editor(scored: Artifact) -> str:
    """The first of the evaluated editors: the one that the report is about."""
    return str(scored.attrs["editors"][0])


def examples_of(evaluation: Artifact) -> list[Example]:
    """For each category the best edit and the worst; no best one where none arrives."""
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
    """Every edit towards a category at its own strength, as a BEST."""
    layout, editor = layout_of(evaluation), leading_editor(evaluation)
    attribute, value = layout.locate(category)
    held = held_of(layout, attribute)
    seen, columns = seen_by(evaluation, editor, category), layout.columns
    flips = editing.flipped(seen.logits, columns, attribute, value)  # (S, n)
    label = seen.logits[..., columns[attribute]].softmax(-1)[..., value]
    moved = editing.dependencies(seen.logits[0], seen.logits, seen.sigma, columns, held).mean(2)
    values = editing.values_of(seen.logits, columns)  # (S, n, A)
    place = torch.where(flips.any(0), flips.argmax(0), label.argmax(0))
    rows = evaluation[f"seen/{editor}/{category}/rows"]
    first_seed = int(evaluation.spec.config["first_seed"])
    found = []
    for i, s in enumerate(place.tolist()):
        lost = [a for a in held if values[s, i, a] != values[0, i, a]]
        found.append(Example(
            BEST, category, first_seed + int(rows[i]), float(seen.strengths[s]), bool(flips[s, i]),
            float(label[s, i]), float(moved[s, i]), lost,
        ))  # fmt: skip
    return found
