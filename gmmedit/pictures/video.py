"""Edits as video: frames of all images side by side, encoded by PyAV (the extra `video`)."""

import math
from fractions import Fraction
from importlib import import_module
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gmmedit.errors import InputError, writing

SUFFIX = ".mp4"
CODECS = ("libx264", "mpeg4")  # the first that PyAV's libraries have
MARK = "made by gmmedit"  # in the comment of a video, by which it is known
MARKED_WITHIN = 1 << 16  # bytes at the end that hold the comment
MILLISECONDS = 80  # of a frame
SMALLEST, LARGEST = 256, 1024  # pixels along the longer side of an image; smaller ones are enlarged, larger shrunk
WIDEST = 2048  # pixels of a frame
QUALITY = 18  # constant rate factor of H.264; 0 is lossless


def import_av() -> Any:
    """PyAV. InputError: it is not installed."""
    try:
        return import_module("av")
    except ImportError as error:
        raise InputError("a video needs the package av", hint="pip install 'gmmedit[video]'") from error


def check_video(path: Path, frames: int) -> None:
    """InputError: PyAV is missing, there is one frame only, the name is not that of an MP4 file, or a file there is no
    video of gmmedit."""
    import_av()
    if frames < 2:
        raise InputError("--video needs several strengths", hint="--alphas 0:1:0.05")
    if path.suffix.lower() != SUFFIX:
        raise InputError(f"{path}: a video is an MP4 file", hint=f"--video {path.stem or 'edits'}{SUFFIX}")
    if path.exists() and MARK.encode() not in read_end(path):
        raise InputError(f"{path} exists and is not a video of gmmedit", hint="remove it, or choose another name")


def read_end(path: Path) -> bytes:
    """The last bytes of a file; an empty one counts as marked, as it is no loss. InputError: it is no file."""
    if not path.is_file():
        raise InputError(f"{path} is no file", hint="choose another name")
    with writing(path), path.open("rb") as file:
        size = file.seek(0, SEEK_END)
        file.seek(max(size - MARKED_WITHIN, 0))
        return file.read() if size else MARK.encode()


def make_frame(images: np.ndarray) -> np.ndarray:
    """Images uint8 (N, H, W, C) in a grid of about as many rows as columns: uint8 (H', W', 3), both even.

    Each is enlarged by a whole factor to at least SMALLEST pixels, or shrunk to at most LARGEST, and so that the frame
    is at most about WIDEST wide.
    """
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    height, width = images.shape[1:3]
    factor = max(1, -(-SMALLEST // max(height, width)))
    scale = min(factor, LARGEST / max(height, width), WIDEST / (columns * width))
    size = max(round(width * scale / 2) * 2, 2), max(round(height * scale / 2) * 2, 2)
    frame = Image.new("RGB", (columns * size[0], rows * size[1]))
    for i, pixels in enumerate(images):
        image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).convert("RGB")
        place = (i % columns * size[0], i // columns * size[1])
        frame.paste(image.resize(size, Image.Resampling.BICUBIC), place)
    return np.asarray(frame)


def to_video(frames: list[np.ndarray]) -> bytes:
    """An MP4 of frames uint8 (H, W, 3), H and W even, that runs to the last one and back.

    One thread and no time stamps: the same frames give the same bytes with the same PyAV. InputError: PyAV is missing.
    """
    av = import_av()
    codec = next(name for name in CODECS if name in av.codecs_available)
    height, width = frames[0].shape[:2]
    content = BytesIO()
    with av.open(content, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        container.metadata["comment"] = MARK
        stream = container.add_stream(codec, rate=Fraction(1000, MILLISECONDS))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.options = {"crf": str(QUALITY), "flags": "+bitexact"} if codec == CODECS[0] else {"q:v": "2"}
        for frame in frames + frames[-2:0:-1]:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return content.getvalue()
