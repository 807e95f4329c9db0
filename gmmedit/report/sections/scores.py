"""The sections of scores: our editor by category, and all editors side by side."""

import torch

from gmmedit.artifacts import Artifact
from gmmedit.editors import catalogue as editor_catalogue
from gmmedit.evaluation.figures import DRAWS
from gmmedit.evaluation.metrics import editing
from gmmedit.evaluation.results import (
    AT,
    category_groups,
    category_names,
    held_attributes,
    observations_of,
    read_figures,
    rescoring_matrix,
)
from gmmedit.evaluation.tables import score_tables
from gmmedit.pictures.charts import Axis, Line, render_chart
from gmmedit.pictures.markup import Html, details, element, format_signed, heat_map, items, note, paragraph, table
from gmmedit.pictures.page import Section
from gmmedit.report.examples import leading_editor
from gmmedit.run.folder import RunFolder, layout_of

GRID = 20  # steps of the flip rate along a trade-off curve
GLOSSARY = [
    "DT: area under the share of other labels kept over the flip rate of the target; 1 is best",
    "best flip: highest flip rate of the target at any strength",
    f"kept@{AT:g}, worst kept: share of the other attributes that keep their value at flip rate {AT:g}, on average and "
    "for the worst attribute; in brackets: share of the categories that reach that flip rate, if below 1",
    "AD, max AD: change of the other labels, in standard deviations, when the target has changed by one",
    f"drift@{AT:g}: change of the evaluation classifier's other outputs (pose, background, ...), in their standard "
    "deviations",
    "entangled: total change of all other labels per unit of change of the target",
]
GLOSSARY_AT_ONE = [
    "flips, label flips: share of the images without the value that get it at strength 1, by the evaluation classifier "
    "and by the labelling one; to be read beside the share of unedited samples on which the two agree (agreement)",
    "kept, worst kept: share of the other attributes that keep their value, on average and for the worst attribute",
    "identity: cosine of the features with those of the original; last row: of two samples",
    "image change: mean absolute change of the image, in units of the mean difference between two samples",
    "drift: change of the evaluation classifier's other outputs, in standard deviations; last row: between two samples",
    "precision: share of the edits among samples that have the value; own: of such samples among others",
    "KID: distance of the edits from samples that have the value; last row: of such samples from others, about 0",
    "reversal: distance from the original after an edit and its undoing, in the units of image change",
    "directions without a unit of strength are measured where they first reach 0.95 of their best flip rate",
]

Figures = dict[tuple[str, str, str], dict]


def summarise(run: RunFolder) -> list[str]:
    """The main results in a few lines."""
    samples, labels, scored = (run.opened.get(kind) for kind in ("samples", "labels", "evaluation"))
    lines = []
    if samples:
        lines.append(f"{samples.spec.n} samples of {(samples.spec.generator or {}).get('name')}")
    if labels:
        count = sum(len(values) for _, values in labels.attributes)
        name = (labels.spec.classifier or {}).get("name")
        lines.append(f"{len(labels.attributes)} attributes with {count} values, labelled by {name}")
    if scored:
        lines += summarise_scores(scored)
    return lines


def summarise_scores(scored: Artifact) -> list[str]:
    """The scores of the first editor in a few lines."""
    figures, editor = index_figures(scored), leading_editor(scored)
    dt, kept = figures[editor, "dt", "all"], figures[editor, f"preservation@{AT:g}", "all"]
    evaluator = (scored.spec.classifier or {}).get("name")
    evaluator = f"a regression of {evaluator}" if "reader" in scored.spec.config else evaluator
    subject = f"{editor}, evaluated by {evaluator} on {scored.spec.n} unseen samples"
    if dt["value"] is None:  # a single attribute, beside which nothing is kept
        return [f"{subject}: {format_interval(figures[editor, 'flips@1', 'all'])} flip at strength 1"]
    hardest = min(category_names(scored), key=lambda name: figures[editor, "dt", name]["value"])
    lines = [f"{subject}: DT {format_interval(dt)}; 95 % intervals in brackets"]
    if kept["value"] is not None:
        share = figures[editor, f"categories@{AT:g}", "all"]["value"]
        place = f"at flip rate {AT:g} ({share:.0%} of the categories reach it)"
        lines.append(f"{place}, {format_interval(kept)} of the other attributes keep their value")
    return [*lines, f"hardest: {hardest}, DT {format_interval(figures[editor, 'dt', hardest])}"]


def index_figures(scored: Artifact) -> Figures:
    """All figures by method, metric and attribute."""
    return {(row["method"], row["metric"], row["attribute"]): row for row in read_figures(scored.path)}


def format_interval(row: dict) -> str:
    """A value with its interval, if it has one."""
    text = f"{row['value']:.3f}"
    return text if row["low"] is None else f"{text} ({row['low']:.3f}-{row['high']:.3f})"


