"""Line charts as inline SVG. Lines differ in colour, dashes and marks, so that each of them suffices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gmmedit.pictures.markup import Content, Html, element, join

WIDTH, HEIGHT = 340, 230  # pixels; a phone shows this width unscaled
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 36
DASHES = (None, "6 3", "2 3", "9 3 2 3")  # four dashes and five marks distinguish twenty lines without colour
MARKS = ("circle", "square", "triangle", "diamond", "cross")
COLOURS = 7  # classes c0 to c6 of the style sheet
TICKS = 5


@dataclass(frozen=True)
class Line:
    """A line y over x, optionally with an interval `low` to `high`. style None: a faint line without a legend entry."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: int | None
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    strong: bool = False


@dataclass(frozen=True)
class Axis:
    """An axis from low to high; `log`: logarithmic."""

    label: str
    low: float
    high: float
    log: bool = False

    @classmethod
    def around(cls, label: str, values: Sequence[float], log: bool = False) -> Axis:
        """An axis that contains all finite values (all positive ones if it is logarithmic)."""
        known = [value for value in values if math.isfinite(value) and (value > 0 or not log)] or [0.1, 1.0]
        low, high = min(known), max(known)
        if log:
            return cls(label, low / 1.1, high * 1.1, True)
        space = (high - low) * 0.04 or abs(high) * 0.1 or 1
        return cls(label, low - space, high + space)

    def share(self, value: float) -> float:
        """The position of a value along the axis: 0 at low, 1 at high; NaN for values <= 0 on a logarithmic axis."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low) if value > 0 else math.nan
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """About TICKS round numbers between low and high."""
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


def render_chart(
    lines: Sequence[Line], x: Axis, y: Axis, title: Content, alt: str, upright: float | None = None,
    small: bool = False,
) -> Html:  # fmt: skip
    """A figure of lines with axes, a legend and a caption. `upright`: x of a vertical guide line."""
    height = HEIGHT // 2 if small else HEIGHT
    projection = Projection(x, y, WIDTH // 2 if small else WIDTH, height)
    parts = [*draw_frame(projection), *([draw_guide(projection, upright)] if upright is not None else [])]
    faint = [line for line in lines if line.style is None]
    styled = sorted((line for line in lines if line.style is not None), key=lambda line: line.strong)
    parts += [draw_band(projection, line) for line in styled if line.low is not None]
    parts += [draw_line(projection, line, marked=not small) for line in [*faint, *styled]]
    box = f"0 0 {projection.width} {projection.height}"
    svg = element("svg", element("title", alt), parts, viewBox=box, role="img", aria_label=alt)
    named = [line for line in lines if line.style is not None and line.name]
    key = [draw_legend(named)] if len(named) > 1 else []
    return element("figure", svg, key, element("figcaption", title), class_="small chart" if small else "chart")


@dataclass(frozen=True)
class Projection:
    """Data coordinates to pixels."""

    x: Axis
    y: Axis
    width: int
    height: int

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The pixel of a data point."""
        across, up = self.x.share(x), self.y.share(y)
        return (
            round(LEFT + across * (self.width - LEFT - RIGHT), 1),
            round(self.height - BOTTOM - up * (self.height - TOP - BOTTOM), 1),
        )

    def points(self, xs: Sequence[float], ys: Sequence[float]) -> list[tuple[float, float]]:
        """The pixels of data points, without those that are not finite."""
        points = [self.at(x, y) for x, y in zip(xs, ys, strict=True)]
        return [point for point in points if all(map(math.isfinite, point))]


