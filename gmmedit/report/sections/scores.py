"""The figures: our edits category by category, and ours beside the rivals'."""

import torch

from gmmedit.artifacts import Artifact
from gmmedit.editors import catalogue as editor_catalogue
from gmmedit.evaluation.figures import DRAWS
from gmmedit.evaluation.metrics import editing
from gmmedit.evaluation.results import (
    AT,
    categories_of,
    groups_of,
    held_of,
    read_figures,
    rescoring_matrix,
    score_tables,
    seen_by,
)
from gmmedit.pictures.charts import Axis, Line, chart
from gmmedit.pictures.markup import Html, element, folded, heat_map, items, note, paragraph, signed, table
from gmmedit.pictures.page import Section
from gmmedit.report.examples import leading_editor
from gmmedit.run.folder import RunFolder, layout_of

GRID = 20  # steps of the flip rate along a trade-off curve
GLOSSARY = [
    "DT: area under the share of other labels kept over the share of targets flipped; 1 is perfect",
    "best flip: the most targets flipped at any strength",
    f"kept@{AT:g}, worst kept: share of the other attributes that keep their value where {AT:g} of the targets have "
    "flipped, on average and of the worst attribute; [0.88]: only so many categories get there",
    "AD, max AD: how far the other labels move, in standard deviations, when the target has moved by one",
    f"drift@{AT:g}: how far what the judge reads beside the attributes (pose, background, ...) moves; 2 is all of it",
    "entangled: what all other labels change, for each unit that the target changes",
]

Figures = dict[tuple[str, str, str], dict]


def at_a_glance(run: RunFolder) -> list[str]:
    """The result in a few lines."""
    samples, labels, scored = (run.there.get(kind) for kind in ("samples", "labels", "evaluation"))
    lines = []
    if samples:
        lines.append(f"{samples.spec.n} samples of {(samples.spec.generator or {}).get('name')}")
    if labels:
        count = sum(len(values) for _, values in labels.attributes)
        name = (labels.spec.classifier or {}).get("name")
        lines.append(f"{len(labels.attributes)} attributes with {count} values, labelled by {name}")
    if scored:
        lines += verdict(scored)
    return lines


def verdict(scored: Artifact) -> list[str]:
    figures, editor = known(scored), leading_editor(scored)
    dt, kept = figures[editor, "dt", "all"], figures[editor, f"preservation@{AT:g}", "all"]
    hardest = min(categories_of(scored), key=lambda name: figures[editor, "dt", name]["value"])
    judge = (scored.spec.classifier or {}).get("name")
    who = f"{editor}, judged by {judge} on {scored.spec.n} unseen samples"
    lines = [f"{who}: DT {interval(dt)}; in brackets the 95 % interval"]
    if kept["value"] is not None:
        share = figures[editor, f"categories@{AT:g}", "all"]["value"]
        where = f"where {AT:g} of the targets have flipped ({share:.0%} of the categories get there)"
        lines.append(f"{where}, {interval(kept)} of the other attributes keep their value")
    return [*lines, f"hardest: {hardest}, DT {interval(figures[editor, 'dt', hardest])}"]


def known(scored: Artifact) -> Figures:
    return {(row["method"], row["metric"], row["attribute"]): row for row in read_figures(scored.path)}


def interval(row: dict) -> str:
    text = f"{row['value']:.3f}"
    return text if row["low"] is None else f"{text} ({row['low']:.3f}-{row['high']:.3f})"


def evaluation_section(run: RunFolder) -> Section:
    if "evaluation" not in run.there:
        return Section("evaluation", "Evaluation", [note(run.missing["evaluation"])])
    scored = run.there["evaluation"]
    report = score_tables(scored.path)
    contents = [
        paragraph(f"{scored.spec.n} samples that no fit has seen; only those without a value are edited towards it."),
        *(note(text) for text in report["notes"]),
        *(table(it["columns"], it["rows"], it["title"]) for it in report["tables"]),
        folded("What the columns mean", items(GLOSSARY)),
        element("h3", "What moves with what"),
        rescoring_map(scored),
        *fidelity(scored),
    ]
    return Section("evaluation", "Evaluation", contents)