def evaluation_section(run: RunFolder) -> Section:
    """Scores, re-scoring matrix and sampling fidelity; a note if there is no evaluation."""
    if "evaluation" not in run.opened:
        return Section("evaluation", "Evaluation", [note(run.missing["evaluation"])])
    scored = run.opened["evaluation"]
    report = score_tables(scored.path)
    contents = [
        paragraph(f"{scored.spec.n} samples that no fit has seen; only those without a value are edited towards it."),
        *(note(text) for text in report["notes"]),
        *(table(part["columns"], part["rows"], part["title"]) for part in [*report["tables"], *report["categories"]]),
        details("What the columns mean", items([*GLOSSARY, *GLOSSARY_AT_ONE])),
        element("h3", "Changes of all labels"),
        rescoring_map(scored),
        *fidelity_tables(scored),
    ]
    return Section("evaluation", "Evaluation", contents)


def rescoring_map(scored: Artifact) -> Html:
    """A heat map of InterFaceGAN's re-scoring matrix: rows are targets, columns labels."""
    names, layout = category_names(scored), layout_of(scored)
    matrix = rescoring_matrix(scored, leading_editor(scored)).numpy()
    columns = [i for c in layout.columns for i in (range(c.start, c.stop) if c.stop - c.start > 2 else [c.stop - 1])]
    shown = matrix[:, columns]
    texts = [[format_signed(value) for value in row] for row in shown]
    caption = (
        f"Mean change of every label (columns) by edits towards a category (rows), at flip rate {AT:g} or the highest "
        "reached. Orange: increase, blue: decrease. Changes outside the row's own attribute are entanglement."
    )
    return heat_map([names[i] for i in columns], names, shown, texts, caption)


def fidelity_tables(scored: Artifact) -> list[Html]:
    """Tables of sampling fidelity: draws from a component, as classified."""
    figures, n = index_figures(scored), int(scored["fidelity/hits"].shape[1])
    rows = [
        [
            name,
            format_interval(figures["mixture", "fidelity", name]),
            format_interval(figures["mixture", "fidelity_error", name]),
        ]
        for name in category_names(scored)
    ]
    return [
        element("h3", "Sampling fidelity"),
        table(
            ["component", "classified so (95 %)", "|label - coefficient|"], rows,
            f"{n} samples drawn from each component and generated: share classified as its value, and mean difference "
            "between the evaluation classifier's label and the mixture's coefficient.",
        ),
    ]  # fmt: skip


def comparison_section(run: RunFolder) -> Section:
    """Trade-off curves and scores of all editors; a note if there is no comparison."""
    if "comparison" not in run.opened:
        return Section("comparison", "Comparison", [note(run.missing["comparison"])])
    scored = run.opened["comparison"]
    report, groups = score_tables(scored.path), category_groups(layout_of(scored))
    kinds = [group for group in groups if group != "all"] or ["all"]
    several = len(scored.attributes) > 1
    drawn = [trade_off(scored, group, groups[group]) for group in kinds] if several else []
    contents = [
        paragraph(
            "All methods edit the same samples. The strength grows along a line: further right, more targets flip; "
            "higher, more of the other attributes keep their value. A line ends at the method's highest flip rate."
        ),
        *(note(text) for text in report["notes"]),
        *([element("div", drawn, class_="pair")] if drawn else []),
        *(table(part["columns"], part["rows"], part["title"]) for part in report["tables"]),
        details("What the columns mean", items([*GLOSSARY, *GLOSSARY_AT_ONE])),
    ]
    return Section("comparison", "Comparison", contents)


def trade_off(scored: Artifact, group: str, categories: list[int]) -> Html:
    """A chart of the share of other attributes kept against the flip rate, a line per method."""
    editors = scored.attrs["editors"]
    lines = [trade_off_line(scored, editor, categories, style) for style, editor in enumerate(editors)]
    n = sum(scored[f"seen/{editors[0]}/{c}/rows"].size for c in categories)
    values = [value for line in lines for value in [*line.y, *(line.low or [])]]
    caption = (
        f"{group} attributes: means over {len(categories)} categories, {n} edits; bands: 95 % intervals over images."
    )
    alt = f"share of other attributes kept against share of targets flipped, {len(lines)} methods, {group} attributes"
    x, y = Axis("targets flipped", 0, 1), Axis.around("other attributes kept", values)
    return render_chart(lines, x, y, caption, alt)


def trade_off_line(scored: Artifact, editor: str, categories: list[int], style: int) -> Line:
    """Means over categories at equal strengths, interpolated at equal flip rates; 95 % intervals over images."""
    layout, flips, kept = layout_of(scored), [], []
    for category in categories:
        observed, (attribute, value) = observations_of(scored, editor, category), layout.locate(category)
        weights = editing.bootstrap_weights(observed.logits.shape[1], DRAWS, category).double()
        same = editing.kept(
            observed.logits[0], observed.logits, layout.columns, held_attributes(scored, attribute)
        ).mean(2)
        flips.append(editing.flipped(observed.logits, layout.columns, attribute, value).double() @ weights)
        kept.append(same.double() @ weights)
    flip, keep = torch.stack(flips).mean(0), torch.stack(kept).mean(0)  # (S, 1 + B)
    rates = torch.linspace(0, float(flip[:, 0].max()), GRID + 1).tolist()
    found = torch.stack([editing.at_flip_rate(flip, keep, rate) for rate in rates])  # (rates, 1 + B)
    bounds = found[:, 1:].nanquantile(torch.tensor([0.025, 0.975], dtype=torch.float64), 1)
    low, high = bounds.tolist()
    return Line(editor, rates, found[:, 0].tolist(), style, low, high, strong=editor_catalogue.entry(editor).from_run)
