"""The section of the best and worst edits by the evaluation classifier."""

from gmmedit.artifacts import Artifact
from gmmedit.evaluation.results import category_names
from gmmedit.pictures.markup import Html, details, element, embed_images, note, paragraph
from gmmedit.pictures.page import Section
from gmmedit.report.examples import BEST, WORST, Example, leading_editor
from gmmedit.report.sections.edits import captions_below
from gmmedit.report.strips import Strips
from gmmedit.run.folder import RunFolder

MAX_WORST, MAX_BEST = 8, 4  # that are not collapsed


def extremes_section(run: RunFolder, strips: Strips | None, examples: list[Example]) -> Section:
    """The best and worst edits, worst first; a note if there is no evaluation or no strip."""
    missing = [note(run.missing[kind]) for kind in ("evaluation", "strips") if kind in run.missing]
    scored = run.opened.get("evaluation")
    if scored is None or strips is None:
        return Section("extremes", "Best and worst edits", missing)
    editor = leading_editor(scored)
    if not examples:
        reason = f"the first evaluated editor is {editor}, images are of the mixture: gmmedit evaluate --force"
        return Section("extremes", "Best and worst edits", [note(reason)])
    total = sum(scored[f"seen/{editor}/{c}/rows"].size for c in range(len(category_names(scored))))
    contents = [
        paragraph(
            f"One of each kind per category, selected by figures among {total} edits. The worst are edits in which the "
            "evaluation classifier never predicts the target value; the others are ranked by the change of other "
            "labels, in standard deviations, at the least strength that reaches it. The strength grows from 0 to that "
            "one from left to right. Below each image: probability by the labelling classifier; where the evaluation "
            "classifier disagrees, one of them is wrong."
        )
    ]
    for title, role, limit in (("Worst", WORST, MAX_WORST), ("Best", BEST, MAX_BEST)):
        ranked = sorted(
            (example for example in examples if example.role == role),
            key=lambda example: example.badness,
            reverse=role == WORST,
        )
        cards = [card(scored, strips, example) for example in ranked]
        contents += [element("h3", title), element("div", cards[:limit], class_="examples")]
        if cards[limit:]:
            contents.append(details(f"{len(cards) - limit} more", element("div", cards[limit:], class_="examples")))
    return Section("extremes", "Best and worst edits", contents)


def card(scored: Artifact, strips: Strips, example: Example) -> Html:
    """A figure of one edit: its strip and its evaluation."""
    row, name = strips.row_of(example), category_names(scored)[example.category]
    reached = f"reaches the value at strength {example.strength:g}, label {example.label:.2f}"
    never = f"never reaches the value, highest label {example.label:.2f} at strength {example.strength:g}"
    lost = ", ".join(scored.attributes[a][0] for a in example.lost)
    words = [
        f"Evaluation classifier: {reached if example.reached else never}; ",
        f"other labels changed by {example.moved:.2f} standard deviations, ",
        f"changed values: {lost}" if lost else "no value changed", f". Seed {example.seed}.",
    ]  # fmt: skip
    alt = f"seed {example.seed} towards {name}, strengths 0 to {example.strength:g}"
    image, labels = embed_images(strips.images[row], alt), captions_below(strips.labels[row, :, example.category])
    return element("figure", element("strong", name), image, labels, element("figcaption", words))
