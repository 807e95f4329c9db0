"""`gmmedit verify`: every flipped bit is found and named, and so is what was not made from what it says."""

import json
import random
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import done, gmmedit, rewrite

from gmmedit import artifacts


@pytest.fixture(scope="module")
def whole(run: Path, settings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with an edit; each test damages a copy."""
    folder = shutil.copytree(run, tmp_path_factory.mktemp("verified") / "run")
    done("edit", "--run", folder, "--attr", "smile", "--index", "0-2", "--polish", 0, "--quiet")
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "run")


def failures(folder: Path, *words: object) -> list[tuple[str, str, str]]:
    """(file, check, detail) of what failed; the exit code agrees."""
    result = gmmedit("verify", "--run", folder, "--json", *words)
    told = json.loads(result.stdout)
    failed = [(Path(it["file"]).name, it["check"], it["detail"]) for it in told["checks"] if it["result"] == "failed"]
    assert (result.exit_code, told["ok"]) == ((1, False) if failed else (0, True))
    return failed


def flip(path: Path, name: str, row: int) -> None:
    """One bit of a dataset's row."""
    with h5py.File(path, "r") as file:
        dataset = file[name]
        offset = dataset.id.get_offset() + row * dataset.nbytes // len(dataset)
    content = bytearray(path.read_bytes())
    content[offset] ^= 1 << (row % 8)
    path.write_bytes(content)


def test_a_sound_run(whole: Path) -> None:
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    told = json.loads(done("verify", "--run", whole, "--json").stdout)
    assert told["ok"] and {it["result"] for it in told["checks"]} == {"ok"}
    remade = {Path(it["file"]).name: it["detail"] for it in told["checks"] if it["check"] == "rows"}
    assert remade.keys() == {"samples.h5", "labels.h5", "edits.h5"}
    assert all("identical" in detail or "within" in detail for detail in remade.values())
    text = done("verify", "--run", whole).stdout
    assert "mixture.h5" in text and "single.h5" in text
    assert {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()} == before
    assert done("verify", "--run", whole, "--quiet").stdout == ""


@pytest.mark.parametrize(
    ("file", "name"), [("samples", "z"), ("samples", "w"), ("labels", "labels"), ("labels", "logits")]
)
def test_a_single_flipped_bit_is_found_and_named(copy: Path, file: str, name: str) -> None:
    row = random.Random(name).randrange(600)
    flip(copy / f"{file}.h5", name, row)
    first = row // 256 * 256
    found = failures(copy, "--rows", 0)
    assert (f"{file}.h5", "checksums", f"rows {first} to {min(first + 256, 600)} of /{name}") in found


def test_the_stage_that_reads_a_damaged_file_says_so_and_force_makes_it_again(copy: Path, settings: Path) -> None:
    path = copy / "samples.h5"
    sound = path.read_bytes()
    flip(path, "w", 300)
    (copy / "labels.h5").unlink()
    for command in ("label", "sample"):
        refused = gmmedit(command, "--run", copy, "--config", settings)
        assert refused.exit_code == 2 and "Traceback" not in refused.stderr
        assert f"{path} is damaged: the checksum of rows 256 to 512 of /w is wrong" in refused.stderr
        assert "--force" in refused.stderr
    done("sample", "--run", copy, "--config", settings, "--force")
    assert path.read_bytes() == sound
    done("label", "--run", copy, "--config", settings)


def test_fits_and_damaged_parameters(copy: Path) -> None:
    with artifacts.open(copy / "mixture.h5") as mixture:
        name = next(name for name in mixture.names if name.startswith("chart/") and mixture[name].ndim)
    flip(copy / "mixture.h5", name, 0)
    assert ("mixture.h5", "checksums", f"/{name}") in failures(copy, "--rows", 0)
    refused = gmmedit("edit", "--run", copy, "--attr", "age")
    assert refused.exit_code == 2 and f"the checksum of /{name} is wrong" in refused.stderr


def test_any_flipped_bit_of_a_run_is_found(copy: Path) -> None:
    """Wherever it is: what no checksum covers is HDF5's own structure, and a child knows its parents' fingerprints."""
    chance = random.Random(3)
    for name in ("samples.h5", "labels.h5", "single.h5"):
        content = (copy / name).read_bytes()
        for _ in range(6):
            damaged = bytearray(content)
            damaged[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            (copy / name).write_bytes(damaged)
            assert failures(copy, "--rows", 0)
        (copy / name).write_bytes(content)


def test_rows_that_the_networks_do_not_make(copy: Path) -> None:
    """Sound files, with checksums of their own, that say something else than the seeds and the networks."""
    rewrite(copy / "labels.h5", labels=lambda labels: labels * 0.999)
    assert [it[:2] for it in failures(copy, copy / "labels.h5")] == [("labels.h5", "rows")]
    rewrite(copy / "samples.h5", z=lambda z: np.roll(z, 1))
    assert ("samples.h5", "rows") in [it[:2] for it in failures(copy, copy / "samples.h5")]


def test_parents_and_weights(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy / "single.h5").unlink()
    told = json.loads(gmmedit("verify", "--run", copy, "--json", "--rows", 0).stdout)
    skipped = [(Path(it["file"]).name, it["check"], it["detail"]) for it in told["checks"] if it["result"] == "skipped"]
    assert skipped == [("mixture.h5", "parents", "missing: single.h5")] and told["ok"]
    rewrite(copy / "samples.h5", w=lambda w: w + 1)
    found = [it[:2] for it in failures(copy, "--rows", 0)]
    assert ("labels.h5", "parents") in found and ("mixture.h5", "parents") not in found  # which follows
    found = [it[:2] for it in failures(copy, "--rows", 0, copy / "mixture.h5")]
    assert ("mixture.h5", "parents") in found
    monkeypatch.setattr("gmmedit.networks.weights.fingerprint_tensors", lambda _: "0" * 64)
    assert ("samples.h5", "weights") in [it[:2] for it in failures(copy, "--rows", 0)]


def test_unfinished_work_and_no_work(copy: Path, tmp_path: Path) -> None:
    (copy / "labels.h5").rename(copy / "labels.h5.partial")
    told = json.loads(done("verify", copy / "labels.h5.partial", "--json").stdout)
    assert told["checks"][0]["detail"] == "labels, partial, 3 of 3 chunks" and len(told["checks"]) == 2
    flip(copy / "labels.h5.partial", "logits", 5)
    assert [it[:2] for it in failures(copy, copy / "labels.h5.partial")] == [("labels.h5.partial", "checksums")]
    empty = gmmedit("verify", "--run", tmp_path / "none")
    assert empty.exit_code == 2 and "holds no artifact to verify" in empty.stderr
    missing = gmmedit("verify", tmp_path / "none.h5")
    assert missing.exit_code == 1 and "does not exist" in missing.stdout


def test_a_stale_run_names_one_cause_and_the_commands(copy: Path) -> None:
    rewrite(copy / "samples.h5", w=lambda w: w + 1)
    told = gmmedit("verify", "--run", copy, "--rows", 2)
    lines = told.stdout.splitlines()
    failed = [line for line in lines if "failed" in line and "checks" not in line]
    assert told.exit_code == 1 and len(failed) == 2  # the rows of samples.h5, the parents of labels.h5
    assert not any(str(copy) in line for line in lines[:-1])
    steps = [f"gmmedit {step} --force --run {copy}" for step in ("label", "fit-single", "fit-mixture")]
    steps[0] += " --classifier avatars"
    assert " && ".join(steps) in lines[-1] and lines[-1].startswith("run: gmmedit ")
