"""The contract between the stages: what is written, read and refused."""

import json
import random
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_artifacts import GENERATOR, SAMPLES, SINGLE, SMILE, begin_samples, write_samples, z_rows

from gmmedit import artifacts
from gmmedit.artifacts.header import ATTRIBUTES_CHECKSUM, checksum_attributes
from gmmedit.artifacts.markdown import schema_markdown
from gmmedit.artifacts.schema import KINDS
from gmmedit.errors import InputError, RunError

LABELS = artifacts.RunSpec(kind="labels", n=10, sizes={"K": 2}, generator=GENERATOR, attributes=SMILE)


def write_labels(path: Path, spec: artifacts.RunSpec) -> Path:
    with artifacts.create_rows(path, spec) as out:
        out.write(0, 10, {"labels": np.full((10, 2), 0.5), "logits": np.zeros((10, 2))})
        out.finish()
    return path


# Writing and reading


def test_rows_come_back_as_written(tmp_path: Path) -> None:
    path = write_samples(tmp_path / "new" / "samples.h5")
    with artifacts.open(path, "samples") as samples:
        assert np.array_equal(samples["z"], z_rows(0, 10).astype(np.float32))
        assert np.array_equal(samples.rows("z", 3, 7), samples["z"][3:7])
        assert samples.sizes == {"N": 10, "z_dim": 4}
        assert samples.names == ["z"] and "w" not in samples
        assert samples.spec.facts() == SAMPLES.facts()
    assert sorted(tmp_path.glob("new/*")) == [path]


def test_rows_lie_along_their_axis_and_a_dim_may_span_axes(tmp_path: Path) -> None:
    spec = artifacts.RunSpec(kind="edits", n=5, sizes={"S": 2, "L": 2, "D": (3, 4), "K": 2}, attributes=SMILE)
    rng = np.random.default_rng(0)
    along_first = {"latent": (5, 2, 3, 4), "labels_before": (5, 2), "index": (5,)}
    along_second = {"latents": (2, 5, 2, 3, 4), "labels_after": (2, 5, 2), "strengths": (2, 5)}
    arrays = {name: rng.random(shape, np.float32) for name, shape in (along_first | along_second).items()}
    arrays["index"] = np.arange(5)
    alphas = np.array([0.3, 1.0])
    with artifacts.create_rows(tmp_path / "edits.h5", spec, {"alphas": alphas}, chunk=2) as out:
        for start, stop in out.pending():
            rows = {name: arrays[name][start:stop] for name in along_first}
            out.write(start, stop, rows | {name: arrays[name][:, start:stop] for name in along_second})
        out.finish()
    with artifacts.open(tmp_path / "edits.h5") as edits:
        assert all(np.array_equal(edits[name], array) for name, array in arrays.items())
        assert np.array_equal(edits["alphas"], alphas)
        assert np.array_equal(edits.rows("latents", 1, 3), arrays["latents"][:, 1:3])
        assert edits.attributes == SMILE


def test_same_question_same_bytes_whatever_the_order_and_the_time(tmp_path: Path) -> None:
    first = write_samples(tmp_path / "a.h5")
    time.sleep(1.1)  # a time stamp would have changed
    with artifacts.create_rows(tmp_path / "b.h5", SAMPLES, chunk=4) as out:
        for start, stop in reversed(out.pending()):
            out.write(start, stop, {"z": np.asfortranarray(z_rows(start, stop))})
        out.finish()
    assert first.read_bytes() == (tmp_path / "b.h5").read_bytes()


@pytest.mark.parametrize(
    ("span", "rows"),
    [
        ((0, 3), {"z": np.zeros((3, 4))}),
        ((8, 12), {"z": np.zeros((4, 4))}),
        ((-4, 0), {"z": np.zeros((4, 4))}),
        ((0, 4), {"z": np.zeros((4, 5))}),
        ((0, 4), {}),
        ((0, 4), {"z": np.zeros((4, 4)), "w": np.zeros((4, 4))}),
        ((0, 4), {"z": np.zeros((4, 4), complex)}),
    ],
)
def test_rows_that_do_not_fit_are_refused(tmp_path: Path, span: tuple[int, int], rows: dict) -> None:
    with artifacts.create_rows(tmp_path / "samples.h5", SAMPLES, chunk=4) as out:
        with pytest.raises((ValueError, TypeError)):
            out.write(*span, rows)
        assert out.pending() == [(0, 4), (4, 8), (8, 10)]


