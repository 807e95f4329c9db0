"""Contact sheets and animations of edits: one row per image, one column per strength."""

import math
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

MARGIN = 6
BACKGROUND, TEXT = (255, 255, 255), (40, 40, 40)
SMALLEST_TILE = 128  # pixels; smaller images are enlarged
LARGEST_TILE = 256  # pixels; larger images are shrunk
SOFTWARE = "gmmedit contact sheet"  # text of the PNG files of sheets


def to_tile(pixels: np.ndarray) -> Image.Image:
    """An image uint8 (H, W, C) of SMALLEST_TILE to about LARGEST_TILE pixels: enlarged by a whole factor, or shrunk."""
    image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).convert("RGB")
    factor = max(1, -(-SMALLEST_TILE // max(image.size)))
    image.thumbnail((LARGEST_TILE, LARGEST_TILE), Image.Resampling.BICUBIC)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.BICUBIC)


def contact_sheet(images: np.ndarray, columns: list[str], captions: list[list[str]], title: str) -> Image.Image:
    """A sheet of images uint8 (rows, columns, H, W, C), a heading per column, captions[row][column] below each image.

    Columns are as wide as their images and texts.
    """
    font, small = ImageFont.load_default(15), ImageFont.load_default(12)
    tiles = [[to_tile(pixels) for pixels in row] for row in images]
    width, height = tiles[0][0].size
    texts = [font.getlength(text) for text in columns] + [small.getlength(text) for row in captions for text in row]
    cell_w, cell_h, top = max(width, math.ceil(max(texts))) + MARGIN, height + MARGIN + 16, 54
    whole = max(len(columns) * cell_w, math.ceil(font.getlength(title)) + MARGIN) + MARGIN
    sheet = Image.new("RGB", (whole, top + len(tiles) * cell_h + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, 8), title, TEXT, font)
    middles = [MARGIN + j * cell_w + (cell_w - MARGIN) / 2 for j in range(len(columns))]
    for middle, heading in zip(middles, columns, strict=True):
        draw.text((middle, 34), heading, TEXT, font, anchor="ma")
    for i, row in enumerate(tiles):
        y = top + i * cell_h
        for j, (middle, image) in enumerate(zip(middles, row, strict=True)):
            sheet.paste(image, (round(middle - width / 2), y))
            draw.text((middle, y + height + 1), captions[i][j], TEXT, small, anchor="ma")
    return sheet


def to_animation(frames: list[Image.Image], milliseconds: int = 80) -> bytes:
    """A looping animated WebP, `milliseconds` per frame, that runs to the last frame and back."""
    looped = frames + frames[-2:0:-1]
    content = BytesIO()
    looped[0].save(content, "WEBP", save_all=True, append_images=looped[1:], duration=milliseconds, loop=0, quality=90)
    return content.getvalue()


def to_png(image: Image.Image, text: PngInfo | None = None) -> bytes:
    """The image as a PNG file, with texts beside it."""
    content = BytesIO()
    image.save(content, "PNG", pnginfo=text)
    return content.getvalue()


def sheet_to_png(sheet: Image.Image) -> bytes:
    """A sheet or chart as a PNG file that says so, and that `invert` does not take for a photograph."""
    text = PngInfo()
    text.add_text("Software", SOFTWARE)
    return to_png(sheet, text)


def join_row(images: np.ndarray) -> Image.Image:
    """Images uint8 (N, H, W, C) side by side."""
    tiles = [to_tile(pixels) for pixels in images]
    width, height = tiles[0].size
    strip = Image.new("RGB", (width * len(tiles), height))
    for i, image in enumerate(tiles):
        strip.paste(image, (i * width, 0))
    return strip
