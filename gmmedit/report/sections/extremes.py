"""The best edits and the worst, sorted by what the judge saw."""

from gmmedit.artifacts import Artifact
from gmmedit.evaluation.results import categories_of
from gmmedit.pictures.markup import Html, element, folded, note, paragraph, picture
from gmmedit.pictures.page import Section
from gmmedit.report.examples import BEST, WORST, Pick, leading_editor
from gmmedit.report.sections.edits import under
from gmmedit.report.strips import Strips
from gmmedit.run.folder import RunFolder

MOST_WORST, MOST_BEST = 8, 4  # that are not folded


def extremes_section(run: RunFolder, strips: Strips | None, picks: list[Pick]) -> Section:
    missing = [note(run.missing[kind]) for kind in ("evaluation", "strips") if kind in run.missing]
    scored = run.there.get("evaluation")
    if scored is None or strips is None:
        return Section("extremes", "Best and worst edits", missing)
    editor = leading_editor(scored)
    if not picks:
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
        ranked = sorted((it for it in picks if it.role == role), key=lambda it: it.badness, reverse=role == WORST)
        cards = [card(scored, strips, pick) for pick in ranked]
        contents += [element("h3", title), element("div", cards[:most], class_="picks")]
        if cards[most:]:
            contents.append(folded(f"{len(cards) - most} more", element("div", cards[most:], class_="picks")))
    return Section("extremes", "Best and worst edits", contents)


def card(scored: Artifact, strips: Strips, pick: Pick) -> Html:
    """One picked edit: its strip, and what the judge saw."""
    row, name = strips.of(pick), categories_of(scored)[pick.category]
    reached = f"arrives at strength {pick.strength:g}, label {pick.label:.2f}"
    never = f"never arrives, highest label {pick.label:.2f} at strength {pick.strength:g}"
    lost = ", ".join(scored.attributes[a][0] for a in pick.lost)
    told = [
        f"Judge: {reached if pick.reached else never}; other labels moved by {pick.moved:.2f} standard deviations, ",
        f"{lost} changed" if lost else "none changed its value", f". Seed {pick.seed}.",
    ]  # fmt: skip
    alt = f"seed {pick.seed} towards {name}, strengths 0 to {pick.strength:g}"
    image, labels = picture(strips.images[row], alt), under(strips.labels[row, :, pick.category])
    return element("figure", element("strong", name), image, labels, element("figcaption", told))