def test_sizes_must_be_those_of_the_kind(tmp_path: Path) -> None:
    for sizes in ({}, {"z_dim": 4, "zdim": 4}):
        with pytest.raises(ValueError, match="z_?dim"):
            write_samples(tmp_path / "samples.h5", replace(SAMPLES, sizes=sizes))
    assert not list(tmp_path.iterdir())


def test_a_text_that_hdf5_cannot_keep_is_named(tmp_path: Path) -> None:
    for length in (63_000, 65_000):
        spec = replace(SAMPLES, attributes=[("word", ["x" * length])])
        with pytest.raises(InputError, match="'attributes' takes 65") if length > 64_000 else nullcontext():
            write_samples(tmp_path / "samples.h5", spec)
    with artifacts.open(tmp_path / "samples.h5") as samples:
        assert samples.attributes == [("word", ["x" * 63_000])]
    assert list(tmp_path.iterdir()) == [tmp_path / "samples.h5"]


def test_finish_needs_every_chunk(tmp_path: Path) -> None:
    partial = begin_samples(tmp_path / "samples.h5")
    with artifacts.create_rows(tmp_path / "samples.h5", SAMPLES, chunk=4) as out:
        with pytest.raises(RunError, match="2 of 3 chunks"):
            out.finish()
    assert partial.exists() and not (tmp_path / "samples.h5").exists()


# Letters, and what YAML reads as structure, breaks lines at or must escape.
texts = st.text(st.sampled_from("anoyeNE01.:-#'\"\\{}[],&*!|>%@~=? \t\n\x00\x85\u2028é😀"), max_size=6)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_subnormal=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(texts, json_values, max_size=3))
def test_any_plain_config_survives_its_text(config: dict) -> None:
    spec = replace(SAMPLES, config=config)
    back = artifacts.RunSpec.from_record(spec.record())
    assert back.facts() == spec.facts() and back.record() == spec.record()


# What is refused on opening


def test_missing_files_name_their_command(tmp_path: Path) -> None:
    commands = {kind.name: kind.command for kind in KINDS.values()}
    assert commands["single"] == "gmmedit fit-single"
    for kind, command in commands.items():
        with pytest.raises(InputError, match=f"{kind}.h5 does not exist") as caught:
            artifacts.open(tmp_path / f"{kind}.h5", kind)
        assert command in caught.value.hint
    begin_samples(tmp_path / "samples.h5")
    with pytest.raises(InputError, match="is not finished"):
        artifacts.open(tmp_path / "samples.h5")
    with pytest.raises(InputError, match="is not finished"):
        artifacts.open(tmp_path / "samples.h5.partial")
    with pytest.raises(InputError, match="is a folder"):
        artifacts.open(tmp_path)


def test_wrong_kind(tmp_path: Path) -> None:
    path = write_samples(tmp_path / "labels.h5")
    with pytest.raises(InputError, match=r"labels\.h5 is a 'samples' artifact, 'labels' was expected") as caught:
        artifacts.open(path, "labels")
    assert caught.value.hint == (
        f"with the options it was made with, run: gmmedit label --force --run {tmp_path} --classifier NAME"
    )


def test_damaged_files_are_refused_and_kept(tmp_path: Path) -> None:
    whole = write_samples(tmp_path / "whole.h5").read_bytes()
    path = tmp_path / "samples.h5"
    partial = begin_samples(path)
    begun = partial.read_bytes()
    for keep in (0, 1, 100, 1000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:keep])
        with pytest.raises(InputError, match="damaged"):
            artifacts.open(path)
        path.unlink()
        partial.write_bytes(begun[:keep])
        with pytest.raises(InputError, match="damaged") as caught:
            write_samples(path)
        assert "--restart" in caught.value.hint and partial.stat().st_size == keep
    assert write_samples(path, restart=True).read_bytes() == whole


