"""Data sets: one contract for all, files of every format, and what is wrong with them."""

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from small_data import write_celeba, write_idx, write_images, write_table, write_typefaces

from gmmedit import datasets
from gmmedit.datasets import DataSet, array_files, arrays, folder, resized, shapes, typefaces
from gmmedit.datasets.arrays import Grid, count
from gmmedit.datasets.avatars.factors import sample_causal
from gmmedit.datasets.avatars.renderer import render
from gmmedit.datasets.glyphs import Glyphs
from gmmedit.datasets.resized import Resized, resize_square
from gmmedit.datasets.shapes import Shapes
from gmmedit.datasets.typefaces import LETTERS, find_typefaces
from gmmedit.errors import InputError


def open_folder(path: Path) -> DataSet:
    write_table(path / "labels.csv", write_images(path))
    return datasets.load(str(path))


def open_celeba(path: Path) -> DataSet:
    write_celeba(path)
    return datasets.load(str(path), 16)


def open_idx(path: Path) -> DataSet:
    write_idx(path, "train", 40, zipped=True)
    write_idx(path, "t10k", 20, zipped=True)
    return datasets.load(str(path), 32)


def open_npz(path: Path) -> DataSet:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)
    np.savez_compressed(path / "a.npz", images=pixels, colour=np.arange(24) % 3, notes=np.array([{"a": 1}]))
    return datasets.load(str(path / "a.npz"))


def open_hdf5(path: Path) -> DataSet:
    with h5py.File(path / "a.h5", "w") as file:
        file["images"] = np.random.default_rng(0).integers(0, 256, (24, 8, 8), dtype=np.uint8)
        file["colour"] = np.arange(24) % 3
    return datasets.load(str(path / "a.h5"))


def open_glyphs(path: Path, coloured: bool = False) -> Glyphs:
    write_typefaces(path)
    return Glyphs(find_typefaces(path), 16, coloured)


OPENERS: dict[str, Callable[[Path], DataSet]] = {
    "avatars": lambda path: datasets.load("avatars", 32),
    "avatars-independent": lambda path: datasets.load("avatars-independent"),
    "shapes": lambda path: datasets.load("shapes", 32),
    "glyphs": open_glyphs,
    "glyphs-coloured": lambda path: open_glyphs(path, coloured=True),
    "folder": open_folder,
    "celeba": open_celeba,
    "idx": open_idx,
    "npz": open_npz,
    "hdf5": open_hdf5,
}


@pytest.mark.parametrize("name", OPENERS)
def test_the_contract(name: str, tmp_path: Path) -> None:
    data = OPENERS[name](tmp_path)
    rows = np.array([3, len(data) - 1, 0, 3])
    images, labels, factors = data.batch(rows)
    assert images.shape == (4, *data.image_shape) and images.dtype == torch.float32
    assert -1 <= images.min() < images.max() <= 1
    assert torch.equal(images[0], images[3]) and not torch.equal(images[0], images[1])
    alone = [data.batch([row]) for row in rows]
    assert torch.equal(torch.cat([image for image, _, _ in alone]), images)
    assert torch.equal(data.labels()[rows], labels) and len(data.labels()) == len(data)
    assert labels.shape == (4, len(data.attributes)) and labels.dtype == torch.int64
    for column, attribute in zip(data.labels().T, data.attributes, strict=True):
        assert column.min() >= -1 and column.max() < len(attribute.values)
    assert (factors is None) == (data.factors is None)
    if factors is not None:
        assert factors.shape == (4, len(data.factors or ()))
    held_out = data.held_out()
    assert 0 < len(held_out) < len(data) and (np.diff(held_out) > 0).all()
    (tmp_path / "again").mkdir()
    assert OPENERS[name](tmp_path / "again").fingerprint == data.fingerprint


