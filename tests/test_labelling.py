"""`label` with classifiers of every kind, and what the later stages do with each: on the embedded generator."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import small_networks as small
import torch
from conftest import done, gmmedit, rewrite, untouched
from test_bad_input import check
from torch import Tensor

from gmmedit import artifacts, classifiers, generators
from gmmedit.classifiers.preprocessing import Preprocessing, convert_channels, describe_conversion
from gmmedit.pictures.pixels import as_shown, from_bytes
from gmmedit.report.labels import basis, correlation, label_report
from gmmedit.stages import fit_mixture

N = 320
BODY = "input: {size: 32, range: [-1, 1]}\n"
QUICK = "fit_single: {steps: 20, batch: 64, read: linear}\nfit_mixture: {steps: 2, batch: 4}\n"


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with samples.h5 alone."""
    folder = tmp_path_factory.mktemp("sampled") / "run"
    done("sample", "--run", folder, "-n", N)
    return folder


@pytest.fixture(scope="module")
def tiles(sampled: Path) -> Tensor:
    """What the tiny networks see of the samples: pictures (N, 3, 32, 32) in [-1, 1]."""
    generator = generators.load("avatars")
    with artifacts.open(sampled / "samples.h5") as samples, torch.no_grad():
        images = generator.synthesize(torch.from_numpy(samples["w"]))
    return Preprocessing((32, 32), range=(-1, 1))(images)


@pytest.fixture
def folder(sampled: Path, tmp_path: Path) -> Path:
    """A run folder for one test, with settings for quick fits beside it."""
    (tmp_path / "quick.yaml").write_text(QUICK)
    return shutil.copytree(sampled, tmp_path / "run")


def described(folder: Path, file: str, body: str) -> Path:
    path = folder.parent / "classifier.yaml"
    path.write_text(f"file: {file}\n{body}")
    return path


def fit(folder: Path, *words: object) -> None:
    config = ("--run", folder, "--config", folder.parent / "quick.yaml", "--quiet")
    done("fit-single", *config)
    done("fit-mixture", *config, *words)


def edit(folder: Path, *words: object) -> dict:
    command = ("edit", "--run", folder, "--index", "0-3", "--json", *words)
    return json.loads(done(*command).stdout)


# Ten values, and gradients through a .pt2


