"""What an edits.h5 of `edit --do` says of what follows: predicted against achieved values, image by image."""

from __future__ import annotations

import numpy as np

from gmmedit.artifacts import Artifact
from gmmedit.run.folder import layout_of


def describe_effects(edits: Artifact, column: int) -> list[str]:
    """A line for each descendant: how many images were to change it, and how many have the predicted value.

    column: the strength or act. Empty for edits of `--attr`.
    """
    if "targets" not in edits:
        return []
    before, after = values_of(edits, edits["labels_before"]), values_of(edits, edits["labels_after"][column])
    targets, lines = edits["targets"][column], []
    for node, (name, values) in enumerate(edits.attributes):
        if name in edits.spec.config["descendants"][column]:
            wanted = targets[:, node] != before[:, node]
            share = (after[:, node] == targets[:, node]).mean()
            to = [f"{value} {int((targets[:, node] == place).sum())}" for place, value in enumerate(values)]
            lines.append(
                f"{name} follows: {', '.join(to)}; changes in {int(wanted.sum())} of {len(targets)} images, "
                f"{share:.0%} have what was predicted"
            )
    held = [node for node, (name, _) in enumerate(edits.attributes) if name not in moved_names(edits, column)]
    if held:
        kept = (after[:, held] == before[:, held]).mean()
        lines.append(f"non-descendants kept: {kept:.0%} of {', '.join(edits.attributes[node][0] for node in held)}")
    return lines


def caption_changes(edits: Artifact, column: int, row: int) -> str:
    """The values that an image was to get, with their labels, "age=old 0.97"; empty for edits of `--attr`."""
    if "targets" not in edits:
        return ""
    before = values_of(edits, edits["labels_before"][row : row + 1])[0]
    targets, after = edits["targets"][column, row], edits["labels_after"][column, row]
    named = []
    for node, (name, values) in enumerate(edits.attributes):
        target, label = targets[node], after[layout_of(edits).columns[node]][targets[node]]
        short = name if target else f"no {name}"
        text = short if len(values) == 2 and values[1] == "yes" else f"{name}={values[target]}"
        if target != before[node]:
            named.append(f"{text} {label:.2f}")
    return ", ".join(named) or "as it is"


def moved_names(edits: Artifact, column: int) -> set[str]:
    """The attributes that are acted on in a column, and their descendants."""
    config = edits.spec.config
    acted = [text.partition("=")[0] for text, _ in config["attr"]]
    return {*([acted[column]] if config["each"] else acted), *config["descendants"][column]}


def values_of(edits: Artifact, labels: np.ndarray) -> np.ndarray:
    """The most probable value (N, A) of each attribute, of labels (N, K)."""
    return np.stack([labels[:, columns].argmax(1) for columns in layout_of(edits).columns], 1)
