"""What edits look like: a strip and its curve for every category, the best edits and the worst."""

import numpy as np
import torch
from torch import Tensor

from gmmedit.artifacts import Artifact
from gmmedit.evaluation import metrics
from gmmedit.evaluation.figures import DRAWS
from gmmedit.pictures.charts import Axis, Line, chart, finite
from gmmedit.pictures.markup import Html, element, folded, note, paragraph, picture
from gmmedit.pictures.page import Section, steps
from gmmedit.stages.shared.figuring import categories_of, layout_of
from gmmedit.stages.shared.gathering import Gathered
from gmmedit.stages.shared.picking import BEST, ORDINARY, WORST, Pick, leading_editor

NAMED = 4  # curves with a name, beside the target's
MOST_WORST, MOST_BEST = 8, 4  # that are not folded


def edits_section(run: Gathered, strips: Artifact | None) -> Section:
    """Every category: its strip, and how all labels go with the strength."""
    scored = run.there.get("evaluation")
    if strips is None and scored is None:
        return Section("edits", "Edits", [note(run.missing[kind]) for kind in ("mixture", "evaluation")])
    contents = [paragraph(
        "Six samples that no fit has seen and that lack the value, moved towards it. Read down: nothing but the wanted "
        "attribute should change. A button shows one strength alone; step through them to see what moves. Beside it, "
        "every label against the strength: the thick line should rise, the others stay level. Strength 1 is where an "
        "edit arrives."
    )]  # fmt: skip
    for missing in ("strips", "evaluation"):
        if missing in run.missing:
            contents.append(note(run.missing[missing]))
    known = scored or strips
    assert known is not None
    contents += [note(text) for text in (strips.attrs["notes"] if strips else [])]
    for category, name in enumerate(categories_of(known)):
        value = layout_of(known).locate(category)[1]
        title = [element("h3", known.attributes[layout_of(known).locate(category)[0]][0])] if value == 0 else []
        parts = [strip(strips, category)] if strips else []
        parts.append(curve_of_evaluation(scored, category) if scored else curve_of_strips(known, category))
        contents += [*title, element("h4", name), element("div", parts, class_="pair")]
    return Section("edits", "Edits", contents)


def strip(strips: Artifact, category: int) -> Html:
    """Samples side by side, a row for each strength, the labelling classifier's labels below."""
    chosen = (strips["categories"] == category) & (strips["roles"] == ORDINARY)
    images, labels = strips["images"][chosen], strips["labels"][chosen][..., category]
    name, seeds = categories_of(strips)[category], strips["seeds"][chosen]
    rows = []
    for s, strength in enumerate(finite(strips["strengths"][chosen][0])):
        told = f"{len(images)} samples at strength {strength:g} towards {name}"
        figure = element("figure", picture(images[:, s], told), under(labels[:, s]))
        rows.append((f"{strength:g}", figure))
    legend = f"Strength; below each picture its label {name}. Seeds {', '.join(str(seed) for seed in seeds)}."
    return steps(f"strip{category}", legend, rows)


def under(labels: np.ndarray) -> Html:
    """A number below each picture of a row."""
    cells = [element("span", f"{label:.2f}") for label in labels]
    return element("figcaption", cells, class_="under", style=f"grid-template-columns:repeat({len(cells)},1fr)")


def curve_of_evaluation(scored: Artifact, category: int) -> Html:
    logits = torch.from_numpy(scored[f"seen/{leading_editor(scored)}/{category}/logits"])
    labels = torch.cat([logits[..., c].softmax(-1) for c in layout_of(scored).columns], -1)
    judge = scored.question.classifier or {}
    who = f"{labels.shape[1]} edits by {leading_editor(scored)}, judged by {judge.get('name')}; bands: 95 % intervals."
    return label_curves(scored, category, finite(scored[f"seen/{leading_editor(scored)}/{category}/strengths"]), labels, who)


def curve_of_strips(strips: Artifact, category: int) -> Html:
    chosen = (strips["categories"] == category) & (strips["roles"] == ORDINARY)
    labels = torch.from_numpy(strips["labels"][chosen]).transpose(0, 1)
    who = f"Only the {labels.shape[1]} samples shown, as the labelling classifier sees them; bands: 95 % intervals."
    return label_curves(strips, category, finite(strips["strengths"][chosen][0]), labels, who)


