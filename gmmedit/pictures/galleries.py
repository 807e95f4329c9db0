"""Galleries of samples: rows of images under headings, lines of text below each image."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from gmmedit.pictures.sheets import BACKGROUND, MARGIN, SMALLEST_TILE, TEXT

FAINT = (110, 110, 110)
HEADING, LINE, GAP, PART_GAP = 22, 15, 12, 24  # heights of a heading, a line and a gap of rows; width of a gap of parts


@dataclass(frozen=True)
class Cell:
    """A tile and the lines of text below it."""

    tile: Image.Image
    lines: Sequence[str]


@dataclass(frozen=True)
class GalleryRow:
    """Cells side by side under a heading ("": none), in parts that begin at the same places in every row."""

    heading: str
    parts: Sequence[Sequence[Cell]]

    @property
    def cells(self) -> list[Cell]:
        """The cells of all parts."""
        return [cell for part in self.parts for cell in part]

    @property
    def tile_height(self) -> int:
        """The height of the highest tile."""
        return max((cell.tile.height for cell in self.cells), default=0)

    @property
    def height(self) -> int:
        """Pixels from the heading to the next row's."""
        lines = max((len(cell.lines) for cell in self.cells), default=0)
        return (HEADING if self.heading else 0) + self.tile_height + lines * LINE + GAP


def make_gallery(rows: Sequence[GalleryRow], title: str, columns: Sequence[str] = ()) -> Image.Image:
    """A sheet of rows under a title. columns: a heading of each part of all rows."""
    font, small = ImageFont.load_default(15), ImageFont.load_default(12)
    cells = [cell for row in rows for cell in row.cells]
    texts = [math.ceil(small.getlength(line)) for cell in cells for line in cell.lines]
    cell_width = max([SMALLEST_TILE, *(cell.tile.width for cell in cells), *texts]) + MARGIN
    longest = [max(map(len, parts)) for parts in zip(*(row.parts for row in rows), strict=True)]
    starts = [MARGIN + sum(longest[:i]) * cell_width + i * PART_GAP for i in range(len(longest))]
    ends = [starts[-1] + longest[-1] * cell_width]
    ends += [MARGIN + math.ceil(font.getlength(text)) + MARGIN for text in (title, *(row.heading for row in rows))]
    ends += [start + math.ceil(font.getlength(text)) + MARGIN for start, text in zip(starts, columns, strict=False)]
    top = 34 + (HEADING + 4 if columns else 0)
    sheet = Image.new("RGB", (max(ends), top + sum(row.height for row in rows)), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, 8), title, TEXT, font)
    for start, text in zip(starts, columns, strict=False):
        draw.text((start, 34), text, FAINT, font)
    for row in rows:
        draw.text((MARGIN, top), row.heading, TEXT, font)
        below = top + (HEADING if row.heading else 0)
        for start, part in zip(starts, row.parts, strict=True):
            for i, cell in enumerate(part):
                middle = start + i * cell_width + (cell_width - MARGIN) / 2
                sheet.paste(cell.tile, (round(middle - cell.tile.width / 2), below))
                for j, line in enumerate(cell.lines):
                    draw.text((middle, below + row.tile_height + 1 + j * LINE), line, TEXT, small, anchor="ma")
        top += row.height
    return sheet
