"""One figure of the results of `make bench`: python benchmarks/plot.py FOLDER [FIGURE.svg]

Reads commands.json, fits.json, synthesis.json and loading.json in the folder; what is not there is left out. Bars say
how close something comes to its ceiling, which is 1: the bare loop's throughput, the networks' own time, the matrix
products' speed. A mark is the target. The panel on the right shows how `label` grows with batch and threads.
"""

import json
import statistics
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from gmmedit.pictures.charts import HEIGHT, LEFT, WIDTH, Axis, Line, Projection, draw_frame, draw_line, draw_mark
from gmmedit.pictures.markup import Html, element, join

BAR, ROW, HEAD, NAMES, LONGEST = 13, 21, 30, 290, 300  # pixels: a bar, its row, a heading, names, a bar of 1
MOST = 1.25  # where bars end; whatever is longer is cut off and has its number
HASHING = "loading a 1024-pixel pickle, against hashing it"
GOALS = {("StyleGAN2 256", "fp32"): 0.65, ("StyleGAN3-T 256", "fp32"): 0.4}  # of the matrix products' speed
BASELINES = ("GaussianMixture", "LinearSVC")
STYLE = """
text{font:12px system-ui,"DejaVu Sans",sans-serif;fill:#1b1b1b}.head{font-weight:600}
.chart text{font-size:11px}.grid{stroke:#d4d4d4;fill:none}.axis{stroke:#5c5c5c;fill:none}
.met{fill:#0072b2}.missed{fill:#d55e00}.plain{fill:#8c8c8c}.target{stroke:#1b1b1b;stroke-width:2}
.line path{stroke:currentColor;stroke-width:1.6;fill:none}.line circle,.line .mark{fill:currentColor}
.c0{color:#d55e00}.c1{color:#0072b2}.c2{color:#009e73}.c3{color:#cc79a7}.c4{color:#e69f00}.c5{color:#56b4e9}
"""


@dataclass(frozen=True)
class Bar:
    """A share of an upper bound, and the share that is the target, if there is one."""

    name: str
    share: float
    target: float | None = None

    @property
    def kind(self) -> str:
        if self.target is None:
            return "plain"
        return "met" if self.share >= self.target else "missed"


def main() -> None:
    folder = Path(sys.argv[1])
    figure = Path(sys.argv[2]) if len(sys.argv) > 2 else folder / "speed.svg"
    facts = {name: read_json(folder / f"{name}.json") for name in ("commands", "fits", "synthesis", "loading")}
    if not any(facts.values()):
        sys.exit(f"{folder} holds none of {', '.join(f'{name}.json' for name in facts)}: make bench makes them")
    figure.write_text(draw_figure(groups(facts), (facts["commands"] or {}).get("growth", [])))
    print(f"wrote {figure}")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text()) if path.is_file() else None


def groups(facts: dict[str, Any]) -> dict[str, list[Bar]]:
    """Bars by heading."""
    found: dict[str, list[Bar]] = {}
    if commands := facts["commands"]:
        bars = [Bar(target["name"], target["reached"], target["target"]) for target in commands["targets"]]
        found["commands, of the work that they cannot avoid"] = bars
    if fits := facts["fits"]:
        found["fits: times as fast as scikit-learn"] = baseline_bars(fits["rows"])
    if synthesis := facts["synthesis"]:
        found["synthesis, of the speed of matrix products"] = synthesis_bars(synthesis["rows"])
    if loading := facts["loading"]:
        found["loading"] = [Bar(HASHING, loading["hashing"] / loading["seconds"])]
    return {heading: bars for heading, bars in found.items() if bars}


def baseline_bars(rows: list[dict[str, Any]]) -> list[Bar]:
    """The least seconds of every fit of ours against those of the others."""
    best: dict[str, float] = {}
    for row in rows:
        best[row["fit"]] = min(best.get(row["fit"], row["seconds"]), row["seconds"])
    ours = [name for name in best if name.startswith("fit-")]
    return [Bar(f"{name} / {other}", best[other] / best[name]) for name in ours for other in BASELINES if other in best]


def synthesis_bars(rows: list[dict[str, Any]]) -> list[Bar]:
    """Every network in every precision: the largest batch, on the most threads."""
    ordered = sorted(rows, key=lambda row: (row["threads"], row["batch"]))
    largest = {(row["network"], row["precision"]): row for row in ordered}
    return [
        Bar(f"{name}, batch {row['batch']}, {precision}",
            row["flops"] * row["batch"] / statistics.median(row["seconds"]) / row["peak"], GOALS.get((name, precision)))
        for (name, precision), row in largest.items()
    ]  # fmt: skip


def draw_figure(bars: dict[str, list[Bar]], growth: list[dict[str, Any]]) -> str:
    """The figure as SVG."""
    parts, y = [], 6
    for heading, group in bars.items():
        parts.append(element("text", heading, x=6, y=y + 17, class_="head"))
        y += HEAD
        for bar in group:
            parts += row_of(bar, y)
            y += ROW
    width = NAMES + MOST * LONGEST + 60
    panel, height = [], y + 6
    if growth:
        panel = [element("g", grown(growth), transform=f"translate({width:g} 0)", class_="chart")]
        width, height = width + WIDTH + 10, max(height, HEIGHT + 24 + 18 * len({row["threads"] for row in growth}))
    paper = element("rect", width=float(width), height=float(height), fill="#fff")
    style = Html(f"<style>{STYLE}</style>")
    size = {"viewBox": f"0 0 {width:g} {height:g}", "width": f"{width:g}", "height": f"{height:g}"}
    return element("svg", style, paper, parts, panel, xmlns="http://www.w3.org/2000/svg", **size)


def row_of(bar: Bar, y: float) -> list[Html]:
    long = LONGEST * min(bar.share, MOST)
    text = f"{bar.share:.0%}" if bar.share < 10 else f"{bar.share:.0f} x"
    parts = [
        element("text", bar.name, x=NAMES - 8, y=y + 11, text_anchor="end"),
        element("rect", x=NAMES, y=y, width=long, height=BAR, class_=bar.kind),
        element("text", text, x=NAMES + max(long, LONGEST * (bar.target or 0)) + 6, y=y + 11),
    ]
    if bar.target is not None:
        parts.append(element("path", d=f"M{NAMES + LONGEST * bar.target:g} {y - 3}v{BAR + 6}", class_="target"))
    return parts


def grown(growth: list[dict[str, Any]]) -> Html:
    """Images/s of `label` by batch, a line for each number of threads."""
    lines = [
        Line(
            f"{threads} thread" + "s" * (threads > 1),
            [row["batch"] for row in some],
            [statistics.median(row["ours"]) for row in some],
            i,
        )
        for i, (threads, some) in enumerate((t, list(g)) for t, g in groupby(growth, key=lambda row: row["threads"]))
    ]
    batches, speeds = (
        [value for line in lines for value in values(line)] for values in (lambda line: line.x, lambda line: line.y)
    )
    projection = Projection(
        Axis.around("--batch", batches, log=True), Axis("images/s of label", 0, 1.1 * max(speeds)), WIDTH, HEIGHT
    )
    key: Iterable[Html] = (
        join([
            element("g", draw_mark((LEFT + 8, HEIGHT + 20 + 18 * i), i), class_=f"line c{i}"),
            element("text", line.name, x=LEFT + 20, y=HEIGHT + 24 + 18 * i),
        ])
        for i, line in enumerate(lines)
    )  # fmt: skip
    return join([*draw_frame(projection), *(draw_line(projection, line, marked=True) for line in lines), *key])


if __name__ == "__main__":
    main()
