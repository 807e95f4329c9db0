"""This project's editor: control vectors from the fitted mixture, written into the latent."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gmmedit.editors.base import Coordinates, Editor, Material, Unsuitable
from gmmedit.mixture.adam import generator_for
from gmmedit.mixture.components import Draw
from gmmedit.mixture.model import AttributeMixture
from gmmedit.mixture.optimisation import Optimisation
from gmmedit.mixture.paths import find_shares

ROWS = 64  # optimised at once, to bound memory

Key = tuple[str, tuple[int, ...], bool, bytes]  # offset or path, categories, away, x


@dataclass(frozen=True)
class MixtureEditor(Editor):
    """x' = x + alpha (zs - x) (claim 6). Moving away is moving towards the nearest other value of the attribute.

    With an `optimisation`, an alpha between 0 and 1 is a place on that way as `gmmedit.mixture.paths` measures it.

    `draw` says how zs is drawn; with "sample" it depends on the seed, the category and the image's number alone
    (`images`, one for each row of x, by default its place; further rows are padding). With an `optimisation`, zs is
    found among the members of its component for each image. Attributes are read from the mean of the layers.
    """

    model: AttributeMixture
    chart: Coordinates
    draw: Draw = "coupled"
    seed: int = 0
    optimisation: Optimisation | None = None
    images: tuple[int, ...] = ()
    known: dict[Key, Tensor] = field(default_factory=dict)  # offsets and paths of earlier calls

    def offset(self, x: Tensor, category: int, away: bool = False) -> Tensor:
        """See `Editor.offset`; computed once for each x, category and `away`."""
        return self.joint_offset(x, [category], away)

    def joint_offset(self, x: Tensor, categories: Sequence[int], away: bool = False) -> Tensor:
        """The change (N, L, D) of x (N, L, D) that strength 1 makes towards all categories, of different attributes."""
        key = ("offset", tuple(categories), away, x.numpy().tobytes())
        if key not in self.known:
            self.known[key] = self.find_offset(x, categories, away)
        return self.known[key]

    def shares(self, x: Tensor, category: int, strength: Tensor, away: bool = False) -> Tensor:
        """See `Editor.shares`."""
        return self.joint_shares(x, [category], strength, away)

    def joint_shares(self, x: Tensor, categories: Sequence[int], strength: Tensor, away: bool = False) -> Tensor:
        """The shares (N,) of `joint_offset` that strengths (N,) >= 0 make."""
        between = (strength > 0) & (strength < 1)
        if self.optimisation is None or not between.any():
            return strength
        key = ("path", tuple(categories), away, x.numpy().tobytes())
        if key not in self.known:
            self.known[key] = self.find_path(x, categories, away)
        return torch.where(between, find_shares(self.known[key], strength), strength)

    def edit_together(self, x: Tensor, categories: Sequence[int], strength: Tensor) -> Tensor:
        """x (N, L, D) moved with strengths (N,) >= 0 towards all categories, of different attributes, by one price."""
        share = self.joint_shares(x, categories, strength)
        return x + share[:, None, None] * self.joint_offset(x, categories)

    @torch.no_grad()
    def find_path(self, x: Tensor, categories: Sequence[int], away: bool) -> Tensor:
        """The strengths (P, N) at which places on the way of `joint_offset` are reached, see `measure_path`."""
        assert self.optimisation is not None
        y = self.model.coordinates(x.mean(1))
        goal = torch.stack([self.find_goals(y, category, away) for category in categories], 1)
        offset = self.joint_offset(x, categories, away)
        parts = zip(*(rows.split(ROWS) for rows in (x, offset, goal)), strict=True)
        return torch.cat([self.optimisation.measure_path(*part) for part in parts], 1)

    @torch.no_grad()
    def find_offset(self, x: Tensor, categories: Sequence[int], away: bool) -> Tensor:
        """`joint_offset` without the cache."""
        read = x.mean(1)
        y = self.model.coordinates(read)
        goals = [self.find_goals(y, category, away) for category in categories]
        changes = [self.draw_changes(y, goal) for goal in goals]
        moves = [self.model.write(read, y, change, goal) for change, goal in zip(changes, goals, strict=True)]
        written = torch.stack(moves).sum(0)
        if self.optimisation is None:
            return written
        control, goal = y + torch.stack(changes).sum(0), torch.stack(goals, 1)
        parts = zip(*(rows.split(ROWS) for rows in (x, goal, y, control, written)), strict=True)
        return torch.cat([self.optimisation.find_offsets(*part) for part in parts])

    def find_goals(self, y: Tensor, category: int, away: bool) -> Tensor:
        """The category (N,) that each row of coordinates y (N, r) moves towards."""
        goal = torch.full((len(y),), category)
        if away:
            columns = self.model.layout.columns[self.model.layout.locate(category)[0]]
            others = self.model.gaussians.log_responsibilities(y)[:, columns]  # logarithms, as both may underflow to 0
            others[:, category - columns.start] = -torch.inf
            goal = columns.start + others.argmax(1)
        return goal

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
    """One forward pass: the fitted displacement, or the fitted combination of neighbours where there is one."""
    found = material.optimisation
    return MixtureEditor(material.model, material.chart, optimisation=found and found.in_one_pass())


def fit_unrefined(material: Material) -> MixtureEditor:
    """The subspaces and the exact write, without the correction that fit-mixture learned."""
    return MixtureEditor(AttributeMixture(material.model.coordinates, material.model.gaussians), material.chart)


def fit_polished(material: Material) -> MixtureEditor:
    """The editor of `gmmedit edit`. Unsuitable: gradients do not pass through generator and classifier."""
    if material.optimisation is None or not material.optimisation.steps:
        raise Unsuitable("mixture-polished needs a generator and a classifier with gradients", hint="--editors mixture")
    return MixtureEditor(material.model, material.chart, optimisation=material.optimisation)