@pytest.mark.parametrize("name", ["avatars", "avatars-independent", "shapes", "glyphs", "glyphs-coloured"])
def test_counterfactuals_change_what_is_named(name: str, tmp_path: Path) -> None:
    data = OPENERS[name](tmp_path)
    rows = [0, 5, 7]
    images, labels, _ = data.batch(rows)
    attribute = data.attributes[0]
    for i, value in enumerate(attribute.values[:2]):
        same = (labels[:, 0] == i)[:, None, None, None]
        changed = data.counterfactual(rows, {attribute.name: value})
        assert torch.equal(changed.where(same, images), images)
        assert not (changed.where(~same, 2) == images).flatten(1).all(1).any()
    with pytest.raises(InputError, match="no attribute or factor 'smiel'") as caught:
        data.counterfactual(rows, {"smiel": "yes"})
    with pytest.raises(InputError, match="has no value 'perhaps'"):
        data.counterfactual(rows, {attribute.name: "perhaps"})
    assert attribute.name in caught.value.hint


def test_avatars_are_those_of_the_renderer() -> None:
    data = datasets.load("avatars")
    assert torch.equal(data.images([2, 40]), render(sample_causal(41, 1))[[2, 40]])
    darker = data.counterfactual([2], {"skin": 1.0, "glasses": "yes"})
    assert not torch.equal(darker, data.counterfactual([2], {"glasses": "yes"}))


def test_the_rows_of_shapes_are_those_of_the_published_grid() -> None:
    data = Shapes(32)
    assert len(data) == 480_000 and data.labels([0, 14, 15, 479_999]).tolist() == [
        [0] * 6, [0, 0, 0, 0, 0, 14], [0, 0, 0, 0, 1, 0], [9, 9, 9, 7, 3, 14],
    ]  # fmt: skip
    assert torch.equal(data.counterfactual([0], {"shape": "cylinder"}), data.images([15]))
    factors = data.true_factors([479_999])
    assert factors[0].tolist() == pytest.approx([0.9, 0.9, 0.9, 1.25, 3, 30])


def test_views_of_shapes_that_are_kept_give_the_same_images(monkeypatch: pytest.MonkeyPatch) -> None:
    data, rows = Shapes(16), np.array([5, 100_000, 485, 5, 479_999])  # 485 is 5 in another colour
    first = data.images(rows)
    assert len(data.kept) == 3
    monkeypatch.setattr(data, "cast", None)
    assert torch.equal(data.images(rows[[2, 0]]), first[[2, 0]])
    monkeypatch.undo()
    monkeypatch.setattr(shapes, "KEPT_SIZE", 8)
    large = Shapes(16)
    assert torch.equal(large.images(rows), first) and not large.kept


def test_every_factor_of_shapes_is_visible() -> None:
    """All values of a factor differ by more than two levels somewhere, the other factors being the same."""
    data = Shapes(32)
    for attribute in data.attributes:
        images = torch.cat([data.counterfactual([123_456], {attribute.name: value}) for value in attribute.values])
        gaps = (images[:, None] - images[None]).abs().amax(dim=(2, 3, 4)) + torch.eye(len(images))
        assert gaps.min() > 4 / 255, attribute.name