def test_flipped_bytes_are_refused_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    whole = write_samples(path).read_bytes()
    rng = random.Random(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(whole))] ^= rng.randrange(1, 256)
        path.write_bytes(damaged)
        try:
            with artifacts.open(path) as samples:
                assert samples["z"].shape == (10, 4)
        except InputError:
            refused += 1
    assert refused > 10


def reseal(file: h5py.File) -> None:
    """What a forger does, who knows of the checksum of the root attributes."""
    attrs = {name: value.decode() if isinstance(value, bytes) else value for name, value in file.attrs.items()}
    attrs.pop(ATTRIBUTES_CHECKSUM)
    file.attrs[ATTRIBUTES_CHECKSUM] = checksum_attributes(attrs)


def forge(path: Path, change: str) -> None:
    with h5py.File(path, "r+") as file:
        z = file["z"][()]
        if change == "seed":
            file.attrs["seed"] = 4
            return
        if change in ("kind", "config", "sizes", "n", "schema_version"):
            file.attrs[change] = {
                "kind": "cats",
                "config": "[1",
                "sizes": "[1]",
                "n": 0,
                "schema_version": 3,
            }[change]
            reseal(file)
            return
        if change == "foreign":
            del file.attrs["gmmedit_version"]
            return
        del file["z"]
        if change == "float64":
            file["z"] = z.astype(np.float64)
        elif change == "shape":
            file["z"] = z[:-1]
        elif change == "soft link":
            file["elsewhere"] = z
            file["z"] = h5py.SoftLink("/elsewhere")
        elif change == "external link":
            file["z"] = h5py.ExternalLink("other.h5", "/z")
        elif change == "external data":
            file.create_dataset("z", z.shape, z.dtype, external=[("/etc/hostname", 0, z.nbytes)])
        elif change == "virtual data":
            layout = h5py.VirtualLayout(z.shape, z.dtype)
            layout[:] = h5py.VirtualSource("other.h5", "z", z.shape)
            file.create_virtual_dataset("z", layout)


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        ("kind", "not an artifact of gmmedit"),
        ("foreign", "not an artifact of gmmedit"),
        ("config", "damaged"),
        ("seed", "its root attributes are not those that were written"),
        ("sizes", "damaged"),
        ("n", "n is 0"),
        ("schema_version", "has schema samples 3, this gmmedit reads 2"),
        ("missing", "/z is missing"),
        ("float64", "/z is float64, f4 was expected"),
        ("shape", r"/z has shape \(9, 4\), \(N, z_dim\) was expected"),
        ("soft link", "/z is a link"),
        ("external link", "/z is a link"),
        ("external data", "/z keeps its data in another file"),
        ("virtual data", "/z keeps its data in another file"),
    ],
)
def test_forged_files_are_refused(tmp_path: Path, change: str, phrase: str) -> None:
    path = write_samples(tmp_path / "samples.h5")
    forge(path, change)
    with pytest.raises(InputError, match=phrase):
        artifacts.open(path)
    with pytest.raises(InputError, match=phrase):
        artifacts.describe(path)


def test_a_file_renamed_before_its_time_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    begin_samples(path).rename(path)
    with pytest.raises(InputError, match="is not finished"):
        artifacts.open(path)
    assert artifacts.describe(path)["state"] == "partial"


def test_reading_changes_nothing(tmp_path: Path) -> None:
    path = write_samples(tmp_path / "samples.h5")
    path.chmod(0o444)
    before = path.read_bytes(), path.stat().st_mtime_ns
    with artifacts.open(path) as samples:
        assert samples.fingerprint == artifacts.file_fingerprint(path)
        samples["z"][:] = 0
    artifacts.describe(path)
    artifacts.is_finished(path, SAMPLES)
    assert before == (path.read_bytes(), path.stat().st_mtime_ns)