def ten_centres(tiles: Tensor) -> Tensor:
    """Ten centres (10, 48) of the samples' tile means, by k-means."""
    features = torch.nn.functional.avg_pool2d(tiles, 8).flatten(1)
    centres = features[:: N // 10][:10].clone()
    for _ in range(8):
        nearest = torch.cdist(features, centres).argmin(1)
        centres = torch.stack([features[nearest == i].mean(0) for i in range(10)])
    return centres


def test_five_stages_with_an_attribute_of_ten_values(folder: Path, tiles: Tensor) -> None:
    centres = ten_centres(tiles)
    small.export(small.nearest_of(centres), folder.parent / "ten.pt2")
    body = BODY + "activation: softmax\nattributes: {kind: {values: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}}\n"
    told = json.loads(
        done("label", "--run", folder, "--classifier", described(folder, "ten.pt2", body), "--json").stdout
    )
    (kind,) = told["attributes"]
    assert list(kind["rates"]) == [str(digit) for digit in range(10)] and sum(kind["rates"].values()) == pytest.approx(
        1
    )
    if told["warnings"]:  # k-means may leave a small group; a fit needs ten of each
        pytest.fail(str(told["warnings"]))
    fit(folder)
    with artifacts.open(folder / "mixture.h5") as mixture:
        assert mixture.attributes == [("kind", [str(digit) for digit in range(10)])]
        assert mixture.spec.config["consistency"] == "exact"
    for digit in (0, 7, 9):
        report = edit(folder, "--attr", f"kind={digit}", "--polish", 8)
        means = {row["label"]: row["means"] for row in report["labels"]}
        before, after = means[f"kind={digit}"]
        assert after > before, "every value can be reached for, by its number"
        assert [row["label"] for row in report["labels"] if row["edited"]] == [f"kind={digit}"]
    report = edit(folder, "--attr", "kind=3:0.5")
    assert report["headings"] == ["kind=3:0.5"] and report["verdicts"][0].startswith("kind=3:0.5: ")
    check(gmmedit("edit", "--run", folder, "--attr", "kind"), "kind has 10 values", "kind=0")
    check(gmmedit("edit", "--run", folder, "--attr", "kind=12"), "kind has 10 values")


# No gradients


def test_five_stages_without_gradients(folder: Path, tiles: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_mixture, "fit_surrogate", partial(fit_mixture.fit_surrogate, steps=50))
    small.onnx(small.balanced(small.Linear(5), tiles), folder.parent / "net.onnx")
    body = BODY + "activation: sigmoid\nattributes:\n  smile: {}\n  hair: {values: [black, blond, red, grey]}\n"
    done("label", "--run", folder, "--classifier", described(folder, "net.onnx", body))
    config = ("--run", folder, "--config", folder.parent / "quick.yaml", "--quiet")
    done("fit-single", *config)
    with untouched(folder):
        refused = gmmedit("fit-mixture", *config)
    check(refused, "--consistency exact needs gradients of the classifier", "--consistency surrogate, or off")
    done("fit-mixture", *config, "--consistency", "surrogate")
    report = edit(folder, "--attr", "smile")
    _, note = report["verdicts"]
    assert note.startswith("no optimisation (--polish 0): ") and note.endswith("classifier.yaml has no gradients")
    with artifacts.open(folder / "edits.h5") as edits:
        assert edits.spec.config["polish"] == 0
        seen = classifiers.load(str(folder.parent / "classifier.yaml"))
        paint = generators.load("avatars").synthesize
        wanted = seen.probabilities(as_shown(paint(torch.from_numpy(edits["latents"][0]))))
        assert np.allclose(edits["labels_after"][0], wanted, atol=1e-3), "scored by the real classifier"
    assert len(edit(folder, "--attr", "hair=red", "--polish", 0)["verdicts"]) == 1, "as it was asked for"


def test_five_stages_with_a_table(folder: Path, tiles: Tensor) -> None:
    network = small.balanced(small.Linear(2), tiles)
    with torch.no_grad():
        scores = network(tiles).sigmoid().numpy()
    lines = [f"{seed},{a},{b}" for seed, (a, b) in enumerate(scores)]
    path = folder.parent / "labels.csv"
    path.write_text("\n".join(["seed,smile,age", *reversed(lines)]) + "\n")
    done("label", "--run", folder, "--classifier", path)
    with artifacts.open(folder / "labels.h5") as labels:
        assert np.allclose(labels["labels"][:, [1, 3]], scores, atol=1e-5)
    config = ("--run", folder, "--config", folder.parent / "quick.yaml", "--quiet")
    done("fit-single", *config)
    check(gmmedit("fit-mixture", *config), "labels.csv has none", "--consistency surrogate, or off")
    done("fit-mixture", *config, "--consistency", "off")
    report = edit(folder, "--attr", "age")
    assert report["verdicts"][1:] == [
        f"no optimisation (--polish 0): {path} has no gradients",
        f"labels are predicted from latents by the mixture: {path} does not classify images; "
        "gmmedit evaluate looks at them",
    ]
    age = next(row for row in report["labels"] if row["label"] == "age=yes")
    assert age["means"][1] > age["means"][0]
    assert edit(folder, "--attr", "age", "--target", 0.8)["headings"] == ["target 0.8"]


NOTE = f"83 of {N} samples have no label and are left out of fits: 80 not in the table (first: seed 240), 3 with an"


def test_samples_without_a_label_are_left_out(folder: Path, tiles: Tensor) -> None:
    """Of fits, and of the members that edits start from; it is said at each step, and kept."""
    with torch.no_grad():
        scores = small.balanced(small.Linear(2), tiles)(tiles).sigmoid().numpy()
    lines = [f"{seed},{a},{b if seed % 80 else ''}" for seed, (a, b) in enumerate(scores)][: N - 80]
    path = folder.parent / "labels.csv"
    path.write_text("\n".join(["Seed,smile,age", *lines]) + "\n")
    told = json.loads(done("label", "--run", folder, "--classifier", path, "--json").stdout)
    assert told["samples"] == N - 83 and told["notes"] == [f"{NOTE} empty cell (first: seed 0)"]
    assert all(sum(row["rates"].values()) == pytest.approx(1) for row in told["attributes"])
    labelled = np.array([seed for seed in range(N - 80) if seed % 80])
    with artifacts.open(folder / "labels.h5") as labels:
        assert labels.attrs == {"unlabelled": 83, "notes": told["notes"]}
        assert np.isfinite(labels["labels"]).all(1).nonzero()[0].tolist() == labelled.tolist()
    assert f"note: {NOTE}" in done("label", "--run", folder, "--classifier", path).stdout
    assert NOTE in (folder / "gmmedit.log").read_text()
    config = ("--run", folder, "--config", folder.parent / "quick.yaml")
    short = f"note: 83 of {N} samples have no label and are left out of the fit"
    assert short in done("fit-single", *config).stdout
    assert short in done("fit-mixture", *config, "--consistency", "off").stdout
    done("edit", "--run", folder, "--attr", "age", "--index", "0-3,319")
    done("report", "--run", folder)
    assert NOTE in (folder / "report.html").read_text()
    done("verify", "--run", folder, "--quiet")

    # The fit is that of a run that has the labelled samples and no others.
    only = folder.parent / "only"
    with artifacts.open(folder / "samples.h5") as samples, artifacts.open(folder / "labels.h5") as labels:
        for name, whole in (("samples", samples), ("labels", labels)):
            spec = replace(whole.spec, n=len(labelled), parents={})
            if name == "labels":
                spec = replace(spec, parents={"samples": artifacts.file_fingerprint(only / "samples.h5")})
            with artifacts.create_rows(only / f"{name}.h5", spec) as out:
                for start, stop in out.pending():
                    out.write(start, stop, {key: whole[key][labelled[start:stop]] for key in whole.names})
                out.finish()
    done("fit-single", "--run", only, "--config", folder.parent / "quick.yaml", "--quiet")
    with artifacts.open(folder / "single.h5") as one, artifacts.open(only / "single.h5") as other:
        assert all(np.array_equal(one[name], other[name]) for name in one.names)


def test_a_table_of_too_few_samples(folder: Path) -> None:
    path = folder.parent / "labels.csv"
    path.write_text("seed,smile\n" + "".join(f"{seed},{seed % 2}\n" for seed in range(60)))
    done("label", "--run", folder, "--classifier", path)
    with untouched(folder):
        refused = gmmedit("fit-single", "--run", folder)
    check(refused, "labels.h5 has labels of 60 samples, a fit needs 100", "a table that labels more samples")


def test_a_table_is_calibrated_on_the_samples_that_it_labels(folder: Path) -> None:
    text = "".join(f"{seed},{seed % 10 / 10 if seed % 4 else ''}\n" for seed in range(N))
    (folder.parent / "labels.csv").write_text("seed,smile\n" + text)
    body = "accuracy: 0.9\nrates: {smile: {no: 0.7, yes: 0.3}}"
    told = json.loads(
        done("label", "--run", folder, "--classifier", described(folder, "labels.csv", body), "--json").stdout
    )
    assert told["samples"] == N * 3 // 4 and told["attributes"][0]["confidence"] == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("hair=a=b,hair=c", "a value of 'hair' called 'a=b'"),
        ("mood:1,b", "an attribute called 'mood:1'"),
        ("hair=a:b,hair=c", "a value of 'hair' called 'a:b'"),
        ("=a,=b", "an attribute called ''"),
        ("a\u200b,b", "an attribute called 'a"),
    ],
)
def test_names_that_attr_cannot_say_are_refused_before_the_work(header: str, says: str, folder: Path) -> None:
    path = folder.parent / "labels.csv"
    path.write_text(f"{header}\n" + "0.5,0.5\n" * N)
    with untouched(folder):
        check(gmmedit("label", "--run", folder, "--classifier", path), says, "attributes: {NAME: {outputs: ")
    first, second = header.split(",")
    outputs = f"[{json.dumps(first)}, {json.dumps(second)}]" if second != "b" else json.dumps(first)
    body = f"attributes: {{x: {{outputs: {outputs}, values: [p, q]}}}}"
    done("label", "--run", folder, "--classifier", described(folder, "labels.csv", body))


