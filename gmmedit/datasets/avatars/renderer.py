"""Renders avatars: soft shapes from signed distance functions, back to front, all images of a batch at once.

Lengths are pixels. Head coordinates: u to the right and v downwards from the middle of the face (u is
stretched with its width); a scalar per image has the shape (n, 1, 1), a colour (n, 3, 1, 1) in [0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor

from gmmedit.datasets.avatars.factors import ATTRIBUTES, DETAILS, NUISANCES, Factors
from gmmedit.datasets.avatars.shapes import (
    SIZE,
    Canvas,
    box,
    coverage,
    ellipse,
    glow,
    mix,
    palette,
    rgb,
    segment,
    stroke,
)

CHUNK = 64

SKIN = ((1.0, 0.88, 0.79), (0.98, 0.79, 0.66), (0.86, 0.63, 0.48), (0.62, 0.42, 0.32))
EYES = ((0.30, 0.55, 0.82), (0.27, 0.60, 0.52), (0.45, 0.52, 0.25), (0.45, 0.28, 0.15))
HAIR = ((0.15, 0.13, 0.16), (0.93, 0.76, 0.44), (0.72, 0.30, 0.15), (0.43, 0.26, 0.16), (0.70, 0.71, 0.74))
FRAMES = ((0.10, 0.10, 0.12), (0.12, 0.16, 0.36), (0.36, 0.10, 0.16), (0.10, 0.26, 0.24))

EYE_U, EYE_V = 7.4, 2.6
MOUTH_V = 11.8
FACE_A, FACE_B = 16.6, 19.5


def render(factors: Factors) -> Tensor:
    """Images of the avatars, float32 (N, 3, 64, 64) in [-1, 1]; the pixels do not depend on the batch."""
    parts = [_render_chunk(factors[i : i + CHUNK]) for i in range(0, len(factors), CHUNK)]
    return torch.cat([torch.empty(0, 3, SIZE, SIZE), *parts])


class Person:
    """One batch of factors as scalars (n, 1, 1) by name, and the colours that follow from them."""

    def __init__(self, factors: Factors) -> None:
        columns = torch.cat([factors.attributes.float(), factors.details, factors.nuisances], dim=1)
        names = [*ATTRIBUTES, *DETAILS, *NUISANCES]
        value = dict(zip(names, columns[:, :, None, None].unbind(1), strict=True))
        self.value = value
        self.smile, self.male, self.bangs = value["smile"], value["gender"], value["bangs"]
        self.old, self.glasses, self.beard = value["age"], value["glasses"], value["beard"]

        skin = palette(SKIN, value["skin"])
        pale = skin.mean(1, keepdim=True) * rgb(1.05, 1.0, 0.96)
        self.skin = mix(skin, pale, 0.3 * self.old)
        hair = torch.tensor(HAIR)[factors.attributes[:, -1]][:, :, None, None]
        hair = hair * (1 + 0.12 * value["hair_shade"][:, None])
        self.hair = (hair * (1 + 0.05 * value["hair_tint"][:, None] * rgb(1, 0, -1))).clamp(0, 1)
        ground = torch.cat([value[f"background_{c}"] for c in "rgb"], dim=1)[:, :, None]
        self.ground = 0.74 + 0.17 * ground
        self.shirt = 0.46 - 0.24 * ground
        self.iris = palette(EYES, value["eye_color"])
        self.frame = palette(FRAMES, value["frame_color"])


def _render_chunk(factors: Factors) -> Tensor:
    person = Person(factors)
    value = person.value
    pixels = torch.arange(SIZE, dtype=torch.float32) + 0.5
    u = (pixels.view(1, 1, -1) - SIZE / 2 - 3 * value["x"]) / (1 + 0.08 * value["face_width"])
    v = pixels.view(1, -1, 1) - SIZE / 2 - 0.5 - 3 * value["y"]
    canvas = Canvas(torch.empty(len(factors), 3, SIZE, SIZE), u, v, _outline(u, v, person))
    _background(canvas, person, pixels)
    _body(canvas, person)
    _face(canvas, person)
    _wrinkles(canvas, person)
    _beard(canvas.window(20, -1, 24), person)
    _nose(canvas.window(6, 0, 10), person)
    _mouth(canvas.window(11, 6, 19), person)
    _eyes(canvas.window(16, -6, 9), person)
    _brows(canvas.window(14, -8, 0), person)
    _glasses(canvas.window(18, -5, 10), person)
    _hair(canvas.window(22, -26, 10), person)
    return canvas.pixels.clamp_(0, 1).mul_(2).sub_(1)


def _outline(u: Tensor, v: Tensor, person: Person) -> Tensor:
    """Distance to an ellipse whose lower half is narrowed (female) or squared (male)."""
    a = FACE_A / (1 + (0.13 - 0.11 * person.male) * (v / FACE_B).clamp(min=0) ** 2)
    # Far outside, the product term would dominate and produce a second face.
    x, y = ((u / a) ** 2).clamp_(max=1.5), ((v / FACE_B) ** 2).clamp_(max=1.5)
    square = (0.12 + 0.46 * person.male + 0.07 * person.value["jaw"]) * (v > 0)
    level = x + y - square * x * y
    slope = (x * (1 - square * y) ** 2 / a**2 + y * (1 - square * x) ** 2 / FACE_B**2).clamp_(min=4e-4)
    return (level - 1) / (2 * slope.sqrt_())


def _background(canvas: Canvas, person: Person, pixels: Tensor) -> None:
    down = pixels.view(1, 1, -1, 1) / SIZE - 0.5
    across = pixels.view(1, 1, 1, -1) / SIZE - 0.5
    light = 1.05 - 0.14 * down - 0.35 * (down * down + across * across)
    canvas.pixels.copy_(person.ground * light)


def _body(canvas: Canvas, person: Person) -> None:
    """Shirt, the hair behind the head, neck and ears."""
    low = canvas.window(32, 12, 32)
    shirt = ellipse(low.u, low.v - 35, 25 + 3 * person.male, 15.5)
    low.blend(person.shirt * (0.85 + 0.02 * (32 - low.v)[:, None]).clamp(0.7, 1.15), coverage(shirt))

    u, v = canvas.u, canvas.v
    length = person.value["hair_length"]
    top, bottom = -6.0, 15 + 11 * length
    flare = 1 + 0.004 * (v - 4).clamp(min=0) * (1 + length)
    fall = box(u / flare, v - (bottom + top) / 2, 19.3, (bottom - top) / 2, 6.0)
    back = torch.minimum(fall, ellipse(u, v + 4, 19.3, 20))
    canvas.blend(person.hair * 0.72, coverage(back))

    neck = box(low.u, low.v - 18, 6.0 + 2.0 * person.male, 8.5, 5.0)
    low.blend(person.skin * 0.84, coverage(neck))
    side = canvas.window(20, -2, 10)
    ear = ellipse(side.u.abs() - 16.6, side.v - 3.6, 2.6, 3.8)
    side.blend(person.skin * 0.93, coverage(ear))
    hollow = ellipse(side.u.abs() - 17, side.v - 3.6, 1.3, 2.2)
    side.blend(person.skin * rgb(0.82, 0.72, 0.70), coverage(hollow, 2))


def _face(canvas: Canvas, person: Person) -> None:
    """Skin with light and blush."""
    light = 1.03 - 0.004 * canvas.u - 0.003 * canvas.v - 0.026 * (canvas.face + 5).clamp(0, 6)
    canvas.blend(person.skin * light[:, None], coverage(canvas.face))
    cheeks = canvas.window(15, 3, 15)
    blush = glow(cheeks.u.abs() - 10.2, cheeks.v - 8.6, 4.6, 3.6)
    cheeks.blend(person.skin * rgb(0.97, 0.58, 0.56), blush * (0.75 - 0.2 * person.old - 0.2 * person.male))


def _wrinkles(canvas: Canvas, person: Person) -> None:
    """Folds, bags under the eyes, crow's feet and forehead lines of the old."""
    crease = person.skin * rgb(0.66, 0.56, 0.54)
    strength = person.old * (0.78 + 0.14 * person.value["wrinkles"])
    middle = canvas.window(16, -1, 14)
    side, v = middle.u.abs(), middle.v
    lines = segment(side, v, (5.0, 6.4), (10.0, 10.6), 0.7)
    lines = torch.minimum(lines, segment(side, v, (12.4, 1.6), (14.6, -0.2), 0.55))
    lines = torch.minimum(lines, segment(side, v, (12.6, 4.0), (14.6, 5.2), 0.55))
    lines = torch.minimum(lines, stroke(side - EYE_U, v - EYE_V - 5.4, 4.2, -1.4, 0.75))
    middle.blend(crease, coverage(lines) * strength)
    brow = canvas.window(9, -12, -6)
    lines = stroke(brow.u, brow.v + 9.8, 5.5, 0.8, 0.8)
    lines = torch.minimum(lines, stroke(brow.u, brow.v + 7.4, 7.0, 0.8, 0.8))
    brow.blend(crease, coverage(lines) * strength * 0.7)