def draw_frame(projection: Projection) -> list[Html]:
    """The grid, ticks, and labels of both axes."""
    left, bottom, right = LEFT, projection.height - BOTTOM, projection.width - RIGHT
    parts = []
    for value in projection.y.ticks():
        y = projection.at(projection.x.low if not projection.x.log else projection.x.high, value)[1]
        parts.append(element("path", d=f"M{left} {y}H{right}", class_="grid"))
        parts.append(element("text", format_tick(value), x=left - 4, y=y + 3.5, text_anchor="end"))
    ticks = projection.x.ticks()
    for value in ticks[:: 2 if projection.width < WIDTH and len(ticks) > 4 else 1]:
        x = projection.at(value, projection.y.high)[0]
        parts.append(element("path", d=f"M{x} {bottom}v4", class_="axis"))
        parts.append(element("text", format_tick(value), x=x, y=bottom + 15, text_anchor="middle"))
    parts.append(element("path", d=f"M{left} {TOP}V{bottom}H{right}", class_="axis"))
    middle = (left + right) / 2
    parts.append(element("text", projection.x.label, x=middle, y=projection.height - 5, text_anchor="middle"))
    if projection.y.label:
        turned = f"rotate(-90 9 {(TOP + bottom) / 2:g})"
        label = element("text", projection.y.label, x=9, y=(TOP + bottom) / 2, text_anchor="middle", transform=turned)
        parts.append(label)
    return parts


def format_tick(value: float) -> str:
    """A short text: four digits, or one digit and an exponent for very small and large values."""
    if value and not 1e-3 <= abs(value) < 1e4:
        mantissa, _, exponent = f"{value:.0e}".partition("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.4g}"


def draw_guide(projection: Projection, x: float) -> Html:
    """A vertical line at x."""
    across = projection.at(x, projection.y.low)[0]
    return element("path", d=f"M{across} {TOP}V{projection.height - BOTTOM}", class_="guide")


def draw_band(projection: Projection, line: Line) -> Html:
    """The area between the interval's bounds."""
    up = projection.points(line.x, line.high or [])
    down = projection.points(line.x, line.low or [])[::-1]
    return element("path", d=path_data([*up, *down]) + "Z" if up else "", class_=f"band c{(line.style or 0) % COLOURS}")


def draw_line(projection: Projection, line: Line, marked: bool) -> Html:
    """A line, with marks if `marked`."""
    points = projection.points(line.x, line.y)
    if line.style is None:
        return element("path", d=path_data(points), class_="faint")
    marks = [draw_mark(point, line.style) for point in thin_out(points)] if marked else []
    stroke = element("path", d=path_data(points), stroke_dasharray=None if line.strong else dash_pattern(line.style))
    return element("g", stroke, marks, class_=f"line c{line.style % COLOURS}" + (" strong" if line.strong else ""))


def thin_out(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most twelve of the points, evenly spaced."""
    return points[:: math.ceil(len(points) / 12)] if points else []


def path_data(points: Sequence[tuple[float, float]]) -> str:
    """The `d` attribute of an SVG path through the points."""
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points) if points else ""


def dash_pattern(style: int) -> str | None:
    """The dashes of a style."""
    return DASHES[style % len(DASHES)]


def draw_mark(point: tuple[float, float], style: int) -> Html:
    """The mark of a style at a pixel."""
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
    return element("path", d=path_data(shapes[kind]) + "Z", class_="mark")


def draw_legend(lines: Sequence[Line]) -> Html:
    """A list of the lines: a sample and the name of each."""
    entries = []
    for line in lines:
        style = line.style or 0
        stroke = element("path", d="M1 7H35", stroke_dasharray=None if line.strong else dash_pattern(style))
        names = f"line c{style % COLOURS}" + (" strong" if line.strong else "")
        group = element("g", stroke, draw_mark((18, 7), style), class_=names)
        swatch = element("svg", group, viewBox="0 0 36 14", width=36.0, height=14.0, aria_hidden="true")
        entries.append(element("li", join([swatch, " ", line.name])))
    return element("ul", entries, class_="legend")


def to_floats(values: np.ndarray) -> list[float]:
    """An array (N,) as Python floats."""
    return [float(value) for value in np.asarray(values, dtype=np.float64)]
