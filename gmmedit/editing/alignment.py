"""FFHQ's alignment of faces by five landmarks: eyes, nose and the corners of the mouth (Karras et al. 2019).

The arithmetic is that of ffhq-dataset/download_ffhq.py, of whose 68 landmarks it uses the eyes' means and the mouth's
corners; the nose is not used, and may be left out.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from gmmedit.errors import InputError
from gmmedit.runtime.regular_files import check_regular

COLUMNS = ("left_eye_x", "left_eye_y", "right_eye_x", "right_eye_y", "left_mouth_x", "left_mouth_y", "right_mouth_x",
           "right_mouth_y")  # fmt: skip
HINT = f"a header and a line for each image: file,{','.join(COLUMNS)} (left: in the image; the nose may be there too)"
LARGEST = 4096  # pixels of the aligned square before it is shrunk, as FFHQ's
LARGEST_FILE = 1 << 26  # bytes: a million lines
MOST_PIXELS = 1 << 28  # of an image with what is mirrored around it
FARTHEST = 3.0  # image sides beyond the image at which a corner of the square is refused


@dataclass(frozen=True)
class Landmarks:
    """The points of each file, (4, 2) in pixels: left eye, right eye, left and right corner of the mouth."""

    path: Path
    points: dict[str, np.ndarray]

    def align(self, image: Image.Image, name: str) -> Image.Image:
        """The square of FFHQ's alignment around the face. InputError: no line for `name`, or no face."""
        points = self.points.get(Path(name).name)
        if points is None:
            raise InputError(f"{self.path} has no line for {Path(name).name}", hint=HINT)
        return align_face(image, points, name)


def read_landmarks(path: Path) -> Landmarks:
    """The landmarks in a CSV file. InputError: it is missing, not CSV, lacks columns or numbers, or names a file
    twice."""
    check_regular(path, HINT, LARGEST_FILE)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        points = {row["file"]: np.array([float(row[name]) for name in COLUMNS]).reshape(4, 2) for row in rows}
        twice = [name for name, count in Counter(row["file"] for row in rows).items() if count > 1]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as landmarks: {error}", hint=HINT) from error
    if not points or not all(np.isfinite(each).all() for each in points.values()):
        raise InputError(f"{path} holds no landmarks, or NaN", hint=HINT)
    if twice:
        raise InputError(f"{path} has several lines for {twice[0]}", hint="keep one line for each file")
    return Landmarks(path, points)


def align_face(image: Image.Image, points: np.ndarray, name: str) -> Image.Image:
    """The square around a face with these points (4, 2), turned upright. InputError: no face can have these points."""
    corners, side = find_square(points)
    size = np.array(image.size)
    near = side >= 1 and (corners >= -FARTHEST * size).all() and (corners <= (1 + FARTHEST) * size).all()
    margin = max(0, int(np.ceil(max((-corners).max(), (corners - size).max()))) + 1) if near else 0
    if not near or (size + 2 * margin).prod() > MOST_PIXELS:
        raise InputError(f"{name}: the landmarks are no face inside {size[0]} x {size[1]} pixels", hint=HINT)
    if margin:  # what lies beyond the image is mirrored
        pixels = np.asarray(image)
        image = Image.fromarray(np.pad(pixels, [(margin, margin)] * 2 + [(0, 0)] * (pixels.ndim - 2), "reflect"))
    quad = (corners + margin).ravel().tolist()
    out = min(int(np.ceil(side)), LARGEST)
    return image.transform((out, out), Image.Transform.QUAD, quad, Image.Resampling.BILINEAR)


def find_square(points: np.ndarray) -> tuple[np.ndarray, float]:
    """The corners (4, 2) of FFHQ's square in the order top left, bottom left, bottom right, top right; and its side."""
    eyes, mouth = points[:2].mean(0), points[2:].mean(0)
    eye_to_eye, eye_to_mouth = points[1] - points[0], mouth - eyes
    x = eye_to_eye - eye_to_mouth[::-1] * [-1, 1]
    length = np.hypot(*x)
    if length == 0:
        return np.zeros((4, 2)), 0.0
    x = x / length * max(np.hypot(*eye_to_eye) * 2.0, np.hypot(*eye_to_mouth) * 1.8)
    y = x[::-1] * [-1, 1]
    centre = eyes + eye_to_mouth * 0.1
    return np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y]), float(np.hypot(*x) * 2)
