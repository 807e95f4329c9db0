"""Line charts as inline SVG, told apart by colour, dashes and marks, so that no eye needs all three."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gmmedit.pictures.markup import Content, Html, element, join

WIDTH, HEIGHT = 340, 230  # as wide as a phone shows it unscaled
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 36
DASHES = (None, "6 3", "2 3", "9 3 2 3")  # four of them and five marks: twenty lines without colour
MARKS = ("circle", "square", "triangle", "diamond", "cross")
COLOURS = 7  # classes c0 to c6 of the style sheet
TICKS = 5


@dataclass(frozen=True)
class Line:
    """y over x, with an interval `low` to `high` where there is one. style None: a faint line without a name."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: int | None
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    strong: bool = False


@dataclass(frozen=True)
class Axis:
    """From low to high; `log` in decades."""

    label: str
    low: float
    high: float
    log: bool = False

    @classmethod
    def around(cls, label: str, values: Sequence[float], log: bool = False) -> Axis:
        """An axis that holds all finite values (positive ones where it is logarithmic)."""
        known = [value for value in values if math.isfinite(value) and (value > 0 or not log)] or [0.1, 1.0]
        low, high = min(known), max(known)
        if log:
            return cls(label, low / 1.1, high * 1.1, True)
        space = (high - low) * 0.04 or abs(high) * 0.1 or 1
        return cls(label, low - space, high + space)

    def share(self, value: float) -> float:
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low) if value > 0 else math.nan
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round numbers inside, a handful."""
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for steps in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
                found = [s * 10.0**d for d in decades for s in steps if self.low <= s * 10.0**d <= self.high]
                if len(found) >= 2:
                    return found[:: math.ceil(len(found) / TICKS)]
        raw = (self.high - self.low) / TICKS
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(size * power for size in (1, 2, 2.5, 5, 10) if size * power >= raw * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def chart(
    lines: Sequence[Line], x: Axis, y: Axis, title: Content, alt: str, upright: float | None = None,
    small: bool = False,
) -> Html:  # fmt: skip
    """A figure: lines in their axes, a legend of those that have a style, a caption. `upright` marks a place on x."""
    height = HEIGHT // 2 if small else HEIGHT
    place = Place(x, y, WIDTH // 2 if small else WIDTH, height)
    parts = [*frame(place), *([guide(place, upright)] if upright is not None else [])]
    faint = [it for it in lines if it.style is None]
    styled = sorted((it for it in lines if it.style is not None), key=lambda it: it.strong)
    parts += [band(place, it) for it in styled if it.low is not None]
    parts += [drawn(place, it, marked=not small) for it in [*faint, *styled]]
    svg = element(
        "svg", element("title", alt), parts, viewBox=f"0 0 {place.width} {place.height}", role="img", aria_label=alt
    )
    named = [it for it in lines if it.style is not None and it.name]
    key = [legend(named)] if len(named) > 1 else []
    return element("figure", svg, key, element("figcaption", title), class_="small chart" if small else "chart")


@dataclass(frozen=True)
class Place:
    """Data to pixels."""

    x: Axis
    y: Axis
    width: int
    height: int

    def at(self, x: float, y: float) -> tuple[float, float]:
        across, up = self.x.share(x), self.y.share(y)
        return (
            round(LEFT + across * (self.width - LEFT - RIGHT), 1),
            round(self.height - BOTTOM - up * (self.height - TOP - BOTTOM), 1),
        )

    def points(self, xs: Sequence[float], ys: Sequence[float]) -> list[tuple[float, float]]:
        places = [self.at(x, y) for x, y in zip(xs, ys, strict=True)]
        return [place for place in places if all(math.isfinite(it) for it in place)]


def frame(place: Place) -> list[Html]:
    """Grid, ticks and labels."""
    left, bottom, right = LEFT, place.height - BOTTOM, place.width - RIGHT
    parts = []
    for value in place.y.ticks():
        y = place.at(place.x.low if not place.x.log else place.x.high, value)[1]
        parts.append(element("path", d=f"M{left} {y}H{right}", class_="grid"))
        parts.append(element("text", short(value), x=left - 4, y=y + 3.5, text_anchor="end"))
    ticks = place.x.ticks()
    for value in ticks[:: 2 if place.width < WIDTH and len(ticks) > 4 else 1]:
        x = place.at(value, place.y.high)[0]
        parts.append(element("path", d=f"M{x} {bottom}v4", class_="axis"))
        parts.append(element("text", short(value), x=x, y=bottom + 15, text_anchor="middle"))
    parts.append(element("path", d=f"M{left} {TOP}V{bottom}H{right}", class_="axis"))
    middle = (left + right) / 2
    parts.append(element("text", place.x.label, x=middle, y=place.height - 5, text_anchor="middle"))
    if place.y.label:
        turned = f"rotate(-90 9 {(TOP + bottom) / 2:g})"
        parts.append(element("text", place.y.label, x=9, y=(TOP + bottom) / 2, text_anchor="middle", transform=turned))
    return parts


def short(value: float) -> str:
    if value and not 1e-3 <= abs(value) < 1e4:
        mantissa, _, exponent = f"{value:.0e}".partition("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.4g}"


def guide(place: Place, x: float) -> Html:
    across = place.at(x, place.y.low)[0]
    return element("path", d=f"M{across} {TOP}V{place.height - BOTTOM}", class_="guide")


def band(place: Place, line: Line) -> Html:
    up = place.points(line.x, line.high or [])
    down = place.points(line.x, line.low or [])[::-1]
    return element("path", d=path([*up, *down]) + "Z" if up else "", class_=f"band c{(line.style or 0) % COLOURS}")


def drawn(place: Place, line: Line, marked: bool) -> Html:
    points = place.points(line.x, line.y)
    if line.style is None:
        return element("path", d=path(points), class_="faint")
    marks = [mark(point, line.style) for point in spread(points)] if marked else []
    stroke = element("path", d=path(points), stroke_dasharray=None if line.strong else dash(line.style))
    return element("g", stroke, marks, class_=f"line c{line.style % COLOURS}" + (" strong" if line.strong else ""))


def spread(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most a dozen of them."""
    return points[:: math.ceil(len(points) / 12)] if points else []


