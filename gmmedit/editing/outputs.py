"""The pictures beside an edits.h5: one PNG per image, a contact sheet, an animation of a strip."""

from pathlib import Path

import numpy as np
from PIL import Image

from gmmedit import artifacts
from gmmedit.artifacts import Artifact
from gmmedit.editing.request import edited_columns
from gmmedit.errors import writing
from gmmedit.pictures.sheets import animation, contact_sheet, png, row_of
from gmmedit.runtime.storage import write_file

MOST_ROWS = 16  # of a contact sheet
ANIMATED = 5  # strengths from which on a strip is also an animation


def write_pictures(path: Path, title: str) -> list[Path]:
    """Write them into the folder `edits` beside edits.h5 and return their paths, the sheet first.

    Older ones go, also what a killed process left. The caller is in `lock(path)`.

    InputError: there is no such folder and none can be made. RunError: the disk is full.
    """
    folder = picture_folder(path)
    with artifacts.open(path, "edits") as edits, writing(folder / "sheet.png"):
        for old in (*folder.glob("image_*.png*"), *folder.glob("animation.webp*")):
            old.unlink()
        before, after = edits["images_before"], edits["images_after"]  # (N, H, W, C), (S, N, H, W, C)
        sheet = folder / "sheet.png"
        write_file(sheet, png(make_sheet(edits, before[:MOST_ROWS], after[:, :MOST_ROWS], title)))
        written = [sheet]
        for i, index in enumerate(edits["index"]):
            for j, pixels in enumerate(after[:, i]):
                name = f"image_{index}.png" if len(after) == 1 else f"image_{index}_{j:02d}.png"
                picture = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
                write_file(folder / name, png(picture), synced=False)
        if len(after) >= ANIMATED and not edits.spec.config["each"]:
            written.append(folder / "animation.webp")
            write_file(written[-1], animation([row_of(frame[:8]) for frame in after]))
    return written


def picture_folder(path: Path) -> Path:
    """The folder of an edits.h5's pictures, made if it is not there. InputError: it cannot be made."""
    folder = path.parent / "edits"
    with writing(folder / "sheet.png"):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def make_sheet(edits: Artifact, before: np.ndarray, after: np.ndarray, title: str) -> Image.Image:
    """Rows: images. Columns: unedited, then every strength or aim, with the edited labels below."""
    config, targets = edits.spec.config, edited_columns(edits)
    strengths, after_labels = edits["strengths"], edits["labels_after"]  # (S, N), (S, N, K)
    captions = []
    for i in range(len(before)):
        first = targets if not config["each"] else []
        texts = [" ".join(f"{edits['labels_before'][i, column]:.2f}" for column in first)]
        for s in range(len(after)):
            shown = [targets[s]] if config["each"] else targets
            texts.append(" ".join(f"{after_labels[s, i, column]:.2f}" for column in shown))
            if config["target"] is not None:
                texts[-1] += f" at {strengths[s, i]:.2f}"
        captions.append(texts)
    headings = ["unedited", *config["headings"]]
    pictures = np.concatenate([before[None], after]).swapaxes(0, 1)
    return contact_sheet(pictures, headings, captions, title)
