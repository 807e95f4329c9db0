"""Contact sheets and animations of edits: one row per image, one column per strength."""

import math
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont

MARGIN = 6
PAPER, INK = (255, 255, 255), (40, 40, 40)
SMALLEST_TILE = 128  # smaller pictures are enlarged to this, so that they can be seen
LARGEST_TILE = 256  # larger ones are shrunk to this: a sheet is an overview


def tile(pixels: np.ndarray) -> Image.Image:
    """One picture, uint8 (H, W, C), enlarged by a whole factor if it is small, shrunk if it is large."""
    image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).convert("RGB")
    factor = max(1, -(-SMALLEST_TILE // max(image.size)))
    image.thumbnail((LARGEST_TILE, LARGEST_TILE), Image.Resampling.BICUBIC)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.BICUBIC)


def contact_sheet(pictures: np.ndarray, columns: list[str], captions: list[list[str]], title: str) -> Image.Image:
    """Pictures uint8 (rows, columns, H, W, C), a heading per column, captions[row][column] below each.

    Columns are as wide as their pictures and texts.
    """
    font, small = ImageFont.load_default(15), ImageFont.load_default(12)
    tiles = [[tile(pixels) for pixels in row] for row in pictures]
    width, height = tiles[0][0].size
    texts = [font.getlength(text) for text in columns] + [small.getlength(text) for row in captions for text in row]
    cell_w, cell_h, top = max(width, math.ceil(max(texts))) + MARGIN, height + MARGIN + 16, 54
    whole = max(len(columns) * cell_w, math.ceil(font.getlength(title)) + MARGIN) + MARGIN
    sheet = Image.new("RGB", (whole, top + len(tiles) * cell_h + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, 8), title, INK, font)
    middles = [MARGIN + j * cell_w + (cell_w - MARGIN) / 2 for j in range(len(columns))]
    for middle, heading in zip(middles, columns, strict=True):
        draw.text((middle, 34), heading, INK, font, anchor="ma")
    for i, row in enumerate(tiles):
        y = top + i * cell_h
        for j, (middle, picture) in enumerate(zip(middles, row, strict=True)):
            sheet.paste(picture, (round(middle - width / 2), y))
            draw.text((middle, y + height + 1), captions[i][j], INK, small, anchor="ma")
    return sheet


def animation(frames: list[Image.Image], milliseconds: int = 80) -> bytes:
    """A looping animated WebP that runs to the last frame and back."""
    there_and_back = frames + frames[-2:0:-1]
    content = BytesIO()
    there_and_back[0].save(
        content, "WEBP", save_all=True, append_images=there_and_back[1:], duration=milliseconds, loop=0, quality=90
    )
    return content.getvalue()


def png(picture: Image.Image) -> bytes:
    content = BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


def row_of(pictures: np.ndarray) -> Image.Image:
    """Pictures uint8 (N, H, W, C) side by side."""
    tiles = [tile(pixels) for pixels in pictures]
    width, height = tiles[0].size
    strip = Image.new("RGB", (width * len(tiles), height))
    for i, picture in enumerate(tiles):
        strip.paste(picture, (i * width, 0))
    return strip
