"""Photographs: read safely, turned upright, cut to the generator's images; what cannot be used is refused in a line."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gmmedit.editing.alignment import COLUMNS, align_face, find_square, read_landmarks
from gmmedit.editing.photographs import cut_photograph, list_photographs, read_photograph
from gmmedit.errors import InputError
from gmmedit.pictures.sheets import sheet_to_png

GREY = (128, 128, 128)
RGB, GREYSCALE = (3, 16, 16), (1, 16, 16)


def gradient(width: int = 40, height: int = 30) -> Image.Image:
    """Red grows to the right, green downwards."""
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([across, down, np.zeros_like(down)], -1).astype(np.uint8))


def write_text(path: Path) -> Path:
    (path / "text.jpg").write_text("not an image at all\n" * 50)
    return path / "text.jpg"


def write_truncated(path: Path) -> Path:
    gradient(200, 200).save(path / "whole.jpg")
    (path / "cut.jpg").write_bytes((path / "whole.jpg").read_bytes()[:1500])
    return path / "cut.jpg"


def write_cmyk(path: Path) -> Path:
    gradient().convert("CMYK").save(path / "ink.tif")
    return path / "ink.tif"


def write_heic(path: Path) -> Path:
    (path / "phone.heic").write_bytes(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(100))
    return path / "phone.heic"


def write_pixel(path: Path) -> Path:
    Image.new("RGB", (1, 1)).save(path / "pixel.png")
    return path / "pixel.png"


def write_bomb(path: Path) -> Path:
    """A PNG of a few bytes whose header promises 20,000 x 20,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    (path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    return path / "bomb.png"


def write_wide(path: Path) -> Path:
    """More pixels than are decoded, but fewer than Pillow itself refuses."""
    Image.new("1", (20_000, 5_000)).save(path / "wide.png")
    return path / "wide.png"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("write", "says", "hint"),
    [
        (write_text, "is not an image", "PNG, JPEG"),
        (write_truncated, "is damaged", "export"),
        (write_cmyk, "CMYK colours", "convert it to RGB"),
        (write_heic, "HEIC", "heif-convert"),
        (write_pixel, "1 x 1 pixels", "at least 8"),
        (write_bomb, "89,478,485", "shrink"),
        (write_wide, "20000 x 5000", "shrink"),
    ],
)
def test_what_cannot_be_used(write: Callable[[Path], Path], says: str, hint: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    with pytest.raises(InputError) as caught:
        read_photograph(path, str(path))
    assert str(path) in caught.value.message and says in caught.value.message and hint in caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint


def test_a_format_is_told_by_the_content(tmp_path: Path) -> None:
    gradient().save(tmp_path / "image.png")
    (tmp_path / "image.png").rename(tmp_path / "image.heic")
    assert read_photograph(tmp_path / "image.heic", "image").size == (40, 30)


def test_an_encapsulated_postscript_starts_no_program(tmp_path: Path) -> None:
    gradient().save(tmp_path / "page.eps")
    with pytest.raises(InputError, match="is not an image"):
        read_photograph(tmp_path / "page.eps", "page.eps")


def test_an_image_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    gradient().save(tmp_path / "turned.png", exif=exif)
    image = read_photograph(tmp_path / "turned.png", "turned")
    assert image.size == (30, 40)
    assert image.getpixel((29, 0))[:2] == (0, 0) and image.getpixel((29, 39))[0] == 255


@pytest.mark.parametrize(("mode", "read_as"), [("L", "L"), ("LA", "LA"), ("1", "L"), ("P", "RGB"), ("RGBA", "RGBA")])
def test_modes(mode: str, read_as: str, tmp_path: Path) -> None:
    gradient().convert(mode).save(tmp_path / "image.png")
    assert read_photograph(tmp_path / "image.png", "image").mode == read_as


def test_sixteen_bits_keep_their_brightness(tmp_path: Path) -> None:
    Image.fromarray(np.full((20, 20), 0x80FF, np.uint16)).save(tmp_path / "deep.png")
    assert np.unique(np.asarray(read_photograph(tmp_path / "deep.png", "deep"))).tolist() == [0x80]


def test_the_middle_the_whole_or_as_it_is() -> None:
    image = gradient(40, 20)
    middle = cut_photograph(image, RGB, "center", GREY, "image")
    assert middle.shape == (16, 16, 3) and 55 < middle[0, 0, 0] < 80 and 175 < middle[0, -1, 0] < 200
    whole = cut_photograph(image, RGB, "box", GREY, "image")
    assert (whole[:4] == 128).all() and (whole[-4:] == 128).all() and whole[8, 0, 0] < 20 and whole[8, -1, 0] > 235
    with pytest.raises(InputError, match=r"40 x 20 pixels.*another aspect"):
        cut_photograph(image, RGB, "none", GREY, "image")
    assert cut_photograph(gradient(32, 32), RGB, "none", GREY, "image").shape == (16, 16, 3)


def test_a_generator_of_another_aspect() -> None:
    assert cut_photograph(gradient(), (3, 32, 16), "center", GREY, "image").shape == (32, 16, 3)


def test_greyscale_in_and_out() -> None:
    assert cut_photograph(gradient(), GREYSCALE, "center", GREY, "image").shape == (16, 16, 1)
    grey = cut_photograph(gradient().convert("L"), RGB, "center", GREY, "image")
    assert (grey[..., 0] == grey[..., 1]).all() and (grey[..., 0] == grey[..., 2]).all()


def test_what_is_transparent_shows_the_background() -> None:
    image = gradient(16, 16).convert("RGBA")
    image.putalpha(0)
    assert np.unique(cut_photograph(image, RGB, "center", (10, 20, 30), "image").reshape(-1, 3), axis=0).tolist() == [
        [10, 20, 30]
    ]
    grey = Image.new("LA", (16, 16), (255, 0))
    assert (cut_photograph(grey, GREYSCALE, "center", GREY, "image") == 128).all()


def test_files_and_folders(tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        gradient().save(tmp_path / place / "same.png")
    (tmp_path / "a" / "notes.txt").write_text("no image")
    found = list_photographs([tmp_path / "a", tmp_path / "b" / "same.png", tmp_path / "a" / "same.png"])
    assert [path for _, path in found] == [tmp_path / "a" / "same.png", tmp_path / "b" / "same.png"]
    assert [name for name, _ in found] == [str(path) for _, path in found]  # the same name twice
    assert list_photographs([tmp_path / "a"])[0][0] == "same.png"
    with pytest.raises(InputError, match="there is no file"):
        list_photographs([tmp_path / "missing.png"])
    (tmp_path / "a" / "sheet.png").write_bytes(sheet_to_png(gradient()))  # of an earlier inversion
    (tmp_path / "a" / "torn.png").write_bytes(sheet_to_png(gradient())[:30])
    assert [name for name, _ in list_photographs([tmp_path / "a"])] == ["same.png", "torn.png"]
    assert list_photographs([tmp_path / "a" / "sheet.png"]), "as it was asked for"
    (tmp_path / "sheets").mkdir()
    (tmp_path / "sheets" / "sheet.png").write_bytes(sheet_to_png(gradient()))
    with pytest.raises(InputError, match="has only images that gmmedit wrote") as caught:
        list_photographs([tmp_path / "sheets"])
    assert caught.value.hint.endswith(f"such as {tmp_path / 'sheets' / 'sheet.png'}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has no images"):
        list_photographs([tmp_path / "empty"])


# Alignment

FACE = np.array([[50.0, 60.0], [90.0, 60.0], [55.0, 100.0], [85.0, 100.0]])


def test_the_square_of_ffhq() -> None:
    """Numbers from ffhq-dataset's arithmetic by hand: an upright face 40 between the eyes, 40 from eyes to mouth."""
    corners, side = find_square(FACE)
    assert side == 160.0  # 4 times the distance of the eyes, which exceeds 3.6 times that of eyes and mouth
    assert corners.tolist() == [[-10, -16], [-10, 144], [150, 144], [150, -16]]


def test_a_turned_face_comes_out_upright() -> None:
    pixels = np.zeros((200, 200, 3), np.uint8)
    for x, y in FACE.round().astype(int) + 30:
        pixels[y - 5 : y + 6, x - 5 : x + 6] = 255
    upright = np.asarray(align_face(Image.fromarray(pixels), FACE + 30, "face").resize((64, 64)), float)
    turned = align_face(Image.fromarray(np.rot90(pixels).copy()), turn(FACE + 30, 200), "face")
    assert np.abs(np.asarray(turned.resize((64, 64)), float) - upright).mean() < 4
    assert upright.mean() > 4.5


def turn(points: np.ndarray, size: int) -> np.ndarray:
    """Points (x, y) of an image that np.rot90 has turned."""
    return np.stack([points[:, 1], size - 1 - points[:, 0]], axis=1)


def test_landmarks_of_no_face() -> None:
    for points in (FACE * 1e6, FACE * 0):
        with pytest.raises(InputError, match="no face"):
            align_face(gradient(200, 200), points, "face")


def test_a_csv_of_landmarks(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text(f"file,nose_x,{','.join(COLUMNS)}\nface.png,1,{','.join(map(str, FACE.ravel()))}\n")
    landmarks = read_landmarks(path)
    assert np.array_equal(landmarks.points["face.png"], FACE)
    assert landmarks.align(gradient(200, 200), "somewhere/face.png").size == (160, 160)
    with pytest.raises(InputError, match=r"no line for other\.png"):
        landmarks.align(gradient(), "other.png")
    for text in (
        "file,left_eye_x\nface.png,1\n",
        f"file,{','.join(COLUMNS)}\nface.png,{','.join('x' * 8)}\n",
        "file\n",
    ):
        path.write_text(text)
        with pytest.raises(InputError, match="landmarks"):
            read_landmarks(path)
    line = ",".join(["face.png", *["1"] * len(COLUMNS)])
    path.write_text("\n".join([",".join(["file", *COLUMNS]), line, line]))
    with pytest.raises(InputError, match=r"several lines for face\.png"):
        read_landmarks(path)


def test_a_face_far_outside_a_large_image_is_refused_before_it_is_surrounded() -> None:
    points = np.array([[-9000, 10], [-8900, 10], [-9000, 110], [-8900, 110]], np.float64)
    with pytest.raises(InputError, match="no face inside"):
        align_face(Image.new("L", (4000, 4000)), points, "a.png")
