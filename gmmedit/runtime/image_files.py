"""Image files of strangers: the formats that are decoded, and how many pixels at most."""

import warnings
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from gmmedit.runtime.regular_files import check_regular

# What Pillow reads by itself: EPS would start another program.
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF", "JPEG2000")
MOST_PIXELS = Image.MAX_IMAGE_PIXELS or 89_478_485  # 9,459 x 9,459


def open_image(source: Path | BinaryIO, hint: str = "") -> Image.Image:
    """The image of a file or stream, whose pixels are not decoded yet; to be used in `with`.

    InputError, with the hint: a pipe or a device. DecompressionBombError: it has more than MOST_PIXELS.
    UnidentifiedImageError: it is of none of FORMATS. OSError and others: it is damaged.
    """
    if isinstance(source, Path):
        check_regular(source, hint)
    Image.init()
    known = [kind for kind in FORMATS if kind in Image.OPEN]  # AVIF is optional
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # refused below
        try:
            image = Image.open(source, formats=known)
        except Image.DecompressionBombError as error:  # more than twice as many
            raise Image.DecompressionBombError(f"more than the {MOST_PIXELS:,} pixels that are decoded") from error
    if image.width * image.height > MOST_PIXELS:
        image.close()
        message = f"{image.width} x {image.height} pixels, more than the {MOST_PIXELS:,} that are decoded"
        raise Image.DecompressionBombError(message)
    return image
