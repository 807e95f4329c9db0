"""What an SAAE makes of held-out styles, beside what needs no network."""

from typing import Any

import torch

from gmmedit.networks.saae import SAAE
from gmmedit.training.labelled import BATCH
from gmmedit.training.style_data import StyleData


@torch.no_grad()
def measure_held_out(network: SAAE, styles: StyleData) -> dict[str, Any]:
    """Mean absolute differences of pixels in [0, 1] between generated and true images of held-out styles, JSON-ready.

    Of typefaces the true image is another letter than those that the style is read from; of other images it is the one
    that the style is read from. `held_out_baselines`: those of the baselines of `StyleData.baselines`, by name.
    """
    device, total = network.codes.device, 0.0
    targets, contents, strips = styles.held_out()
    parts = [part.split(BATCH) for part in (targets, contents, strips)]
    for wanted, content, strip in zip(*parts, strict=True):
        total += float((network(content.to(device), strip.to(device)).cpu() - wanted).abs().mean(dim=(1, 2, 3)).sum())
    baselines = styles.baselines() if len(targets) else {}
    return {
        "held_out_images": len(targets),
        "held_out_error": round(total / 2 / max(1, len(targets)), 4),
        "held_out_baselines": {name: round(error, 4) for name, error in baselines.items()},
    }


def describe_measures(facts: dict[str, Any]) -> list[str]:
    """Lines about the figures of `measure_held_out`, and a hint where the mean of the training images is as near."""
    if not facts["held_out_images"]:
        return []
    error, baselines = facts["held_out_error"], facts["held_out_baselines"]
    beside = ", ".join(f"{name} {value:.3f}" for name, value in baselines.items())
    lines = [f"difference to the true image, {facts['held_out_images']} of held-out styles: {error:.3f} ({beside})"]
    if error >= min(baselines.values()):
        nearest = min(baselines, key=lambda name: baselines[name])
        lines.append(f"note: {nearest} is as near: train longer (--images), or on more styles")
    return lines
