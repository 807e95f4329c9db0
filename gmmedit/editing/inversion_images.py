"""The images beside an inversions.h5: a PNG of each reconstruction, and a sheet of photographs and reconstructions."""

import re
from pathlib import Path

import numpy as np
from PIL import Image

from gmmedit import artifacts
from gmmedit.errors import InputError, refuse_link, writing
from gmmedit.pictures.sheets import contact_sheet, sheet_to_png, to_png
from gmmedit.runtime.storage import write_file

MAX_ROWS = 24  # of a sheet
LONGEST_NAME = 22  # letters of a file's name on a sheet
OWN = re.compile(r"(image_(0|[1-9][0-9]*)(_cut|_tuned)?\.png|sheet\.png)(\.tmp)?")  # names of these images


def make_image_folder(path: Path) -> Path:
    """The folder of the images of an inversions.h5, created if missing. InputError: it cannot be, or is a link."""
    folder = path.parent / path.stem
    refuse_link(folder)
    with writing(folder / "sheet.png"):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def refuse_foreign(path: Path) -> None:
    """InputError: there are images that inversions would replace or delete, but no inversions.h5."""
    folder = path.parent / path.stem
    for file in [] if path.exists() or not folder.is_dir() else sorted(folder.iterdir()):
        if OWN.fullmatch(file.name):
            message = f"{file} exists, and no {path.name} beside {folder}: it may be of another program"
            raise InputError(message, hint="remove it, or choose another --out")


def write_images(path: Path, tuned: np.ndarray | None = None) -> Path:
    """Write the photographs as cut, the reconstructions and a sheet into the folder `inversions`; the sheet's path.

    tuned: reconstructions by a tuned generator, uint8 (N, H, W, C).

    Images of earlier inversions are deleted, and no files of other names. The caller holds `lock(path)`. InputError:
    the folder cannot be created. RunError: the disk is full.
    """
    folder = make_image_folder(path)
    sheet = folder / "sheet.png"
    with artifacts.open(path, "inversions") as found, writing(sheet):
        for old in [file for file in folder.iterdir() if OWN.fullmatch(file.name)]:
            old.unlink()
        sets = {"_cut": found["images"], "": found["reconstructions"]} | ({} if tuned is None else {"_tuned": tuned})
        for name, images in sets.items():
            for i, pixels in enumerate(images):
                image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
                write_file(folder / f"image_{i}{name}.png", to_png(image), synced=False)
        write_file(sheet, sheet_to_png(make_sheet(found, tuned)))
    return sheet


def make_sheet(found: artifacts.Artifact, tuned: np.ndarray | None) -> Image.Image:
    """A row for each photograph: as it was cut, and its reconstructions with errors and the percentile below."""
    columns = ["photograph", "reconstruction", *([] if tuned is None else ["tuned"])]
    shown = [found["images"], found["reconstructions"], *([] if tuned is None else [tuned])]
    images = np.stack([pixels[:MAX_ROWS] for pixels in shown], axis=1)
    captions = []
    for i, name in enumerate(found.spec.config["files"][:MAX_ROWS]):
        percentile = found["percentile"][i]
        beside = (
            ""
            if np.isnan(percentile)
            else f", more than {'all' if percentile == 1 else f'{percentile:.0%} of'} samples"
        )
        short = name if len(name) <= LONGEST_NAME else f"...{name[3 - LONGEST_NAME :]}"
        captions.append([short, f"error {found['error'][i]:.3f}{beside}"])
        if tuned is not None:
            change = np.abs(tuned[i].astype(float) - found["images"][i]).mean() / 127.5
            captions[-1].append(f"error {change:.3f}")
    return contact_sheet(images, columns, captions, "inversions")
