"""A procedural room in the manner of Shapes3D (Burgess and Kim 2018): six independent factors, 480,000 images.

The factors, their numbers of values and the order of the rows are those of the published data set; the images are cast
ray by ray when they are asked for. World coordinates: y upwards from the floor, the object stands at the origin.
"""

import colorsys
import math
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gmmedit.classifiers.attributes import Attribute
from gmmedit.datasets.base import Changes, DataSet, Rows
from gmmedit.datasets.checks import change_labels, digest
from gmmedit.datasets.solids import SOLIDS, Hit, hit_room

HUES = ("red", "orange", "lime", "green", "emerald", "cyan", "blue", "indigo", "purple", "pink")
SCALES = tuple(f"{scale:.2f}" for scale in np.linspace(0.75, 1.25, 8))
ANGLES = tuple(f"{angle:.0f}" for angle in np.linspace(-30, 30, 15))
FACTORS = {
    "floor_hue": HUES, "wall_hue": HUES, "object_hue": HUES, "scale": SCALES, "shape": tuple(SOLIDS),
    "orientation": ANGLES,
}  # fmt: skip
SIZES = tuple(len(values) for values in FACTORS.values())
NUMBERS = (  # of every value of every factor
    *(tuple(i / 10 for i in range(10)),) * 3, tuple(np.linspace(0.75, 1.25, 8)), tuple(range(len(SOLIDS))),
    tuple(np.linspace(-30, 30, 15)),
)  # fmt: skip
DEFAULT_SIZE, CHUNK = 64, 32
KEPT_SIZE = 64  # pixels of images whose views are kept: 480 of them take 110 MB
View = tuple[Tensor, ...]  # (P,) each: whether it is floor, its light; whether the solid is before it, light, gloss
EYE_DISTANCE, EYE_HEIGHT, TARGET_HEIGHT, FIELD = 4.4, 2.2, 0.6, 46.0  # lengths of the world; degrees
LIGHT = (0.62, 0.75, 0.25)
AMBIENT, DIFFUSE = 0.55, 0.50


class Shapes(DataSet):
    """Rooms of `size` pixels with a floor, a wall and an object. Row i has the factors of index i of the grid."""

    factors = tuple(FACTORS)
    attributes = tuple(Attribute(name, values) for name, values in FACTORS.items())

    def __init__(self, size: int = DEFAULT_SIZE) -> None:
        self.name, self.size, self.image_shape = "shapes", size, (3, size, size)
        self.fingerprint = digest(self.name, size)
        self.rays = cast_rays(size)
        self.kept: dict[tuple[int, ...], View] = {}

    def __len__(self) -> int:
        return math.prod(SIZES)

    def labels(self, rows: Rows | None = None) -> Tensor:
        """See `DataSet.labels`."""
        rows = np.arange(len(self)) if rows is None else np.asarray(rows)
        return torch.from_numpy(np.stack(np.unravel_index(rows, SIZES), axis=1))

    def images(self, rows: Rows) -> Tensor:
        """See `DataSet.images`."""
        return self.render(self.labels(rows))

    def true_factors(self, rows: Rows) -> Tensor:
        """See `DataSet.true_factors`: hues in [0, 1), scale, the shape's index, degrees."""
        labels = self.labels(rows)
        columns = [torch.tensor(numbers)[labels[:, i]] for i, numbers in enumerate(NUMBERS)]
        return torch.stack([column.float() for column in columns], dim=1)

    def counterfactual(self, rows: Rows, changes: Changes) -> Tensor:
        """See `DataSet.counterfactual`."""
        return self.render(change_labels(self, rows, changes)[0])

    def render(self, labels: Tensor) -> Tensor:
        """Images (n, 3, S, S) in [-1, 1] of values (n, 6); the pixels do not depend on the batch."""
        parts = [self.render_chunk(chunk) for chunk in labels.split(CHUNK)]
        return torch.cat([torch.empty(0, *self.image_shape), *parts])

    def render_chunk(self, labels: Tensor) -> Tensor:
        """As `render`, in one piece: what the rays meet, in the colours of each image."""
        is_floor, room, before, lighted, glossy = (torch.stack(part) for part in zip(*self.views(labels), strict=True))
        floor, wall, paint = (colours()[labels[:, i]][:, None] for i in range(3))  # (n, 1, 3)
        behind = torch.where(is_floor[..., None], floor, wall) * room[..., None]
        surface = paint * lighted[..., None] + glossy[..., None]
        colour = torch.where(before[..., None], surface, behind)
        fine = colour.clamp(0, 1).mT.unflatten(2, (2 * self.size, 2 * self.size))
        return F.avg_pool2d(fine, 2) * 2 - 1

    def views(self, labels: Tensor) -> list[View]:
        """What the rays of each image meet. The 480 possible ones of small images are kept."""
        keys = [tuple(row) for row in labels[:, 3:].tolist()]
        missing = sorted(set(keys) - self.kept.keys())
        found = dict(zip(missing, self.cast(torch.tensor(missing)), strict=True)) if missing else {}
        if self.size <= KEPT_SIZE:
            self.kept.update(found)
        return [self.kept.get(key) or found[key] for key in keys]

    def cast(self, shown: Tensor) -> Iterator[View]:
        """What the rays meet in views of (scale, shape, orientation) (n, 3)."""
        eyes, directions = self.rays[0][shown[:, 2]], self.rays[1][shown[:, 2]]  # (n, 1, 3), (n, P, 3)
        scale = torch.tensor(NUMBERS[3])[shown[:, 0]].float()
        room, is_floor = hit_room(eyes, directions)
        spot = eyes + room.distance[..., None] * directions
        near = spot[..., 0].square() + spot[..., 2].square()
        shade = 1 - 0.45 * torch.exp(-near / (0.62 * scale[:, None]).square()) * is_floor
        corner = 1 - 0.10 * torch.exp(-spot[..., 1] / 0.5) * ~is_floor
        lighted, glossy = torch.zeros_like(shade), torch.zeros_like(shade)
        before = torch.zeros_like(is_floor)
        for value, hit_solid in enumerate(SOLIDS.values()):
            rows = (shown[:, 1] == value).nonzero()[:, 0]
            if len(rows):
                hit = hit_solid(eyes[rows], directions[rows], scale[rows, None])
                lighted[rows], glossy[rows] = lit(hit), gloss(hit, directions[rows])
                before[rows] = hit.distance < room.distance[rows]
        return zip(is_floor, lit(room) * shade * corner, before, lighted, glossy, strict=True)


