"""Small data sets in the formats that `gmmedit.datasets` reads."""

import gzip
import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageFont


def write_images(folder: Path, n: int = 24, size: tuple[int, int] = (20, 16), suffix: str = ".png") -> list[str]:
    """n images of (width, height) with their number in the red channel; their names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{i:06}{suffix}" for i in range(n)]
    for i, name in enumerate(names):
        pixels = np.random.default_rng(i).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        pixels[..., 0] = i
        Image.fromarray(pixels).save(folder / name)
    return names


def write_table(path: Path, names: list[str]) -> None:
    """A CSV with an attribute of two values, one of three, and a measure."""
    lines = [f"{name},{'yes' if i % 2 else 'no'},{'abc'[i % 3]},{i + 0.5}" for i, name in enumerate(names)]
    path.write_text("\n".join(["file,glasses,kind,height", *lines]) + "\n")


def write_celeba(folder: Path, n: int = 24) -> None:
    """`img_align_celeba` and `list_attr_celeba.txt`."""
    names = write_images(folder / "img_align_celeba", n, suffix=".jpg")
    lines = [f"{name} {(-1, 1)[i % 2]:2d} {(-1, 1)[i % 3 == 0]:2d}" for i, name in enumerate(names)]
    text = "\n".join([str(n), "Smiling Eyeglasses ", *lines]) + "\n"
    (folder / "list_attr_celeba.txt").write_text(text)


def write_idx(folder: Path, part: str, n: int, zipped: bool) -> None:
    """Idx files of n images of 28 pixels and labels 0 to 9."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(n).integers(0, 256, (n, 28, 28), dtype=np.uint8)
    pixels[:, 0] = pixels[:, -1] = 7
    labels = (np.arange(n) % 10).astype(np.uint8)
    for kind, array in ((f"{part}-images-idx3-ubyte", pixels), (f"{part}-labels-idx1-ubyte", labels)):
        content = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()
        if zipped:
            (folder / f"{kind}.gz").write_bytes(gzip.compress(content, mtime=0))
        else:
            (folder / kind).write_bytes(content)


def write_typefaces(folder: Path, n: int = 3) -> None:
    """Pillow's own typeface, n times with other units, so that its letters are drawn a little differently."""
    folder.mkdir(parents=True, exist_ok=True)
    source = ImageFont.load_default(20).path  # type: ignore[union-attr]
    assert isinstance(source, io.BytesIO)
    content = bytearray(source.getvalue())
    tables = struct.unpack_from(">H", content, 4)[0]
    entries = {}
    for i in range(tables):
        tag, _, offset, _ = struct.unpack_from(">4sIII", content, 12 + 16 * i)
        entries[tag] = offset
    units = struct.unpack_from(">H", content, entries[b"head"] + 18)[0]
    for i in range(n):
        struct.pack_into(">H", content, entries[b"head"] + 18, units + 90 * i)
        (folder / f"face{i}.ttf").write_bytes(content)
