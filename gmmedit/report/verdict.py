"""The verdict on the edits of a run: one sentence, by explicit rules, from figures at strength 1 and their intervals.

A claim holds unless the 95 % interval contradicts it; a failure is named once the whole interval lies beyond its bound.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from gmmedit.evaluation.results import SAMPLES, Row

Cosines = TypeVar("Cosines", float, np.ndarray)
Figures = Mapping[tuple[str, str, str], Row]  # by method, metric and attribute

MISSED = 0.5  # share of the targets below which edits miss most of them
FEW_KEPT = 0.8  # share of the other labels below which edits count as changing them
SAME, LOST = 0.5, 0.3  # identity, 1: the same image, 0: two samples; kept from SAME, lost below LOST
FAR = 0.05  # flips that are fewer than the agreement by no more are not "only" so many
UNREAL = 0.5  # of the precision of samples, below which edits do not look like samples
FEW = 50  # images, below which intervals are wide
NAMED = 4  # categories


@dataclass(frozen=True)
class Verdict:
    """One sentence, and what limits it."""

    sentence: str
    limits: list[str]


def reach_verdict(figures: Figures, editor: str, names: Sequence[str], same_classifier: bool) -> Verdict:
    """The verdict on an editor.

    names: of all categories. same_classifier: the evaluation classifier also made the labels.
    """
    claims = [claim_arrival(figures, editor, same_classifier), claim_kept(figures, editor)]
    claims = [claim for claim in [*claims, claim_identity(figures, editor)] if claim]
    together = claims[0] if len(claims) == 1 else f"{', '.join(claims[:-1])} and {claims[-1]}"
    realism = claim_realism(figures, editor)
    sentence = f"Edits {together}{'; ' + realism if realism else ''}."
    limits = [
        name_weakest(figures, editor, names),
        count_images(figures, editor, names),
        *list_unmeasured(figures, editor, names, same_classifier),
    ]
    return Verdict(sentence, [limit for limit in limits if limit])


def find(figures: Figures, method: str, metric: str, attribute: str = "all") -> Row | None:
    """A figure; None where it is not measured."""
    row = figures.get((method, metric, attribute))
    return row if row is not None and row["value"] is not None else None


def claim_arrival(figures: Figures, editor: str, same_classifier: bool) -> str:
    """How many edits reach their target, beside what the agreement of the two classifiers allows."""
    flips, agreement = find(figures, editor, "flips@1"), find(figures, SAMPLES, "agreement")
    if flips is None:  # of no edit: the file was written by others
        return "are not measured at strength 1"
    reached = percent(flips["value"])
    if high(flips) < MISSED:
        return f"miss most of their targets ({reached} are reached)"
    if same_classifier:
        return f"reach {reached} of their targets by the classifier that made the labels"
    if agreement is None:
        return f"reach {reached} of their targets"
    unedited = f"the two classifiers agree on {percent(agreement['value'])} of unedited images"
    if is_less(flips, agreement) and agreement["value"] - flips["value"] > FAR:
        return f"reach only {reached} of their targets ({unedited})"
    return f"reach {reached} of their targets ({unedited})"


def claim_kept(figures: Figures, editor: str) -> str:
    """How many of the other labels stay; empty for a single attribute."""
    kept = find(figures, editor, "kept@1")
    if kept is None:
        return ""
    if high(kept) < FEW_KEPT:
        return f"change {percent(1 - kept['value'])} of other labels"
    return f"keep {percent(kept['value'])} of other labels"


def claim_identity(figures: Figures, editor: str) -> str:
    """Whether the features stay those of the unedited image; empty if they are not measured."""
    found, pairs = find(figures, editor, "identity@1"), find(figures, SAMPLES, "identity@1")
    if found is None or pairs is None:
        return ""
    numbers = f"({found['value']:.2f}; two samples: {round(pairs['value'], 2) + 0.0:.2f})"  # never -0.00
    if scale_identity(high(found), pairs["value"]) < LOST:
        return f"lose identity {numbers}"
    kept = scale_identity(low(found), pairs["value"]) >= SAME
    return f"keep identity {numbers}" if kept else f"keep identity only in part {numbers}"


def claim_realism(figures: Figures, editor: str) -> str:
    """Whether edits lie among samples that have the value; empty if that is not measured."""
    edits, own = find(figures, editor, "precision@1"), find(figures, SAMPLES, "precision@1")
    if edits is None or own is None:
        return ""
    numbers = f"({percent(edits['value'])}; samples: {percent(own['value'])})"
    if high(edits) < UNREAL * own["value"]:
        return f"most of them do not look like samples {numbers}"
    how = "less often than" if is_less(edits, own) else "about as often as"
    return f"they lie among samples {how} samples do {numbers}"


def name_weakest(figures: Figures, editor: str, names: Sequence[str]) -> str:
    """The categories that fail, each with its failures; if none does, the weakest by arrival times labels kept."""
    failures = {name: list_failures(figures, editor, name) for name in names}
    failed = sorted((name for name in names if failures[name]), key=lambda name: -len(failures[name]))
    if failed:
        shown = "; ".join(f"{name} ({', '.join(failures[name])})" for name in failed[:NAMED])
        more = f"; and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
        return f"Fails in {len(failed)} of {len(names)} categories: {shown}{more}."

    def strength(name: str) -> float:
        flips, kept = find(figures, editor, "flips@1", name), find(figures, editor, "kept@1", name)
        return (flips["value"] if flips else 0.0) * (kept["value"] if kept else 1.0)

    weakest = min(names, key=strength)
    flips, kept = find(figures, editor, "flips@1", weakest), find(figures, editor, "kept@1", weakest)
    if flips is None:
        return ""
    others = f", {percent(kept['value'])} of other labels kept" if kept else ""
    return f"Weakest category: {weakest} ({percent(flips['value'])} reached{others})."


def list_failures(figures: Figures, editor: str, name: str) -> list[str]:
    """What fails in one category, by its own intervals."""
    found = []
    flips, kept = find(figures, editor, "flips@1", name), find(figures, editor, "kept@1", name)
    identity, pairs = find(figures, editor, "identity@1", name), find(figures, SAMPLES, "identity@1", name)
    precision, own = find(figures, editor, "precision@1", name), find(figures, SAMPLES, "precision@1", name)
    if flips and high(flips) < MISSED:
        found.append(f"{percent(flips['value'])} reached")
    if kept and high(kept) < FEW_KEPT:
        found.append(f"{percent(kept['value'])} of other labels kept")
    if identity and pairs and scale_identity(high(identity), pairs["value"]) < LOST:
        found.append(f"identity lost, {identity['value']:.2f}")
    if precision and own and high(precision) < UNREAL * own["value"]:
        found.append(f"{percent(precision['value'])} look like samples")
    return found


def count_images(figures: Figures, editor: str, names: Sequence[str]) -> str:
    """On how few images the figures rest; empty if they are enough."""
    rows = [find(figures, editor, "flips@1", name) for name in ("all", *names)]
    whole, *others = (row["n"] if row else 0 for row in rows)
    each = min(others)
    if whole < FEW:
        return f"All figures rest on only {whole} edits."
    return f"A single category rests on as few as {each} edits: its figures are rough." if each < FEW else ""


def list_unmeasured(figures: Figures, editor: str, names: Sequence[str], same_classifier: bool) -> list[str]:
    """What is not measured, and with which command it is."""
    found = []
    if same_classifier:
        found.append(
            "The evaluation classifier also made the labels, so that all figures are optimistic: "
            "gmmedit evaluate --force --classifier NAME takes another."
        )
    elif find(figures, SAMPLES, "agreement") is None:
        found.append("How far the two classifiers agree is not measured: a table gave the labels.")
    if find(figures, editor, "identity@1") is None:
        found.append(
            "Identity and realism are not measured, as no feature network is known: "
            "gmmedit evaluate --force --features NETWORK measures them."
        )
        return found
    unknown = [name for name in names if find(figures, editor, "precision@1", name) is None]
    if unknown:
        shown = ", ".join(unknown[:NAMED]) + (", ..." if len(unknown) > NAMED else "")
        found.append(f"Realism is not measured of {shown}: too few samples have the value; evaluate more (-n).")
    return found


def is_less(row: Row, other: Row) -> bool:
    """Whether a share is less than another beyond their intervals: Newcombe's interval of the difference (1998)."""
    apart = ((other["value"] - low(other)) ** 2 + (high(row) - row["value"]) ** 2) ** 0.5
    return bool(other["value"] - row["value"] > apart)


def scale_identity(identity: Cosines, pairs: float) -> Cosines:
    """A cosine of features, or several, between that of two samples (0) and that of equal images (1)."""
    return (identity - pairs) / max(1 - pairs, 1e-6)


def low(row: Row) -> float:
    """The lower end of a figure's interval; the figure if it has none."""
    return float(row["value"] if row["low"] is None else row["low"])


def high(row: Row) -> float:
    """The upper end of a figure's interval; the figure if it has none."""
    return float(row["value"] if row["high"] is None else row["high"])


def percent(share: float) -> str:
    """A share as a whole percentage; with a decimal where that would say all or nothing and is not."""
    whole = f"{100 * share:.0f}"
    if share in (0, 1) or whole not in ("0", "100"):
        return f"{whole} %"
    return f"{min(max(100 * share, 0.1), 99.9):.1f} %"
