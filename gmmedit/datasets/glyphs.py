"""Letters of real typefaces: content is the letter, style the typeface and, in colour, the two colours.

Row = (typeface * variants + variant) * 36 + letter. Every letter of every style is known, so that the true image of
any (content, style) is.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gmmedit.classifiers.attributes import Attribute
from gmmedit.datasets.base import Changes, DataSet, Rows
from gmmedit.datasets.checks import change_labels, digest
from gmmedit.datasets.typefaces import HINT, LETTERS, draw_typeface, find_typefaces
from gmmedit.errors import InputError

DEFAULT_SIZE = 32
MOST = 2_000  # typefaces
PLAIN = ("DejaVuSans", "LiberationSans-Regular", "Arial", "Helvetica", "NotoSans-Regular")  # for the content
VARIANTS = 4  # pairs of colours of each typeface
LEAST_CONTRAST = 0.45  # between the luma of ink and paper, in [0, 1]
LUMA = (0.299, 0.587, 0.114)
HELD_OUT_EVERY = 8  # one typeface in so many


class Glyphs(DataSet):
    """Glyphs (1, S, S), or coloured (3, S, S), of the typefaces that have all letters; the others are noted.

    The factors of coloured ones are the colours of ink and paper, in [0, 1].
    """

    def __init__(self, paths: Iterable[Path], size: int = DEFAULT_SIZE, coloured: bool = False) -> None:
        """InputError: no typeface can be used."""
        self.name = "glyphs-coloured" if coloured else "glyphs"
        self.image_shape = (3 if coloured else 1, size, size)
        self.variants = VARIANTS if coloured else 1
        self.factors = tuple(f"{what}_{c}" for what in ("ink", "paper") for c in "rgb") if coloured else None
        self.paths, self.drawn, self.notes = draw_all(paths, size)
        self.colours = draw_colours(len(self.paths) * self.variants)
        names = unique_names(self.paths)
        styles = [f"{name}-{i + 1}" for name in names for i in range(self.variants)] if coloured else names
        self.attributes = (Attribute("letter", tuple(LETTERS)), Attribute("typeface", tuple(styles)))
        self.plain = next((names.index(name) for name in PLAIN if name in names), find_plainest(self.drawn))
        self.fingerprint = digest(self.name, names, self.drawn)

    def __len__(self) -> int:
        return len(self.drawn) * self.variants * len(LETTERS)

    def labels(self, rows: Rows | None = None) -> Tensor:
        """See `DataSet.labels`: letters, and styles."""
        places = torch.arange(len(self)) if rows is None else torch.as_tensor(rows)
        return torch.stack([places % len(LETTERS), places // len(LETTERS)], dim=1)

    def images(self, rows: Rows) -> Tensor:
        """See `DataSet.images`."""
        return self.render(*self.labels(rows).unbind(1))

    def true_factors(self, rows: Rows) -> Tensor | None:
        """See `DataSet.true_factors`."""
        return self.colours[self.labels(rows)[:, 1]].flatten(1) if self.factors else None

    def counterfactual(self, rows: Rows, changes: Changes) -> Tensor:
        """See `DataSet.counterfactual`: another letter of the same style, or the other way round. Colours stay styles'.

        InputError: as there, or a factor is changed.
        """
        if set(changes) & set(self.factors or ()):
            raise InputError(f"{self.name}: a colour belongs to its style", hint="change the typeface")
        return self.render(*change_labels(self, rows, changes)[0].unbind(1))

    def render(self, letters: Tensor, styles: Tensor) -> Tensor:
        """The true glyphs (n, C, S, S) in [-1, 1] of letters (n,) in styles (n,)."""
        grey = torch.from_numpy(self.drawn[(styles // self.variants).numpy(), letters.numpy()])[:, None].float() / 255
        if self.factors:
            ink, paper = self.colours[styles][..., None, None].unbind(1)  # (n, 3, 1, 1)
            grey = ink + (paper - ink) * grey
        return grey * 2 - 1

    def content(self, letters: Tensor) -> Tensor:
        """Letters (n,) in a plain face, black on white (n, 1, S, S) in [-1, 1]."""
        return torch.from_numpy(self.drawn[self.plain, letters.numpy()])[:, None].float() / 127.5 - 1

    def style_images(self, styles: Tensor, letters: Tensor) -> Tensor:
        """Strips (n, C, S, k S) of the letters (n, k) in the styles (n,), to read a style from."""
        n, k = letters.shape
        strips = self.render(letters.flatten(), styles.repeat_interleave(k)).unflatten(0, (n, k))
        return torch.cat(list(strips.unbind(1)), dim=3)

    def held_out(self) -> np.ndarray:
        """All rows of one typeface in eight, drawn by seed 0; never of the plain face."""
        order = np.random.default_rng(0).permutation(len(self.drawn))
        chosen = [face for face in order if face != self.plain][: max(1, len(order) // HELD_OUT_EVERY)]
        span = self.variants * len(LETTERS)
        return np.concatenate([np.arange(face * span, (face + 1) * span) for face in sorted(chosen)])


def draw_all(paths: Iterable[Path], size: int) -> tuple[list[Path], np.ndarray, tuple[str, ...]]:
    """Usable typefaces, their letters uint8 (n, 36, S, S), and a note on the others. InputError: fewer than two."""
    used: list[Path] = []
    drawn: list[np.ndarray] = []
    bad: list[str] = []
    seen: set[str] = set()
    for path in paths:
        try:
            letters = draw_typeface(path, size)
            mark = digest(letters)
            if mark in seen:
                raise ValueError("is the same as another")
        except ValueError as error:
            bad.append(f"{path.name} {error}")
            continue
        seen.add(mark)
        used.append(path)
        drawn.append(letters)
        if len(used) == MOST:
            break
    reasons = f"; {bad[0]}" if bad else ""
    if len(used) < 2:
        raise InputError(f"{len(used)} of {len(used) + len(bad)} typefaces can be used, not two{reasons}", hint=HINT)
    named = ", ".join(bad[:3]) + (", ..." if len(bad) > 3 else "")
    notes = (f"{len(bad)} of {len(used) + len(bad)} typefaces left out: {named}",) if bad else ()
    return used, np.stack(drawn), notes


def find_plainest(drawn: np.ndarray) -> int:
    """The typeface whose letters correlate best with the mean of all, by pixels; drawn: uint8 (n, 36, S, S).

    Not the nearest to it, which is the thinnest one.
    """
    mean = drawn.mean(axis=0, dtype=np.float64)
    mean -= mean.mean()
    scores = [((face - face.mean()) * mean).sum() / max(float(face.std()), 1e-6) for face in drawn]
    return int(np.argmax(scores))


def unique_names(paths: list[Path]) -> list[str]:
    """File names without suffix; where two are the same, the later ones are numbered."""
    names: list[str] = []
    for path in paths:
        same = sum(name == path.stem or name.startswith(f"{path.stem} ") for name in names)
        names.append(f"{path.stem} {same + 1}" if same else path.stem)
    return names


def draw_colours(styles: int) -> Tensor:
    """Colours (styles, 2, 3) of ink and paper in [0, 1], of enough contrast; style i depends on i alone."""
    pairs = []
    for style in range(styles):
        rng = np.random.default_rng([style, 5])
        pair = rng.random((2, 3))
        while abs(float((pair[0] - pair[1]) @ np.array(LUMA))) < LEAST_CONTRAST:
            pair = rng.random((2, 3))
        pairs.append(pair)
    return torch.from_numpy(np.stack(pairs)).float()


def load(size: int | None = None, folder: Path | None = None) -> Glyphs:
    """Black glyphs of the system's typefaces, or of a folder's. InputError: there are none."""
    return Glyphs(find_typefaces(folder), size or DEFAULT_SIZE)


def load_coloured(size: int | None = None) -> Glyphs:
    """Coloured glyphs of the system's typefaces. InputError: there are none."""
    return Glyphs(find_typefaces(None), size or DEFAULT_SIZE, coloured=True)
