"""A graph of attributes as an image and as SVG: names on a circle, arrows for causes, dashes where it is not known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gmmedit.pictures.markup import element

DIRECTED, UNDIRECTED = 1, 2  # marks
SIZE, MARGIN = 640, 90  # pixels of the square, and from its sides to the circle
PAD, HEIGHT = 12, 30  # of a box beside its name, and its height
HEAD = 11  # length of an arrow's head
DASH, GAP = 8, 6
WIDTHS = (1.2, 3.2)  # of the rarest and the most frequent edge
LETTER = 8.0  # pixels of a letter in SVG, where no font can be measured
INK, PAPER, LINE, OPEN = "#1b1b1b", "#ffffff", "#0072b2", "#8a5a00"
LEGEND = "arrow: causes; dashes: linked, which way is not known; number: share of random halves with the edge"

Point = tuple[float, float]


@dataclass(frozen=True)
class Edge:
    """A line from one box to another, its width, and the text at its middle."""

    start: Point
    end: Point
    directed: bool
    width: float
    text: str


@dataclass(frozen=True)
class Layout:
    """Centres and widths of the boxes, and the edges between their borders."""

    centres: list[Point]
    widths: list[float]
    edges: list[Edge]


def draw_graph(names: Sequence[str], marks: np.ndarray, frequency: np.ndarray) -> Image.Image:
    """The graph of marks (A, A), rows to columns, with the share of halves (A, A) that have each edge, or NaN."""
    font, small = ImageFont.load_default(15), ImageFont.load_default(12)
    layout = arrange(names, marks, frequency, [font.getlength(name) for name in names])
    image = Image.new("RGB", (SIZE, SIZE + 30), PAPER)
    draw = ImageDraw.Draw(image)
    for edge in layout.edges:
        colour, thick = (LINE if edge.directed else OPEN), max(round(edge.width), 1)
        for part in [(edge.start, edge.end)] if edge.directed else split_dashes(edge.start, edge.end):
            draw.line(part, colour, thick)
        if edge.directed:
            draw.polygon(make_head(edge), colour)
    for edge in layout.edges:
        middle = label_place(edge)
        box = draw.textbbox(middle, edge.text, small, "mm")
        if edge.text:
            draw.rectangle((box[0] - 2, box[1] - 1, box[2] + 2, box[3] + 1), PAPER)
            draw.text(middle, edge.text, INK, small, anchor="mm")
    for name, (x, y), width in zip(names, layout.centres, layout.widths, strict=True):
        draw.rounded_rectangle((x - width / 2, y - HEIGHT / 2, x + width / 2, y + HEIGHT / 2), 8, PAPER, INK)
        draw.text((x, y), name, INK, font, anchor="mm")
    draw.text((SIZE / 2, SIZE + 10), LEGEND, INK, small, anchor="mm")
    return image


def draw_svg(names: Sequence[str], marks: np.ndarray, frequency: np.ndarray) -> str:
    """The same as a file of SVG."""
    layout = arrange(names, marks, frequency, [LETTER * len(name) for name in names])
    parts = []
    for edge in layout.edges:
        (x1, y1), (x2, y2) = edge.start, edge.end
        dashes = None if edge.directed else f"{DASH} {GAP}"
        colour = LINE if edge.directed else OPEN
        parts.append(element("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=colour, stroke_width=edge.width,
                             stroke_dasharray=dashes))  # fmt: skip
        if edge.directed:
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in make_head(edge))
            parts.append(element("polygon", points=points, fill=colour))
    for edge in layout.edges:
        x, y = label_place(edge)
        parts.append(element("text", edge.text, x=x, y=y + 4, font_size=12.0, text_anchor="middle", stroke=PAPER,
                             stroke_width=4.0, paint_order="stroke", fill=INK))  # fmt: skip
    for name, (x, y), width in zip(names, layout.centres, layout.widths, strict=True):
        parts.append(element("rect", x=x - width / 2, y=y - HEIGHT / 2, width=width, height=float(HEIGHT), rx=8.0,
                             fill=PAPER, stroke=INK))  # fmt: skip
        parts.append(element("text", name, x=x, y=y + 5, font_size=15.0, text_anchor="middle", fill=INK))
    parts.append(element("text", LEGEND, x=SIZE / 2, y=SIZE + 14.0, font_size=12.0, text_anchor="middle", fill=INK))
    ground = element("rect", width="100%", height="100%", fill=PAPER)
    svg = element("svg", element("title", "graph of the attributes"), ground, parts, xmlns="http://www.w3.org/2000/svg",
                  viewBox=f"0 0 {SIZE} {SIZE + 30}", font_family="sans-serif")  # fmt: skip
    return f"{svg}\n"


def arrange(names: Sequence[str], marks: np.ndarray, frequency: np.ndarray, lengths: Sequence[float]) -> Layout:
    """The places of boxes and edges, for names of these lengths in pixels."""
    radius, middle = SIZE / 2 - MARGIN, SIZE / 2
    angles = [2 * math.pi * place / len(names) - math.pi / 2 for place in range(len(names))]
    centres = [(middle + radius * math.cos(angle), middle + radius * math.sin(angle)) for angle in angles]
    widths = [length + 2 * PAD for length in lengths]
    edges = []
    for a, b in np.argwhere(marks > 0).tolist():
        if marks[a, b] == DIRECTED or a < b:
            share = float(frequency[a, b])
            known = math.isfinite(share)
            ends = [leave_box(centres[i], widths[i], centres[j]) for i, j in ((a, b), (b, a))]
            width = WIDTHS[0] + (WIDTHS[1] - WIDTHS[0]) * (share if known else 1.0)
            edges.append(Edge(ends[0], ends[1], marks[a, b] == DIRECTED, width, f"{share:.2f}" if known else ""))
    return Layout(centres, widths, edges)


def leave_box(centre: Point, width: float, towards: Point) -> Point:
    """Where the line from a box's centre towards a point leaves the box."""
    dx, dy = towards[0] - centre[0], towards[1] - centre[1]
    scale = min(
        (width / 2 + 2) / abs(dx) if abs(dx) > 1e-9 else math.inf,
        (HEIGHT / 2 + 2) / abs(dy) if abs(dy) > 1e-9 else math.inf,
        0.5,
    )
    return centre[0] + scale * dx, centre[1] + scale * dy


