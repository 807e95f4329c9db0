"""The best edits and the worst, sorted by what the judge saw."""

from gmmedit.artifacts import Artifact
from gmmedit.evaluation.results import categories_of
from gmmedit.pictures.markup import Html, element, folded, note, paragraph, picture
from gmmedit.pictures.page import Section
from gmmedit.report.examples import BEST, WORST, Example, leading_editor
from gmmedit.report.sections.edits import under
from gmmedit.report.strips import Strips
from gmmedit.run.folder import RunFolder

MOST_WORST, MOST_BEST = 8, 4  # that are not folded


def extremes_section(run: RunFolder, strips: Strips | None, examples: list[Example]) -> Section:
    missing = [note(run.missing[kind]) for kind in ("evaluation", "strips") if kind in run.missing]
    scored = run.there.get("evaluation")
    if scored is None or strips is None:
        return Section("extremes", "Best and worst edits", missing)
    editor = leading_editor(scored)
    if not examples:
        why = f"{editor} was evaluated first, and the pictures are the mixture's: gmmedit evaluate --force"
        return Section("extremes", "Best and worst edits", [note(why)])
    total = sum(scored[f"seen/{editor}/{c}/rows"].size for c in range(len(categories_of(scored))))
    contents = [
        paragraph(
            f"One of each kind for every category, picked by number among {total} edits. Worst is an edit in which the "
            "judge never sees the wanted value; then what counts is how far the other labels move, in standard "
            "deviations, at the least strength that gets there. Left to right, the strength grows from 0 to that one. "
            "Below each picture stands how sure the labelling classifier is: where the judge disagrees, one of them is "
            "fooled."
        )
    ]
    for title, role, most in (("Worst", WORST, MOST_WORST), ("Best", BEST, MOST_BEST)):
        ranked = sorted((it for it in examples if it.role == role), key=lambda it: it.badness, reverse=role == WORST)
        cards = [card(scored, strips, example) for example in ranked]
        contents += [element("h3", title), element("div", cards[:most], class_="examples")]
        if cards[most:]:
            contents.append(folded(f"{len(cards) - most} more", element("div", cards[most:], class_="examples")))
    return Section("extremes", "Best and worst edits", contents)


def card(scored: Artifact, strips: Strips, example: Example) -> Html:
    """One picked edit: its strip, and what the judge saw."""
    row, name = strips.of(example), categories_of(scored)[example.category]
    reached = f"arrives at strength {example.strength:g}, label {example.label:.2f}"
    never = f"never arrives, highest label {example.label:.2f} at strength {example.strength:g}"
    lost = ", ".join(scored.attributes[a][0] for a in example.lost)
    words = [
        f"Evaluation classifier: {reached if example.reached else never}; ",
        f"other labels moved by {example.moved:.2f} standard deviations, ",
        f"{lost} changed" if lost else "none changed its value", f". Seed {example.seed}.",
    ]  # fmt: skip
    alt = f"seed {example.seed} towards {name}, strengths 0 to {example.strength:g}"
    image, labels = picture(strips.images[row], alt), under(strips.labels[row, :, example.category])
    return element("figure", element("strong", name), image, labels, element("figcaption", words))
