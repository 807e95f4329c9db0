"""Find typefaces (TTF, OTF), and draw their letters in black on white."""

import string
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gmmedit.errors import InputError

LETTERS = string.ascii_uppercase + string.digits
SUFFIXES = (".ttf", ".otf")
SYSTEM = (
    "/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts", "/Library/Fonts",
    "/System/Library/Fonts", "~/Library/Fonts",
)  # fmt: skip
ABSENT = "\U0010ffff"  # in no typeface: drawn as the box for what is missing
DRAWN = 48  # points at which letters are measured and compared
FINE = 2  # the letters are drawn so many times larger, and averaged
MARGIN = 0.06  # of the image, on either side
HINT = "install typefaces (apt-get install fonts-aenigma), or name a folder of .ttf or .otf files"


def find_typefaces(folder: Path | None) -> list[Path]:
    """The typefaces below the folder, or, without one, the system's; sorted by path. InputError: there are none."""
    places = [folder] if folder else [Path(place).expanduser() for place in SYSTEM]
    found = {
        path for place in places for path in place.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
    }
    if not found:
        where = str(folder) if folder else "the system's folders of fonts"
        raise InputError(f"there is no typeface in {where}", hint=HINT)
    return sorted(found)


def draw_typeface(path: Path, size: int) -> np.ndarray:
    """Its LETTERS as uint8 (36, size, size), black on white, on one baseline and as large as the largest allows.

    ValueError: it cannot be read, lacks a letter, or draws the same for all; the text says so.
    """
    try:
        font = ImageFont.truetype(str(path), DRAWN, layout_engine=ImageFont.Layout.BASIC)
        check_letters(font)
        boxes = np.array([font.getbbox(letter, anchor="ls") for letter in LETTERS])
        room = FINE * size * (1 - 2 * MARGIN)
        widest = (boxes[:, 2] - boxes[:, 0]).max()
        highest = boxes[:, 3].max() - boxes[:, 1].min()
        font = ImageFont.truetype(
            str(path), max(1, int(DRAWN * room / max(widest, highest))), layout_engine=ImageFont.Layout.BASIC
        )
        return draw_letters(font, size)
    except (OSError, SyntaxError, MemoryError, OverflowError) as error:  # FreeType's, and a damaged file's
        raise ValueError(f"cannot be read: {error}") from error


def draw_letters(font: ImageFont.FreeTypeFont, size: int) -> np.ndarray:
    """LETTERS (36, size, size) with their baseline where the whole alphabet is in the middle, each centred by width."""
    boxes = np.array([font.getbbox(letter, anchor="ls") for letter in LETTERS])
    edge = FINE * size
    baseline = edge / 2 - (boxes[:, 1].min() + boxes[:, 3].max()) / 2
    drawn = []
    for letter, (left, _, right, _) in zip(LETTERS, boxes, strict=True):
        image = Image.new("L", (edge, edge), 255)
        place = (round(edge / 2 - (left + right) / 2), round(baseline))
        ImageDraw.Draw(image).text(place, letter, 0, font, anchor="ls")
        drawn.append(np.asarray(image.reduce(FINE)))
    return np.stack(drawn)


def check_letters(font: ImageFont.FreeTypeFont) -> None:
    """ValueError: a letter is missing, or nearly all are the same."""
    absent = mask_bytes(font, ABSENT)
    masks = [mask_bytes(font, letter) for letter in LETTERS]
    missing = [letter for letter, mask in zip(LETTERS, masks, strict=True) if mask is None or mask == absent]
    if missing:
        shown = "".join(missing[:5]) + ("..." if len(missing) > 5 else "")
        raise ValueError(f"has no {shown}")
    if len(set(masks)) < len(LETTERS) / 2:
        raise ValueError("draws different letters alike")


def mask_bytes(font: ImageFont.FreeTypeFont, letter: str) -> tuple[tuple[int, int], bytes] | None:
    """A letter's bitmap; None: it is empty."""
    mask = font.getmask(letter)
    content = bytes(mask)
    return (mask.size, content) if any(content) else None