# Prompts


def test_five_stages_with_prompts(folder: Path) -> None:
    small.clip(folder.parent / "clip")
    body = """
prompts:
  smile: {yes: [a smiling face, teeth], no: a face}
  hair: {black: black hair, blond: yellow, red: like fire}
accuracy: 0.85
rates: {smile: {no: 0.6, yes: 0.4}, hair: {black: 0.4, blond: 0.3, red: 0.3}}
"""
    words = ("label", "--run", folder, "--classifier", described(folder, "clip", body))
    told = json.loads(done(*words, "--json").stdout)
    smile, hair = told["attributes"]
    assert smile["confidence"] == pytest.approx(0.85, abs=0.01) and hair["confidence"] == pytest.approx(0.85, abs=0.01)
    assert told["warnings"] == []
    with artifacts.open(folder / "labels.h5") as labels:
        assert labels["labels"][:, :2].mean(0).tolist() == pytest.approx([0.6, 0.4], abs=0.01)
        assert set(labels.attrs["calibration"]) == {"scale", "shift"}
        before = labels["labels"][:4]
    with untouched(folder):
        done(*words)
    whole = (folder / "labels.h5").read_bytes()
    (folder / "labels.h5").unlink()
    done(*words, "--batch", 64)
    assert (folder / "labels.h5").read_bytes() == whole, "the calibration depends on nothing but the samples"
    fit(folder)
    edit(folder, "--attr", "smile", "--polish", 2)
    with artifacts.open(folder / "edits.h5") as edits:
        assert np.allclose(edits["labels_before"], before, atol=1e-3), "edits are scored with the same calibration"
    done("inspect", folder / "labels.h5")


