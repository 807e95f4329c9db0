"""The section of edits: for every category a strip of images, and the labels against the strength."""

import numpy as np
import torch
from torch import Tensor

from gmmedit.artifacts import Artifact
from gmmedit.evaluation.figures import DRAWS
from gmmedit.evaluation.metrics import editing
from gmmedit.evaluation.results import category_names, layout_of
from gmmedit.pictures.charts import Axis, Line, render_chart
from gmmedit.pictures.markup import Html, element, embed_images, note, paragraph
from gmmedit.pictures.page import Section, step_selector
from gmmedit.report.examples import leading_editor
from gmmedit.report.strips import MOST_SEARCHED, Strips
from gmmedit.run.folder import RunFolder

WITHOUT = f"none of {MOST_SEARCHED} unseen samples lacks {{}}"
NAMED = 4  # curves with a legend entry, besides the target's


def edits_section(run: RunFolder, strips: Strips | None) -> Section:
    """The section of edits; a note if there are neither strips nor an evaluation."""
    scored, named = run.opened.get("evaluation"), run.opened.get("mixture") or run.opened.get("evaluation")
    missing = [note(run.missing[kind]) for kind in ("strips", "evaluation") if kind in run.missing]
    if named is None or (strips is None and scored is None):
        return Section("edits", "Edits", missing)
    contents = [
        paragraph(
            "Samples that no fit has seen and that lack a value, edited towards it. The strength grows from top to "
            "bottom; only the edited attribute should change. The buttons show a single strength. In the chart the "
            "thick line should rise and the others stay at 0. Strength 1 reaches the component of the target value."
        ),
        *missing,
        *(note(text) for text in (strips.notes if strips else [])),
    ]
    layout = layout_of(named)
    for category, name in enumerate(category_names(named)):
        attribute, value = layout.locate(category)
        if value == 0:
            contents.append(element("h3", named.attributes[attribute][0]))
        shown = strips is not None and len(strips.ordinary(category)) > 0
        parts = [strip_figure(strips, category, name) if shown else note(WITHOUT.format(name))] if strips else []
        parts += [change_curves(named, scored, strips, category)] if scored or shown else []
        contents += [element("h4", name), element("div", parts, class_="pair")]
    return Section("edits", "Edits", contents)


def strip_figure(strips: Strips, category: int, name: str) -> Html:
    """Images of samples side by side, a row for each strength, with the labelling classifier's labels below."""
    chosen = strips.ordinary(category)
    rows = []
    for s, strength in enumerate(strips.strengths[chosen[0]]):
        alt = f"{len(chosen)} samples at strength {strength:g} towards {name}"
        shown = [embed_images(strips.images[chosen, s], alt), captions_below(strips.labels[chosen, s, category])]
        rows.append((f"{strength:g}", element("figure", element("b", f"{strength:g}"), shown)))
    seeds = ", ".join(str(seed) for seed in strips.seeds[chosen])
    legend = f"Strength. Below each image: probability of {name} by the labelling classifier. Seeds {seeds}."
    return step_selector(f"strip{category}", legend, rows)


def captions_below(labels: np.ndarray) -> Html:
    """A label in [0, 1] below each image of a row."""
    cells = [element("span", f"{label:.2f}") for label in labels]
    return element("figcaption", cells, class_="under", style=f"grid-template-columns:repeat({len(cells)},1fr)")


def change_curves(named: Artifact, scored: Artifact | None, strips: Strips | None, category: int) -> Html:
    """Curves of the labels from the evaluation, else from the few samples shown."""
    if scored:
        observed = scored.group(f"seen/{leading_editor(scored)}/{category}")
        logits = torch.from_numpy(observed["logits"])
        labels = torch.cat([logits[..., c].softmax(-1) for c in layout_of(scored).columns], -1)
        evaluator = (scored.spec.classifier or {}).get("name")
        source = f"{labels.shape[1]} edits by {leading_editor(scored)}, evaluated by {evaluator}"
        return label_curves(named, category, observed["strengths"], labels, source)
    assert strips is not None
    chosen = strips.ordinary(category)
    labels = torch.from_numpy(strips.labels[chosen]).transpose(0, 1)
    source = f"only the {len(chosen)} samples shown, by the labelling classifier"
    return label_curves(named, category, strips.strengths[chosen[0]], labels, source)


def label_curves(named: Artifact, category: int, strengths: np.ndarray, labels: Tensor, source: str) -> Html:
    """A chart of the change of the mean labels (S, n, K): the target and those that change most named, others faint."""
    weights = editing.bootstrap_weights(labels.shape[1], DRAWS, category).double()
    change = (labels - labels[0]).double().transpose(1, 2) @ weights  # (S, K, 1 + B)
    low, high = change[..., 1:].quantile(torch.tensor([0.025, 0.975], dtype=torch.float64), 2)
    largest = change[torch.from_numpy(strengths) <= 1, :, 0].abs().amax(0)  # (K,)
    ranked = sorted(labels_of_others(named, category), key=lambda column: -float(largest[column]))
    styles, names = {c: i for i, c in enumerate([category, *ranked[:NAMED]])}, category_names(named)
    x = [float(strength) for strength in strengths]
    lines = [
        Line(
            names[c], x, change[:, c, 0].tolist(), styles.get(c), low[:, c].tolist(), high[:, c].tolist(), c == category
        )
        for c in [category, *ranked]
    ]
    worst = (
        f"{names[ranked[0]]} changes most among the others: {largest[ranked[0]]:.2f}"
        if ranked
        else "there are no other labels"
    )
    caption = f"n = {source}; bands: 95 % intervals. Up to strength 1, {worst}."
    values = [value for line in lines if line.style is not None for value in [*(line.low or []), *(line.high or [])]]
    alt = f"change of the mean labels against strength towards {names[category]}. {worst}"
    axes = Axis("strength", 0, max(x)), Axis.around("change of mean label", [0, 1, *values])
    return render_chart(lines, *axes, caption, alt, upright=1.0 if max(x) > 1 else None)


def labels_of_others(named: Artifact, category: int) -> list[int]:
    """Columns of the other attributes; the second one of two-valued attributes."""
    layout = layout_of(named)
    own = layout.locate(category)[0]
    others = [c for attribute, c in enumerate(layout.columns) if attribute != own]
    return [i for c in others for i in (range(c.start, c.stop) if c.stop - c.start > 2 else [c.stop - 1])]
