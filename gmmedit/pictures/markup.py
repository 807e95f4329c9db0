"""HTML elements as values: text that is not Html is escaped, so names from files cannot inject markup."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

VOID = {"img", "input", "meta", "br"}
QUALITY = 88  # of WebP
FULL = 0.62  # opacity of the strongest shade; text stays readable on it, on white and on black


class Html(str):
    """Text that is HTML markup."""


Content = str | Iterable[str]  # Html is kept, other text is escaped


def join(parts: Content) -> Html:
    """The parts as one piece of markup, text escaped."""
    pieces = [parts] if isinstance(parts, str) else parts
    return Html("".join(piece if isinstance(piece, Html) else html.escape(piece) for piece in pieces))


def element(name: str, /, *contents: Content, **attributes: str | float | None) -> Html:
    """`<name attribute="value">contents</name>`; `class_` means class, `aria_label` aria-label; None omits one."""
    pairs = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items() if value is not None)
    head = "".join(f' {key}="{html.escape(format_number(value))}"' for key, value in pairs)
    if name in VOID:
        return Html(f"<{name}{head}>")
    return Html(f"<{name}{head}>{join([join(content) for content in contents])}</{name}>")


def format_number(value: str | float) -> str:
    """The value of an attribute as text, floats with six digits."""
    return value if isinstance(value, str) else f"{value:.6g}"


def paragraph(*contents: Content, class_: str | None = None) -> Html:
    """A paragraph."""
    return element("p", *contents, class_=class_)


def note(*contents: Content) -> Html:
    """A highlighted paragraph: missing parts and caveats."""
    return paragraph(*contents, class_="note")


def code(text: str) -> Html:
    """Inline code."""
    return element("code", text)


def items(entries: Iterable[Content]) -> Html:
    """An unordered list."""
    return element("ul", [element("li", entry) for entry in entries])


def details(summary: Content, *contents: Content) -> Html:
    """A collapsed section under a summary."""
    return element("details", element("summary", summary), *contents)


def table(columns: Sequence[Content], rows: Iterable[Sequence[Content]], caption: Content = "") -> Html:
    """A table whose first column holds row headers; it scrolls horizontally if it is wider than the screen."""
    head = element("tr", [element("th", cell, scope="col") for cell in columns])
    body = [
        element("tr", element("th", element("span", first), scope="row"), [element("td", cell) for cell in rest])
        for first, *rest in rows
    ]
    return scrollable(element("table", element("thead", head), element("tbody", body)), caption)


def heat_map(
    columns: Sequence[str], rows: Sequence[str], shades: np.ndarray, texts: Sequence[Sequence[str]], caption: Content
) -> Html:
    """A table of numbers on shades (rows, columns) in [-1, 1]: blue below 0, orange above."""
    head = element("tr", element("td"), [element("th", element("span", name), scope="col") for name in columns])
    body = []
    for name, cells, values in zip(rows, texts, shades.tolist(), strict=True):
        shaded = [element("td", text, style=shade_style(value)) for text, value in zip(cells, values, strict=True)]
        body.append(element("tr", element("th", element("span", name), scope="row"), shaded))
    return scrollable(element("table", element("thead", head), element("tbody", body), class_="heat"), caption)


def shade_style(value: float) -> str | None:
    """The style of a cell of value in [-1, 1]: translucent blue or orange of Okabe and Ito (2008); None near 0."""
    if not np.isfinite(value) or abs(value) < 0.005:
        return None
    colour = "230 159 0" if value > 0 else "0 114 178"
    return f"background:rgb({colour}/{min(abs(value), 1) * FULL:.2f})"


def format_signed(value: float) -> str:
    """`+0.25`; `0` if it rounds to zero."""
    return "0" if abs(value) < 0.005 else f"{value:+.2f}"


def scrollable(whole: Html, caption: Content) -> Html:
    """A table that scrolls horizontally by itself, so that the page does not."""
    captions = [element("figcaption", caption)] if caption else []
    return element("figure", captions, element("div", whole, class_="scroll", tabindex="0"))


def bar(share: float) -> Html:
    """A share in [0, 1] as a number and a bar."""
    width = f"width:{100 * min(max(share, 0), 1):.1f}%"
    return join([f"{share:.2f} ", element("span", element("span", style=width), class_="bar", aria_hidden="true")])


def embed_images(images: np.ndarray, alt: str) -> Html:
    """Images uint8 (N, H, W, C) side by side, embedded as one WebP image."""
    pixels = np.concatenate(list(images), axis=1)
    file = io.BytesIO()
    strip = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
    strip.convert("RGB").save(file, "WEBP", quality=QUALITY, method=4)
    source = f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
    return element("img", src=source, alt=alt, width=float(strip.width), height=float(strip.height))