# Other kinds


@pytest.mark.parametrize("kind", ["script", "vit", "factory", "siglip"])
def test_labels_are_what_the_classifier_sees(folder: Path, tiles: Tensor, kind: str) -> None:
    place, body = folder.parent, BODY + "activation: sigmoid\nattributes: {a: {}, b: {}}\n"
    if kind == "script":
        small.script(small.balanced(small.Linear(2), tiles), place / "net.ts")
        name = described(folder, "net.ts", body)
    elif kind == "factory":
        (place / "my.py").write_text("import small_networks\ndef load():\n    return small_networks.Linear(2)\n")
        name = described(folder, "my.py:load", body)
    elif kind == "siglip":
        small.siglip(place / "siglip")
        name = described(folder, "siglip", "prompts: {a: {no: x, yes: a smile}}\n")
    else:
        name = small.vit(place / "vit", ["cat", "dog"])
    done("label", "--run", folder, "--classifier", name)
    classifier = classifiers.load(str(name))
    with artifacts.open(folder / "labels.h5") as labels, artifacts.open(folder / "samples.h5") as samples:
        if classifier.calibration:
            classifier.calibration.load(labels.attrs["calibration"])
        images = as_shown(generators.load("avatars").synthesize(torch.from_numpy(samples["w"][:16])))
        assert np.allclose(labels["labels"][:16], classifier.probabilities(images), atol=1e-3)
        assert labels.spec.classifier == {"name": Path(name).name, "fingerprint": classifier.fingerprint}


# Pictures, channels, progress


def test_stored_pictures_are_used_when_asked_for(tmp_path: Path) -> None:
    done("sample", "--run", tmp_path, "-n", 20, "--images")
    done("label", "--run", tmp_path)
    made = (tmp_path / "labels.h5").read_bytes()
    with untouched(tmp_path):
        done("label", "--run", tmp_path, "--from-images")  # the same settings
    (tmp_path / "labels.h5").unlink()
    rewrite(tmp_path / "samples.h5", images=lambda images: images)
    done("label", "--run", tmp_path, "--from-images")
    assert (tmp_path / "labels.h5").read_bytes() == made
    (tmp_path / "labels.h5").unlink()
    rewrite(tmp_path / "samples.h5", images=lambda images: 255 - images)
    done("label", "--run", tmp_path, "--from-images")
    with artifacts.open(tmp_path / "samples.h5") as samples, artifacts.open(tmp_path / "labels.h5") as labels:
        images = torch.from_numpy(samples["images"]).permute(0, 3, 1, 2) / 127.5 - 1
        assert np.allclose(labels["logits"], classifiers.load("avatars").logits(images), atol=1e-3)


