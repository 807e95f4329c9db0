"""Bad input, met as a user would: one clear line, an exit code, and finished work untouched."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import check, done, gmmedit, refuse, rewrite

from gmmedit import artifacts

D = 128  # latent dims of the embedded generator


# Names and values


@pytest.mark.parametrize(
    ("attr", "says"),
    [
        ("smiel", ("unknown attribute 'smiel'", "did you mean 'smile'? there are: smile, gender, bangs")),
        ("xyz", ("unknown attribute 'xyz'", "there are: smile, gender")),
        ("hair_color=blonde", ("hair_color has no value 'blonde'", "did you mean 'blond'?")),
        ("hair_color", ("hair_color has 5 values", "hair_color=black, hair_color=blond")),
        ("glasses=maybe", ("glasses has no value 'maybe'", "there are: no, yes")),
        ("smile:abc", ("--attr smile:abc: 'abc' is not a number",)),
        ("smile:nan", ("--attr smile:nan: 'nan' is not a number",)),
        ("", ("--attr '' cannot be parsed", "NAME[=VALUE][:STRENGTH]")),
    ],
)
def test_attributes(run: Path, attr: str, says: tuple[str, ...]) -> None:
    refuse(run, "edit", "--attr", attr, says=says)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--alpha", "abc"], ("'--alpha'",)),
        (["--alpha", "nan"], ("--alpha nan is not between",)),
        (["--alphas", "0:1"], ("--alphas '0:1' is not FROM:TO:STEP", "--alphas 0:1:0.1")),
        (["--alphas", "0:1:0"], ("is not FROM:TO:STEP",)),
        (["--alphas", "1:0:0.5"], ("--alphas '1:0:0.5': the step 0.5 leads away from 0", "--alphas 1:0:-0.5")),
        (["--each", "--alphas", "0:1:0.5"], ("--each cannot be combined with --alphas or --target", "--each --attr")),
        (["--alphas", "0:1:1e-9"], ("--alphas has more than",)),
        (["--alphas", "a,b"], ("--alphas: 'a' is not a number",)),
        (["--index", "7-3"], ("--index: '7-3' runs backwards", "--index 3-7")),
        (["--index", "three"], ("--index 'three' is not a list of numbers",)),
        (["--index", "0-3,600"], ("row 600 is not in", "which has 600 rows", "--seeds")),
        (["--seeds", "-1"], ("--seeds '-1' is not a list of numbers",)),
        (["--seeds", "4294967296"], ("--seeds: '4294967296'",)),
        (["--target", "2"], ("--target 2 is not between 0 and 1",)),
        (["--target", "high"], ("'--target'",)),
        (["--alpha", "1", "--target", "0.5"], ("cannot be combined",)),
        (["--index", "1", "--seeds", "1"], ("cannot be combined",)),
        (["--draw", "random"], ("'--draw'",)),
        (["--seed", "-1"], ("'--seed'",)),
        (["--device", "foo"], ("cannot use device 'foo'", "--device cpu")),
        (["--device", "meta"], ("cannot use device 'meta'",)),
    ],
)
def test_edit_options(run: Path, words: list[str], says: tuple[str, ...]) -> None:
    refuse(run, "edit", "--attr", "smile", *words, says=says)


def test_an_edit_without_an_attribute(run: Path) -> None:
    refuse(run, "edit", says=("nothing to edit", "--attr"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["sample", "--gan", "avatar"], ("there is no generator called 'avatar'", "did you mean 'avatars'?")),
        (["sample", "--gan", "gone.safetensors"], ("there is no generator file gone.safetensors",)),
        (["sample", "-n", "0"], ("sample.n: ", "(got 0)")),
        (["sample", "-n", "99999999999999999999"], ("sample.n: ",)),
        (["sample", "--psi", "nan"], ("sample.psi: ",)),
        (["sample", "--device", "cuda:99"], ("cannot use device 'cuda:99'", "hint: --device cpu")),
        (["label", "--device", "cuda:7"], ("cannot use device 'cuda:7'", "hint: --device cpu")),
        (["fit-mixture", "--device", "gpu"], ("cannot use device 'gpu': no such kind of device", "--device cpu")),
        (["label", "--classifier", "avatar"], ("there is no classifier called 'avatar'", "did you mean 'avatars'?")),
        (["label", "--classifier", "gone.safetensors"], ("there is no classifier file gone.safetensors",)),
        (["fit-single", "--steps", "0"], ("fit_single.steps: ",)),
        (["fit-single", "--seed", "99999999999"], ("fit_single.seed: ",)),
        (["fit-mixture", "--consistency", "exakt"], ("'--consistency'", "'exact'")),
        (["evaluate", "--editors", "mixture,magic"], ("there is no editor called 'magic'", "there are: mixture")),
        (["evaluate", "-n", "1"], ("evaluate.n: ",)),
        (["evaluate", "--inverted", "-n", "0"], ("no photograph to score",)),
    ],
)
def test_stage_options(run: Path, words: list[str], says: tuple[str, ...]) -> None:
    refuse(run, *words, "--force", says=says)


def test_a_card_that_is_not_there_among_others(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def zeros(*_: object, **__: object) -> None:
        raise RuntimeError(
            "CUDA error: invalid device ordinal\nGPU device may be out of range, do you have enough GPUs?"
        )

    monkeypatch.setattr("torch.zeros", zeros)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    says = ("cannot use device 'cuda:7': CUDA error: invalid device ordinal", "there are cuda:0, cuda:1")
    refuse(run, "sample", "--device", "cuda:7", "--force", says=says)


def test_settings_files(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    for text, says in (
        ("sample: {nn: 5}", ("sample.nn: unknown key", "did you mean 'n'?")),
        ("smaple: {n: 5}", ("smaple: unknown key", "did you mean 'sample'?")),
        ("sample: {n: five}", ("sample.n: ", "'five'", "the default is 20000")),
        ("sample: [", ("is not valid YAML",)),
        ("sample", ("must hold sections with keys", "the sections sample, label")),
    ):
        path.write_text(text)
        refuse(run, "sample", "--config", path, says=(str(path), *says))
    refuse(run, "sample", "--config", tmp_path / "gone.yaml", says=("cannot read", "gone.yaml"))
    refuse(run, "sample", "--config", tmp_path, says=("is a folder, not a file",))


# Files of networks


def damaged(path: Path, whole: bytes) -> Iterator[Path]:
    """One after the other: empty, foreign, cut, without its description."""
    header = int.from_bytes(whole[:8], "little") + 8
    for content in (b"", b"#!/bin/sh\necho hello\n", whole[:header], whole[: len(whole) // 2], whole + b"more"):
        path.write_bytes(content)
        yield path


def test_damaged_networks(own_run: Path, tmp_path: Path) -> None:
    from gmmedit.classifiers.embedded import WEIGHTS
    from gmmedit.generators.catalogue import CATALOGUE as GENERATORS

    generator, classifier = GENERATORS["avatars"].file, WEIGHTS / "classifier.safetensors"
    for path in damaged(tmp_path / "damaged.safetensors", generator.read_bytes()):
        refuse(own_run, "sample", "--gan", path, "--force", says=(str(path),))
    for path in damaged(tmp_path / "damaged.safetensors", classifier.read_bytes()):
        refuse(own_run, "label", "--classifier", path, "--force", says=(str(path),))
    refuse(own_run, "sample", "--gan", classifier, "--force", says=(str(classifier), "does not hold a known generator"))
    refuse(own_run, "label", "--classifier", generator, "--force", says=(str(generator), "convnet"))


def test_classifiers_that_cannot_judge(own_run: Path, tmp_path: Path) -> None:
    from gmmedit.classifiers import convnet, embedded
    from gmmedit.classifiers.catalogue import load

    config = load("avatars").config
    blind = written(tmp_path, f"evaluate: {{classifier: {tmp_path}/blind.safetensors}}")
    embedded.save_network(
        convnet.ConvNet(replace(config, attributes=config.attributes[1:])), tmp_path / "blind.safetensors"
    )
    refuse(own_run, "evaluate", "--config", blind, says=("has other attributes or values than", "not smile, gender"))


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(text)
    return path


def test_a_file_without_a_catalogued_classifier(tmp_path: Path) -> None:
    from gmmedit.generators.catalogue import CATALOGUE

    copied = tmp_path / "mine.safetensors"
    copied.write_bytes(CATALOGUE["avatars"].file.read_bytes())
    done("sample", "--run", tmp_path / "run", "--gan", copied, "-n", 4)
    refuse(tmp_path / "run", "label", says=("no default classifier for", "mine.safetensors", "--classifier"))
    copied.write_bytes(b"")
    refuse(tmp_path / "run", "label", "--classifier", "avatars", says=("mine.safetensors",))
    copied.unlink()
    refuse(tmp_path / "run", "label", "--classifier", "avatars", says=("there is no generator file", "mine"))


# Artifacts


@pytest.mark.parametrize(
    ("command", "missing", "maker"),
    [
        (["label"], "samples.h5", "gmmedit sample"),
        (["fit-single"], "labels.h5", "gmmedit label"),
        (["fit-mixture"], "single.h5", "gmmedit fit-single"),
        (["edit", "--attr", "smile"], "mixture.h5", "gmmedit fit-mixture"),
        (["evaluate"], "mixture.h5", "gmmedit fit-mixture"),
    ],
)
def test_missing_and_foreign_files(own_run: Path, command: list[str], missing: str, maker: str) -> None:
    path = own_run / missing
    whole = path.read_bytes()
    path.unlink()
    refuse(own_run, *command, says=(f"{path} does not exist", f"run: {maker} --run {own_run}\n"))
    for content in (b"", whole[:100], whole[: len(whole) // 2], whole[:-1], b"name,value\n1,2\n"):
        path.write_bytes(content)
        refuse(own_run, *command, says=(str(path), f"{maker} --force"))
    path.unlink()
    with h5py.File(path, "w") as file:
        file["z"] = np.zeros((3, 4))
    refuse(own_run, *command, says=(f"{path} is HDF5, but not an artifact of gmmedit", maker))
    other = own_run / ("labels.h5" if missing == "samples.h5" else "samples.h5")
    path.write_bytes(other.read_bytes())
    refuse(own_run, *command, says=(f"{path} is a ", "artifact", maker))
    path.unlink()
    path.mkdir()
    refuse(own_run, *command, says=(f"{path} is a folder", "an HDF5 file was expected"))


def test_an_output_that_is_something_else_is_not_overwritten(own_run: Path) -> None:
    path = own_run / "labels.h5"
    for content in (b"my notes", (own_run / "samples.h5").read_bytes()):
        path.write_bytes(content)
        refuse(own_run, "label", says=(str(path), "--force overwrites it"))


def test_what_stands_in_the_place_of_an_output_is_found_before_the_work(
    own_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: object) -> None:
        raise AssertionError("too late")

    monkeypatch.setattr("gmmedit.editing.job.EditJob.compute_rows", work)
    monkeypatch.setattr("gmmedit.stages.label.label_rows", work)
    (own_run / "edits").write_text("no folder")
    refuse(own_run, "edit", "--attr", "smile", says=("cannot write in the folder", "edits"))
    (own_run / "edits").unlink()
    for name, *words in (("edits.h5", "edit", "--attr", "smile"), ("labels.h5", "label", "--force")):
        path = own_run / name
        path.unlink(missing_ok=True)
        path.mkdir()
        refuse(own_run, *words, says=(f"{path} is a folder, and a file is to be written there", "remove it"))


def test_unfinished_and_damaged_work(own_run: Path) -> None:
    path, partial = own_run / "labels.h5", own_run / "labels.h5.partial"
    path.rename(partial)
    refuse(own_run, "fit-single", says=(f"{path} is not finished", f"run: gmmedit label --run {own_run}"))
    partial.write_bytes(partial.read_bytes()[:5000])
    refuse(own_run, "label", says=(f"{partial} is damaged", "--restart discards it"))


def test_files_of_another_run(own_run: Path) -> None:
    fingerprint = rewrite(own_run / "samples.h5", z=lambda z: z + 1, w=lambda w: w + 1)
    assert artifacts.file_fingerprint(own_run / "samples.h5") == fingerprint
    steps = f"run: gmmedit label --force --run {own_run} --classifier avatars && gmmedit fit-single --force"
    forced = [[command, "--force"] for command in ("fit-single", "fit-mixture", "evaluate")]
    for command in (*forced, ["edit", "--attr", "smile"]):
        refuse(own_run, *command, says=("was made from another", "samples.h5", steps))
    rewrite(own_run / "labels.h5", parents={"samples": fingerprint})
    refuse(own_run, "fit-mixture", "--force", says=("single.h5 was made from another", "gmmedit fit-single --force"))


def test_other_weights_under_the_same_name(own_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gmmedit.networks.weights.fingerprint_tensors", lambda _: "0" * 64)
    command = f"run: gmmedit sample --force --run {own_run}\n"
    refuse(own_run, "edit", "--attr", "smile", says=("the generator has changed", command))
    refuse(own_run, "sample", "-n", 600, says=("generator.fingerprint", "--force overwrites it"))


def test_latents_that_are_no_numbers(own_run: Path) -> None:
    def holed(latents: np.ndarray) -> np.ndarray:
        latents[17, 3] = np.nan
        return latents

    fingerprint = rewrite(own_run / "samples.h5", w=holed)
    check(gmmedit("label", "--run", own_run, "--force"), "samples.h5", "rows 0 to 255")
    rewrite(own_run / "labels.h5", parents={"samples": fingerprint})
    refuse(own_run, "fit-single", "--force", says=("samples.h5:/w holds NaN or infinite latents, first in row 17",))


def test_labels_that_are_no_numbers(own_run: Path) -> None:
    rewrite(own_run / "labels.h5", labels=lambda labels: np.where(labels < 0.01, np.nan, labels))
    command = f"run: gmmedit label --force --run {own_run} --classifier avatars\n"
    refuse(own_run, "fit-single", "--force", says=("labels.h5:/labels holds NaN", command))


def test_a_value_that_nobody_has(own_run: Path) -> None:
    with artifacts.open(own_run / "labels.h5") as labels:
        names = [f"{name}={value}" for name, values in labels.attributes for value in values]

    def without_glasses(labels: np.ndarray) -> np.ndarray:
        labels[:, names.index("glasses=no")], labels[:, names.index("glasses=yes")] = 1, 0
        return labels

    rewrite(own_run / "labels.h5", labels=without_glasses)
    says = ("0 of 600 samples are labelled glasses=yes, a fit needs 10", "use more samples")
    refuse(own_run, "fit-single", "--force", says=says)


def test_too_few_samples(own_run: Path) -> None:
    fingerprint = rewrite(own_run / "samples.h5", rows=60)
    rewrite(own_run / "labels.h5", rows=60, parents={"samples": fingerprint})
    refuse(own_run, "fit-single", "--force", says=("holds 60 samples, a fit needs 100", "gmmedit sample -n"))


def test_inspecting_what_is_no_artifact(tmp_path: Path) -> None:
    notes, gone = tmp_path / "notes.txt", tmp_path / "gone.h5"
    either = "give an artifact of a run, such as samples.h5, or"
    notes.write_text("notes")
    for path, says in ((gone, "does not exist\n"), (tmp_path, "is a folder\n"), (notes, "is not an HDF5 file\n")):
        check(gmmedit("inspect", path), f"error: {path} {says}", either)
    for name in ("samples.h5", "labels.h5.partial"):
        (tmp_path / name).touch()
    check(gmmedit("inspect", tmp_path), "is a folder\n", "hint: give a file in it: labels.h5.partial, samples.h5\n")


# npz


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({}, ("holds no arrays", "docs/latents.md")),
        ({"a": np.zeros((2, D)), "b": np.zeros((2, D))}, ("holds a, b: ambiguous", "latents.npz:a")),
        (
            {"w": np.zeros((2, 5), np.float32)},
            ("w is float32 of shape (2, 5), expected floats of shape (N, 128) or (N, ",),
        ),
        ({"w": np.zeros((2, 3, D), np.float32)}, ("w is float32 of shape (2, 3, 128)",)),
        ({"w": np.zeros((0, D), np.float32)}, ("w is float32 of shape (0, 128)",)),
        ({"w": np.zeros((1, 1, 1, D), np.float32)}, ("w is float32 of shape (1, 1, 1, 128)",)),
        ({"w": np.zeros((), np.float32)}, ("w is float32 of shape ()",)),
        ({"w": np.array(["a"])}, ("w is <U1 of shape (1,)",)),
        ({"w": np.zeros((2, D), np.int32)}, ("w is int32 of shape (2, 128), expected floats",)),
        ({"w": np.full((2, D), np.nan, np.float32)}, ("holds NaN",)),
        ({"w": np.full((2, D), 1e300)}, ("holds NaN, infinite",)),
        ({"w": np.array([{"a": 1}], dtype=object)}, ("cannot be read as npz",)),
    ],
)
def test_latents_files(run: Path, tmp_path: Path, arrays: dict[str, np.ndarray], says: tuple[str, ...]) -> None:
    np.savez(tmp_path / "latents.npz", allow_pickle=True, **arrays)
    refuse(run, "edit", "--attr", "smile", "--latents", tmp_path / "latents.npz", says=(str(tmp_path), *says))


def test_latents_files_that_are_none(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "latents.npz"
    np.savez_compressed(path, w=np.random.RandomState(0).randn(8, D))
    whole = path.read_bytes()
    broken = bytearray(whole)
    broken[200:900] = bytes(700)
    contents = {b"": "is empty", b"w": "is not an npy"}
    contents |= dict.fromkeys([whole[:500], bytes(broken), b"PK\x03\x04"], "cannot be read as npz")
    for content, says in contents.items():
        path.write_bytes(content)
        refuse(run, "edit", "--attr", "smile", "--latents", path, says=(f"{path} {says}", "docs/latents.md"))
    for gone in (tmp_path / "gone.npz", tmp_path):
        refuse(run, "edit", "--attr", "smile", "--latents", gone, says=(f"cannot read {gone}: ",))


# Runs that fail


def test_a_fit_that_diverges(own_run: Path, tmp_path: Path) -> None:
    wild = written(tmp_path, "fit_single: {lr: 1.0e+30, steps: 20}")
    refuse(own_run, "fit-single", "--force", "--config", wild, says=("diverge",), code=1)


def test_a_stage_that_already_runs(own_run: Path) -> None:
    path = own_run / "labels.h5"
    with artifacts.open(path) as labels:
        spec = labels.spec
    path.unlink()
    with artifacts.create_rows(path, spec):
        refuse(own_run, "label", says=("is being written by another process", "wait until it has finished"), code=1)