def cast_rays(size: int) -> tuple[Tensor, Tensor]:
    """Eyes (15, 1, 3) and unit directions (15, 4 S^2, 3) for every orientation, two rays a pixel each way."""
    steps = (torch.arange(2 * size) + 0.5) / size - 1
    reach = math.tan(math.radians(FIELD) / 2)
    v, u = torch.meshgrid(-steps * reach, steps * reach, indexing="ij")
    turn = torch.deg2rad(torch.tensor(NUMBERS[5], dtype=torch.float32))
    eye = torch.stack([turn.sin() * EYE_DISTANCE, torch.full_like(turn, EYE_HEIGHT), turn.cos() * EYE_DISTANCE], 1)
    ahead = F.normalize(torch.tensor([0.0, TARGET_HEIGHT, 0.0]) - eye, dim=1)
    right = F.normalize(torch.linalg.cross(ahead, torch.tensor([[0.0, 1.0, 0.0]]).expand_as(ahead)), dim=1)
    up = torch.linalg.cross(right, ahead)
    directions = ahead[:, None] + u.flatten()[:, None] * right[:, None] + v.flatten()[:, None] * up[:, None]
    return eye[:, None], F.normalize(directions, dim=2)


def colours() -> Tensor:
    """The colours (10, 3) of the hues, in [0, 1]."""
    return torch.tensor([colorsys.hsv_to_rgb(hue, 0.78, 0.95) for hue in NUMBERS[0]])


def lit(hit: Hit) -> Tensor:
    """Lambert's reflection (n, P) of the light and of its surroundings."""
    light = F.normalize(torch.tensor(LIGHT), dim=0)
    return AMBIENT + DIFFUSE * (hit.normal @ light).clamp(min=0)


def gloss(hit: Hit, directions: Tensor) -> Tensor:
    """A highlight (n, P) after Blinn (1977)."""
    half = F.normalize(F.normalize(torch.tensor(LIGHT), dim=0) - directions, dim=2)
    return 0.35 * (hit.normal * half).sum(2).clamp(min=0) ** 40


def load(size: int | None = None) -> Shapes:
    """The data set, with images of `size` pixels."""
    return Shapes(size or DEFAULT_SIZE)
