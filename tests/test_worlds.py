"""The worlds of benchmarks/worlds: reading of foreign weights and images, and what computes on them."""

import json
import struct
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """`worlds` and its programs are not installed."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.syspath_prepend(BENCHMARKS / "worlds" / "programs")
    for name in [name for name in sys.modules if name.partition(".")[0] == "worlds"]:
        monkeypatch.delitem(sys.modules, name)  # the script benchmarks/worlds.py has the same name


def write_manifest(folder: Path) -> Path:
    """Two tensors: one of 8 bits, one of floats."""
    (folder / "w.bin").write_bytes(bytes([0, 1, 2, 3]) + struct.pack("<2f", 1.5, -2))
    quantised = {"name": "a/filters", "shape": [1, 1, 2, 2], "dtype": "float32"}
    quantised["quantization"] = {"dtype": "uint8", "scale": 0.5, "min": -1.0}
    entries = [quantised, {"name": "a/bias", "shape": [2], "dtype": "float32"}]
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps([{"paths": ["w.bin"], "weights": entries}]))
    return manifest


def test_quantised_tensors_are_read_and_turned(tmp_path: Path) -> None:
    from worlds.quantised import read_manifest, to_torch

    tensors = read_manifest(write_manifest(tmp_path))
    assert tensors["a/filters"].flatten().tolist() == [-1, -0.5, 0, 0.5]
    assert tensors["a/bias"].tolist() == [1.5, -2]
    assert to_torch(tensors)["a.weight"][:, :, 0, 0].tolist() == [[-1, 0], [-0.5, 0.5]]  # (out, in)


def test_a_manifest_of_another_length_is_refused(tmp_path: Path) -> None:
    from worlds.quantised import read_manifest

    manifest = write_manifest(tmp_path)
    with (tmp_path / "w.bin").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match="12 bytes of 13"):
        read_manifest(manifest)


def test_a_scale_layer_is_folded_into_its_convolution() -> None:
    from worlds.quantised import to_torch

    x, filters = torch.randn(1, 2, 5, 5), torch.randn(3, 3, 2, 4)
    bias, scale, shift = torch.randn(3, 4).unbind()
    found = to_torch(
        {"c/conv/filters": filters, "c/conv/bias": bias, "c/scale/weights": scale, "c/scale/biases": shift}
    )
    expected = F.conv2d(x, filters.permute(3, 2, 0, 1), bias) * scale[:, None, None] + shift[:, None, None]
    assert torch.allclose(F.conv2d(x, found["c.weight"], found["c.bias"]), expected, atol=1e-5)


@pytest.mark.parametrize(("side", "size", "stride", "padded"), [(112, 3, 2, 113), (7, 3, 1, 9), (112, 1, 2, 112)])
def test_padding_is_that_of_tensorflow(side: int, size: int, stride: int, padded: int) -> None:
    from face_networks import pad_same

    x = pad_same(torch.ones(1, 1, side, side), size, stride)
    assert x.shape[2:] == (padded, padded)
    assert x[0, 0, 0, 0] == (1 if stride == 2 else 0)  # an odd pixel is added below and to the right


def test_stroke_and_slant_are_measured() -> None:
    from worlds.classifying import measure_slant, measure_stroke

    images = -torch.ones(3, 1, 28, 28)
    images[0, 0, 4:24, 13:15] = 1
    images[1, 0, 4:24, 11:17] = 1
    for row in range(4, 24):
        images[2, 0, row, 20 - row // 2 : 23 - row // 2] = 1  # leans to the right
    stroke, slant = measure_stroke(images), measure_slant(images)
    assert 1.5 < stroke[0] < 2.5 and 4 < stroke[1] < 6
    assert slant[:2].abs().max() < 1e-4 and 0.4 < slant[2] < 0.6
