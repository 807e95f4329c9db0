"""Content and style of a data set: which images show a content without a style, and which show a style.

Typefaces tell both apart: content is a letter in a plain face, style are other letters of the typeface. Of any other
labelled images, content is the mean image of a value, and the style is read from the image itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gmmedit.classifiers.attributes import Attribute, check_addressable
from gmmedit.datasets import DataSet
from gmmedit.datasets.glyphs import Glyphs
from gmmedit.errors import InputError, nearest
from gmmedit.networks.saae import STYLE
from gmmedit.training.labelled import spread

FEWEST_STYLES = 8  # training typefaces
FEWEST_OF_A_CONTENT = 8  # training images
MOST_CONTENTS = 256
MOST_CODES = 2_048  # encoded styles that are stored
MEAN_OF = 256  # images of a value, at most
SHOWN_LETTERS = 4  # that styles of sheets and of held-out figures are read from
MEASURED = 1_000  # held-out images, at most
COMPARED = 512  # training typefaces of which the nearest is sought, at most
MEASURE_SEED = 11  # of the letters that held-out styles are read from


@dataclass(frozen=True)
class Examples:
    """Contents (R,), strips of held-out styles, and of each the true images (R, C, H, W), None where unknown."""

    contents: Tensor
    strips: list[Tensor]
    truths: list[Tensor | None]


class StyleData(ABC):
    """Targets, their contents and images of their styles, from the rows of a data set that train."""

    data: DataSet
    content: Attribute
    templates: Tensor  # (k, C', H, W) in [-1, 1], a content each
    rows: np.ndarray  # that train

    @abstractmethod
    def batch(self, rows: np.ndarray, letters: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """Targets (N, C, H, W), contents (N,), and strips (N, C, H, n W) of at most `letters` images of the styles."""

    @abstractmethod
    def whole_styles(self) -> Sequence[Tensor]:
        """A strip (1, C, H, n W) for every style that trains, of at most MOST_CODES."""

    @abstractmethod
    def held_out(self) -> tuple[Tensor, Tensor, Tensor]:
        """Targets, contents and strips, as in `batch`, of at most MEASURED held-out rows, evenly spread."""

    @abstractmethod
    def baselines(self) -> dict[str, float]:
        """Mean absolute differences to the targets of `held_out`, pixels in [0, 1], of what needs no network."""

    @abstractmethod
    def examples(self, styles: int, contents: int) -> Examples:
        """Contents and held-out styles, evenly spread, for sheets."""


class GlyphStyles(StyleData):
    """Of typefaces: the letters of a strip are others than the target's."""

    def __init__(self, data: Glyphs) -> None:
        """InputError: too few typefaces."""
        self.data, self.glyphs, self.content = data, data, data.attributes[0]
        self.rows = np.setdiff1d(np.arange(len(data)), data.held_out())
        self.templates = data.content(torch.arange(len(self.content.values)))
        self.styles = torch.unique(data.labels(self.rows)[:, 1])
        if len(self.styles) < FEWEST_STYLES:
            message = f"{data.name} has {len(self.styles)} training typefaces, at least {FEWEST_STYLES} are needed"
            raise InputError(message, hint="install more typefaces (apt-get install fonts-aenigma)")

    def batch(self, rows: np.ndarray, letters: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """See `StyleData.batch`; how many letters a strip has is drawn for all of the batch."""
        rng = np.random.default_rng([seed, 7])
        count = int(rng.integers(1, letters + 1))
        return self.read_rows(rows, self.draw_letters(rows, count, rng))

    def draw_letters(self, rows: np.ndarray, count: int, rng: np.random.Generator) -> Tensor:
        """For each row `count` letters (N, count), all others than its own."""
        k = len(self.content.values)
        steps = rng.permuted(np.tile(np.arange(1, k), (len(rows), 1)), axis=1)[:, :count]
        return (self.data.labels(rows)[:, :1] + torch.from_numpy(steps)) % k

    def read_rows(self, rows: np.ndarray, letters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `batch`, with strips of these letters (N, count)."""
        images, labels, _ = self.data.batch(rows)
        return images, labels[:, 0], self.glyphs.style_images(labels[:, 1], letters)

    def whole_styles(self) -> Sequence[Tensor]:
        """See `StyleData.whole_styles`: all letters."""
        every = torch.arange(len(self.content.values))[None]
        return [self.glyphs.style_images(style[None], every) for style in self.styles[:MOST_CODES]]

    def held_out(self) -> tuple[Tensor, Tensor, Tensor]:
        """See `StyleData.held_out`; strips of SHOWN_LETTERS letters."""
        return self.read_rows(*self.measured_rows())

    def measured_rows(self) -> tuple[np.ndarray, Tensor]:
        """Held-out rows (N,), and the letters (N, SHOWN_LETTERS) that their styles are read from."""
        rows = spread(self.data.held_out(), MEASURED)
        return rows, self.draw_letters(rows, SHOWN_LETTERS, np.random.default_rng(MEASURE_SEED))

    def baselines(self) -> dict[str, float]:
        """See `StyleData.baselines`: the letter of the training typeface whose letters are nearest to the strip's, by
        pixels, and the mean letter; of at most COMPARED training typefaces."""
        rows, letters = self.measured_rows()
        every, faces = torch.arange(len(self.content.values)), torch.from_numpy(spread(self.styles.numpy(), COMPARED))
        known = torch.stack([self.glyphs.render(every, face.expand(len(every))) for face in faces])  # (M, k, C, S, S)
        mean, copied, averaged = known.mean(0), 0.0, 0.0
        for (content, style), shown in zip(self.data.labels(rows), letters, strict=True):
            target, *seen = self.glyphs.render(torch.cat([content[None], shown]), style.expand(1 + len(shown)))
            apart = sum(
                (known[:, letter] - image).abs().flatten(1).sum(1) for letter, image in zip(shown, seen, strict=True)
            )
            copied += float((known[apart.argmin(), content] - target).abs().mean())
            averaged += float((mean[content] - target).abs().mean())
        return {"nearest training typeface": copied / 2 / len(rows), "mean typeface": averaged / 2 / len(rows)}

    def examples(self, styles: int, contents: int) -> Examples:
        """See `StyleData.examples`."""
        held = torch.unique(self.data.labels(self.data.held_out())[:, 1]).numpy()
        every = np.arange(len(self.content.values))
        chosen, shown = map(torch.from_numpy, (spread(held, styles), spread(every, contents)))
        letters = torch.from_numpy(spread(np.setdiff1d(every, shown.numpy()), SHOWN_LETTERS))
        strips = self.glyphs.style_images(chosen, letters.expand(len(chosen), -1))
        truths = [self.glyphs.render(shown, style.expand(len(shown))) for style in chosen]
        return Examples(shown, list(strips), list(truths))


class LabelledStyles(StyleData):
    """Of images with labels of the content alone."""

    def __init__(self, data: DataSet, name: str | None) -> None:
        """InputError: no such attribute, or too few images of a value."""
        self.data, self.content = data, choose_content(data, name)
        column = data.labels()[:, data.attributes.index(self.content)].numpy()
        train = np.setdiff1d(np.flatnonzero(column >= 0), data.held_out())
        counts = np.bincount(column[train], minlength=len(self.content.values))
        if counts.min() < FEWEST_OF_A_CONTENT:
            value = self.content.values[int(counts.argmin())]
            message = f"{data.name} has {counts.min()} training images of {self.content.name}={value}"
            raise InputError(message, hint=f"at least {FEWEST_OF_A_CONTENT} of each are needed, or name another --attr")
        self.rows, self.column = train, torch.from_numpy(column)
        chosen = [train[column[train] == value][:MEAN_OF] for value in range(len(counts))]
        self.templates = torch.stack([data.images(rows).mean(dim=(0, 1))[None] for rows in chosen])

    def batch(self, rows: np.ndarray, letters: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """See `StyleData.batch`: a strip is the target."""
        images, labels, _ = self.data.batch(rows)
        return images, labels[:, self.data.attributes.index(self.content)], images

    def whole_styles(self) -> Sequence[Tensor]:
        """See `StyleData.whole_styles`: images, evenly spread."""
        return list(self.data.images(spread(self.rows, MOST_CODES)).split(1))

    def held_out(self) -> tuple[Tensor, Tensor, Tensor]:
        """See `StyleData.held_out`; a strip is the target."""
        held = self.data.held_out()
        rows = spread(held[self.column[torch.from_numpy(held)].numpy() >= 0], MEASURED)
        images = self.data.images(rows)
        return images, self.column[torch.from_numpy(rows)], images

    def baselines(self) -> dict[str, float]:
        """See `StyleData.baselines`: the mean image of the content."""
        targets, contents, _ = self.held_out()
        return {"mean image of the content": float((self.templates[contents] - targets).abs().mean()) / 2}

    def examples(self, styles: int, contents: int) -> Examples:
        """See `StyleData.examples`."""
        images = self.data.images(spread(self.data.held_out(), styles))
        shown = torch.from_numpy(spread(np.arange(len(self.content.values)), contents))
        return Examples(shown, list(images), [None] * len(images))


def split_styles(data: DataSet, name: str | None) -> StyleData:
    """Content and style of a data set; `name`: the attribute that is content. InputError: as the classes above."""
    if isinstance(data, Glyphs) and name in (None, data.attributes[0].name):
        return GlyphStyles(data)
    return LabelledStyles(data, name)


def choose_content(data: DataSet, name: str | None) -> Attribute:
    """The attribute of that name, or the first.

    InputError: there is none, it has too many values, or edits could not name it or one of them.
    """
    known = {attribute.name: attribute for attribute in data.attributes}
    if not known:
        raise InputError(
            f"{data.name} has no attribute", hint="give images with a table of labels, see docs/training.md"
        )
    if name is not None and name not in known:
        raise InputError(f"{data.name} has no attribute {name!r}", hint=nearest(name, known))
    chosen = known[name] if name else data.attributes[0]
    if len(chosen.values) > MOST_CONTENTS:
        message = f"{chosen.name} has {len(chosen.values)} values, content may have {MOST_CONTENTS}"
        raise InputError(message, hint="name another --attr")
    if chosen.name == STYLE:
        raise InputError(f"{data.name} calls its content {STYLE!r}, as SAAE does the other part", hint="rename it")
    check_addressable([chosen], data.name, "rename it in the data, or name another --attr")
    return chosen