def _beard(canvas: Canvas, person: Person) -> None:
    side, v = canvas.u.abs(), canvas.v
    full = person.value["beard_fullness"]
    top = 9.6 - 0.7 * full - 9.0 * (side / 16) ** 4 + 1.6 * torch.exp(-(((side - 9.5) / 3) ** 2))
    shape = torch.maximum(canvas.face - 1.2 - 0.8 * full, (top - v) * 0.85)
    opening = ellipse(canvas.u, v - MOUTH_V - 1.0, 7.0 + 1.2 * person.smile, 3.1 + 1.4 * person.smile)
    shape = torch.maximum(shape, -opening)
    moustache = stroke(side - 3.6, v - 8.9, 5.2, 0.9, 1.6 + 0.3 * full)
    shape = torch.minimum(shape, moustache)
    shade = 0.62 + 0.22 * (-shape / 3).clamp(0, 1)
    canvas.blend(person.hair * shade[:, None], coverage(shape) * person.beard)


def _nose(canvas: Canvas, person: Person) -> None:
    u, v = canvas.u, canvas.v
    size = 1 + 0.22 * person.male
    tip = stroke(u, v - 7.2, 2.9 * size, -1.0, 0.9 * size)
    canvas.blend(person.skin * rgb(0.84, 0.70, 0.66), coverage(tip) * 0.85)
    canvas.blend(mix(person.skin, rgb(1, 1, 1), 0.5), glow(u + 0.4, v - 4.6, 1.8, 2.6) * 0.6)


