"""What edits look like: for every category a strip, and how all labels go with the strength."""

import numpy as np
import torch
from torch import Tensor

from gmmedit.artifacts import Artifact
from gmmedit.evaluation.figures import DRAWS
from gmmedit.evaluation.metrics import editing
from gmmedit.evaluation.results import categories_of, layout_of
from gmmedit.pictures.charts import Axis, Line, chart
from gmmedit.pictures.markup import Html, element, note, paragraph, picture
from gmmedit.pictures.page import Section, steps
from gmmedit.report.examples import leading_editor
from gmmedit.report.strips import Strips
from gmmedit.run.folder import RunFolder

NAMED = 4  # curves with a name, beside the target's


def edits_section(run: RunFolder, strips: Strips | None) -> Section:
    scored, named = run.there.get("evaluation"), run.there.get("mixture") or run.there.get("evaluation")
    missing = [note(run.missing[kind]) for kind in ("strips", "evaluation") if kind in run.missing]
    if named is None or (strips is None and scored is None):
        return Section("edits", "Edits", missing)
    contents = [
        paragraph(
            "Samples that no fit has seen and that lack a value, moved towards it. Read the pictures downwards: "
            "nothing but the wanted attribute should change. The buttons show one strength alone; step through them to "
            "see what moves. In the chart the thick line should rise and the others stay at 0. Strength 1 is where an "
            "edit arrives."
        ),
        *missing,
        *(note(text) for text in (strips.notes if strips else [])),
    ]
    layout = layout_of(named)
    for category, name in enumerate(categories_of(named)):
        attribute, value = layout.locate(category)
        if value == 0:
            contents.append(element("h3", named.attributes[attribute][0]))
        parts = [strip(strips, category, name)] if strips else []
        parts += [curves(named, scored, strips, category)]
        contents += [element("h4", name), element("div", parts, class_="pair")]
    return Section("edits", "Edits", contents)


def strip(strips: Strips, category: int, name: str) -> Html:
    """Samples side by side, a row for each strength, the labelling classifier's labels below."""
    chosen = strips.ordinary(category)
    rows = []
    for s, strength in enumerate(strips.strengths[chosen[0]]):
        told = f"{len(chosen)} samples at strength {strength:g} towards {name}"
        shown = [picture(strips.images[chosen, s], told), under(strips.labels[chosen, s, category])]
        rows.append((f"{strength:g}", element("figure", element("b", f"{strength:g}"), shown)))
    seeds = ", ".join(str(seed) for seed in strips.seeds[chosen])
    legend = f"Strength. Below each picture, how sure its label is of {name}. Seeds {seeds}."
    return steps(f"strip{category}", legend, rows)


def under(labels: np.ndarray) -> Html:
    """A number below each picture of a row."""
    cells = [element("span", f"{label:.2f}") for label in labels]
    return element("figcaption", cells, class_="under", style=f"grid-template-columns:repeat({len(cells)},1fr)")


def curves(named: Artifact, scored: Artifact | None, strips: Strips | None, category: int) -> Html:
    """Of the evaluation where there is one, else of the few samples shown."""
    if scored:
        seen = scored.group(f"seen/{leading_editor(scored)}/{category}")
        logits = torch.from_numpy(seen["logits"])
        labels = torch.cat([logits[..., c].softmax(-1) for c in layout_of(scored).columns], -1)
        judge = (scored.spec.classifier or {}).get("name")
        who = f"{labels.shape[1]} edits by {leading_editor(scored)}, judged by {judge}"
        return label_curves(named, category, seen["strengths"], labels, who)
    assert strips is not None
    chosen = strips.ordinary(category)
    labels = torch.from_numpy(strips.labels[chosen]).transpose(0, 1)
    who = f"only the {len(chosen)} samples shown, judged by what labelled them"
    return label_curves(named, category, strips.strengths[chosen[0]], labels, who)


def label_curves(named: Artifact, category: int, strengths: np.ndarray, labels: Tensor, who: str) -> Html:
    """Change of the mean labels (S, n, K): the target's and those that change most by name, the others faint."""
    weights = editing.bootstrap_weights(labels.shape[1], DRAWS, category).double()
    change = (labels - labels[0]).double().transpose(1, 2) @ weights  # (S, K, 1 + B)
    low, high = change[..., 1:].quantile(torch.tensor([0.025, 0.975], dtype=torch.float64), 2)
    most = change[torch.from_numpy(strengths) <= 1, :, 0].abs().amax(0)  # (K,)
    ranked = sorted(labels_of_others(named, category), key=lambda column: -float(most[column]))
    styles, names = {c: i for i, c in enumerate([category, *ranked[:NAMED]])}, categories_of(named)
    x = [float(strength) for strength in strengths]
    lines = [
        Line(
            names[c], x, change[:, c, 0].tolist(), styles.get(c), low[:, c].tolist(), high[:, c].tolist(), c == category
        )
        for c in [category, *ranked]
    ]
    worst = f"{names[ranked[0]]} changes most of the others: {most[ranked[0]]:.2f}" if ranked else "there are no others"
    caption = f"n = {who}; bands: 95 % intervals. Up to strength 1, {worst}."
    values = [value for line in lines if line.style is not None for value in [*(line.low or []), *(line.high or [])]]
    alt = f"change of the mean labels against strength towards {names[category]}. {worst}"
    axes = Axis("strength", 0, max(x)), Axis.around("change of mean label", [0, 1, *values])
    return chart(lines, *axes, caption, alt, upright=1.0 if max(x) > 1 else None)


def labels_of_others(named: Artifact, category: int) -> list[int]:
    """Columns of the other attributes; of two-valued ones the second, since the first says the same."""
    layout = layout_of(named)
    own = layout.locate(category)[0]
    others = [c for attribute, c in enumerate(layout.columns) if attribute != own]
    return [i for c in others for i in (range(c.start, c.stop) if c.stop - c.start > 2 else [c.stop - 1])]
