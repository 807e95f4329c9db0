"""Damaged files of every kind: cut, bytes changed, in a process with little memory and little time."""

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from readers import CHECKPOINTS, Reader, flipped, reader, seeds, truncated

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits memory by RLIMIT_AS")

FLIPS = {"pt2": 10, "torchscript": 20}  # 40 of the others
LARGEST = 2 << 20  # KiB of memory in use
KINDS = [
    *CHECKPOINTS, "samples", "single", "checkpoint", "csv", "hdf5 table", "npz", "npy", "latents", "settings",
    "description", "safetensors", "nvidia", "pt2", "torchscript", "onnx",
]  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return seeds(tmp_path_factory.mktemp("seeds"))


@pytest.fixture(scope="module")
def process() -> Iterator[Reader]:
    with reader() as made:
        yield made


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files(kind: str, files: dict[str, Path], process: Reader, tmp_path: Path) -> None:
    path = files[kind]
    assert process.said(kind, path) == ""
    whole, draw, refused = path.read_bytes(), random.Random(kind), 0
    cut = list(truncated(whole))
    try:
        for content in [*cut, *(flipped(whole, draw) for _ in range(FLIPS.get(kind, 40)))]:
            path.write_bytes(content)
            refused += process.said(kind, path) != ""
    finally:
        path.write_bytes(whole)
    assert refused >= (1 if kind in ("csv", "settings", "description") else len(cut) - 1), "cuts must be noticed"
    assert process.said(kind, path) == "" and process.peak < LARGEST


@pytest.mark.parametrize("kind", ["csv", "settings", "description", "npz", "samples", "nvidia"])
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_files_that_hypothesis_makes_up(
    kind: str, data: st.DataObject, files: dict[str, Path], process: Reader
) -> None:
    path = files[kind]
    whole = path.read_bytes()
    start, end = sorted((data.draw(st.integers(0, len(whole))), data.draw(st.integers(0, len(whole)))))
    put = data.draw(st.binary(max_size=40) | st.sampled_from(WORDS).map(str.encode))
    try:
        path.write_bytes(whole[:start] + put + whole[min(end, start + 60) :])
        process.said(kind, path)
    finally:
        path.write_bytes(whole)


WORDS = ["&a [*a, *a]", "1e999", ".inf", "-.nan", "[" * 200, "{" * 200, "!!python/object:os.system", "\0", "9" * 400,
         "\u202e", "? [1, 2] : 3", "<<: {a: b}", "%YAML 9.9\n---\n", "\x93NUMPY\x01\x00",
         "'shape': (9999999999,)"]  # fmt: skip