def _mouth(canvas: Canvas, person: Person) -> None:
    """Closed lips, or a smile with teeth and tongue between two parabolas."""
    u, v = canvas.u, canvas.v - MOUTH_V
    rose = mix(person.skin, rgb(0.86, 0.24, 0.34), 0.78)
    lips = mix(rose, person.skin * rgb(0.80, 0.62, 0.58), person.male)
    full = 1.35 - 0.75 * person.male

    calm = 1 - person.smile
    canvas.blend(lips, coverage(stroke(u, v - 0.8, 5.4, 0.2, full + 0.5)) * calm)
    canvas.blend(lips * rgb(0.50, 0.40, 0.42), coverage(stroke(u, v - 0.6, 5.8, 0.5, 0.8)) * calm)

    broad = person.value["smile_width"]
    rise, depth = 2.2 + 0.3 * broad, 4.6 + 0.5 * broad
    wide = 6.7 + 0.5 * broad
    x = (u / wide) ** 2
    steepness = 1 + 0.35 * x
    upper, lower = v + rise * x - 0.2, v + (rise + depth) * x - depth
    mouth = torch.maximum(-upper, lower) / steepness
    around = torch.maximum(mouth - full, u.abs() - wide - 0.4)
    canvas.blend(lips, coverage(around) * person.smile)
    canvas.blend(rgb(0.45, 0.12, 0.16), coverage(mouth) * person.smile)
    tongue = torch.maximum(mouth, ellipse(u, v - depth, 3.6, 1.9))
    canvas.blend(rgb(0.90, 0.45, 0.48), coverage(tongue) * person.smile)
    teeth = torch.maximum(mouth, (v + (rise + 0.52 * depth) * x - 0.52 * depth) / steepness)
    canvas.blend(rgb(1.0, 0.99, 0.97), coverage(teeth + 0.1) * person.smile)


