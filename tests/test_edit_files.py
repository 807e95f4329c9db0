"""What goes into an edit and comes out: draws, files of latents, another generator, locks, exported files."""

import copy
import functools
import itertools
import json
import os
import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import check, done, gmmedit, refuse, untouched

from gmmedit import artifacts, classifiers, generators
from gmmedit.config import SampleSettings
from gmmedit.editing import outputs
from gmmedit.editing.latents import read_latents
from gmmedit.editing.request import Aim, LatentSpace
from gmmedit.errors import InputError, RunError
from gmmedit.generators import stylegan2
from gmmedit.pictures.pixels import as_shown
from gmmedit.run.rendering import Renderer
from gmmedit.runtime import storage as disk

DATA = Path(__file__).parent / "data"
Edit = Callable[..., artifacts.Artifact]


@pytest.fixture
def edited(run: Path, tmp_path: Path) -> Edit:
    """`edited("--attr", "smile")` runs gmmedit edit, unpolished, on the shared run and opens its edits.h5."""
    count = itertools.count()

    def command(*words: object, folder: Path = run) -> artifacts.Artifact:
        out = tmp_path / f"edit{next(count)}"
        done("edit", "--run", folder, "--out", out, "--polish", 0, *words)
        return artifacts.open(out / "edits.h5", "edits")

    return command


# Draws


def test_the_draw_of_an_image_depends_on_the_seed_and_the_image_alone(edited: Edit) -> None:
    words = ("--attr", "hair_color=red", "--attr", "glasses:-1", "--draw", "sample")
    many = edited(*words, "--index", "0-7")["latents"][0]
    for index, rows in (("3", [3]), ("5,3,7,1,0", [5, 3, 7, 1, 0]), ("6-7", [6, 7])):
        assert np.array_equal(edited(*words, "--index", index)["latents"][0], many[rows]), index


def test_the_draw_of_a_row_is_that_of_its_seed(edited: Edit) -> None:
    words = ("--attr", "smile", "--draw", "sample")
    rows, seeds = (edited(*words, source, "2,9")["latents"] for source in ("--index", "--seeds"))
    assert np.allclose(rows, seeds, atol=1e-3)


def test_no_two_images_or_seeds_share_a_draw(run: Path, edited: Edit, tmp_path: Path) -> None:
    """Of equal latents, so that nothing but the draw can differ."""
    with artifacts.open(run / "samples.h5") as samples:
        np.savez(tmp_path / "same.npz", w=np.repeat(samples["w"][:1], 12, 0))
    words = ("--attr", "hair_color=red", "--draw", "sample", "--latents", tmp_path / "same.npz")
    latents = [edited(*words, "--seed", seed)["latents"][0] for seed in (0, 4)]
    drawn = np.concatenate(latents).reshape(24, -1)
    assert len(np.unique(drawn, axis=0)) == 24


# Two edits into one folder, and options without effect


