"""Where rays meet the solids of `shapes`: n images with P rays each, eyes (n, 1, 3), unit directions (n, P, 3).

Solids stand on the floor at the origin; their scales are (n, 1). A ray that misses has the distance infinity.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

ROOM = 3.2  # half the side of the square room; its walls have no upper end
FAR = float("inf")


@dataclass(frozen=True)
class Hit:
    """Distances (n, P) and unit normals (n, P, 3) of what the rays meet."""

    distance: Tensor
    normal: Tensor


def hit_room(eyes: Tensor, directions: Tensor) -> tuple[Hit, Tensor]:
    """The floor or a wall behind the object, and whether (n, P) it is the floor. Walls in front of the eye are open."""
    x, y, z = directions.unbind(2)
    floor = torch.where(y < 0, -eyes[..., 1] / y, FAR)
    across = (x.sign() * ROOM - eyes[..., 0]) / x
    back = torch.where(z < 0, (-ROOM - eyes[..., 2]) / z, FAR)
    across = torch.where(across > 0, across, FAR)
    walls = torch.stack([floor, across, back], dim=2)
    distance, which = walls.min(dim=2)
    zero = torch.zeros_like(x)
    normals = torch.stack([torch.stack([zero, zero + 1, zero], 2), torch.stack([-x.sign(), zero, zero], 2),
                           torch.stack([zero, zero, zero + 1], 2)], dim=2)  # fmt: skip
    normal = normals.gather(2, which[..., None, None].expand(-1, -1, 1, 3))[:, :, 0]
    return Hit(distance, normal), which == 0


def hit_cube(eyes: Tensor, directions: Tensor, scale: Tensor) -> Hit:
    """A cube with sides of 1.1."""
    half = 0.55 * scale[..., None]
    middle = torch.cat([torch.zeros_like(half), half, torch.zeros_like(half)], dim=2)
    near, far, inward = slabs(eyes - middle, directions, half)
    distance, axis = near.max(dim=2)
    distance = torch.where((distance < far.amin(dim=2)) & (distance > 0), distance, FAR)
    return Hit(distance, F.one_hot(axis, 3) * inward)


def hit_cylinder(eyes: Tensor, directions: Tensor, scale: Tensor) -> Hit:
    """An upright cylinder of radius 0.52 and height 1.1."""
    radius, height = 0.52 * scale, 1.1 * scale
    side = hit_tube(eyes, directions, radius, torch.zeros_like(height), height)
    top = (height - eyes[..., 1]) / directions[..., 1]
    spot = eyes + top[..., None] * directions
    top = torch.where((spot[..., 0].square() + spot[..., 2].square() < radius**2) & (top > 0), top, FAR)
    upwards = torch.tensor([0.0, 1.0, 0.0]).expand_as(directions)
    return nearer(side, Hit(top, upwards))


def hit_sphere(eyes: Tensor, directions: Tensor, scale: Tensor) -> Hit:
    """A sphere of radius 0.62."""
    return hit_ball(eyes, directions, 0.62 * scale, 0.62 * scale)


def hit_capsule(eyes: Tensor, directions: Tensor, scale: Tensor) -> Hit:
    """An upright cylinder of radius 0.36 between two half spheres, 1.5 high."""
    radius, low, high = 0.36 * scale, 0.36 * scale, 1.14 * scale
    ends = nearer(hit_ball(eyes, directions, radius, low), hit_ball(eyes, directions, radius, high))
    return nearer(hit_tube(eyes, directions, radius, low, high), ends)


def slabs(eyes: Tensor, directions: Tensor, half: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distances (n, P, 3) at which rays enter and leave the slabs |x| < half of each axis; normals' signs there."""
    sign = torch.where(directions < 0, -1.0, 1.0)
    safe = torch.where(directions.abs() < 1e-9, sign * 1e-9, directions)
    return (-sign * half - eyes) / safe, (sign * half - eyes) / safe, -sign


def hit_ball(eyes: Tensor, directions: Tensor, radius: Tensor, height: Tensor) -> Hit:
    """A sphere at a height above the origin."""
    zero = torch.zeros_like(height)
    middle = torch.stack([zero, height, zero], dim=2)
    offset = eyes - middle
    b = (offset * directions).sum(2)
    under = b.square() - (offset.square().sum(2) - radius**2)
    distance = torch.where(under > 0, -b - under.clamp(min=0).sqrt(), FAR)
    spot = offset + torch.where(under > 0, distance, 0)[..., None] * directions
    return Hit(distance, F.normalize(spot, dim=2))


def hit_tube(eyes: Tensor, directions: Tensor, radius: Tensor, low: Tensor, high: Tensor) -> Hit:
    """The side of an upright cylinder around the origin, between two heights."""
    flat = torch.tensor([1.0, 0.0, 1.0])
    offset, flat_directions = eyes * flat, directions * flat
    a = flat_directions.square().sum(2).clamp(min=1e-9)
    b = (offset * flat_directions).sum(2)
    under = b.square() - a * (offset.square().sum(2) - radius**2)
    distance = (-b - under.clamp(min=0).sqrt()) / a
    height = eyes[..., 1] + distance * directions[..., 1]
    distance = torch.where((under > 0) & (height >= low) & (height <= high), distance, FAR)
    spot = offset + torch.where(distance < FAR, distance, 0)[..., None] * flat_directions
    return Hit(distance, F.normalize(spot, dim=2))


def nearer(first: Hit, second: Hit) -> Hit:
    """What each ray meets first."""
    closer = first.distance <= second.distance
    return Hit(
        torch.minimum(first.distance, second.distance), torch.where(closer[..., None], first.normal, second.normal)
    )


SOLIDS = {"cube": hit_cube, "cylinder": hit_cylinder, "sphere": hit_sphere, "capsule": hit_capsule}
"""The values of the factor `shape`, in the published order."""