def test_half_precision_says_what_it_costs(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    labels = []
    for precision in ("fp32", "bf16"):
        done("label", "--run", folder, "--precision", precision, "--force", "--quiet")
        assert ("bf16 changes the first 16 images by" in caplog.text) == (precision == "bf16")
        with artifacts.open(folder / "labels.h5") as file:
            labels.append(file["labels"])
            assert file.spec.config["precision"] == precision
    assert 0 < np.abs(labels[1] - labels[0]).mean() < 0.01
    done("verify", "--run", folder)  # made again in the same precision


def test_half_precision_that_ends_in_nan_is_named(folder: Path) -> None:
    network = (
        "import torch, small_networks\n"
        "class Narrow(small_networks.Linear):\n"
        "    def forward(self, x):\n"
        "        return super().forward(x) + (torch.nan if torch.is_autocast_enabled('cpu') else 0)\n"
        "def load():\n    return Narrow(2)\n"
    )
    (folder.parent / "my.py").write_text(network)
    name = described(folder, "my.py:load", BODY + "activation: sigmoid\nattributes: {a: {}, b: {}}\n")
    check(gmmedit("label", "--run", folder, "--classifier", name, "--precision", "bf16"), "but not in fp32")
    done("label", "--run", folder, "--classifier", name)


def test_there_are_no_stored_pictures(folder: Path) -> None:
    with untouched(folder):
        check(gmmedit("label", "--run", folder, "--from-images"), "samples.h5 holds no images", "sample --images")


def test_pictures_of_another_channel_count(tmp_path: Path) -> None:
    grey = Path(__file__).parent / "data" / "sg2_d_orig16gray.pkl"
    done("sample", "--run", tmp_path / "run", "--gan", grey, "-n", 20)
    told = done("label", "--run", tmp_path / "run", "--classifier", "avatars")
    note = "avatars takes images of 3 channels, the generator's have 1: grey is repeated as red, green and blue"
    assert f"note: {note}" in told.stdout
    with artifacts.open(tmp_path / "run" / "labels.h5") as labels:
        assert labels.attrs["notes"] == [note]
    done("verify", "--run", tmp_path / "run")
    (tmp_path / "run" / "labels.h5").unlink()
    small.export(small.Linear(2, channels=1), tmp_path / "grey.pt2", channels=1)
    (tmp_path / "my.yaml").write_text(
        "file: grey.pt2\ninput: {size: 32, colors: grey}\nactivation: sigmoid\nattributes: {a: {}, b: {}}\n"
    )
    done("label", "--run", tmp_path / "run", "--classifier", tmp_path / "my.yaml")
    with artifacts.open(tmp_path / "run" / "labels.h5") as labels:
        assert "notes" not in labels.attrs


TWO = "activation: sigmoid\nattributes: {a: {}, b: {}}\n"


@pytest.mark.parametrize(("made", "taken"), [(4, 3), (1, 3), (4, 1), (3, 1)])
def test_every_step_converts_images_alike(made: int, taken: int, tmp_path: Path) -> None:
    """Alpha, grey and colours; gradients reach the generator, and each later step sees the labels that `label` saw."""
    folder, run = tmp_path / "run", ("--run", tmp_path / "run", "--quiet")
    gan = f"from small_generators import Painter\ndef load():\n    return Painter(channels={made})\n"
    (tmp_path / "gan.py").write_text(gan)
    done("sample", *run, "--gan", f"{tmp_path}/gan.py:load", "-n", N, "--images")
    with artifacts.open(folder / "samples.h5") as samples:
        images = from_bytes(samples["images"])
    network = small.balanced(small.Linear(2, taken), convert_channels(images, (taken,)))
    small.export(network, tmp_path / "net.pt2", channels=taken)
    small.onnx(network, tmp_path / "other.onnx")
    colors = "grey" if taken == 1 else "rgb"
    body = f"input: {{size: 32, colors: {colors}, range: [-1, 1]}}\n" + TWO
    mine, other = described(folder, "net.pt2", body), tmp_path / "other.yaml"
    other.write_text(f"file: other.onnx\n{body}")
    done("label", *run, "--classifier", mine)
    (tmp_path / "quick.yaml").write_text(QUICK)
    fit(folder)
    done("edit", *run, "--attr", "a", "--polish", 2)
    with artifacts.open(folder / "labels.h5") as labels, artifacts.open(folder / "edits.h5") as edits:
        (note,) = labels.attrs["notes"]
        assert (
            f"takes images of {taken} channels, the generator's have {made}: {describe_conversion(made, (taken,))}"
            in note
        )
        assert np.abs(edits["labels_before"] - labels["labels"][:8]).max() < 1e-3
        assert np.abs(edits["labels_after"] - edits["labels_before"]).max() > 0.01
    done("verify", *run)
    config = tmp_path / "few.yaml"
    config.write_text("evaluate: {n: 8, starts: 2, editors: [mixture]}\n")
    done("evaluate", *run, "--config", config, "--classifier", other)
    with artifacts.open(folder / "evaluation.h5") as scored:
        assert f"other.yaml takes images of {taken} channels" in "\n".join(scored.attrs["notes"])


ODD = """
import torch
from gmmedit.classifiers import Attribute, Classifier

class Odd(Classifier):
    attributes = [Attribute("smile", ("no", "yes")), Attribute("hair", ("black", "red", "grey"))]
    input_size, fingerprint = (8, 8), "odd"

    def logits(self, images):
        return LOGITS

def load():
    return Odd()
"""


def test_outputs_that_do_not_fit_the_attributes_cost_nothing(folder: Path) -> None:
    """Whatever the kind of classifier, and before anything is stored."""
    cases = {
        "images.flatten(1)[:, :2]": "logits of my.py:load are [2, 2] for 2 images, its attributes have 5 values",
        "images.flatten(1)[:1, :5]": "are [1, 5] for 2 images",
        "tuple(images)": "are a tuple for 2 images",
        "images @ images": "are [2, 3, 8, 8] for 2 images",
        "1 / 0": "fails on images [2, 3, 8, 8]: division by zero",
        "images.flatten(1)[:, : 5 if len(images) == 2 else 4]": "gave logits [16, 4] for 16 images and 5 values",
    }
    for body, says in cases.items():
        (folder.parent / "my.py").write_text(ODD.replace("LOGITS", body))
        (folder / "labels.h5.partial").unlink(missing_ok=True)
        told = gmmedit("label", "--run", folder, "--classifier", folder.parent / "my.py:load")
        check(told, says.replace("my.py:load", str(folder.parent / "my.py:load")))
    for values in ('("yes",)', '("yes", "yes")', "()"):
        (folder.parent / "my.py").write_text(ODD.replace('("no", "yes")', values))
        check(gmmedit("label", "--run", folder, "--classifier", folder.parent / "my.py:load"), "smile has the values")
    assert not (folder / "labels.h5").exists()


@pytest.mark.parametrize("damaged", [False, True])
def test_unfinished_labels_of_another_classifier_do_not_stop_force(folder: Path, damaged: bool) -> None:
    for name in ("one", "other"):
        (folder.parent / f"{name}.csv").write_text(f"{name}\n" + "0.2\n0.7\n" * (N // 2))
    done("label", "--run", folder, "--classifier", folder.parent / "one.csv")
    wanted = (folder / "labels.h5").read_bytes()
    done("label", "--run", folder, "--classifier", folder.parent / "other.csv", "--force")
    (folder / "labels.h5").rename(folder / "labels.h5.partial")
    if damaged:
        (folder / "labels.h5.partial").write_bytes(wanted[:3000])
    check(gmmedit("label", "--run", folder, "--classifier", folder.parent / "one.csv"), "--restart discards it")
    done("label", "--run", folder, "--classifier", folder.parent / "one.csv", "--force")
    assert (folder / "labels.h5").read_bytes() == wanted and not (folder / "labels.h5.partial").exists()


def test_progress_is_told_for_every_batch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gmmedit.config import LabelSettings
    from gmmedit.runtime.execution import Execution
    from gmmedit.stages import label

    told: list[tuple[int, int, str]] = []
    label.run(folder, LabelSettings(), Execution(tick=lambda done, total, text: told.append((done, total, text))))
    measured = [(done, 160, "robustness") for done in range(16, 161, 16)]
    assert told == measured + [(done, N, "labels") for done in range(16, N + 1, 16)]


# The report


def test_the_report_of_the_embedded_classifier(run: Path) -> None:
    told = json.loads(done("label", "--run", run, "--json").stdout)
    with artifacts.open(run / "labels.h5") as labels:
        array, attributes = labels["labels"].astype(float), labels.attributes
    assert [row["attribute"] for row in told["attributes"]] == [name for name, _ in attributes]
    smile = told["attributes"][0]
    assert smile["rates"]["yes"] == pytest.approx((array[:, 1] > 0.5).mean(), abs=1e-6)
    assert smile["confidence"] == pytest.approx(array[:, :2].max(1).mean(), abs=1e-6)
    assert len(told["correlations"]) == len(attributes) * (len(attributes) - 1) // 2
    pair = told["correlations"][0]
    assert pair["attributes"] == [attributes[0][0], attributes[1][0]]
    assert pair["correlation"] == pytest.approx(np.corrcoef(array[:, 1], array[:, 3])[0, 1], abs=1e-6)
    assert pair["signed"] and not told["correlations"][-1]["signed"], "of hair_color there is no sign"
    text = done("label", "--run", run).stdout
    assert f"{pair['correlation']:+.2f}" in text and f" {told['correlations'][-1]['correlation']:.2f}" in text
    assert "correlations" in text and "confidence" in text and text.endswith(f"{run / 'labels.h5'} is up to date\n")


def test_correlations() -> None:
    generator = np.random.RandomState(0)
    a, noise = generator.rand(500), generator.rand(500)
    two = basis(np.stack([1 - a, a], 1))
    assert correlation(two, basis(np.stack([a, 1 - a], 1))) == pytest.approx(-1)
    assert correlation(two, two) == pytest.approx(1)
    pearson = np.corrcoef(a, a + noise)[0, 1]
    assert correlation(basis(np.stack([2 - a - noise, a + noise], 1)), two) == pytest.approx(pearson)
    three = basis(np.stack([a / 2, (1 - a) * noise, 1 - a / 2 - (1 - a) * noise], 1))
    assert three.shape == (500, 2)
    assert correlation(two, three) == pytest.approx(1), "the first value of the three says it all"
    assert correlation(two, basis(np.full((500, 2), 0.5))) == 0
    assert abs(correlation(two, basis(np.stack([noise, 1 - noise], 1)))) < 0.15


Change = Callable[[np.ndarray], np.ndarray]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda smile: smile * 0 + [0.9, 0.1], "smile is constant: all samples are labelled no"),
        (lambda smile: np.where(np.arange(len(smile))[:, None] < 4, [0.1, 0.9], [0.9, 0.1]),
         "smile=yes is rare: 4 of 600 samples, a fit needs 10"),
        (lambda smile: 0.5 + (smile - 0.5) / 5, "smile has uncertain labels: mean confidence 0.6"),
    ],
)  # fmt: skip
def test_what_a_fit_cannot_use_is_told(own_run: Path, change: Change, says: str) -> None:
    path = own_run / "labels.h5"
    with artifacts.open(path) as labels:
        spec, arrays = labels.spec, {name: labels[name] for name in labels.names}
    arrays["labels"] = np.concatenate([change(arrays["labels"][:, :2]), arrays["labels"][:, 2:]], 1).astype(np.float32)
    with artifacts.create_rows(path, spec) as out:
        for start, stop in out.pending():
            out.write(start, stop, {name: array[start:stop] for name, array in arrays.items()})
        out.finish()
    (warning,) = label_report(path)["warnings"]
    assert warning.startswith(says)


def test_many_attributes_are_shown_as_the_strongest_pairs(tmp_path: Path, sampled: Path) -> None:
    generator = np.random.RandomState(0)
    names = [f"a{i}" for i in range(14)]
    table = generator.rand(N, 14)
    table[:, 13] = 1 - table[:, 2]
    np.savetxt(tmp_path / "labels.csv", table, delimiter=",", header=",".join(names), comments="")
    folder = shutil.copytree(sampled, tmp_path / "run")
    text = done("label", "--run", folder, "--classifier", tmp_path / "labels.csv").stdout
    assert "strongest correlations" in text and "-1.00" in text
