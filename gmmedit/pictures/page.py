"""A self-contained HTML page: no scripts, external style sheets, fonts or images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gmmedit.pictures.markup import Content, Html, element, items, join, paragraph
from gmmedit.pictures.style import CSS

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True)
class Section:
    """A section: its anchor, title and contents."""

    anchor: str
    title: str
    contents: Sequence[Html]

    def markup(self) -> Html:
        """The section as an element."""
        return element("section", element("h2", self.title), self.contents, id=self.anchor)


def render_document(title: str, opening: Sequence[Html], sections: Sequence[Section], closing: Content) -> str:
    """The HTML text of the page, with links to the sections."""
    links = items([element("a", section.title, href=f"#{section.anchor}") for section in sections])
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


def step_selector(name: str, legend: str, rows: Sequence[tuple[str, Html]]) -> Html:
    """Rows of figures, with radio buttons that show all of them or a single one.

    name: of the group of buttons, unique in the page; rows: the label of a button and its figure.
    """
    buttons = []
    for i, label in enumerate(["all", *(label for label, _ in rows)]):
        anchor = f"{name}-{i}"
        buttons.append(element("input", type="radio", name=name, id=anchor, checked="checked" if i == 0 else None))
        buttons.append(element("label", label, for_=anchor))
    shown = element("div", [figure for _, figure in rows], class_="rows")
    return element("fieldset", element("legend", legend), join(buttons), shown, class_="steps")
