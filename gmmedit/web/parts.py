"""The parts of the page: images that are only shown, and the controls of attributes and directions.

Importing this module imports gradio, as `gmmedit.web.page` does.
"""

from collections.abc import Sequence
from typing import Any

import gradio as gr
import numpy as np

from gmmedit.web.controls import (
    FARTHEST,
    GREATEST,
    LEAST,
    PACE,
    STEP,
    ActControl,
    AnyControl,
    Control,
    DirectionControl,
)

CHOSEN = "(value, strength) => (value ? strength || 1 : 0)"  # the strength of a value that was chosen; "": as it is


def show_image(label: str) -> gr.Image:
    """An image that is only shown."""
    return gr.Image(
        label=label, format="png", interactive=False, buttons=["fullscreen"], elem_id=label, min_width=120,
        alt_text=f"the image {label} the edit",
    )  # fmt: skip


def lay_out_all(controls: Sequence[AnyControl]) -> list[Any]:
    """The parts of all controls in their order; directions and acts, where there are any, in tabs of their own."""
    directions = [control for control in controls if isinstance(control, DirectionControl)]
    acts = [control for control in controls if isinstance(control, ActControl)]
    attributes = [control for control in controls if isinstance(control, Control)]
    if not directions and not acts:
        return [part for control in attributes for part in lay_out(control.attribute, control.values)]
    with gr.Tabs():
        with gr.Tab("attributes"):
            parts = [part for control in attributes for part in lay_out(control.attribute, control.values)]
        if directions:
            with gr.Tab("directions"):
                parts += [
                    gr.Slider(-FARTHEST, FARTHEST, 0, step=PACE, label=control.label, elem_classes="strength")
                    for control in directions
                ]
        if acts:
            with gr.Tab("do"):
                parts += [lay_out_act(control) for control in acts]
    return parts


def lay_out_act(control: ActControl) -> Any:
    """The part of one act."""
    choices = [("as it is", ""), *((value, value) for value in control.values)]
    return gr.Dropdown(choices, value="", label=f"{control.name}, with what follows")


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


def to_shown(pixels: np.ndarray) -> np.ndarray:
    """Pixels uint8 (H, W, C) as (H, W, 3), or (H, W) of one channel."""
    return pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels
