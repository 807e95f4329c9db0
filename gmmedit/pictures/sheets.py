"""Contact sheets and animations of edits: one row per image, one column per strength."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

MARGIN = 6
PAPER, INK = (255, 255, 255), (40, 40, 40)
SMALLEST_TILE = 128  # smaller pictures are enlarged to this, so that captions can be read


def tile(pixels: np.ndarray) -> Image.Image:
    """One picture, uint8 (H, W, C), enlarged by a whole factor if it is small."""
    image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).convert("RGB")
    factor = max(1, -(-SMALLEST_TILE // max(image.size)))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.BICUBIC)


def contact_sheet(pictures: np.ndarray, columns: list[str], captions: list[list[str]], title: str) -> Image.Image:
    """Pictures uint8 (rows, columns, H, W, C), a heading per column, captions[row][column] below each."""
    font, small = ImageFont.load_default(15), ImageFont.load_default(12)
    tiles = [[tile(pixels) for pixels in row] for row in pictures]
    width, height = tiles[0][0].size
    cell_w, cell_h, top = width + MARGIN, height + MARGIN + 16, 54
    sheet = Image.new("RGB", (len(columns) * cell_w + MARGIN, top + len(tiles) * cell_h + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, 8), title, INK, font)
    for j, heading in enumerate(columns):
        draw.text((MARGIN + j * cell_w + width / 2, 34), heading, INK, font, anchor="ma")
    for i, row in enumerate(tiles):
        for j, picture in enumerate(row):
            x, y = MARGIN + j * cell_w, top + i * cell_h
            sheet.paste(picture, (x, y))
            draw.text((x + width / 2, y + height + 1), captions[i][j], INK, small, anchor="ma")
    return sheet


def save_animation(frames: list[Image.Image], path: Path, milliseconds: int = 80) -> None:
    """A looping animated WebP that runs to the last frame and back."""
    there_and_back = frames + frames[-2:0:-1]
    there_and_back[0].save(
        path, save_all=True, append_images=there_and_back[1:], duration=milliseconds, loop=0, quality=90
    )


def row_of(pictures: np.ndarray) -> Image.Image:
    """Pictures uint8 (N, H, W, C) side by side."""
    tiles = [tile(pixels) for pixels in pictures]
    width, height = tiles[0].size
    strip = Image.new("RGB", (width * len(tiles), height))
    for i, picture in enumerate(tiles):
        strip.paste(picture, (i * width, 0))
    return strip
