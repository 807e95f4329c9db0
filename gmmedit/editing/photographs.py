"""Photographs from files: which files, read safely, turned upright, and cut to a generator's images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from gmmedit.errors import InputError
from gmmedit.pictures.sheets import SOFTWARE
from gmmedit.runtime.image_files import open_image
from gmmedit.runtime.regular_files import check_regular

Crop = Literal["center", "box", "none"]
Colour = tuple[int, int, int]

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm", ".avif", ".jp2",
    ".heic", ".heif",  # refused with a hint
)  # fmt: skip
READ_HINT = "give PNG, JPEG, WebP, TIFF, BMP, GIF or AVIF files"
HEIC = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")  # brands in the first box of a file
PLAIN = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr")  # modes that Pillow converts exactly
SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I")
LEAST_SIDE = 8  # pixels
ASPECT_TOLERANCE = 0.02  # of width / height, for `none`


def list_photographs(paths: Sequence[Path]) -> list[tuple[str, Path]]:
    """Names and paths of image files: those given, and those in the given folders, by name.

    A name is that of the file; of files with the same name, the path. Of folders, sheets that gmmedit wrote are left
    out. InputError: nothing is given, a path does not exist, or a folder has no images but such sheets.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"there is no file {path}", hint="give image files, or folders of them")
        images = list_images(path) if path.is_dir() else [path]
        inside = [file for file in images if not is_sheet(file)] if path.is_dir() else images
        if images and not inside:
            message = f"{path} has only images that gmmedit wrote, which are left out: {images[0].name}, ..."
            raise InputError(message, hint=f"name a file to invert it all the same, such as {images[0]}")
        if not inside:
            raise InputError(f"{path} has no images", hint=READ_HINT)
        found += [file for file in inside if file not in found]
    if not found:
        raise InputError("nothing to invert", hint="gmmedit invert photo.jpg")
    counts = Counter(path.name for path in found)
    return [(path.name if counts[path.name] == 1 else str(path), path) for path in found]


def list_images(folder: Path) -> list[Path]:
    """The files of a folder that are named like images, by name."""
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)


def is_sheet(path: Path) -> bool:
    """Whether a file is a sheet or chart that gmmedit wrote; its pixels are not decoded."""
    if path.suffix.lower() != ".png" or not path.is_file():
        return False
    try:
        with open_image(path) as image:
            return image.info.get("Software") == SOFTWARE
    except Exception:  # `read_photograph` says what is wrong with it
        return False


def read_photograph(source: Path | BinaryIO, name: str) -> Image.Image:
    """The image of a file or stream, upright as its EXIF orientation says, in the mode L, RGB, LA or RGBA.

    Of an animation, the first frame. InputError: not an image, damaged, of a format or colours that are not read, or of
    too few or too many pixels; `name` is what the error calls it.
    """
    if isinstance(source, Path):
        check_regular(source, READ_HINT)
        with source.open("rb") as stream:
            return read_photograph(stream, name)
    refuse_heic(source, name)
    try:
        image = open_image(source)
        check_size(image.size, name)
        image.load()
        upright = ImageOps.exif_transpose(image)
    except Image.DecompressionBombError as error:
        hint = "shrink it first; a generator's images have 1024 x 1024 pixels or fewer"
        raise InputError(f"{name} has {error}", hint=hint) from error
    except UnidentifiedImageError as error:
        raise InputError(f"{name} is not an image", hint=READ_HINT) from error
    except InputError:
        raise
    except Exception as error:  # decoders raise many kinds for damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{name} is damaged: {reason}", hint="export the image again") from error
    return to_plain(upright, name)


def refuse_heic(stream: BinaryIO, name: str) -> None:
    """InputError: the stream is in Apple's HEIC format, for which Pillow has no reader. Else it is at its beginning."""
    head = stream.read(12)
    stream.seek(0)
    if head[4:8] == b"ftyp" and head[8:12] in HEIC:
        hint = "convert it to JPEG or PNG, e.g. `heif-convert photo.heic photo.png`, or export it as JPEG"
        raise InputError(f"{name} is in HEIC format, which is not read", hint=hint)


def check_size(size: tuple[int, int], name: str) -> None:
    """InputError: an image of (width, height) has too few pixels."""
    width, height = size
    if min(size) < LEAST_SIDE:
        message = f"{name} is {width} x {height} pixels: too small to invert"
        raise InputError(message, hint=f"give images of at least {LEAST_SIDE} pixels along each side")


def to_plain(image: Image.Image, name: str) -> Image.Image:
    """The image in the mode L, RGB, LA or RGBA. InputError: its colours cannot be converted without a profile."""
    if image.mode in SIXTEEN_BITS:
        levels = np.asarray(image).astype(np.int64).clip(0, (1 << 16) - 1)
        return Image.fromarray((levels >> 8 if levels.max() > 255 else levels).astype(np.uint8))
    if image.mode not in PLAIN:
        message = f"{name} has {image.mode} colours, whose conversion to RGB depends on a profile"
        raise InputError(message, hint="convert it to RGB first, e.g. export it as PNG or JPEG")
    grey = image.mode in ("1", "L", "LA", "La")
    clear = image.has_transparency_data
    return image.convert(("LA" if clear else "L") if grey else ("RGBA" if clear else "RGB"))


def cut_photograph(
    image: Image.Image, shape: tuple[int, int, int], crop: Crop, background: Colour, name: str
) -> np.ndarray:
    """The image as one of a generator with images of `shape` (C, H, W): uint8 (H, W, C).

    What is transparent shows the background. `center` cuts the largest part of the generator's aspect out of the
    middle, `box` shows the whole image with background beside it, `none` only resizes. Greyscale and colour are
    converted as the generator needs. InputError: `none`, and the image is of another aspect; or the generator's images
    are neither greyscale nor RGB.
    """
    channels, height, width = shape
    if channels not in (1, 3):
        hint = "use a generator of RGB or greyscale images"
        raise InputError(f"the generator's images have {channels} channels, a photograph has 1 or 3", hint=hint)
    if image.mode in ("LA", "RGBA"):
        below = Image.new("RGBA", image.size, (*background, 255))
        image = Image.alpha_composite(below, image.convert("RGBA"))
    image, size, filter_ = image.convert("RGB"), (width, height), Image.Resampling.LANCZOS
    if crop == "none":
        off = abs(image.width * height / (image.height * width) - 1)
        if off > ASPECT_TOLERANCE:
            message = f"{name} is {image.width} x {image.height} pixels, the generator's images are {width} x {height}"
            raise InputError(f"{message}: another aspect", hint="--crop center, or --crop box")
        image = image.resize(size, filter_, reducing_gap=3.0)
    elif crop == "box":
        image = ImageOps.pad(image, size, filter_, color=background)
    else:
        image = ImageOps.fit(image, size, filter_)
    return np.array(image.convert("L"))[..., None] if channels == 1 else np.array(image)
