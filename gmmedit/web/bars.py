"""The labels of an image before and after an edit, as bars."""

from collections.abc import Iterator, Sequence
from html import escape

from gmmedit.editing.request import Attributes

CSS = """
.bars{display:grid;grid-template-columns:minmax(5rem,auto) 1fr auto;gap:.15rem .6rem;align-items:center;
font-size:.85rem}
.bars .name{overflow-wrap:anywhere}
.bars .aimed{font-weight:700}
.bars .numbers{font-variant-numeric:tabular-nums;text-align:right;white-space:nowrap}
.bars .track{display:grid;gap:2px}
.bars .track span{display:block;height:.45rem;background:var(--border-color-primary);border-radius:2px}
.bars .track b{display:block;height:100%;border-radius:2px;background:var(--body-text-color-subdued)}
.bars .track .after b{background:var(--color-accent)}
.bars .key{grid-column:1/-1;color:var(--body-text-color-subdued)}
"""


def show_bars(
    attributes: Attributes, before: Sequence[float], after: Sequence[float], aimed: Sequence[str] = ()
) -> str:
    """HTML of the labels (K,) in [0, 1] before and after: a row for each value, for two-valued attributes the second.

    aimed: the attributes that the edit aims at.
    """
    rows = "".join(
        f'<span class="name{" aimed" if name in aimed else ""}">{escape(label)}</span>'
        f'<span class="track" aria-hidden="true">{bar(before[k], "before")}{bar(after[k], "after")}</span>'
        f'<span class="numbers">{before[k]:.2f} → {after[k]:.2f}</span>'
        for name, label, k in _list_rows(attributes)
    )
    key = '<span class="key">probability by the labelling classifier, before → after</span>'
    return f'<div class="bars">{rows}{key}</div>'


def bar(share: float, name: str) -> str:
    """HTML of a bar that fills that share, in [0, 1], of its track."""
    return f'<span class="{name}"><b style="width:{100 * min(max(share, 0.0), 1.0):.1f}%"></b></span>'


def _list_rows(attributes: Attributes) -> Iterator[tuple[str, str, int]]:
    """The attribute, the text and the column of each row."""
    start = 0
    for name, values in attributes:
        two = len(values) == 2
        for k in range(1, 2) if two else range(len(values)):
            plain = two and values[k] in ("yes", name)
            yield name, name if plain else f"{name}={values[k]}", start + k
        start += len(values)