def test_glyphs_have_letters_styles_and_true_images(tmp_path: Path) -> None:
    data = open_glyphs(tmp_path)
    assert len(data) == 3 * 36 and [attribute.name for attribute in data.attributes] == ["letter", "typeface"]
    b = LETTERS.index("B")
    assert torch.equal(data.counterfactual([36], {"letter": "B"}), data.images([36 + b]))
    assert data.images([b]).min() < -0.9 and data.images([b])[0, 0, 0, 0] == 1  # black on white
    assert torch.equal(data.content(torch.tensor([b])), data.images([data.plain * 36 + b]))
    strip = data.style_images(torch.tensor([2]), torch.tensor([[0, b]]))
    assert torch.equal(strip, torch.cat([data.images([72]), data.images([72 + b])], dim=3))
    held_out = {row // 36 for row in data.held_out()}
    assert len(held_out) == 1 and data.plain not in held_out


def test_typefaces_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    write_typefaces(tmp_path, 2)
    (tmp_path / "broken.ttf").write_bytes((tmp_path / "face0.ttf").read_bytes()[:500])
    (tmp_path / "copy.ttf").write_bytes((tmp_path / "face0.ttf").read_bytes())
    data = datasets.load(str(tmp_path))
    (note,) = data.notes
    assert note.startswith("2 of 4 typefaces left out: broken.ttf cannot be read: ")
    assert note.endswith(", face0.ttf is the same as another")
    (tmp_path / "face1.ttf").unlink()
    with pytest.raises(InputError, match="1 of 3 typefaces can be used, not two; broken.ttf") as caught:
        datasets.load(str(tmp_path))
    assert "apt-get install fonts" in caught.value.hint


def test_a_typeface_without_a_letter_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_typefaces(tmp_path, 1)
    assert typefaces.draw_typeface(tmp_path / "face0.ttf", 16).shape == (36, 16, 16)
    monkeypatch.setattr(typefaces, "LETTERS", "AB\u4e2d\u4e2e")
    with pytest.raises(ValueError, match="has no \u4e2d\u4e2e$"):
        typefaces.draw_typeface(tmp_path / "face0.ttf", 16)


def test_a_folder_and_its_table(tmp_path: Path) -> None:
    data = open_folder(tmp_path)
    named = {a.name: a.values for a in data.attributes if a.scale is None}
    assert named == {"glasses": ("no", "yes"), "kind": ("a", "b", "c")} and data.factors == ("height",)
    assert data.labels([4, 5])[:, :2].tolist() == [[0, 1], [1, 2]]
    assert ((data.images([9])[0, 0] + 1) * 127.5).round().unique().tolist() == [9]
    assert data.image_shape == (3, 16, 20) and datasets.load(str(tmp_path), 8).image_shape == (3, 8, 8)
    assert len(datasets.load(str(tmp_path / "labels.csv"))) == 24


def test_celebas_files_as_they_are(tmp_path: Path) -> None:
    data = open_celeba(tmp_path)
    assert [(a.name, a.values) for a in data.attributes] == [("Smiling", ("no", "yes")), ("Eyeglasses", ("no", "yes"))]
    assert data.labels([0, 1]).tolist() == [[0, 1], [1, 0]]


def test_corrupt_files_among_many_are_named_counted_and_replaced(tmp_path: Path) -> None:
    open_folder(tmp_path)
    good = (tmp_path / "000003.png").read_bytes()
    (tmp_path / "000003.png").write_bytes(good[: len(good) // 2])
    data = datasets.load(str(tmp_path))
    assert isinstance(data, folder.Folder)
    images, labels, _ = data.batch([3, data.read_row(3)[0]])
    assert torch.equal(images[0], images[1]) and labels[0].tolist() == labels[1].tolist()
    (note,) = data.notes
    assert note.startswith("1 of 24 images left out: 000003.png: ")


def test_an_unreadable_image_is_replaced_by_one_that_trains_and_is_labelled(tmp_path: Path) -> None:
    names = write_images(tmp_path)
    held = datasets.load(str(tmp_path)).held_out().tolist()
    wanted = held[0] - 1  # the row after it is held out, the next one has no label
    lines = [f"{name},{'' if i == held[0] + 1 else 'ab'[i % 2]}" for i, name in enumerate(names)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,kind", *lines]) + "\n")
    for row in (wanted, held[0]):
        (tmp_path / names[row]).write_bytes(b"nothing")
    data = datasets.load(str(tmp_path))
    assert isinstance(data, folder.Folder) and wanted not in held and held[0] + 2 not in held
    assert data.read_row(wanted)[0] == held[0] + 2
    assert data.read_row(held[0])[0] == held[1]
    assert data.batch([wanted])[1].min() >= 0


def test_a_folder_of_which_nothing_can_be_read(tmp_path: Path) -> None:
    write_images(tmp_path, 40)
    for file in tmp_path.iterdir():
        file.write_bytes(b"nothing")
    with pytest.raises(InputError, match="11 of 40 images cannot be read, 000010.png: "):
        datasets.load(str(tmp_path))


def make_sizes(path: Path) -> None:
    write_images(path / "small")
    write_images(path / "large", 20, (30, 30))


def make_unnamed(path: Path) -> None:
    write_images(path)
    (path / "labels.csv").write_text("smile\n1\n0\n")


def make_absent(path: Path) -> None:
    write_images(path)
    write_table(path / "labels.csv", ["x1.png", "x2.png", "x3.png", "x4.png"])


def make_cut(path: Path) -> None:
    write_idx(path, "train", 30, zipped=False)
    images = path / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1])


def make_cut_zip(path: Path) -> None:
    write_idx(path, "train", 30, zipped=True)
    images = path / "train-images-idx3-ubyte.gz"
    images.write_bytes(images.read_bytes()[:-100])


def make_pipe(path: Path) -> None:
    write_images(path, 15)
    os.mkfifo(path / "pipe.png")  # opening it would wait for ever


def make_broken(path: Path) -> None:
    for name in write_images(path, 40)[:20]:
        (path / name).write_bytes(b"nothing")


def make_flat(path: Path) -> None:
    write_idx(path, "train", 30, zipped=False)
    (path / "train-images-idx3-ubyte").write_bytes(struct.pack(">HBB3I", 0, 8, 3, 30, 0, 28))


def make_unpaired(path: Path) -> None:
    write_idx(path, "train", 30, zipped=True)
    (path / "train-labels-idx1-ubyte.gz").unlink()


@pytest.mark.parametrize(
    ("make", "message", "hint"),
    [
        (lambda path: write_images(path, 3), "has 3 images, at least 16 are needed", "labels.csv"),
        (make_sizes, "images of different sizes: 000000.png is 30x30, 000004.png 20x16|20x16", "--size 64"),
        (make_unnamed, "labels.csv has no column of file names", "`file`"),
        (make_absent, "has none of the 4 images that labels.csv lists, such as x1.png", "holds the table"),
        (make_cut, "is not a whole idx file of bytes", "idx3-ubyte"),
        (make_cut_zip, "is not a whole idx file of bytes", "idx3-ubyte"),
        (make_pipe, "has 15 images, at least 16 are needed", "labels.csv"),
        (make_broken, "11 of 40 images cannot be read", "check that"),
        (make_flat, r"has the shape \(30, 0, 28\)", "idx3-ubyte"),
        (make_unpaired, "cannot read .*train-labels-idx1-ubyte.gz", "idx1-ubyte"),
    ],
)
def test_folders_that_are_no_data(make: Callable[[Path], None], message: str, hint: str, tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        datasets.load(str(tmp_path))
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        ((10**9, 8, 8), {"chunks": (64, 8, 8)}, "is 64000000000 bytes, of which only 0 are stored"),
        ((20, 60_000, 60_000, 3), {"chunks": (1, 64, 64, 3)}, "images of 60000 x 60000 pixels, too large"),
        ((20, 0, 8), {}, r"images is uint8 \(20, 0, 8\), not images"),
        ((), {}, r"images is uint8 \(\), not images"),
        (None, {}, "has no array of images"),
    ],
)
def test_hdf5_files_that_claim_more_than_they_hold(
    shape: tuple[int, ...] | None, settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        if shape is None:
            file["images"] = h5py.Empty("u1")
        else:
            file.create_dataset("images", shape, "u1", **settings)
    with pytest.raises(InputError, match=message):
        datasets.load(str(tmp_path / "a.h5"))


def test_pieces_that_are_too_large_to_read_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_files, "HELD", 1000)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("images", data=np.ones((20, 8, 8), np.uint8), chunks=(20, 8, 8))
    with pytest.raises(InputError, match="is stored in pieces of 1280 bytes") as caught:
        datasets.load(str(tmp_path / "a.h5"))
    assert "chunks" in caught.value.hint


def test_arrays_that_are_not_asked_for_are_not_read(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8)
    np.savez_compressed(tmp_path / "a.npz", images=images, smile=np.arange(20) % 2, bomb=np.zeros(1 << 20))
    found = array_files.open_arrays(tmp_path / "a.npz")
    arrays.choose_images(tmp_path / "a.npz", found)
    assert {name for name, member in found.items() if "array" in vars(member)} == {"images", "smile"}
    assert np.array_equal(found["images"][[3]], images[[3]])


def test_large_images_are_resized_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_table(tmp_path / "labels.csv", write_images(tmp_path, 20))
    data = Resized(datasets.load(str(tmp_path)), 16)
    whole = data.batch(range(7))
    monkeypatch.setattr(resized, "HELD", 3 * 4 * 3 * 20 * 16)  # three images
    assert [len(part) for part in data.split(range(7))] == [3, 3, 1]
    parts = data.batch(range(7))
    assert torch.equal(parts[0], whole[0]) and torch.equal(parts[1], whole[1])
    assert parts[2] is not None and whole[2] is not None and torch.equal(parts[2], whole[2])
    assert torch.equal(data.images(range(7)), whole[0])


def test_huge_images_are_shrunk_before_they_become_floats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path, 16, (200, 160))
    exact = datasets.load(str(tmp_path), 16).images([0])
    monkeypatch.setattr(folder, "MOST_PIXELS", 5000)
    shrunk = datasets.load(str(tmp_path), 16).images([0])
    assert shrunk.shape == exact.shape and 0 < (shrunk - exact).abs().mean() < 0.05


