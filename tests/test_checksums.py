"""What is damaged is never read as if it were sound."""

import random
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_artifacts import SAMPLES, SINGLE, SMILE, begin_samples, write_samples, z_rows

from gmmedit import artifacts
from gmmedit.artifacts.checksums import CHECKSUMS
from gmmedit.errors import InputError


def flip(path: Path, name: str, offset: int = 0, bit: int = 0) -> None:
    """One bit, `offset` bytes into a dataset."""
    with h5py.File(path, "r", locking=False) as file:
        place = file[name].id.get_offset() + offset
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


def test_every_bit_of_the_rows_counts(tmp_path: Path) -> None:
    path = write_samples(tmp_path / "samples.h5")
    sound = path.read_bytes()
    for offset in range(0, 10 * 4 * 4, 7):
        flip(path, "z", offset, offset % 8)
        chunk = offset // 16 // 4
        rows = f"rows {4 * chunk} to {min(4 * chunk + 4, 10)} of /z"
        assert [str(damage) for damage in artifacts.find_damages(path)] == [rows]
        with artifacts.open(path) as samples:
            for span in ((0, 10), (4 * chunk, 4 * chunk + 1)):
                says = f"samples.h5 is damaged: the checksum of {rows} is wrong"
                with pytest.raises(InputError, match=says) as caught:
                    samples.rows("z", *span)
                assert caught.value.hint == f"run: gmmedit sample --force --run {path.parent}"
            with pytest.raises(InputError, match=says):
                samples["z"]
            others = [row for row in range(10) if row // 4 != chunk]
            for row in others:
                assert np.array_equal(samples.rows("z", row, row + 1), z_rows(row, row + 1).astype(np.float32))
        path.write_bytes(sound)


def test_rows_along_any_axis_and_fields_without_rows(tmp_path: Path) -> None:
    path = tmp_path / "edits.h5"
    spec = artifacts.RunSpec(kind="edits", n=5, sizes={"S": 2, "L": 1, "D": 4, "K": 2}, attributes=SMILE)
    along_first = {"latent": (5, 1, 4), "labels_before": (5, 2), "index": (5,)}
    along_second = {"latents": (2, 5, 1, 4), "labels_after": (2, 5, 2), "strengths": (2, 5)}
    arrays = {name: np.ones(shape, np.float32) for name, shape in (along_first | along_second).items()}
    arrays["index"] = np.arange(5)
    with artifacts.create_rows(path, spec, {"alphas": np.array([0.3, 1.0])}, chunk=2) as out:
        for start, stop in out.pending():
            rows = {name: arrays[name][start:stop] for name in along_first}
            out.write(start, stop, rows | {name: arrays[name][:, start:stop] for name in along_second})
        out.finish()
    assert artifacts.find_damages(path) == []
    sound = path.read_bytes()
    second_strength_third_row = (1 * 5 + 2) * 4 * 4
    flip(path, "latents", second_strength_third_row)
    assert [str(damage) for damage in artifacts.find_damages(path)] == ["rows 2 to 4 of /latents"]
    path.write_bytes(sound)
    flip(path, "alphas")
    assert [str(damage) for damage in artifacts.find_damages(path)] == ["/alphas"]
    with artifacts.open(path) as edits, pytest.raises(InputError, match="the checksum of /alphas is wrong"):
        edits["alphas"]


def test_a_damaged_chunk_of_a_partial_file_is_made_again(tmp_path: Path) -> None:
    undisturbed = write_samples(tmp_path / "undisturbed.h5").read_bytes()
    for name, offset in (("z", 5), (CHECKSUMS, 0)):
        partial = begin_samples(tmp_path / "samples.h5")
        with artifacts.create_rows(tmp_path / "samples.h5", SAMPLES, chunk=4) as out:
            assert out.pending() == [(4, 8), (8, 10)]
        flip(partial, name, offset)
        with artifacts.create_rows(tmp_path / "samples.h5", SAMPLES, chunk=4) as out:
            assert out.pending() == [(0, 4), (4, 8), (8, 10)]
        assert write_samples(tmp_path / "samples.h5").read_bytes() == undisturbed
        (tmp_path / "samples.h5").unlink()


def test_a_mark_alone_makes_no_chunk(tmp_path: Path) -> None:
    """A chunk whose mark got to the disk and whose rows did not."""
    partial = begin_samples(tmp_path / "samples.h5")
    flip(partial, "done", 1)
    with artifacts.create_rows(tmp_path / "samples.h5", SAMPLES, chunk=4) as out:
        assert out.pending() == [(4, 8), (8, 10)]


def test_whole_files_and_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "single.h5"
    arrays = {"parameters/mean": np.ones((2, 4), np.float32), "history/step": np.arange(3)}
    artifacts.save_checkpoint(path, SINGLE, {"adam/step": np.array(4), "fit/mean": np.ones(6)})
    flip(tmp_path / "single.h5.partial", "fit/mean", random.Random(1).randrange(48))
    with pytest.raises(InputError, match="the checksum of /fit/mean is wrong") as caught:
        artifacts.load_checkpoint(path, SINGLE)
    assert "--restart" in caught.value.hint
    artifacts.write_whole(path, SINGLE, arrays)
    assert artifacts.find_damages(path) == [] and artifacts.is_finished(path, SINGLE)
    flip(path, "parameters/mean", 9)
    with artifacts.open(path) as single, pytest.raises(InputError, match="the checksum of /parameters/mean is wrong"):
        single.group("parameters")
    with pytest.raises(InputError, match="is damaged") as caught:
        artifacts.is_finished(path, SINGLE)
    assert caught.value.hint == "--force overwrites it" and not artifacts.is_finished(path, SINGLE, force=True)


def test_a_file_without_checksums_is_to_be_made_again(tmp_path: Path) -> None:
    path = write_samples(tmp_path / "samples.h5")
    with h5py.File(path, "r+") as file:
        del file[CHECKSUMS]
    with pytest.raises(InputError, match="checksums is missing") as caught:
        artifacts.open(path)
    assert caught.value.hint == f"run: gmmedit sample --force --run {path.parent}"
