"""This project's editor: control vectors from the fitted mixture, written into the latent."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from gmmedit.editors.base import Coordinates, Editor, Material, Unsuitable
from gmmedit.mixture.adam import generator_for
from gmmedit.mixture.gaussians import Draw
from gmmedit.mixture.model import AttributeMixture
from gmmedit.mixture.neighbours import Neighbours
from gmmedit.mixture.optimisation import IMAGE_WEIGHT, optimise_offsets
from gmmedit.mixture.refining import Score

ROWS = 64  # optimised at once, to bound memory


@dataclass(frozen=True)
class MixtureEditor(Editor):
    """x' = x + alpha (zs - x) (claim 6). Moving away is moving towards the nearest other value of the attribute.

    `draw` says how zs is drawn; with "sample" it depends on the seed, the category and the image's number alone
    (`images`, one for each row of x, by default its place; further rows are padding). With `steps`, zs starts from
    `neighbours` and is optimised through the generator and the classifier (`score`) for each image, layer by layer.
    Attributes are read from the mean of the layers.
    """

    model: AttributeMixture
    chart: Coordinates
    draw: Draw = "coupled"
    seed: int = 0
    steps: int = 0
    score: Score | None = None
    image_weight: float = IMAGE_WEIGHT
    neighbours: Neighbours | None = None
    images: tuple[int, ...] = ()
    known: dict[tuple[int, bool, bytes], Tensor] = field(default_factory=dict)  # offsets of earlier calls

    def offset(self, x: Tensor, category: int, away: bool = False) -> Tensor:
        """See `Editor.offset`; computed once for each x, category and `away`."""
        key = (category, away, x.numpy().tobytes())
        if key not in self.known:
            self.known[key] = self.find_offset(x, category, away)
        return self.known[key]

    @torch.no_grad()
    def find_offset(self, x: Tensor, category: int, away: bool) -> Tensor:
        """`offset` without the cache."""
        goal = torch.full((len(x),), category)
        if away:
            columns = self.model.layout.columns[self.model.layout.locate(category)[0]]
            y = self.model.coordinates(x.mean(1))
            others = self.model.gaussians.log_responsibilities(y)[:, columns]  # logarithms, as both may underflow to 0
            others[:, category - columns.start] = -torch.inf
            goal = columns.start + others.argmax(1)
        read = x.mean(1)
        y = self.model.coordinates(read)
        change = self.draw_changes(y, goal)
        if self.score is None or self.neighbours is None or not self.steps:
            return self.model.write(read, y, change, goal)
        parts = zip(x.split(ROWS), (y + change).split(ROWS), goal.split(ROWS), strict=True)
        return torch.cat(
            [optimise_offsets(*part, self.score, self.neighbours, self.steps, self.image_weight) for part in parts]
        )

    def draw_changes(self, y: Tensor, goal: Tensor) -> Tensor:
        """The change (N, r) of coordinates y (N, r) from each row to the control vector of its category (N,)."""
        if self.draw != "sample":
            return self.model.control_change(y, goal, self.draw)
        images = [*self.images, *self.images[-1:] * (len(y) - len(self.images))] or range(len(y))
        rows = zip(y.split(1), goal.split(1), images, strict=True)
        return torch.cat([
            self.model.control_change(row, category, "sample", generator_for(self.seed, image, int(category)))
            for row, category, image in rows
        ])  # fmt: skip


def fit_mixture(material: Material) -> MixtureEditor:
    """The fitted write alone: one forward pass."""
    return MixtureEditor(material.model, material.chart)


def fit_unrefined(material: Material) -> MixtureEditor:
    """The subspaces and the exact write, without the correction that fit-mixture learned."""
    return MixtureEditor(AttributeMixture(material.model.coordinates, material.model.gaussians), material.chart)


def fit_polished(material: Material) -> MixtureEditor:
    """The editor of `gmmedit edit`. Unsuitable: gradients do not pass through generator and classifier."""
    if material.score is None:
        raise Unsuitable("mixture-polished needs a generator and a classifier with gradients", hint="--editors mixture")
    return MixtureEditor(
        material.model,
        material.chart,
        steps=material.polish,
        score=material.score,
        image_weight=material.image_weight,
        neighbours=material.neighbours,
    )