def rescoring_map(scored: Artifact) -> Html:
    """InterFaceGAN's re-scoring matrix: targets down, labels across."""
    names, layout = categories_of(scored), layout_of(scored)
    matrix = rescoring_matrix(scored, leading_editor(scored)).numpy()
    columns = [i for c in layout.columns for i in (range(c.start, c.stop) if c.stop - c.start > 2 else [c.stop - 1])]
    shown = matrix[:, columns]
    texts = [[signed(value) for value in row] for row in shown]
    caption = (
        f"Mean change of every label (across) by edits towards a category (down), at the strength that flips {AT:g} of "
        "them, or as many as can be. Orange: rises, blue: falls. Colour anywhere but in the row's own attribute is "
        "entanglement."
    )
    return heat_map([names[i] for i in columns], names, shown, texts, caption)


def fidelity(scored: Artifact) -> list[Html]:
    """Whether what a component draws is what the judge sees."""
    figures, n = known(scored), int(scored["fidelity/hits"].shape[1])
    rows = [
        [name, interval(figures["mixture", "fidelity", name]), interval(figures["mixture", "fidelity_error", name])]
        for name in categories_of(scored)
    ]
    return [
        element("h3", "Sampling fidelity"),
        table(
            ["component", "judged so (95 %)", "|label - coefficient|"], rows,
            f"{n} samples drawn from each component of the mixture, generated and judged: the share that is judged to "
            "have its value, and how far the judge's label is from what the mixture says.",
        ),
    ]  # fmt: skip


def comparison_section(run: RunFolder) -> Section:
    if "comparison" not in run.there:
        return Section("comparison", "Comparison", [note(run.missing["comparison"])])
    scored = run.there["comparison"]
    report, groups = score_tables(scored.path), groups_of(layout_of(scored))
    kinds = [group for group in groups if group != "all"] or ["all"]
    contents = [
        paragraph(
            "Every method edits the same samples. Along a line the strength grows: to the right more targets flip, and "
            "the higher the line stays, the fewer other attributes change with them. A line that ends early cannot "
            "flip more."
        ),
        *(note(text) for text in report["notes"]),
        element("div", [trade_off(scored, group, groups[group]) for group in kinds], class_="pair"),
        *(table(it["columns"], it["rows"], it["title"]) for it in report["tables"][:-1]),
        folded("What the columns mean", items(GLOSSARY)),
    ]
    return Section("comparison", "Comparison", contents)


def trade_off(scored: Artifact, group: str, members: list[int]) -> Html:
    """Share of other attributes kept against the flip rate, a line for each method."""
    editors = scored.attrs["editors"]
    lines = [trade_off_line(scored, editor, members, style) for style, editor in enumerate(editors)]
    n = sum(scored[f"seen/{editors[0]}/{c}/rows"].size for c in members)
    values = [value for line in lines for value in [*line.y, *(line.low or [])]]
    caption = f"{group} attributes: means over {len(members)} categories, {n} edits; bands: 95 % intervals over images."
    alt = f"share of other attributes kept against share of targets flipped, {len(lines)} methods, {group} attributes"
    x, y = Axis("targets flipped", 0, 1), Axis.around("other attributes kept", values)
    return chart(lines, x, y, caption, alt)


def trade_off_line(scored: Artifact, editor: str, members: list[int], style: int) -> Line:
    """Means over the categories at equal strength, read at equal flip rates; intervals are over images."""
    layout, flips, kept = layout_of(scored), [], []
    for category in members:
        seen, (attribute, value) = seen_by(scored, editor, category), layout.locate(category)
        weights = editing.bootstrap_weights(seen.logits.shape[1], DRAWS, category).double()
        same = editing.kept(seen.logits[0], seen.logits, layout.columns, held_of(layout, attribute)).mean(2)
        flips.append(editing.flipped(seen.logits, layout.columns, attribute, value).double() @ weights)
        kept.append(same.double() @ weights)
    flip, keep = torch.stack(flips).mean(0), torch.stack(kept).mean(0)  # (S, 1 + B)
    rates = torch.linspace(0, float(flip[:, 0].max()), GRID + 1).tolist()
    found = torch.stack([editing.at_flip_rate(flip, keep, rate) for rate in rates])  # (rates, 1 + B)
    bounds = found[:, 1:].nanquantile(torch.tensor([0.025, 0.975], dtype=torch.float64), 1)
    low, high = bounds.tolist()
    return Line(editor, rates, found[:, 0].tolist(), style, low, high, strong=editor_catalogue.entry(editor).from_run)
