"""The stages from samples to edits: what they write, that nothing but the settings decide it, and resuming."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import STAGES, done, gmmedit, state, untouched
from PIL import Image

from gmmedit import artifacts, classifiers, config, generators
from gmmedit.classifiers.embedded import WEIGHTS
from gmmedit.editing import targets
from gmmedit.editing.request import Aim
from gmmedit.fitting import loop as fitting
from gmmedit.mixture import optimisation
from gmmedit.mixture.coordinates import FullSpace
from gmmedit.mixture.gaussians import Gaussians
from gmmedit.mixture.model import AttributeMixture
from gmmedit.mixture.neighbours import from_levels
from gmmedit.pictures.pixels import as_shown
from gmmedit.run.fitted import read_model, to_tensors
from gmmedit.run.folder import RunFolder
from gmmedit.run.optimisation import find_neighbours
from gmmedit.runtime.execution import Execution
from gmmedit.spaces import Chart, fit_chart
from gmmedit.stages import edit, fit_mixture, fit_single

N = 600
PATENT = Path(__file__).parents[1] / "configs" / "patent.yaml"


class Stopped(Exception):
    """Stands for a kill between two steps."""


def stop_after(ticks: int) -> Execution:
    """An execution that is stopped at the given tick."""
    left = iter(range(ticks))

    def tick(*_: object) -> None:
        if next(left, None) is None:
            raise Stopped

    return Execution(tick=tick)


# What the stages write


def test_samples_are_the_latents_of_their_seeds(run: Path) -> None:
    generator = generators.load("avatars")
    with artifacts.open(run / "samples.h5", "samples") as samples:
        assert samples.sizes == {"N": N, "z_dim": generator.z_dim, "w_dim": generator.w_shape[1]}
        assert samples.spec.generator == {"name": "avatars", "fingerprint": generator.fingerprint}
        for row in (0, 299, 599):
            seeded = np.random.RandomState(row).randn(generator.z_dim).astype(np.float32)
            assert np.array_equal(samples["z"][row], seeded)
        w = generator.map(torch.from_numpy(samples["z"][:20]))
        assert np.allclose(samples["w"][:20], w, atol=1e-5)


def test_labels_are_what_the_classifier_sees(run: Path) -> None:
    classifier = classifiers.load("avatars")
    with artifacts.open(run / "samples.h5") as samples, artifacts.open(run / "labels.h5", "labels") as labels:
        artifacts.check_parents(labels, samples=samples)
        images = generators.load("avatars").synthesize(torch.from_numpy(samples["w"][:16]))
        assert np.allclose(labels["logits"][:16], classifier.logits(as_shown(images)), atol=1e-3)
        start = 0
        for name, values in labels.attributes:
            part = labels["labels"][:, start : start + len(values)]
            assert np.allclose(part.sum(1), 1, atol=1e-5) and part.min() >= 0
            assert np.bincount(part.argmax(1), minlength=len(values)).min() >= 10, f"too few of a value of {name}"
            start += len(values)
        assert start == labels["labels"].shape[1]


def test_fits_read_better_than_guessing(run: Path) -> None:
    for name, parents in (("single", {"samples", "labels"}), ("mixture", {"samples", "labels", "single"})):
        with artifacts.open(run / f"{name}.h5", name) as fit:
            assert fit.spec.parents.keys() == parents
            report = fit.group("report")
            assert (report["accuracy"] > [1 / len(values) for _, values in fit.attributes]).all()
            assert (report["separation"] > 0.5).all()
            assert np.isfinite(np.concatenate([array.ravel() for array in fit.group("history").values()])).all()
            model = read_model(fit)
            assert sum(len(values) for _, values in fit.attributes) == model.layout.categories


def test_stored_pictures_are_labelled_like_made_ones(tmp_path: Path) -> None:
    done("sample", "--run", tmp_path / "kept", "-n", 20, "--images")
    done("sample", "--run", tmp_path / "made", "-n", 20)
    done("label", "--run", tmp_path / "kept", "--from-images")
    done("label", "--run", tmp_path / "made")
    kept, made = (artifacts.open(tmp_path / name / "labels.h5") for name in ("kept", "made"))
    assert np.array_equal(kept["labels"], made["labels"]) and np.array_equal(kept["logits"], made["logits"])


def test_truncation_pulls_latents_together(tmp_path: Path) -> None:
    done("sample", "--run", tmp_path, "-n", 3, "--psi", 0)
    with artifacts.open(tmp_path / "samples.h5") as samples:
        assert np.ptp(samples["w"], axis=0).max() == 0 and np.ptp(samples["z"], axis=0).min() > 0


# Determinism


def test_the_same_command_again_changes_nothing(own_run: Path, settings: Path) -> None:
    with untouched(own_run):
        for stage in STAGES:
            done(stage, "--run", own_run, "--config", settings)
            done(stage, "--run", own_run, "--config", settings, "--force", "--restart")


def test_samples_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    for batch in (1, 16, 64):
        done("sample", "--run", tmp_path / str(batch), "-n", 270, "--images", "--batch", batch)
    one, sixteen, many = ((tmp_path / str(batch) / "samples.h5").read_bytes() for batch in (1, 16, 64))
    assert one == sixteen == many


KILLED = """
import os, signal, sys
from gmmedit.artifacts import row_writer
from gmmedit.cli.app import app
write_at, left = row_writer.write_at, iter(range(int(sys.argv[1])))
def killed(*words):
    if next(left, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
    write_at(*words)
row_writer.write_at = killed
app(sys.argv[2:])
"""


def test_labels_survive_kills_and_do_not_depend_on_the_batch(own_run: Path) -> None:
    path = own_run / "labels.h5"
    undisturbed = path.read_bytes()  # made with --batch 16
    path.unlink()
    partial = own_run / "labels.h5.partial"
    # A chunk is four writes: its labels, its logits, checksums, its mark. Killed within the first, then before a mark.
    for writes, batch, chunks in ((1, 1, 0), (7, 64, 1)):
        words = ["label", "--run", own_run, "--batch", str(batch)]
        killed = subprocess.run([sys.executable, "-c", KILLED, str(writes), *words], capture_output=True)
        assert killed.returncode == -signal.SIGKILL
        assert artifacts.describe(partial)["chunks"] == {"done": chunks, "total": 3, "rows": 256}
    done("label", "--run", own_run, "--batch", 64)
    assert path.read_bytes() == undisturbed and not partial.exists()


@pytest.mark.parametrize(
    ("name", "stage", "steps"), [("single", fit_single, 30), ("mixture", fit_mixture, 4)], ids=["single", "mixture"]
)
def test_a_stopped_fit_goes_on_to_the_same_bytes(
    name: str, stage: object, steps: int, own_run: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "CHECKPOINT_EVERY", 3)
    path = own_run / f"{name}.h5"
    undisturbed = path.read_bytes()
    path.unlink()
    chosen = getattr(config.load(settings), f"fit_{name}")
    with pytest.raises(Stopped):
        stage.run(own_run, chosen, stop_after(steps))
    partial = own_run / f"{name}.h5.partial"
    assert artifacts.describe(partial)["state"] == "checkpoint" and not path.exists()

    other = chosen.model_copy(update={"lr": 0.5})
    before = partial.read_bytes()
    with pytest.raises(Exception, match="was begun with different settings: lr is"):
        stage.run(own_run, other, Execution())
    assert partial.read_bytes() == before

    ticks = []
    stage.run(own_run, chosen, Execution(tick=lambda done, *_: ticks.append(done)))
    assert path.read_bytes() == undisturbed and not partial.exists()
    saved = steps // 3 * 3  # of all fits; each counts its own
    assert ticks[0] == saved % chosen.steps + 1, "it went on from the last checkpoint"


def test_restart_begins_a_fit_anew(own_run: Path, settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "CHECKPOINT_EVERY", 3)
    path = own_run / "single.h5"
    undisturbed = path.read_bytes()
    path.unlink()
    with pytest.raises(Stopped):
        fit_single.run(own_run, config.load(settings).fit_single.model_copy(update={"seed": 1}), stop_after(4))
    refused = gmmedit("fit-single", "--run", own_run, "--config", settings)
    assert refused.exit_code == 2 and "seed is 1 there and 0 now" in refused.stderr and "--restart" in refused.stderr
    done("fit-single", "--run", own_run, "--config", settings, "--restart")
    assert path.read_bytes() == undisturbed


def test_a_network_file_is_the_same_however_its_path_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, other = tmp_path / "project", tmp_path / "other"
    for folder in (project, other):
        (folder / "nets").mkdir(parents=True)
        for kind, path in (("g", generators.CATALOGUE["avatars"].file), ("f", WEIGHTS / "classifier.safetensors")):
            (folder / "nets" / f"{kind}.safetensors").write_bytes(path.read_bytes())
    monkeypatch.chdir(project)
    done("sample", "--run", "run", "-n", 4, "--gan", "nets/g.safetensors")
    done("label", "--run", "run", "--classifier", "./nets/f.safetensors")
    with untouched(project):
        for place in ("./nets", "nets/../nets", project / "nets", "../project/nets"):
            done("sample", "--run", "run", "-n", 4, "--gan", f"{place}/g.safetensors")
            done("label", "--run", "run", "--classifier", f"{place}/f.safetensors")
    monkeypatch.chdir(other)
    done("sample", "--run", "run", "-n", 4, "--gan", other / "nets" / "g.safetensors")
    done("label", "--run", "run", "--classifier", "nets/f.safetensors")
    for name in ("samples.h5", "labels.h5"):
        assert (other / "run" / name).read_bytes() == (project / "run" / name).read_bytes()

    done("sample", "--run", "far", "-n", 4, "--gan", "../project/nets/g.safetensors")
    far = Path("far").resolve()
    monkeypatch.chdir(tmp_path)
    done("label", "--run", far, "--classifier", "avatars")


def test_another_question_needs_force(own_run: Path, settings: Path) -> None:
    words = ("fit-single", "--run", own_run, "--config", settings, "--seed", 5)
    with untouched(own_run):
        refused = gmmedit(*words)
    assert refused.exit_code == 2 and "seed is 0 there and 5 now" in refused.stderr
    assert refused.stderr.splitlines()[1] == " hint: --force overwrites it"
    done(*words, "--force")
    stale = gmmedit("fit-mixture", "--run", own_run, "--config", settings)
    assert stale.exit_code == 2 and "mixture.h5 was created with different settings: parents.single" in stale.stderr


# Edits

Edit = Callable[..., artifacts.Artifact]


@pytest.fixture
def edited(run: Path, tmp_path: Path) -> Edit:
    """`edited("--attr", "smile")` runs gmmedit edit on the shared run and opens its edits.h5."""
    count = iter(range(99))

    def command(*words: object, index: str | None = "0-2", polish: int = 0) -> artifacts.Artifact:
        folder = tmp_path / f"edit{next(count)}"
        rows = ("--index", index) if index else ()
        done("edit", "--run", run, "--out", folder, "--polish", polish, *rows, *words)
        return artifacts.open(folder / "edits.h5", "edits")

    return command


@pytest.fixture(scope="session")
def chart(run: Path) -> Chart:
    with artifacts.open(run / "mixture.h5") as mixture:
        return Chart.from_arrays(to_tensors(mixture.group("chart")))


def read(run: Path, latents: np.ndarray, text: str) -> np.ndarray:
    """How much the mixture believes (...,) that latents (..., L, D) have the value."""
    with artifacts.open(run / "mixture.h5") as mixture, torch.no_grad():
        column = Aim.parse(text).category(mixture.attributes)
        x = Chart.from_arrays(to_tensors(mixture.group("chart"))).to_x(torch.from_numpy(latents)).mean(-2)
        return read_model(mixture).responsibilities(x.flatten(0, -2))[:, column].reshape(x.shape[:-1]).numpy()


def moved(chart: Chart, edits: artifacts.Artifact) -> torch.Tensor:
    """How far each edit went in the chart, (S, N, L, D')."""
    return chart.to_x(torch.from_numpy(edits["latents"])) - chart.to_x(torch.from_numpy(edits["latent"]))


def test_a_strip(run: Path, chart: Chart, edited: Edit) -> None:
    edits = edited("--attr", "glasses", "--alphas", "-1:1.5:0.5")
    assert edits["alphas"].tolist() == [-1, -0.5, 0, 0.5, 1, 1.5] and edits["index"].tolist() == [0, 1, 2]
    with artifacts.open(run / "samples.h5") as samples, artifacts.open(run / "labels.h5") as labels:
        layers = edits["latent"].shape[1]
        assert np.array_equal(edits["latent"], np.repeat(samples["w"][:3, None], layers, 1))
        assert np.allclose(edits["labels_before"], labels["labels"][:3], atol=1e-5)
    assert np.array_equal(edits["strengths"], np.repeat(edits["alphas"][:, None], 3, 1).astype(np.float32))
    # Strength 0 is the sample itself, to the last bit.
    assert np.array_equal(edits["latents"][2], edits["latent"])
    assert np.array_equal(edits["labels_after"][2], edits["labels_before"])
    assert np.array_equal(edits["images_after"][2], edits["images_before"])
    # Along one line, further with greater strength, and beyond 1.
    steps = moved(chart, edits)
    assert torch.allclose(steps[5], 1.5 * steps[4], atol=2e-3)
    for half, whole in (
        (3, 4),
        (1, 0),
    ):  # how far half of the edit is, labels and images decide (`gmmedit.mixture.paths`)
        share = (steps[half] * steps[whole]).sum((1, 2)) / steps[whole].square().sum((1, 2))
        assert ((share > 0) & (share < 1)).all()
        assert torch.allclose(steps[half], share[:, None, None] * steps[whole], atol=2e-3)
    belief = read(run, edits["latents"], "glasses").mean(1)
    assert (np.diff(belief) > -1e-6).all() and belief[0] < belief[2] < belief[4]


def test_w_plus_with_equal_layers_is_edited_like_w(run: Path, edited: Edit, tmp_path: Path) -> None:
    with artifacts.open(run / "samples.h5") as samples:
        w = samples["w"][:3]
    layers = generators.load("avatars").w_shape[0]
    np.savez(tmp_path / "w.npz", w=w, other=np.zeros(3))
    np.savez(tmp_path / "plus.npz", w=np.repeat(w[:, None], layers, 1).astype(np.float64))
    words = ("--attr", "smile", "--alphas", "0,1")
    rows = edited(*words)
    one = edited(*words, "--latents", tmp_path / "w.npz", index=None)
    plus = edited(*words, "--latents", tmp_path / "plus.npz", index=None)
    assert rows["latents"].shape == (2, 3, layers, w.shape[1])
    for name in ("latent", "latents", "images_before", "images_after"):
        assert np.array_equal(one[name], rows[name]) and np.array_equal(plus[name], rows[name])


def test_layers_that_differ_keep_their_difference(run: Path, chart: Chart, edited: Edit, tmp_path: Path) -> None:
    layers = generators.load("avatars").w_shape[0]
    with artifacts.open(run / "samples.h5") as samples:
        plus = samples["w"][: 2 * layers].reshape(2, layers, -1)
    np.savez(tmp_path / "plus.npz", w=plus)
    edits = edited("--attr", "smile", "--polish", 0, "--latents", tmp_path / "plus.npz", index=None)
    steps = moved(chart, edits)[0]  # (2, layers, D')
    sizes = torch.linalg.svdvals(steps)
    assert (sizes[:, 1] < 0.02 * sizes[:, 0]).all(), "every layer goes a share of one way"
    assert steps.abs().max() > 0.1


def test_seeds_are_the_rows_with_those_seeds(run: Path, edited: Edit) -> None:
    rows, seeds = edited("--attr", "smile", index="5,599"), edited("--attr", "smile", "--seeds", "5,599", index=None)
    assert seeds["index"].tolist() == [5, 599]
    assert np.allclose(seeds["latent"], rows["latent"], atol=1e-5)
    assert np.allclose(seeds["latents"], rows["latents"], atol=1e-3)
    assert np.allclose(seeds["labels_after"], rows["labels_after"], atol=1e-2)
    assert not np.array_equal(seeds["latent"][0], seeds["latent"][1])


def test_several_attributes_with_their_own_strengths(run: Path, edited: Edit) -> None:
    both = edited("--attr", "smile:0.6", "--attr", "glasses:-1", index="0-7")
    assert both.spec.config["attr"] == [["smile", 0.6], ["glasses", -1.0]]
    for text, sign in (("smile", 1), ("glasses", -1)):
        change = read(run, both["latents"][0], text) - read(run, both["latent"], text)
        assert (sign * change).mean() > 0
    alone = edited("--attr", "smile:0.6"), edited("--attr", "smile", "--alpha", 0.6)
    assert np.array_equal(alone[0]["latents"], alone[1]["latents"])


def test_one_attribute_at_a_time(edited: Edit) -> None:
    each = edited("--each", "--attr", "smile:0.5", "--attr", "hair_color=grey")
    assert each.spec.config["headings"] == ["smile:0.5", "hair_color=grey"]
    alone = edited("--attr", "smile:0.5"), edited("--attr", "hair_color=grey")
    for column, single in enumerate(alone):
        assert np.array_equal(each["latents"][column], single["latents"][0])
        assert np.array_equal(each["images_after"][column], single["images_after"][0])


def test_draws(edited: Edit) -> None:
    words = ("--attr", "hair_color=red")
    coupled, mean = edited(*words)["latents"], edited(*words, "--draw", "mean")["latents"]
    sample, other = (edited(*words, "--draw", "sample", "--seed", seed)["latents"] for seed in (0, 1))
    results = [coupled, mean, sample, other]
    assert all(not np.array_equal(a, b) for i, a in enumerate(results) for b in results[:i])
    assert np.array_equal(coupled, edited(*words, "--draw", "coupled", "--seed", 1)["latents"])
    assert np.array_equal(sample, edited(*words, "--draw", "sample", "--batch", 64)["latents"])


@pytest.mark.parametrize("space", ["z", "w"])
def test_neighbours_are_the_samples_with_their_thumbnails(run: Path, space: str) -> None:
    with RunFolder(run, Execution()) as folder:
        chart = fit_chart(folder.space(space), torch.from_numpy(folder.samples[space]))
        whole = FullSpace(chart.dim, tuple(len(values) for _, values in folder.labels.attributes))
        model = AttributeMixture(whole, Gaussians(whole.layout))
        neighbours = find_neighbours(folder, space, chart, model, held_out=0.25)
        logits = folder.labels["logits"][:450]
        assert np.array_equal(neighbours.logits, logits) and len(neighbours.x) == len(neighbours.y) == 450
        _, images = folder.renderer.make_score(space, chart, folder.classifier, "fp32")(neighbours.x[:20, None])
    assert torch.allclose(neighbours.shrink(images), from_levels(neighbours.thumbnails[:20]), atol=2 / 255), (
        "up to 8 bits"
    )
    assert neighbours.thumbnails.shape == (450, 3, 16, 16) and 0.1 < neighbours.contrast < 1


def test_polishing(edited: Edit) -> None:
    words = ("--attr", "glasses", "--alphas", "0,1")
    plain, polished = edited(*words, index="0-7"), edited(*words, index="0-7", polish=32)
    column = Aim.parse("glasses").category(plain.attributes)
    others = [k for k in range(plain.sizes["K"]) if k not in (column - 1, column)]

    def cost(edits: artifacts.Artifact) -> float:
        """What is missing of the target, and how far the other labels went: cross-entropy and KL divergence."""
        before, after = edits["labels_before"] + 1e-9, edits["labels_after"][1] + 1e-9
        divergence = (before * np.log(before / after))[:, others].sum(1)
        return float((divergence - np.log(after[:, column])).mean())

    assert cost(polished) < cost(plain) and np.array_equal(polished["latents"][0], polished["latent"])
    again = edited(*words, "--batch", 64, index="0-7", polish=32)
    assert np.array_equal(polished["latents"], again["latents"])


def test_an_image_is_edited_the_same_whoever_is_edited_beside_it(edited: Edit, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("--attr", "smile", "--attr", "hair_color=grey", "--alphas", "0.5,-1")
    monkeypatch.setattr(optimisation, "MEMBERS", 4)
    many = edited(*words, index="0-4", polish=4)
    for row in (2, 4):
        alone = edited(*words, index=str(row), polish=4)
        for name in ("latents", "labels_after", "images_after"):
            assert np.array_equal(many[name][:, row], alone[name][:, 0]), (row, name)


def test_a_target_is_reached_with_the_least_strength(edited: Edit) -> None:
    edits = edited("--attr", "glasses", "--target", 0.5, index="0-3")
    column = Aim.parse("glasses").category(edits.attributes)
    before, after = edits["labels_before"][:, column], edits["labels_after"][0, :, column]
    strength = edits["strengths"][0]
    assert strength.min() >= 0 and strength.max() <= targets.MAX_STRENGTH
    assert ((after >= 0.5) | (after >= before - 1e-6)).all(), "reached, or as far as possible"
    assert np.array_equal(strength[before >= 0.5], before[before >= 0.5] * 0)
    assert (strength[(before < 0.5) & (after >= 0.5)] > 0).all()
    finest = targets.STEP / 2**targets.BISECTIONS
    assert np.array_equal(strength, np.round(strength / finest) * finest)


def test_an_edit_resumes_and_repeats(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimisation, "MEMBERS", 4)
    request = edit.Request.parse(["smile", "age:-0.5"], index="0-6")
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    chosen = config.EditSettings(draw="sample", polish=1)
    edit.run(run, chosen, request, Execution(), whole)
    with pytest.raises(Stopped):
        edit.run(run, chosen, request, stop_after(0), stopped)
    assert artifacts.describe(stopped / "edits.h5.partial")["chunks"]["done"] == 1
    assert not (stopped / "edits.h5").exists()
    edit.run(run, chosen, request, Execution(batch=1), stopped)
    assert {name: digest for name, (digest, _) in state(stopped).items()} == {
        name: digest for name, (digest, _) in state(whole).items()
    }
    written = (whole / "edits.h5").stat().st_mtime_ns
    edit.run(run, chosen, request, Execution(batch=64), whole)
    assert (whole / "edits.h5").stat().st_mtime_ns == written


def test_pictures_of_an_edit(run: Path, tmp_path: Path) -> None:
    words = ("edit", "--run", run, "--out", tmp_path, "--attr", "smile", "--index", "4,7", "--polish", 0)
    told = json.loads(done(*words, "--alphas", "0:1:0.25", "--json").stdout)
    files = {path.name for path in (tmp_path / "edits").iterdir()}
    strip = {f"image_{row}_{column:02d}.png" for row in (4, 7) for column in range(5)}
    assert files == strip | {"sheet.png", "animation.webp"}
    assert told["files"] == [str(tmp_path / name) for name in ("edits.h5", "edits/sheet.png", "edits/animation.webp")]
    with artifacts.open(tmp_path / "edits.h5") as edits:
        for i, row in enumerate((4, 7)):
            for column in range(5):
                with Image.open(tmp_path / "edits" / f"image_{row}_{column:02d}.png") as image:
                    assert np.array_equal(np.asarray(image), edits["images_after"][column, i])
    with Image.open(tmp_path / "edits" / "sheet.png") as sheet:
        assert sheet.width > 6 * 128 and sheet.height > 2 * 128
    with Image.open(tmp_path / "edits" / "animation.webp") as film:
        assert film.n_frames == 8
    done(*words, "--quiet")
    assert {path.name for path in (tmp_path / "edits").iterdir()} == {"sheet.png", "image_4.png", "image_7.png"}


def test_the_report_of_an_edit_is_that_of_its_artifact(run: Path, tmp_path: Path) -> None:
    words = ("edit", "--run", run, "--out", tmp_path, "--attr", "hair_color=grey", "--alphas", "0.5,1", "--polish", 0)
    told = json.loads(done(*words, "--json").stdout)
    with artifacts.open(tmp_path / "edits.h5") as edits:
        assert len(edits["index"]) == 8
        before, after = edits["labels_before"].astype(float), edits["labels_after"].astype(float)
        names = [f"{name}={value}" for name, values in edits.attributes for value in values]
    assert [row["label"] for row in told["labels"] if row["edited"]] == ["hair_color=grey"]
    first_of_two = ("=no", "=young", "=female")
    assert [row["label"] for row in told["labels"]] == [name for name in names if not name.endswith(first_of_two)]
    for row in told["labels"]:
        column = names.index(row["label"])
        assert row["means"] == pytest.approx([before[:, column].mean(), *after[:, :, column].mean(1)], abs=1e-5)
    with artifacts.open(tmp_path / "edits.h5") as edits:
        shown, contrast = edits["images_before"] / 127.5, edits.attrs["contrast"]
        change = np.abs(edits["images_after"][-1] / 127.5 - shown).mean((1, 2, 3)) / contrast
    line = f"alpha 1: images changed by {change.mean():.2f} of the difference of two samples, identity by "
    assert told["changes"][0].startswith(line)
    assert sum("more than half of it" in text for text in told["changes"]) == bool((change > 0.5).any())
    (verdict,) = told["verdicts"]
    grey = names.index("hair_color=grey")
    assert f"hair_color=grey {(after[-1] - before)[:, grey].mean():+.2f}" in verdict
    others = {row["label"]: np.abs(after[-1] - before)[:, names.index(row["label"])].mean()
              for row in told["labels"] if not row["label"].startswith("hair_color")}  # fmt: skip
    worst = max(others, key=lambda name: others[name])
    assert f"{np.mean(list(others.values())):.3f} on average, most {worst} ({others[worst]:.3f})" in verdict
    table = done(*words).stdout
    assert "before" in table and "grey" in table and verdict in table.replace("\n", " ")


def test_edits_can_be_inspected(run: Path, tmp_path: Path) -> None:
    done("edit", "--run", run, "--out", tmp_path, "--attr", "smile", "--index", "3", "--polish", 0)
    facts = json.loads(done("inspect", tmp_path / "edits.h5", "--json").stdout)
    assert facts["kind"] == "edits" and facts["config"]["attr"] == [["smile", 1.0]] and facts["n"] == 1
    assert "edits" in done("inspect", tmp_path / "edits.h5").stdout


def test_z_of_a_generator_with_a_mapping(own_run: Path, tmp_path: Path) -> None:
    yaml = tmp_path / "z.yaml"
    yaml.write_text("fit_single: {space: z, read: linear, steps: 5}\nfit_mixture: {steps: 2, batch: 4}\n")
    for command in ("fit-single", "fit-mixture"):
        done(command, "--run", own_run, "--config", yaml, "--force")
    done("edit", "--run", own_run, "--attr", "glasses", "--alphas", "0,1", "--index", "0-2", "--polish", 1)
    with artifacts.open(own_run / "edits.h5") as edits, artifacts.open(own_run / "labels.h5") as labels:
        with artifacts.open(own_run / "samples.h5") as samples:
            assert np.array_equal(edits["latent"], samples["z"][:3, None])
        assert np.allclose(edits["labels_before"], labels["labels"][:3], atol=1e-3), "z goes through the mapping"


def test_the_patent_read_literally(own_run: Path, tmp_path: Path) -> None:
    literal = ("--run", own_run, "--config", PATENT)
    done("fit-single", *literal, "--force", "--steps", 2)
    done("fit-mixture", *literal, "--force", "--steps", 1)
    with artifacts.open(own_run / "mixture.h5") as mixture:
        assert not [name for name in mixture.names if name.startswith(("parameters/coordinates", "parameters/corr"))]
    results = []
    with artifacts.open(own_run / "samples.h5") as samples:
        latents = samples["w"][:8]
    for rows in (latents[:3], latents[5:]):
        np.savez(tmp_path / "latents.npz", w=rows)
        words = ("--attr", "smile", "--alphas", "0.5,1", "--latents", tmp_path / "latents.npz")
        done("edit", *literal, *words, "--out", tmp_path / str(len(results)))
        results.append(artifacts.open(tmp_path / str(len(results)) / "edits.h5"))
    one, other = results
    # x' = (1 - alpha) x + alpha zs: at alpha 1 nothing is left of the sample, and equal draws give equal pictures.
    assert np.allclose(one["latents"][1], other["latents"][1], atol=1e-3)
    assert not np.allclose(one["latents"][0], other["latents"][0], atol=1e-1)