def label_curves(it: Artifact, category: int, strengths: list[float], labels: Tensor, who: str) -> Html:
    """Mean labels (S, n, K) against the strengths: the target and those that move most by name, the others faint."""
    weights = metrics.bootstrap_weights(labels.shape[1], DRAWS, category).double()
    means = labels.double().transpose(1, 2) @ weights  # (S, K, 1 + B)
    low, high = means[..., 1:].quantile(torch.tensor([0.025, 0.975], dtype=torch.float64), 2)
    until = torch.tensor(strengths) <= 1
    moved = (means[until, :, 0] - means[0, :, 0]).abs().amax(0)  # (K,)
    names, others = categories_of(it), shown_columns(it, category)
    ranked = sorted(others, key=lambda column: -float(moved[column]))
    styles = {category: 0} | {column: i + 1 for i, column in enumerate(ranked[:NAMED])}
    lines = [
        Line(names[c], strengths, means[:, c, 0].tolist(), styles.get(c), low[:, c].tolist(), high[:, c].tolist(),
             strong=c == category)
        for c in [category, *ranked]
    ]  # fmt: skip
    most = f"{names[ranked[0]]} by {moved[ranked[0]]:.2f}" if ranked else "nothing"
    caption = f"n = {who} Until strength 1, of the other labels {most} moves most."
    alt = f"labels against strength towards {names[category]}; of the others {most} moves most"
    x, y = Axis("strength", 0, max(strengths)), Axis("mean label", 0, 1)
    return chart(lines, x, y, caption, alt, upright=1.0 if max(strengths) > 1 else None)


def shown_columns(it: Artifact, category: int) -> list[int]:
    """Labels of the other attributes; of two-valued ones the second, since the first says the same."""
    layout = layout_of(it)
    own = layout.locate(category)[0]
    wide = [c for c in layout.columns if c != layout.columns[own]]
    rest = [i for c in wide for i in (range(c.start, c.stop) if c.stop - c.start > 2 else [c.stop - 1])]
    siblings = layout.columns[own]
    return rest + [
        i for i in range(siblings.start, siblings.stop) if i != category and siblings.stop - siblings.start > 2
    ]


def extremes_section(run: Gathered, strips: Artifact | None, picks: list[Pick]) -> Section:
    """The best edits and the worst, sorted by what the judge saw."""
    if "evaluation" not in run.there:
        return Section("extremes", "Best and worst edits", [note(run.missing["evaluation"])])
    if not picks or strips is None:
        why = run.missing.get(
            "strips", "the evaluated editors are none of the mixture's: gmmedit evaluate makes it again"
        )
        return Section("extremes", "Best and worst edits", [note(why)])
    scored = run.there["evaluation"]
    worst = sorted((it for it in picks if it.role == WORST), key=lambda it: it.badness, reverse=True)
    best = sorted((it for it in picks if it.role == BEST), key=lambda it: it.badness)
    total = sum(scored[f"seen/{leading_editor(scored)}/{c}/rows"].size for c in range(layout_of(scored).categories))
    contents = [paragraph(
        f"Picked by number among {total} edits, one of each kind for every category: edits in which the judge never sees "
        "the wanted value come last, then what counts is how far the other labels moved, in standard deviations, at the "
        "least strength that gets there. Left to right the strength grows from 0 to that; below each picture, the "
        "labelling classifier's label: where it disagrees with the judge, one of them is fooled."
    )]  # fmt: skip
    for title, chosen, most in (("Worst", worst, MOST_WORST), ("Best", best, MOST_BEST)):
        cards = [card(scored, strips, pick) for pick in chosen]
        contents += [element("h3", title), element("div", cards[:most], class_="picks")]
        if cards[most:]:
            contents.append(folded(f"{len(cards) - most} more", element("div", cards[most:], class_="picks")))
    return Section("extremes", "Best and worst edits", contents)


def card(scored: Artifact, strips: Artifact, pick: Pick) -> Html:
    """One picked edit: its strip, and what the judge saw."""
    same = (strips["categories"] == pick.category) & (strips["seeds"] == pick.seed) & (strips["roles"] == pick.role)
    row = int(np.flatnonzero(same)[0])
    name, attributes = categories_of(scored)[pick.category], [attribute for attribute, _ in scored.attributes]
    arrives = f"arrives at strength {pick.strength:g}" if pick.reached else "never arrives"
    told = f"Judge: {arrives} (label {pick.label:.2f}); other labels moved by {pick.moved:.2f} standard deviations"
    lost = f", {', '.join(attributes[a] for a in pick.lost)} changed." if pick.lost else ", none changed its value."
    alt = f"seed {pick.seed} towards {name}, strengths 0 to {pick.strength:g}"
    return element(
        "figure", element("strong", name), picture(strips["images"][row], alt),
        under(strips["labels"][row][:, pick.category]),
        element("figcaption", told, lost, f" Seed {pick.seed}."),
    )  # fmt: skip
