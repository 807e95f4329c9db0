"""Curves as a PNG, for the log of a training: a panel for each figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

from gmmedit.pictures.charts import Axis, Projection, format_tick

WIDTH, HEIGHT, COLUMNS = 420, 240, 2  # of a panel, in pixels
TITLE = 24
INK, SOFT, GRID, RAW, CURVE = (30, 30, 30), (95, 95, 95), (225, 225, 225), (176, 206, 230), (0, 92, 160)
SMOOTH = 0.05  # of the points: the half-life of the average that is drawn over the raw ones


def draw_curves(x: Sequence[float], curves: Mapping[str, Sequence[float]], label: str = "images") -> Image.Image:
    """A panel for each named series (as long as x): its points, and over them their moving average."""
    columns = min(COLUMNS, len(curves))
    rows = -(-len(curves) // columns)
    sheet = Image.new("RGB", (columns * WIDTH, rows * (HEIGHT + TITLE)), "white")
    for i, (name, values) in enumerate(curves.items()):
        panel = draw_panel(x, values, name, label)
        sheet.paste(panel, (i % columns * WIDTH, i // columns * (HEIGHT + TITLE)))
    return sheet


def draw_panel(x: Sequence[float], y: Sequence[float], name: str, label: str) -> Image.Image:
    """One series with its axes."""
    projection = Projection(Axis.around(label, x), Axis.around(name, y), WIDTH, HEIGHT)
    panel = Image.new("RGB", (WIDTH, HEIGHT + TITLE), "white")
    draw = ImageDraw.Draw(panel)
    font, small = ImageFont.load_default(14), ImageFont.load_default(11)
    draw.text((WIDTH / 2, 5), name.replace("_", " "), INK, font, anchor="ma")
    for value in projection.y.ticks():
        left, up = projection.at(projection.x.low, value)
        draw.line([(left, up + TITLE), (WIDTH - 10, up + TITLE)], GRID)
        draw.text((left - 5, up + TITLE), format_tick(value), SOFT, small, anchor="rm")
    for value in projection.x.ticks():
        across, low = projection.at(value, projection.y.low)
        draw.line([(across, low + TITLE), (across, low + TITLE + 4)], SOFT)
        text = f"{value / 1000:g}k" if abs(value) >= 1000 else format_tick(value)
        draw.text((across, low + TITLE + 6), text, SOFT, small, anchor="ma")
    draw.text((WIDTH / 2, HEIGHT + TITLE - 4), label, SOFT, small, anchor="md")
    for values, colour, width in ((y, RAW, 1), (smooth(y), CURVE, 2)):
        points = [(across, up + TITLE) for across, up in projection.points(x, values)]
        if len(points) > 1:
            draw.line(points, colour, width, joint="curve")
    return panel


def smooth(values: Sequence[float]) -> list[float]:
    """The moving average of values, with a half-life of a share of their number; those not finite stay as they are."""
    keep = 0.5 ** (1 / max(1.0, SMOOTH * len(values)))
    averages, mean, weight = [], 0.0, 0.0
    for value in values:
        if not math.isfinite(value):
            averages.append(value)
            continue
        mean, weight = keep * mean + (1 - keep) * value, keep * weight + (1 - keep)
        averages.append(mean / weight)
    return averages
