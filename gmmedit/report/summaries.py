"""Summaries of fits and edits as dictionaries, for the command line and the report."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from gmmedit import artifacts
from gmmedit.artifacts import Artifact
from gmmedit.editing.effects import describe_effects, moved_names
from gmmedit.editing.inversion import UNLIKE
from gmmedit.editing.request import edited_columns
from gmmedit.mixture.held import all_others_held, held_by_all
from gmmedit.mixture.objectives import image_change
from gmmedit.pictures.pixels import from_bytes
from gmmedit.report.verdict import LOST, scale_identity
from gmmedit.run.rendering import shrink_to_compare
from gmmedit.run.tuned import find_tuned

MOST_ALIKE = 0.999  # cosine of two samples above which features tell nothing of identity
UNFINISHED = "not converged: increase --steps"
REPLACED = 0.5  # of the difference of two samples: an edit that changes more may show another image


def fit_report(path: Path) -> dict[str, Any]:
    """Summary of single.h5 or mixture.h5: attributes (held-out accuracy, separation, closest other subspace and its
    angle in degrees, rates predicted/labelled), edits of held-out samples (`edit_rows`), a verdict, and notes.

    `closest` and `angle` are None if there is one attribute.
    """
    with artifacts.open(path) as fit:
        report, start, rows = fit.group("report"), 0, []
        names = [name for name, _ in fit.attributes]
        for a, (name, values) in enumerate(fit.attributes):
            angles = {names[b]: float(angle) for b, angle in enumerate(report["angles"][a]) if b != a}
            closest = min(angles, key=angles.__getitem__, default=None)
            shown = values[1:] if len(values) == 2 else values
            first = start + len(values) - len(shown)
            rates = [
                f"{value} {report['rate_read'][first + i]:.2f}/{report['rate_labelled'][first + i]:.2f}"
                for i, value in enumerate(shown)
            ]
            rows.append({
                "attribute": name, "accuracy": float(report["accuracy"][a]),
                "separation": float(report["separation"][a]), "closest": closest,
                "angle": None if closest is None else angles[closest], "rates": ", ".join(rates),
            })  # fmt: skip
            start += len(values)
        history = fit.group("history")
        verdict = f"loss {history['loss'][0]:.4f} -> {history['loss'][-1]:.4f} in {describe_end(fit)}"
        notes = [*fit.attrs.get("notes", []), *fit.attrs.get("no_edits", [])]
        return {"attributes": rows, "edits": edit_rows(fit), "verdict": verdict, "notes": notes}


def edit_rows(fit: Artifact) -> list[dict[str, Any]]:
    """Of each value: label, arrived, kept, change (the arrays report/edits of mixture.h5; None: not measured).

    Empty for single.h5, and for a fit without edits.
    """
    if "report/edits/arrived" not in fit:
        return []
    columns = {name: fit[f"report/edits/{name}"].tolist() for name in ("arrived", "kept", "change")}
    labels = [f"{name}={value}" for name, values in fit.attributes for value in values]
    return [
        {"label": label} | {name: None if math.isnan(value[c]) else value[c] for name, value in columns.items()}
        for c, label in enumerate(labels)
    ]


def describe_end(fit: Artifact) -> str:
    """How many steps a fit took, and why it ended."""
    taken, bound = fit.attrs["steps"], fit.spec.config["steps"]
    settled = fit.attrs.get("settled")
    if settled is None:
        return f"{count_steps(taken, bound)}; {'converged' if fit.attrs['converged'] else UNFINISHED}"
    if settled:
        return (
            f"{taken} of at most {bound} steps; stopped: edits of held-out samples no longer improved from step "
            f"{settled} on"
        )
    return f"{count_steps(taken, bound)}; edits of held-out samples may improve with more --steps"


def count_steps(taken: int, each: int) -> str:
    """The steps that a fit took, of models with `each` steps: "40 steps", "2 x 40 steps"."""
    return f"{taken} steps" if taken == each else f"{taken // each} x {each} steps"


def edit_report(path: Path) -> dict[str, Any]:
    """Summary of edits.h5: mean labels before and after, the change of the target and of the others, files."""
    with artifacts.open(path, "edits") as edits:
        if "labels_after" not in edits:
            return unlabelled_report(edits)
        before, after = edits["labels_before"], edits["labels_after"]
        targets = edited_columns(edits)
        rows, start, named = [], 0, {}
        for name, values in edits.attributes:
            for i, value in enumerate(values):
                column = start + i
                if len(values) == 2 and i == 0 and column not in targets:
                    continue  # one minus the other value
                means = [float(before[:, column].mean()), *(float(m) for m in after[:, :, column].mean(1))]
                label = f"{name}={value}"
                named[column] = label
                rows.append({"label": label, "edited": column in targets, "means": means})
            start += len(values)
        config = edits.spec.config
        verdicts, changes = [], []
        for s, heading in enumerate(config["headings"]):
            if config["each"] or s == len(after) - 1:
                own = [targets[s]] if config["each"] else targets
                verdicts.append(f"{heading}: {_verdict(before, after[s], own, named, edits, s)}")
                lines = [*describe_effects(edits, s), *describe_change(edits, s)]
                changes += [f"{heading}: {line}" for line in lines]
        verdicts += edits.attrs.get("notes", [])
        return {
            "headings": config["headings"],
            "labels": rows,
            "verdicts": verdicts,
            "changes": changes,
            "files": list_files(path),
        }


def unlabelled_report(edits: Artifact) -> dict[str, Any]:
    """As `edit_report`, of edits along discovered directions in a run without labels."""
    notes = edits.attrs.get("notes", [])
    return {"headings": edits.spec.config["headings"], "labels": [], "verdicts": notes, "changes": [],
            "files": list_files(edits.path)}  # fmt: skip


def list_files(path: Path) -> list[str]:
    """The files that an edit wrote: edits.h5, the sheet, the animation."""
    folder = path.parent / "edits"
    images = [folder / name for name in ("sheet.png", "animation.webp")]
    return [str(path), str(images[0]), *([str(images[1])] if images[1].exists() else [])]


def inversion_report(path: Path) -> dict[str, Any]:
    """The inversions of inversions.h5: errors of each image, lines on all of them, and the files.

    An image whose error exceeds those of all own samples is said not to look like the generator's. InputError: the file
    is missing or unreadable.
    """
    with artifacts.open(path, "inversions") as found:
        names = ("start_error", "error", "feature_error", "density", "percentile")
        columns = {name: found[name].tolist() for name in names}
        rows: list[dict[str, Any]] = []
        for i, file in enumerate(found.spec.config["files"]):
            row = {"file": file} | {name: values[i] for name, values in columns.items()}
            row["percentile"] = None if np.isnan(row["percentile"]) else row["percentile"]
            row["verdict"] = UNLIKE if row["percentile"] == 1 else ""
            rows.append(row)
        middle = float(np.median(columns["error"]))
        lines = [f"mean absolute difference of pixels: median {middle:.3f}, for pixels in [-1, 1]"]
        if "own_errors" in found:
            own = float(np.median(found["own_errors"]))
            lines[0] += f"; {middle / own:.2f} times that of {len(found['own_errors'])} own samples ({own:.3f})"
        unlike = sum(bool(row["verdict"]) for row in rows)
        if unlike:
            words = "has a larger error" if unlike == 1 else "have larger errors"
            lines.append(f"{unlike} of {len(rows)} images {words} than any own sample")
        lines += found.attrs.get("notes", [])
        tuned = find_tuned(found)
    files = [str(path), str(path.parent / path.stem / "sheet.png")]
    if tuned is not None:
        files.append(str(tuned))
        lines.append("edit --inverted generates with the tuned copy of the generator; the sheet has its errors")
    return {"images": rows, "lines": lines, "files": files}


def describe_change(edits: Artifact, strength: int) -> list[str]:
    """How much images and identity change at one of the strengths of edits.h5, in units of two samples.

    Further lines name images of which much is replaced: REPLACED of the image, or all but LOST of the identity.
    """
    changes, index = [], edits["index"]
    contrast = edits.attrs.get("contrast")
    lines = []
    if isinstance(contrast, float) and contrast > 0 and "images_after" in edits:
        before, after = (
            shrink_to_compare(from_bytes(part)) for part in (edits["images_before"], edits["images_after"][strength])
        )
        change = (image_change(before, after) / contrast).numpy()
        changes.append(f"images changed by {change.mean():.2f} of the difference of two samples")
        what = "changed by more than half of it and may show something else"
        lines += name_images(index, change > REPLACED, what)
    pairs = edits.attrs.get("pair_identity")
    if isinstance(pairs, float) and pairs < MOST_ALIKE and "identity" in edits:
        kept = scale_identity(edits["identity"][strength, :, 0], pairs)
        network = Path(str(edits.spec.config.get("features"))).name
        start, unit = ("identity", "") if changes else ("identity changed", " of the difference of two samples")
        changes.append(f"{start} by {1 - kept.mean():.2f}{unit} (features of {network})")
        lines += name_images(index, kept < LOST, "lost most of their identity and may show somebody else")
    return ([", ".join(changes)] if changes else []) + lines


def name_images(index: np.ndarray, chosen: np.ndarray, what: str) -> list[str]:
    """A line that says which of the images (N,) were chosen (N,), if any."""
    rows = [str(number) for number in index[chosen]]
    shown = ", ".join(rows[:8]) + (" ..." if len(rows) > 8 else "")
    return [f"{len(rows)} of {len(index)} images {what}: images {shown}"] if rows else []


def _verdict(
    before: np.ndarray, after: np.ndarray, targets: list[int], named: dict[int, str], edits: Artifact, column: int
) -> str:
    """The mean change of the target labels and of the held ones, from labels (N, K) before and after."""
    change = np.abs(after - before).mean(0)  # (K,)
    owner = [a for a, (_, values) in enumerate(edits.attributes) for _ in values]
    held = held_by_all(all_others_held(len(edits.attributes)), {owner[column] for column in targets})
    if "targets" in edits:
        held = [a for a in held if edits.attributes[a][0] not in moved_names(edits, column)]
    others = [column for column in named if owner[column] in held]
    moved = (
        ", ".join(f"{named[t]} {(after[:, t] - before[:, t]).mean():+.2f}" for t in targets) or "no label is aimed at"
    )
    if not others:
        return moved
    worst = max(others, key=lambda column: change[column])
    average = np.mean([change[column] for column in others])
    text = f"{moved}; other labels changed by {average:.3f} on average, most {named[worst]} ({change[worst]:.3f})"
    flips = count_flips(before, after, owner, held)
    lost = ", ".join(f"{edits.attributes[a][0]} in {count}" for a, count in flips.items() if count)
    return f"{text}; another value: {lost} of {len(before)} images" if lost else text


def count_flips(before: np.ndarray, after: np.ndarray, owner: list[int], attributes: list[int]) -> dict[int, int]:
    """In how many images the most probable value of each attribute changes, from labels (N, K) before and after.

    owner: the attribute of each of the K categories.
    """
    columns = {a: [column for column, name in enumerate(owner) if name == a] for a in attributes}
    return {a: int((before[:, c].argmax(1) != after[:, c].argmax(1)).sum()) for a, c in columns.items()}
