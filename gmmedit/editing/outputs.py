"""The images beside an edits.h5: one PNG per image and strength, a contact sheet, an animation."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from gmmedit import artifacts
from gmmedit.artifacts import Artifact, RunSpec
from gmmedit.editing.effects import caption_changes
from gmmedit.editing.request import edited_columns
from gmmedit.errors import InputError, refuse_link, writing
from gmmedit.pictures.sheets import contact_sheet, join_row, sheet_to_png, to_animation, to_png
from gmmedit.pictures.video import make_frame, to_video
from gmmedit.runtime.storage import lock, write_file

MAX_ROWS = 16  # of a contact sheet
OWN = re.compile(r"(image_(0|[1-9][0-9]*)(_[0-9]{2,})?\.png|animation\.webp)(\.tmp)?")  # names of an edit's images
ANIMATED = 5  # number of strengths from which an animation is written


def publish_edits(
    path: Path, spec: RunSpec, write: Callable[[], None], title: str, elsewhere: bool, video: Path | None
) -> None:
    """Let `write` make edits.h5 unless it is finished, then write its images, and a video if one is asked for.

    elsewhere: into a folder that is not the run's. InputError: it has images that no edit wrote, or cannot be written.
    RunError: another process edits into the same folder.
    """
    with lock(path):  # two edits into one folder would mix their images
        if elsewhere:
            refuse_foreign(path)
        make_image_folder(path)  # fails before the work if it cannot be created
        if not artifacts.is_finished(path, spec, force=True):
            write()
        write_images(path, title)
        if video:
            write_video(path, video)


def write_images(path: Path, title: str) -> list[Path]:
    """Write the images into the folder `edits` beside edits.h5; paths of the sheet and, if there is one, the animation.

    Images of an earlier edit are deleted, also those of a killed process, and no files of other names. The caller holds
    `lock(path)`.
    InputError: the folder cannot be created. RunError: the disk is full.
    """
    folder = make_image_folder(path)
    with artifacts.open(path, "edits") as edits, writing(folder / "sheet.png"):
        for old in [file for file in folder.iterdir() if OWN.fullmatch(file.name)]:
            old.unlink()
        before, after = edits["images_before"], edits["images_after"]  # (N, H, W, C), (S, N, H, W, C)
        sheet = folder / "sheet.png"
        write_file(sheet, sheet_to_png(make_sheet(edits, before[:MAX_ROWS], after[:, :MAX_ROWS], title)))
        written = [sheet]
        for i, index in enumerate(edits["index"]):
            for j, pixels in enumerate(after[:, i]):
                name = f"image_{index}.png" if len(after) == 1 else f"image_{index}_{j:02d}.png"
                image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
                write_file(folder / name, to_png(image), synced=False)
        if len(after) >= ANIMATED and not edits.spec.config["each"]:
            written.append(folder / "animation.webp")
            write_file(written[-1], to_animation([join_row(frame[:8]) for frame in after]))
    return written


def write_video(path: Path, video: Path) -> None:
    """Write the images of an edits.h5 as a video: a frame per strength.

    InputError: PyAV is missing, or the folder cannot be written. RunError: the disk is full.
    """
    with artifacts.open(path, "edits") as edits, writing(video):
        frames = [make_frame(after[:MAX_ROWS]) for after in edits["images_after"]]
        video.parent.mkdir(parents=True, exist_ok=True)
        write_file(video, to_video(frames))


def make_image_folder(path: Path) -> Path:
    """The folder of the images of an edits.h5, created if missing.

    InputError: it cannot be created, or is a link.
    """
    folder = path.parent / "edits"
    refuse_link(folder)
    with writing(folder / "sheet.png"):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def refuse_foreign(path: Path) -> None:
    """InputError: there are images that an edit would replace or delete, but no edits.h5: they may be anyone's."""
    folder = path.parent / "edits"
    for file in [] if path.exists() or not folder.is_dir() else sorted(folder.iterdir()):
        if file.name == "sheet.png" or OWN.fullmatch(file.name):
            message = f"{file} exists, and no edits.h5 beside {folder}: it may be of another program"
            raise InputError(message, hint="remove it, or choose another --out")


def make_sheet(edits: Artifact, before: np.ndarray, after: np.ndarray, title: str) -> Image.Image:
    """A contact sheet of images uint8 before (N, H, W, C) and after (S, N, H, W, C): one row per image.

    The first column is unedited, the others are the strengths or aims; the edited labels are below each image.
    """
    config, targets = edits.spec.config, edited_columns(edits)
    inverted = "photograph" if "photographs" in config else "reconstruction"
    headings = [inverted if config.get("source") == "inverted" else "unedited", *config["headings"]]
    images = np.concatenate([before[None], after]).swapaxes(0, 1)
    if not targets:  # moved along discovered directions only
        return contact_sheet(images, headings, [[""] * len(headings)] * len(before), title)
    strengths, after_labels = edits["strengths"], edits["labels_after"]  # (S, N), (S, N, K)
    captions = []
    for i in range(len(before)):
        first = targets if not config["each"] else []
        texts = [" ".join(f"{edits['labels_before'][i, column]:.2f}" for column in first)]
        for s in range(len(after)):
            shown = [targets[s]] if config["each"] else targets
            texts.append(" ".join(f"{after_labels[s, i, column]:.2f}" for column in shown))
            texts[-1] = caption_changes(edits, s, i) or texts[-1]
            if config["target"] is not None:
                texts[-1] += f" at {strengths[s, i]:.2f}"
        captions.append(texts)
    return contact_sheet(images, headings, captions, title)