def test_images_are_written_while_the_lock_is_held(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a new edit, and of one that is done already."""
    words, real, refused = (
        ("edit", "--run", run, "--out", tmp_path, "--attr", "smile", "--polish", 0),
        outputs.write_images,
        [],
    )

    def write(path: Path, title: str) -> list[Path]:
        with pytest.raises(RunError, match="is being written by another process"), disk.lock(path):
            pass
        refused.append(title)
        return real(path, title)

    monkeypatch.setattr(outputs, "write_images", write)
    for _ in range(2):
        done(*words, "--index", "1")
    assert refused == ["smile", "smile"] and not (tmp_path / "edits.h5.lock").exists()


def test_an_edit_waits_for_no_other_and_changes_none_of_its_images(run: Path, tmp_path: Path) -> None:
    words = ("edit", "--run", run, "--out", tmp_path, "--attr", "smile", "--index", "1", "--polish", 0)
    done(*words)
    with disk.lock(tmp_path / "edits.h5"), untouched(tmp_path):
        for more in ((), ("--alpha", 0.5)):
            check(gmmedit(*words, *more), "is being written by another process", code=1)


def test_images_that_a_killed_process_did_not_write_are_written_when_it_runs_again(run: Path, tmp_path: Path) -> None:
    words = ("edit", "--run", run, "--out", tmp_path, "--attr", "smile", "--index", "0-2", "--polish", 0)
    done(*words)
    folder = tmp_path / "edits"
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "sheet.png").unlink()
    (folder / "image_1.png").unlink()
    (folder / "image_2.png").write_bytes(b"of an older edit")
    (folder / "image_77.png.tmp").write_bytes(b"of a killed process")
    foreign = ("image_holiday.png", "image_01.png", "image_2.png.bak", "animation.webp.old")
    for name in foreign:
        (folder / name).write_bytes(b"mine")
    done(*words)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole | dict.fromkeys(foreign, b"mine")


@pytest.mark.parametrize("name", ["sheet.png", "image_0.png", "animation.webp"])
def test_images_that_no_edit_wrote_are_kept(run: Path, tmp_path: Path, name: str) -> None:
    image = tmp_path / "edits" / name
    image.parent.mkdir()
    image.write_bytes(b"mine")
    refuse(run, "edit", "--out", tmp_path, "--attr", "smile", says=(f"{image} exists, and no edits.h5", "--out"))
    assert image.read_bytes() == b"mine"


def test_options_without_effect_are_taken_and_not_offered(run: Path, tmp_path: Path) -> None:
    words = ("edit", "--run", run, "--out", tmp_path, "--attr", "smile", "--index", "1", "--polish", 0)
    said = done(*words, "--batch", 4, "--force").stderr.splitlines()
    assert said == ["note: --batch has no effect on edit", "note: --force has no effect on edit"]
    for command, options in (("edit", ("--batch", "--force")), ("report", ("--batch",))):
        text = done(command, "--help").stdout
        assert not any(option in text for option in options)


# Files of latents


@pytest.fixture(scope="module")
def w(run: Path) -> np.ndarray:
    with artifacts.open(run / "samples.h5") as samples:
        return samples["w"][:3]


@pytest.fixture(scope="module")
def plus(w: np.ndarray, run: Path) -> np.ndarray:
    """W+ (3, L, D) whose layers differ."""
    layers = avatars().w_shape[0]
    return np.stack([np.roll(w, layer, 0) for layer in range(layers)], 1)


avatars = functools.cache(lambda: generators.load("avatars"))


def latents_of(path: Path | str, space: str = "w", told: LatentSpace | None = None) -> tuple[str, np.ndarray]:
    kind, latent = read_latents(Path(path), space, avatars(), told, Path("runs/z"))
    return kind, latent.numpy()


def refused(path: Path | str, *phrases: str, space: str = "w", told: LatentSpace | None = None) -> None:
    with pytest.raises(InputError) as caught:
        latents_of(path, space, told)
    for phrase in phrases:
        assert phrase in f"{caught.value.message}; {caught.value.hint}"


@pytest.mark.parametrize("name", ["w", "z", "wp", "latent", "latents", "arr_0", "w_plus", "projected_w"])
def test_every_container_holds_the_same_latents(name: str, w: np.ndarray, plus: np.ndarray, tmp_path: Path) -> None:
    told: LatentSpace = {"z": "z", "w": "w", "projected_w": "w"}.get(name, "w+")
    array = plus if told == "w+" else w
    np.save(tmp_path / f"{name}.npy", array)
    np.savez(tmp_path / "a.npz", **{name: array.astype(np.float64), "other": np.zeros(3)})
    np.savez_compressed(tmp_path / "b.npz", **{name.upper(): array, "ids": np.arange(3)})
    torch.save(torch.from_numpy(array), tmp_path / f"{name}.pt")
    torch.save(
        torch.nn.Parameter(torch.from_numpy(array)), tmp_path / f"{name}.pth", _use_new_zipfile_serialization=False
    )
    torch.save({name: torch.from_numpy(array), "loss": 0.5}, tmp_path / "c.pt")
    torch.save({"face.png": {"latent": torch.from_numpy(array), "noise": [torch.zeros(4)]}}, tmp_path / "rosinality.pt")
    (tmp_path / "d.pkl").write_bytes(pickle.dumps({name: array}))
    files = [path for path in tmp_path.iterdir() if path.name != "rosinality.pt"]
    assert len(files) == 7
    for path in files:
        kind, latent = latents_of(path)
        assert kind == told and latent.dtype == np.float32 and np.array_equal(latent, array), path
    assert np.array_equal(latents_of(tmp_path / "rosinality.pt", told=told)[1], array)


def test_half_precision_and_other_orders_of_numbers(w: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", w=np.asfortranarray(w.astype(">f8")))
    torch.save({"w": torch.from_numpy(w).bfloat16()}, tmp_path / "b.pt")
    torch.save({"w": torch.from_numpy(w).T.contiguous().T}, tmp_path / "c.pt")
    assert np.array_equal(latents_of(tmp_path / "a.npz")[1], w)
    assert np.allclose(latents_of(tmp_path / "b.pt")[1], w, rtol=0.01)
    assert np.array_equal(latents_of(tmp_path / "c.pt")[1], w)


def test_shapes_of_one_latent(w: np.ndarray, plus: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "latents.npz"
    for array in (w[0], w[:1], w[:1, None]):
        np.savez(path, w=array)
        kind, latent = latents_of(path)
        assert (kind, latent.shape) == ("w", (1, w.shape[1])) and np.array_equal(latent[0], w[0])
    np.savez(path, w=w[:, None])
    assert np.array_equal(latents_of(path)[1], w), "(N, 1, D)"
    for name, array in (("w_plus", plus[0]), ("w", plus[:1]), ("latents", plus[:1])):
        np.savez(path, **{name: array})
        kind, latent = latents_of(path)
        assert kind == "w+" and np.array_equal(latent, plus[:1])


def test_a_shape_that_may_be_two_things_is_refused_and_both_are_named(plus: np.ndarray, tmp_path: Path) -> None:
    path, layers = tmp_path / "latents.npz", plus.shape[1]
    np.savez(path, w=plus[0])
    meanings = f"is ambiguous: {layers} latents of W or one latent of W+"
    refused(path, f"w of shape ({layers}, 128) {meanings}", "--latents-space w or --latents-space w+")
    assert latents_of(path, told="w")[1].shape == (layers, 128)
    assert latents_of(path, told="w+")[1].shape == (1, layers, 128)
    np.savez(path, latents=plus[:, 0])  # of Z and of W there are 128 numbers each
    refused(path, "ambiguous: 3 latents of Z or 3 latents of W", "--latents-space z or --latents-space w")
    assert latents_of(path, told="z")[0] == "z" and latents_of(path, told="w")[0] == "w"
    np.savez(path, latents=plus[0])
    refused(path, f"ambiguous: {layers} latents of Z or {layers} latents of W or one latent of W+")


def test_several_arrays_that_may_be_the_latents(w: np.ndarray, plus: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "latents.npz"
    np.savez(path, w=w, w_plus=plus, z=w)
    refused(path, "holds w, w_plus, z: ambiguous, which one holds the latents", f"name one: --latents {path}:w")
    assert latents_of(f"{path}:w_plus")[0] == "w+" and latents_of(f"{path}:z")[0] == "z"
    refused(f"{path}:wplus", "has no array 'wplus', it holds w, w_plus, z")
    np.savez(path, w=w, z=w)
    assert (latents_of(path)[0], latents_of(path, space="z")[0]) == ("w", "z"), "each run takes those of its space"
    torch.save(
        {"a.png": {"latent": torch.from_numpy(plus[0])}, "b.png": {"latent": torch.from_numpy(plus[1])}},
        tmp_path / "c.pt",
    )
    refused(tmp_path / "c.pt", "holds a.png/latent, b.png/latent")
    assert np.array_equal(latents_of(f"{tmp_path / 'c.pt'}:b.png/latent", told="w+")[1], plus[1:2])
    odd = tmp_path / "a:w.npz"
    np.savez(odd, w=w)
    assert latents_of(odd)[0] == "w" and latents_of(f"{odd}:w")[0] == "w", "a colon in the name of a file"


def test_latents_of_w_where_z_is_edited(plus: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / "latents.npz", latents=plus)
    refused(tmp_path / "latents.npz", "holds latents of W, but the run edits in Z", "--space w", space="z")


def test_files_that_would_run_something_or_hold_no_numbers(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.mkdir, (str(tmp_path / "evil"),))

    torch.save({"w": Evil()}, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps({"w": Evil()}))
    np.save(tmp_path / "c.npy", np.array({"w": Evil()}, dtype=object))
    for name, says in (("a.pt", "not plain data"), ("b.pt", "not plain data"), ("c.npy", "objects instead of numbers")):
        refused(tmp_path / name, str(tmp_path / name), says, "docs/latents.md")
    assert not (tmp_path / "evil").exists()
    round = {"w": 1}
    round["again"] = round
    (tmp_path / "d.pkl").write_bytes(pickle.dumps(round))
    refused(tmp_path / "d.pkl", "holds no arrays")
    (tmp_path / "e.onnx").write_bytes(b"\x08\x07")
    refused(tmp_path / "e.onnx", "is not an npy, npz or torch.save file")


def test_a_large_key_that_a_file_uses_again_and_again(tmp_path: Path) -> None:
    key = b"X" + (1 << 20).to_bytes(4, "little") + b"k" * (1 << 20)
    nested = b"\x80\x02}" + key + b"q\x00}" + b"h\x00}" * 300 + b"h\x00N" + b"s" * 302 + b"."
    (tmp_path / "a.pkl").write_bytes(nested)
    tracemalloc.start()
    refused(tmp_path / "a.pkl", "holds a name of more than 512 characters")
    assert tracemalloc.get_traced_memory()[1] < 50 << 20
    tracemalloc.stop()


def test_z_of_a_file_is_mapped_as_the_seeds_are(edited: Edit, tmp_path: Path) -> None:
    np.save(tmp_path / "z.npy", np.stack([np.random.RandomState(seed).randn(128) for seed in (5, 599)]))
    seeds, file = (
        edited("--attr", "smile", *words) for words in (("--seeds", "5,599"), ("--latents", tmp_path / "z.npy"))
    )
    assert np.array_equal(seeds["latent"], file["latent"]) and np.array_equal(
        seeds["images_after"], file["images_after"]
    )


def test_a_space_without_a_file(run: Path) -> None:
    check(gmmedit("edit", "--run", run, "--attr", "smile", "--latents-space", "w"), "--latents-space needs --latents")


# Another generator


def tuned_copy(path: Path, part: str) -> str:
    """The embedded generator with one of its parts changed a little; its fingerprint."""
    generator = copy.deepcopy(avatars())
    with torch.no_grad():
        for parameter in getattr(generator, part).parameters():
            parameter.mul_(1.05)
    stylegan2.save_generator(generator, path)
    return stylegan2.read_generator(path).fingerprint


def test_an_edit_through_a_fine_tuned_generator(own_run: Path, tmp_path: Path) -> None:
    tuned, words = (
        tmp_path / "tuned.safetensors",
        ("--run", own_run, "--attr", "smile", "--index", "0-2", "--polish", 0),
    )
    fingerprint = tuned_copy(tuned, "synthesis")
    done("edit", *words, "--out", tmp_path / "plain")
    told = json.loads(done("edit", *words, "--gan", tuned, "--json").stdout)
    note = f"images are generated by tuned.safetensors ({fingerprint[:12]}), not by avatars"
    assert told["verdicts"][-1] == note
    with artifacts.open(tmp_path / "plain/edits.h5") as plain, artifacts.open(own_run / "edits.h5") as edits:
        assert edits.spec.config["gan_fingerprint"] == fingerprint and "gan" not in plain.spec.config
        assert np.array_equal(edits["latent"], plain["latent"])
        assert not np.array_equal(edits["latents"], plain["latents"]), "neighbours are those of the images it generates"
        (image,) = (
            stylegan2.read_generator(tuned).eval().synthesize(torch.from_numpy(edits["latents"][0, 1:2])).detach()
        )
        seen = ((image + 1) * 127.5).round().clamp(0, 255).permute(1, 2, 0).numpy()
        assert np.abs(edits["images_after"][0, 1] - seen).max() <= 1
        assert not np.array_equal(edits["images_after"], plain["images_after"])
    before = (own_run / "edits.h5").stat().st_mtime_ns
    done("edit", *words, "--gan", os.path.relpath(tuned))
    assert (own_run / "edits.h5").stat().st_mtime_ns == before, "another spelling of the same file"
    verified = json.loads(done("verify", "--run", own_run, own_run / "edits.h5", "--json").stdout)
    details = {it["check"]: it["detail"] for it in verified["checks"]}
    assert "tuned.safetensors" in details["weights"] and "3 rows" in details["rows"]
    tuned_copy(tuned, "mapping")
    failed = json.loads(gmmedit("verify", "--run", own_run, own_run / "edits.h5", "--json").stdout)
    assert {it["check"] for it in failed["checks"] if it["result"] == "failed"} == {"weights", "rows"}


def test_seeds_are_mapped_as_the_run_maps_them(own_run: Path, tmp_path: Path) -> None:
    tuned, words = tmp_path / "tuned.safetensors", ("--run", own_run, "--attr", "smile", "--seeds", "3", "--polish", 0)
    tuned_copy(tuned, "mapping")
    told = json.loads(done("edit", *words, "--gan", tuned, "--json").stdout)
    assert told["verdicts"][-1].endswith("; it maps z to a different w, so the fit may not apply to it")
    done("edit", *words, "--out", tmp_path)
    with artifacts.open(tmp_path / "edits.h5") as plain, artifacts.open(own_run / "edits.h5") as edits:
        assert np.array_equal(edits["latent"], plain["latent"])
        assert np.array_equal(edits["images_after"], plain["images_after"]), "only the mapping differs"


def test_a_generator_of_another_latent_space(run: Path, tmp_path: Path) -> None:
    words = ("edit", "--attr", "smile", "--index", "1", "--gan")
    small = DATA / "rosi_a_32.pt"
    refuse(run, *words, small, says=(f"{small.name} has z of ", "the run's generator has z of 128 dims, w of 128 "))
    refuse(run, *words, tmp_path / "gone.pkl", says=("there is no generator file", "`gmmedit models` lists"))


def test_a_program_that_only_an_edit_names_does_not_run_on_verify(
    own_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "mine.py"
    program.write_text("from gmmedit import generators\n\ndef load():\n    return generators.load('avatars')\n")
    done("edit", "--run", own_run, "--attr", "smile", "--index", "1", "--polish", 0, "--gan", f"{program}:load")
    monkeypatch.setenv("GMMEDIT_STATE", str(tmp_path / "another account"))
    failed = gmmedit("verify", "--run", own_run, own_run / "edits.h5", "--json")
    assert failed.exit_code == 1 and "it was not run" in failed.stdout


# Export


def test_a_boundary_moved_by_hand_changes_the_label(run: Path, tmp_path: Path) -> None:
    """As InterFaceGAN's scripts move: latent + distance * boundary, in every layer alike."""
    classifier = classifiers.load("avatars")
    with artifacts.open(run / "samples.h5") as samples, artifacts.open(run / "labels.h5") as labels:
        w, names = samples["w"][:32], [f"{name}={value}" for name, values in labels.attributes for value in values]
    for text, column in (("age", "age=old"), ("age=young", "age=young"), ("gender", "gender=male")):
        path = tmp_path / f"{text}.npy"
        told = done("export", "--run", run, "--attr", text, "-o", path).stdout
        boundary = np.load(path)
        assert boundary.shape == (1, 128) and boundary.dtype == np.float32 and abs(np.linalg.norm(boundary) - 1) < 1e-5
        distance = float(told.split("alpha 1 moves a latent by ")[1].split()[0])
        means = []
        for times in (-2, 0, 2):
            images = as_shown(avatars().synthesize(torch.from_numpy(w + times * distance * boundary)))
            means.append(float(classifier.probabilities(images)[:, names.index(column)].mean()))
        assert means[0] < means[1] < means[2] and means[2] - means[0] > 0.2, (text, means)


def test_control_vectors(run: Path, edited: Edit, tmp_path: Path) -> None:
    """The mean of what edits of strength 1 change, layer by layer."""
    path = tmp_path / "all.npz"
    words = ("export", "--run", run, "--as", "control", "--attr", "smile", "--attr", "hair_color=red")
    done(*words, "-o", path)
    with np.load(path) as arrays:
        found = dict(arrays)
    assert set(found) == {"smile", "hair_color=red"} and found["smile"].shape == (1, avatars().w_shape[0], 128)
    with artifacts.open(run / "labels.h5") as labels:
        column = Aim.parse("smile").category(labels.attributes)
        lacks = np.flatnonzero(labels["labels"][:, column] < 0.5)
    edits = edited("--attr", "smile", "--index", ",".join(map(str, lacks[:64])))
    change = (edits["latents"][0] - edits["latent"]).mean(0)
    assert np.corrcoef(change.ravel(), found["smile"].ravel())[0, 1] > 0.9
    whole = path.read_bytes()
    path.unlink()
    done(*words, "-o", path)
    assert path.read_bytes() == whole, "no time of day is in it"


@pytest.mark.parametrize(("form", "name"), [("projected_w", "w.npz"), ("interfacegan", "wp.npy"), ("draggan", "w.pt")])
def test_exported_latents_make_the_same_images_again(run: Path, tmp_path: Path, form: str, name: str) -> None:
    first, again = tmp_path / "first", tmp_path / "again"
    edit_words = ("edit", "--run", run, "--attr", "smile", "--polish", 0)
    done(*edit_words, "--index", "4,7", "--alphas", "0.5,1", "--out", first)
    words = ("export", "--run", run, "--edits", first / "edits.h5", "--as", form, "-o", tmp_path / name)
    check(gmmedit(*words), "has several columns", "--column with one of 'before', 'alpha 0.5', 'alpha 1'")
    check(gmmedit(*words, "--column", "0.7"), "has no column '0.7'", "alpha 0.5")
    for column, place in (("before", None), ("0.5", 0), ("alpha 1", 1)):
        done(*words, "--column", column, "--force")
        files = [tmp_path / "w_4.pt", tmp_path / "w_7.pt"] if form == "draggan" else [tmp_path / name]
        for row, path in enumerate(files):
            done(*edit_words, "--alpha", 0, "--latents", path, "--out", again)
            rows = [row] if form == "draggan" else [0, 1]
            with artifacts.open(first / "edits.h5") as one, artifacts.open(again / "edits.h5") as other:
                for kind in ("latents", "images_after"):
                    of = (
                        one[kind][place] if place is not None else one[{"latents": "latent"}.get(kind, "images_before")]
                    )
                    assert np.array_equal(other[kind][0], of[rows]), (column, kind)


def test_exported_files_are_what_the_scripts_take(run: Path, tmp_path: Path) -> None:
    layers = avatars().w_shape[0]
    done("edit", "--run", run, "--attr", "smile", "--index", "4", "--polish", 0, "--out", tmp_path)
    words = ("export", "--run", run, "--edits", tmp_path / "edits.h5")
    done(*words, "-o", tmp_path / "projected_w.npz")
    assert np.load(tmp_path / "projected_w.npz")["w"].shape == (1, layers, 128)
    done(*words, "--as", "draggan", "-o", tmp_path / "w.pt")
    tensor = torch.load(tmp_path / "w.pt", weights_only=True)
    assert tensor.shape == (1, layers, 128) and tensor.dtype == torch.float32
    before = (tmp_path / "w.pt").read_bytes()
    done(*words, "--as", "draggan", "-o", tmp_path / "w.pt")
    assert (tmp_path / "w.pt").read_bytes() == before
    check(
        gmmedit(*words, "--column", "before", "-o", tmp_path / "projected_w.npz"),
        "exists with other contents",
        "--force",
    )


def test_truncated_layers_are_exported_as_synthesis_takes_them() -> None:
    """With a cutoff the run keeps w untruncated, and what other scripts load has to be truncated."""
    drawn = SampleSettings(psi=0.5, cutoff=3)
    w = avatars().map(avatars().draw([1]))
    whole = Renderer(avatars(), drawn).to_synthesis(w, "w")
    assert torch.equal(whole, avatars().map(avatars().draw([1]), psi=0.5, cutoff=3))
    assert torch.equal(Renderer(avatars(), drawn).generate(w, "w"), avatars().synthesize(whole))
    z = avatars().draw([1])
    assert torch.equal(Renderer(avatars(), drawn).to_synthesis(z[:, None], "z"), whole)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "--attr NAME[=VALUE], or --edits FILE"),
        (("--edits", "gone.h5", "--as", "draggan"), "a.npy: the suffix must be .pt, which DragGAN (torch.load) reads"),
        (("--attr", "smile", "--edits", "edits.h5"), "either --attr or --edits"),
        (("--attr", "smile:0.5"), "a direction has no strength"),
        (("--attr", "smiel"), "unknown attribute 'smiel'"),
        (("--attr", "smile", "--as", "draggan"), "--as draggan does not apply to --attr"),
        (("--attr", "smile", "--attr", "age"), "a.npy: the suffix must be .npz, the format of several directions"),
        (("--edits", "gone.h5"), "a.npy: the suffix must be .npz"),
        (("--edits", "gone.h5", "--as", "interfacegan"), "gone.h5 does not exist"),
    ],
)
def test_exports_that_are_refused(run: Path, tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    check(gmmedit("export", "--run", run, "-o", tmp_path / "a.npy", *words), says)
    assert not list(tmp_path.iterdir())