def path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points) if points else ""


def dash(style: int) -> str | None:
    return DASHES[style % len(DASHES)]


def mark(point: tuple[float, float], style: int) -> Html:
    (x, y), r = point, 3.2
    kind = MARKS[style % len(MARKS)]
    if kind == "circle":
        return element("circle", cx=x, cy=y, r=r)
    shapes = {
        "square": [(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)],
        "triangle": [(x, y - r - 1), (x + r + 0.5, y + r), (x - r - 0.5, y + r)],
        "diamond": [(x, y - r - 1), (x + r + 1, y), (x, y + r + 1), (x - r - 1, y)],
    }
    if kind == "cross":
        return element("path", d=f"M{x - r:g} {y - r:g}l{2 * r} {2 * r}m0 {-2 * r}l{-2 * r} {2 * r}", class_="cross")
    return element("path", d=path(shapes[kind]) + "Z", class_="mark")


def legend(lines: Sequence[Line]) -> Html:
    """A sample of each line beside its name."""
    entries = []
    for line in lines:
        style = line.style or 0
        stroke = element("path", d="M1 7H35", stroke_dasharray=None if line.strong else dash(style))
        group = element(
            "g", stroke, mark((18, 7), style), class_=f"line c{style % COLOURS}" + (" strong" if line.strong else "")
        )
        swatch = element("svg", group, viewBox="0 0 36 14", width=36.0, height=14.0, aria_hidden="true")
        entries.append(element("li", join([swatch, " ", line.name])))
    return element("ul", entries, class_="legend")


def finite(values: np.ndarray) -> list[float]:
    """An array as plain floats."""
    return [float(value) for value in np.asarray(values, dtype=np.float64)]
