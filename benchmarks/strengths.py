"""Editors at the strength that suits them best, beside the first editor at strength 1.

    gmmedit evaluate --run runs/w --editors mixture-polished,mean-difference
    python benchmarks/strengths.py runs/w/evaluation.h5

From the stored sweep, without new edits. For each category the strength of an editor is the swept one at which

- `1`: it is 1 (directions without a unit of strength: at which they count as arrived);
- `best`: the share of flips times the share of other labels kept is highest;
- `as many flips`: it first flips as many targets as the first editor at strength 1, or else flips most;
- `as many kept`: it flips most among those at which as many other labels are kept as by the first editor at strength 1.

The choice is made on the edits that are then counted, which favours the editor that is chosen for.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gmmedit import artifacts
from gmmedit.artifacts import Artifact
from gmmedit.evaluation.figures import Observations
from gmmedit.evaluation.metrics import editing
from gmmedit.evaluation.results import observations_of
from gmmedit.run.folder import layout_of

COLUMNS = ("flips", "kept", "flips x kept", "identity", "drift", "strength")
LEAST = 1e-6  # by which shares may differ and count as equal


@dataclass(frozen=True)
class Sweep:
    """Means over the edits of one category at S strengths, each (S,); identity and drift are NaN where not measured.

    one: the place of the strength that counts as strength 1.
    """

    strengths: Tensor
    flips: Tensor
    kept: Tensor
    identity: Tensor
    drift: Tensor
    one: int

    @classmethod
    def of(cls, observed: Observations, columns: list[slice], place: tuple[int, int], one: float) -> "Sweep":
        """From what was observed of edits towards a value of an attribute (`place`); one: what counts as strength 1."""
        held = [a for a in range(len(columns)) if a != place[0]]
        unknown = torch.full_like(observed.strengths, torch.nan)
        moved = (observed.nuisances - observed.nuisances[0]).abs()
        return cls(
            strengths=observed.strengths,
            flips=editing.flipped(observed.logits, columns, *place).mean(1),
            kept=editing.kept(observed.logits[0], observed.logits, columns, held).mean((1, 2)) if held else unknown + 1,
            identity=observed.identity.mean(1) if len(observed.identity) else unknown,
            drift=moved.mean((1, 2)) if moved.shape[2] else unknown,
            one=int((observed.strengths - one).abs().argmin()),
        )

    def figures(self, at: int) -> Tensor:
        """The figures of COLUMNS at one of the strengths."""
        flips, kept = self.flips[at], self.kept[at]
        return torch.stack([flips, kept, flips * kept, self.identity[at], self.drift[at], self.strengths[at]])


Choice = Callable[[Sweep, Sweep], int]  # the place of a strength, of a sweep and that of the first editor


def at_one(sweep: Sweep, first: Sweep) -> int:
    return sweep.one


def at_best(sweep: Sweep, first: Sweep) -> int:
    return int((sweep.flips * sweep.kept).argmax())


def at_equal_flips(sweep: Sweep, first: Sweep) -> int:
    wanted = min(float(first.flips[first.one]), float(sweep.flips.max()))
    return int((sweep.flips >= wanted - LEAST).int().argmax())


def at_equal_kept(sweep: Sweep, first: Sweep) -> int:
    allowed = sweep.kept >= first.kept[first.one] - LEAST  # strength 0 keeps all
    return int(sweep.flips.masked_fill(~allowed, -1).argmax())


CHOICES: dict[str, Choice] = {
    "1": at_one,
    "best": at_best,
    "as many flips": at_equal_flips,
    "as many kept": at_equal_kept,
}


def read_sweeps(scored: Artifact, editor: str) -> list[Sweep]:
    """The sweeps of one editor, category by category."""
    layout = layout_of(scored)
    return [
        Sweep.of(
            observations_of(scored, editor, category),
            layout.columns,
            layout.locate(category),
            float(scored[f"seen/{editor}/{category}/one/strength"]),
        )
        for category in range(layout.categories)
    ]


def main(path: Path) -> None:
    with artifacts.open(path) as scored:
        sweeps = {editor: read_sweeps(scored, editor) for editor in scored.attrs["editors"]}
    first = next(iter(sweeps))
    print("| editor | strength chosen | " + " | ".join(COLUMNS) + " |")
    print("|" + "---|" * (len(COLUMNS) + 2))
    for editor, own in sweeps.items():
        for name, choose in CHOICES.items():
            if editor == first and name.startswith("as"):
                continue
            pairs = zip(own, sweeps[first], strict=True)
            means = torch.stack([sweep.figures(choose(sweep, other)) for sweep, other in pairs]).nanmean(0)
            cells = ["-" if value != value else f"{value:.3f}" for value in means.tolist()]
            print(f"| {editor} | {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
