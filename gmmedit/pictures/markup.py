"""HTML as values: whatever is not markup already is escaped, so that no name from outside becomes markup."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

VOID = {"img", "input", "meta", "br"}
QUALITY = 88  # of WebP
FULL = 0.62  # opacity of the strongest shade: text stays readable on it, on white and on black


class Html(str):
    """Text that is markup."""


Content = str | Iterable[str]  # Html as it is, other text escaped


def join(parts: Content) -> Html:
    pieces = [parts] if isinstance(parts, str) else parts
    return Html("".join(it if isinstance(it, Html) else html.escape(it) for it in pieces))


def element(name: str, /, *contents: Content, **attributes: str | float | None) -> Html:
    """`<name attribute="value">contents</name>`; `class_` is class, `aria_label` aria-label, None leaves one out."""
    pairs = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items() if value is not None)
    head = "".join(f' {key}="{html.escape(number(value))}"' for key, value in pairs)
    if name in VOID:
        return Html(f"<{name}{head}>")
    return Html(f"<{name}{head}>{join([join(it) for it in contents])}</{name}>")


def number(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"


def paragraph(*contents: Content, class_: str | None = None) -> Html:
    return element("p", *contents, class_=class_)


def note(*contents: Content) -> Html:
    """What is missing or to be taken with care."""
    return paragraph(*contents, class_="note")


def code(text: str) -> Html:
    return element("code", text)


def items(entries: Iterable[Content]) -> Html:
    return element("ul", [element("li", entry) for entry in entries])


def folded(summary: Content, *contents: Content) -> Html:
    """Something that the reader may open."""
    return element("details", element("summary", summary), *contents)


def table(columns: Sequence[Content], rows: Iterable[Sequence[Content]], caption: Content = "") -> Html:
    """A table that scrolls sideways where it is wider than the screen; the first column names the rows."""
    head = element("tr", [element("th", cell, scope="col") for cell in columns])
    body = [
        element("tr", element("th", element("span", first), scope="row"), [element("td", cell) for cell in rest])
        for first, *rest in rows
    ]
    return scrolling(element("table", element("thead", head), element("tbody", body)), caption)


def heat_map(
    columns: Sequence[str], rows: Sequence[str], shades: np.ndarray, texts: Sequence[Sequence[str]], caption: Content
) -> Html:
    """A table of numbers with shades (rows, columns) in [-1, 1] behind them: blue below 0, orange above."""
    head = element("tr", element("td"), [element("th", element("span", name), scope="col") for name in columns])
    body = []
    for name, cells, values in zip(rows, texts, shades.tolist(), strict=True):
        shaded = [element("td", text, style=shade(value)) for text, value in zip(cells, values, strict=True)]
        body.append(element("tr", element("th", element("span", name), scope="row"), shaded))
    return scrolling(element("table", element("thead", head), element("tbody", body), class_="heat"), caption)


def shade(value: float) -> str | None:
    """Okabe and Ito's blue and orange, translucent."""
    if not np.isfinite(value) or abs(value) < 0.005:
        return None
    colour = "230 159 0" if value > 0 else "0 114 178"
    return f"background:rgb({colour}/{min(abs(value), 1) * FULL:.2f})"


def signed(value: float) -> str:
    """`+0.25`; what rounds to nothing is 0."""
    return "0" if abs(value) < 0.005 else f"{value:+.2f}"


def scrolling(whole: Html, caption: Content) -> Html:
    """A table in a frame of its own, so that the page never scrolls sideways."""
    told = [element("figcaption", caption)] if caption else []
    return element("figure", told, element("div", whole, class_="scroll", tabindex="0"))


def bar(share: float) -> Html:
    """A share in [0, 1] as a number and a bar."""
    width = f"width:{100 * min(max(share, 0), 1):.1f}%"
    return join([f"{share:.2f} ", element("span", element("span", style=width), class_="bar", aria_hidden="true")])


def picture(pictures: np.ndarray, alt: str) -> Html:
    """Pictures uint8 (N, H, W, C) side by side, as one image inside the page."""
    pixels = np.concatenate(list(pictures), axis=1)
    file = io.BytesIO()
    image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
    image.convert("RGB").save(file, "WEBP", quality=QUALITY, method=4)
    source = f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
    return element("img", src=source, alt=alt, width=float(image.width), height=float(image.height))
