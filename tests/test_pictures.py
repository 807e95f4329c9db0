"""Pixels, strips, contact sheets and animations."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gmmedit.pictures.pixels import as_shown, from_bytes, to_bytes
from gmmedit.pictures.sheets import LARGEST_TILE, SMALLEST_TILE, contact_sheet, join_row, to_animation, to_tile


def test_every_byte_survives_the_way_to_a_tensor_and_back() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(2, 8, 16, 1).repeat(3, axis=3)
    images = from_bytes(pixels)
    assert images.shape == (2, 3, 8, 16) and images.dtype == torch.float32
    assert images.min() == -1 and images.max() == 1
    assert np.array_equal(to_bytes(images), pixels)


def test_pixels_are_cut_to_the_range_and_keep_their_place() -> None:
    images = torch.zeros(1, 3, 2, 2)
    images[0, 0, 0, 1], images[0, 1, 1, 0], images[0, 2] = 9.0, -9.0, 0.5
    pixels = to_bytes(images)
    assert pixels.dtype == np.uint8 and pixels.flags.c_contiguous
    assert pixels.tolist() == [[[[128, 128, 191], [255, 128, 191]], [[128, 0, 191], [128, 128, 191]]]]


def test_what_is_shown_is_what_the_bytes_hold() -> None:
    images = 1.5 * torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    shown = as_shown(images)
    assert torch.equal(shown, from_bytes(to_bytes(images))) and torch.equal(as_shown(shown), shown)
    assert shown.min() == -1 and shown.max() == 1
    assert (shown - images.clamp(-1, 1)).abs().max() <= 0.5001 / 127.5


def solid(*colour: int, size: tuple[int, int] = (16, 16)) -> np.ndarray:
    return np.full((*size, len(colour)), colour, dtype=np.uint8)


def test_small_pictures_are_enlarged_by_a_whole_factor() -> None:
    assert to_tile(solid(9, 9, 9)).size == (SMALLEST_TILE, SMALLEST_TILE)
    assert to_tile(solid(9, 9, 9, size=(48, 100))).size == (200, 96)
    assert to_tile(solid(9, 9, 9, size=(200, 200))).size == (200, 200)
    grey = to_tile(solid(77))
    assert grey.mode == "RGB" and grey.getpixel((3, 3)) == (77, 77, 77)


def test_large_pictures_are_shrunk() -> None:
    shrunk = to_tile(solid(250, 0, 0, size=(512, 1024)))
    assert shrunk.size == (LARGEST_TILE, LARGEST_TILE // 2) and shrunk.getpixel((9, 9)) == (250, 0, 0)


def test_texts_wider_than_pictures_do_not_touch() -> None:
    pictures = np.zeros((1, 2, 64, 8, 3), dtype=np.uint8)
    wide = contact_sheet(pictures, ["unedited", "hair_color=blond:-1"], [["0.10", "0.50"]], "")
    between = np.asarray(wide)[30:52, wide.width // 2 - 3 : wide.width // 2 + 3]
    assert wide.width > 250 and (between == 255).all()
    assert contact_sheet(pictures, ["", ""], [["", ""]], "a title of many words " * 9).width > 900


def test_a_row_shows_the_pictures_in_order() -> None:
    strip = join_row(np.stack([solid(250, 0, 0), solid(0, 250, 0), solid(0, 0, 250)]))
    assert strip.size == (3 * SMALLEST_TILE, SMALLEST_TILE)
    middle = [strip.getpixel(((i + 0.5) * SMALLEST_TILE, 64)) for i in range(3)]
    assert middle == [(250, 0, 0), (0, 250, 0), (0, 0, 250)]


def test_a_contact_sheet_has_a_cell_for_every_picture() -> None:
    reds = np.array([[40, 90, 140], [190, 240, 20]], dtype=np.uint8)
    pictures = np.zeros((2, 3, 16, 16, 3), dtype=np.uint8)
    pictures[..., 0] = reds[:, :, None, None]
    captions = [["0.10", "0.50", "0.90"], ["", "x", "y"]]
    sheet = contact_sheet(pictures, ["unedited", "alpha 0.5", "alpha 1"], captions, "smile, age:-1")
    found = np.asarray(sheet)
    assert found.shape[0] > 2 * SMALLEST_TILE and found.shape[1] > 3 * SMALLEST_TILE
    for red in reds.flat:
        assert (found == (red, 0, 0)).all(-1).sum() == SMALLEST_TILE**2
    blank = np.asarray(contact_sheet(pictures, ["", "", ""], [["", "", ""]] * 2, ""))
    assert not np.array_equal(found, blank), "title, headings and captions are drawn"


@pytest.mark.parametrize(("count", "frames"), [(2, 2), (3, 4), (6, 10)])
def test_an_animation_runs_there_and_back(tmp_path: Path, count: int, frames: int) -> None:
    path = tmp_path / "animation.webp"
    path.write_bytes(to_animation([Image.new("RGB", (16, 16), (40 * i, 0, 0)) for i in range(count)]))
    with Image.open(path) as moving:
        assert (moving.format, moving.n_frames, moving.size) == ("WEBP", frames, (16, 16))
        reds = []
        for i in range(frames):
            moving.seek(i)
            reds.append(round(moving.convert("RGB").getpixel((8, 8))[0] / 40))
    assert reds == [*range(count), *range(count - 2, 0, -1)]