def label_place(edge: Edge) -> Point:
    """Where an edge's text stands: off the middle, where many lines of a circle cross."""
    return tuple(0.62 * a + 0.38 * b for a, b in zip(edge.start, edge.end, strict=True))  # type: ignore[return-value]


def make_head(edge: Edge) -> list[Point]:
    """The corners of an arrow's head."""
    (x1, y1), (x2, y2) = edge.start, edge.end
    length = math.hypot(x2 - x1, y2 - y1) or 1.0
    ux, uy = (x2 - x1) / length, (y2 - y1) / length
    back, half = (x2 - HEAD * ux, y2 - HEAD * uy), HEAD / 2.2
    return [(x2, y2), (back[0] - half * uy, back[1] + half * ux), (back[0] + half * uy, back[1] - half * ux)]


def split_dashes(start: Point, end: Point) -> list[tuple[Point, Point]]:
    """The dashes of a line."""
    length = math.hypot(end[0] - start[0], end[1] - start[1]) or 1.0
    at = [(start[0] + t * (end[0] - start[0]), start[1] + t * (end[1] - start[1])) for t in (0.0, 1.0)]
    (x1, y1), (x2, y2) = at
    shares = [(d / length, min(d + DASH, length) / length) for d in np.arange(0, length, DASH + GAP).tolist()]
    return [((x1 + a * (x2 - x1), y1 + a * (y2 - y1)), (x1 + b * (x2 - x1), y1 + b * (y2 - y1))) for a, b in shares]