def test_images_of_too_many_pixels_are_left_out(tmp_path: Path) -> None:
    write_images(tmp_path, 16)
    Image.new("1", (20_000, 5_000)).save(tmp_path / "wide.png")
    data = datasets.load(str(tmp_path), 16)
    assert data.images([16]).shape == (1, 3, 16, 16)
    assert data.notes == (
        "1 of 17 images left out: wide.png: 20000 x 5000 pixels, more than the 89,478,485 that are decoded",
    )


def test_names_and_files_that_are_no_data(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no data set called 'avatar'") as caught:
        datasets.load("avatar")
    assert "did you mean 'avatars'" in caught.value.hint
    np.savez(tmp_path / "a.npz", weights=np.zeros(3))
    with pytest.raises(InputError, match="no array of images, but weights"):
        datasets.load(str(tmp_path / "a.npz"))
    np.savez(tmp_path / "a.npz", images=np.zeros((3, 4, 4)))
    with pytest.raises(InputError, match=r"images is float64 \(3, 4, 4\), not images in bytes"):
        datasets.load(str(tmp_path / "a.npz"))
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(InputError, match="cannot be read"):
        datasets.load(str(tmp_path / "a.npz"))
    (tmp_path / "a.doc").write_text("hello")
    with pytest.raises(InputError, match="a.doc is not a data set"):
        datasets.load(str(tmp_path / "a.doc"))


def test_idx_files_keep_their_test_part_apart_and_get_a_border(tmp_path: Path) -> None:
    data = open_idx(tmp_path)
    assert data.image_shape == (1, 32, 32) and data.held_out().tolist() == list(range(40, 60))
    assert data.attributes[0].values == tuple("0123456789")
    image = ((data.images([1])[0, 0] + 1) * 127.5).round()
    assert image[:2].unique().tolist() == [7] and image[:, -2:].unique().tolist() == [7]


def test_a_large_array_stays_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_npz(tmp_path)
    monkeypatch.setattr(array_files, "HELD", 1000)
    after = datasets.load(str(tmp_path / "a.npz"))
    assert isinstance(after, arrays.Arrays) and isinstance(after.pixels.array, np.memmap)
    assert torch.equal(before.images(range(24)), after.images(range(24)))
    assert [attribute.name for attribute in after.attributes] == ["colour"]  # and nothing was unpickled


@pytest.mark.parametrize("zipped", [True, False])
def test_published_grids_are_recognised(zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = Grid("dsprites", {"color": ("white",), "shape": ("square", "ellipse", "heart"), "x": count(4)})
    monkeypatch.setattr(arrays, "GRIDS", (grid,))
    pixels = np.random.default_rng(0).integers(0, 2, (12, 8, 8), dtype=np.uint8)
    stored = {"imgs": pixels, "latents_values": np.zeros((12, 3))}
    if zipped:
        np.savez_compressed(tmp_path / "a.npz", **stored)
    else:
        with h5py.File(tmp_path / "a.npz", "w") as file:
            file.update(stored)
    data = datasets.load(str(tmp_path / "a.npz"))
    assert data.factors == ("shape", "x") and data.images([0]).unique().tolist() == [-1, 1]
    assert torch.equal(data.counterfactual([1], {"shape": "heart"}), data.images([9]))


def test_real_grids_have_as_many_images_as_published() -> None:
    sizes = {grid.name: int(np.prod(grid.sizes)) for grid in arrays.GRIDS}
    assert sizes == {"dsprites": 737_280, "shapes3d": 480_000, "mpi3d": 1_036_800, "mpi3d-complex": 460_800}


def test_resizing_crops_to_the_middle_square() -> None:
    images = torch.zeros(1, 1, 8, 16)
    images[..., :4] = images[..., 12:] = 1
    assert resize_square(images, 4).abs().max() == 0
    assert resize_square(images[..., 4:12], 16).shape == (1, 1, 16, 16)
