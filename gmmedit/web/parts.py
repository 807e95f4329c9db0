"""The parts of the page that show an image and control an attribute; imports gradio, as `gmmedit.web.page`."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from gmmedit.web.controls import GREATEST, LEAST, STEP

CHOSEN = "(value, strength) => (value ? strength || 1 : 0)"  # the strength of a value that was chosen; "": as it is


def show_image(label: str) -> gr.Image:
    """An image that is only shown."""
    return gr.Image(
        label=label, format="png", interactive=False, buttons=["fullscreen"], elem_id=label, min_width=120,
        alt_text=f"the image {label} the edit",
    )  # fmt: skip


def lay_out(attribute: str, values: Sequence[str]) -> list[Any]:
    """The parts of one attribute, in the order of `Control.neutral`."""
    if len(values) == 2:
        label = attribute if values[1] == "yes" else f"{attribute}: {values[0]} ← → {values[1]}"
        return [gr.Slider(LEAST, GREATEST, 0, step=STEP, label=label, elem_classes="strength")]
    with gr.Row():
        choice = gr.Dropdown([("as it is", ""), *((value, value) for value in values)], value="", label=attribute,
                             min_width=120)  # fmt: skip
        strength = gr.Slider(LEAST, GREATEST, 0, step=STEP, label=f"{attribute}: strength", min_width=120,
                             elem_classes="strength")  # fmt: skip
    return [choice, strength]


def triggers_of(part: Any) -> list[Any]:
    """The events of a control that its user makes, not those of a changed value; none of a choice, which first sets
    its strength."""
    return [part.input, part.release] if isinstance(part, gr.Slider) else []