def _eyes(canvas: Canvas, person: Person) -> None:
    u, v = canvas.u.abs() - EYE_U, canvas.v - EYE_V
    lit = u * canvas.u.sign()
    white = ellipse(u, v, 3.9, 3.7 - 0.3 * person.male)
    inside = coverage(white)
    canvas.blend(rgb(1.0, 0.99, 0.98), inside)
    iris = ellipse(u + 0.2, v - 0.1, 2.9, 3.0)
    canvas.blend(person.iris * (0.85 + 0.12 * v[:, None]).clamp(0.55, 1.25), coverage(iris) * inside)
    canvas.blend(rgb(0.08, 0.07, 0.10), coverage(ellipse(u + 0.2, v - 0.1, 1.5, 1.6)))
    canvas.blend(rgb(1, 1, 1), coverage(ellipse(lit + 1.1, v + 1.2, 1.05, 1.05)))
    lid = ellipse(u, v + 4.9, 5.6, 2.9)
    canvas.blend(person.skin * 0.93, coverage(torch.maximum(lid, white - 0.6)) * person.old)
    lash = stroke(u - 0.2, v + 3.4 - 0.3 * person.male - 0.9 * person.old, 4.6, 2.2, 1.05 - 0.3 * person.male)
    canvas.blend(rgb(0.20, 0.13, 0.14), coverage(lash))
    wing = segment(u, v, (3.3, -1.4), (5.6, -3.0), 0.75)
    canvas.blend(rgb(0.20, 0.13, 0.14), coverage(wing) * (1 - person.male))


def _brows(canvas: Canvas, person: Person) -> None:
    u, v = canvas.u.abs() - EYE_U, canvas.v + 4.4
    thick = 0.85 + 0.6 * person.male + 0.3 * person.old
    droop = (0.05 + 0.2 * person.old) * u
    colour = mix(person.hair * 0.68, rgb(0.80, 0.80, 0.82), 0.5 * person.old)
    canvas.blend(colour, coverage(stroke(u, v - droop, 4.7, 1.5 - 0.7 * person.male, thick)))


def _glasses(canvas: Canvas, person: Person) -> None:
    side, v = canvas.u.abs(), canvas.v - EYE_V - 0.2
    size = 0.35 * person.value["frame_size"]
    lens = box(side - EYE_U, v, 5.9 + size, 5.2 + size, 4.2)
    canvas.blend(mix(person.frame, rgb(0.75, 0.88, 1.0), 0.6), coverage(lens) * person.glasses * 0.28)
    glare = torch.maximum(lens + 1.0, (side - EYE_U + 0.8 * v + 3.2).abs() - 0.7)
    canvas.blend(rgb(1, 1, 1), coverage(glare) * person.glasses * 0.45)
    bridge_or_temple = torch.minimum(side - 2.2, torch.maximum(12.8 - side, side - 17))
    bars = torch.maximum((v + 1.2).abs() - 0.75, bridge_or_temple)
    canvas.blend(person.frame, coverage(torch.minimum(lens.abs() - 0.8, bars)) * person.glasses)


def _hair(canvas: Canvas, person: Person) -> None:
    """The hair in front: parted over a bare forehead, or a fringe over it."""
    u, v = canvas.u, canvas.v
    skull = ellipse(u, v + 3.6, 19.0, 20.2)
    part = u - 6 * person.value["parting"]
    hairline = torch.minimum(-ellipse(u, v - 6, 15.2, 19.6), v + 13.5 - 0.32 * part.abs())
    cap = torch.maximum(torch.maximum(skull, hairline), v - 5)
    edge = -6.6 + 0.6 * person.value["bangs_length"] + 0.6 * torch.cos(0.9 * part) + 0.008 * u * u
    fringe = torch.maximum(skull, v - edge)
    hair = torch.where(person.bangs > 0, torch.minimum(cap, fringe), cap)
    light = 1.02 - 0.008 * (v + 8) - (0.22 / 3) * (hair + 3).clamp(0, 4)
    gloss = stroke(u + 3, v + 17.5, 12.0, 3.4, 2.6)
    line = torch.maximum((part + 0.05 * part * (v + 13)).abs() - 0.4, v + 12) + 20 * person.bangs
    light = light + 0.16 * coverage(gloss, 3.0) - 0.25 * coverage(line, 1.5)
    canvas.blend(person.hair * light[:, None], coverage(hair))
