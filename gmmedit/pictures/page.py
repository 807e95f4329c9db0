"""One HTML page that needs nothing but itself: no script, no style sheet, no font, no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gmmedit.pictures.markup import Content, Html, element, items, join, paragraph
from gmmedit.pictures.style import CSS

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True)
class Section:
    """A heading, what stands under it, and the name that links to it."""

    anchor: str
    title: str
    contents: Sequence[Html]

    def markup(self) -> Html:
        return element("section", element("h2", self.title), self.contents, id=self.anchor)


def document(title: str, opening: Sequence[Html], sections: Sequence[Section], closing: Content) -> str:
    """The text of the page."""
    links = items([element("a", it.title, href=f"#{it.anchor}") for it in sections])
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Html(CSS)),
    )
    body = element(
        "body",
        element("header", element("h1", title), opening),
        element("nav", links, aria_label="Contents"),
        element("main", [section.markup() for section in sections]),
        element("footer", paragraph(closing)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def steps(name: str, legend: str, rows: Sequence[tuple[str, Html]]) -> Html:
    """Rows one below the other, or one of them alone, by radio buttons: flipping shows what an edit changes.

    name: of the buttons, unlike any other in the page; rows: what a button says, and its figure.
    """
    buttons = []
    for i, label in enumerate(["all", *(label for label, _ in rows)]):
        anchor = f"{name}-{i}"
        buttons.append(element("input", type="radio", name=name, id=anchor, checked="checked" if i == 0 else None))
        buttons.append(element("label", label, for_=anchor))
    shown = element("div", [figure for _, figure in rows], class_="rows")
    return element("fieldset", element("legend", legend), join(buttons), shown, class_="steps")