def test_the_fingerprint_is_that_of_the_rows_that_are_read(tmp_path: Path) -> None:
    path = write_samples(tmp_path / "samples.h5")
    first = artifacts.file_fingerprint(path)
    other = write_samples(tmp_path / "other.h5", replace(SAMPLES, seed=SAMPLES.seed + 1))
    with artifacts.open(path) as samples:
        other.replace(path)
        assert samples.fingerprint == first != artifacts.file_fingerprint(path)


# Provenance, description, docs


def test_parents_must_be_the_very_ones(tmp_path: Path) -> None:
    samples = artifacts.open(write_samples(tmp_path / "samples.h5"))
    other = artifacts.open(write_samples(tmp_path / "other.h5", replace(SAMPLES, seed=4)))
    parents = {"samples": samples.fingerprint}
    labels = artifacts.open(write_labels(tmp_path / "labels.h5", replace(LABELS, parents=parents)))
    artifacts.check_parents(labels, samples=samples)
    with pytest.raises(InputError, match=r"labels\.h5 was made from another .*other\.h5 \(fingerprint"):
        artifacts.check_parents(labels, samples=other)
    with pytest.raises(InputError, match="does not say from which single"):
        artifacts.check_parents(labels, single=other)
    generator = {"name": "mine", "fingerprint": "d" * 64}
    spec = replace(LABELS, parents=parents, generator=generator)
    stranger = artifacts.open(write_labels(tmp_path / "strange.h5", spec))
    with pytest.raises(InputError, match=r"another generator .*mine dddddddddddd\.\.\., expected avatars aaaa"):
        artifacts.check_parents(stranger, samples=samples)


def test_tensor_fingerprints_see_names_dtypes_shapes_and_values() -> None:
    base = {"a": np.arange(6.0), "b": np.zeros(2, np.int64)}
    same = {"b": np.zeros(2, ">i8"), "a": np.arange(12.0)[::2] / 2}
    assert artifacts.tensors_fingerprint(base) == artifacts.tensors_fingerprint(same)
    others = [
        {"a": base["a"]},
        {"c": base["a"], "b": base["b"]},
        {"a": base["a"].reshape(2, 3), "b": base["b"]},
        {"a": base["a"].astype(np.float32), "b": base["b"]},
        {"a": base["a"] + 1, "b": base["b"]},
        {"a": np.float64(1.0), "b": base["b"]},
    ]
    prints = {artifacts.tensors_fingerprint(tensors) for tensors in [base, *others]}
    assert len(prints) == 1 + len(others)


def test_description_is_json_in_every_state(tmp_path: Path) -> None:
    partial = begin_samples(tmp_path / "samples.h5")
    begun = artifacts.describe(partial)
    assert begun["state"] == "partial" and begun["chunks"] == {"done": 1, "total": 3, "rows": 4}
    artifacts.save_checkpoint(tmp_path / "single.h5", SINGLE, {"any": np.ones(2)})
    assert artifacts.describe(tmp_path / "single.h5.partial")["state"] == "checkpoint"
    arrays = {
        "parameters/mean": np.array([1.0, np.nan, 3.0]),
        "report/x": np.array(np.inf),
        "history/step": np.arange(2),
    }
    artifacts.write_whole(tmp_path / "single.h5", SINGLE, arrays)
    told = json.loads(json.dumps(artifacts.describe(tmp_path / "single.h5"), allow_nan=False))
    fields = {field["name"]: field for field in told["fields"]}
    assert told["state"] == "complete" and told["config"] == {"fit": {"steps": 5}}
    assert fields["parameters/mean"] | {"meaning": ""} == {
        **{"name": "parameters/mean", "dtype": "f8", "shape": [3], "meaning": ""},
        **{"min": 1.0, "max": 3.0, "mean": 2.0, "nan": 1},
    }
    assert fields["report/x"]["max"] is None


def test_the_published_format_is_the_schema() -> None:
    docs = Path(__file__).parents[1] / "docs" / "artifacts.md"
    assert docs.read_text(encoding="utf-8") == schema_markdown(), "run `make docs`"
