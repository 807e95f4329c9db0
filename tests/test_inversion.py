"""From photographs to latents and back: encoders, inversion, tuning, and edits of what was inverted."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import check, done, gmmedit, state
from PIL import Image
from safetensors.torch import save_file

from gmmedit import artifacts, encoders, generators
from gmmedit.classifiers import load as load_classifier
from gmmedit.config import InvertSettings, SampleSettings
from gmmedit.editing.inversion import Inverter, rate_at
from gmmedit.editing.inverter import open_inverter, with_own_errors
from gmmedit.editing.pasting import amount_of, paste_columns, paste_edits, weigh
from gmmedit.encoders.catalogue import check_encoder
from gmmedit.encoders.convnet import ConvEncoder, EncoderConfig, read_encoder, save_encoder
from gmmedit.errors import InputError
from gmmedit.networks.weights import write_weights
from gmmedit.pictures.pixels import from_bytes, to_bytes
from gmmedit.run.folder import RunFolder
from gmmedit.run.rendering import Renderer
from gmmedit.run.tuned import is_tuned, read_tuned, tuned_path
from gmmedit.runtime.execution import Execution
from gmmedit.runtime.signals import Stopped
from gmmedit.spaces import Space, fit_chart
from gmmedit.stages.evaluate_inverted import Scoring
from gmmedit.training.encoder import EncoderSettings, EncoderTraining
from gmmedit.training.from_generator import train_encoder

FEW = InvertSettings(steps=6, own=0, lr=0.02)
TINY = {"resolution": 16, "channels": (8, 8, 8), "z_dim": 8, "w_dim": 8, "mapping_width": 8}
QUICK = "invert: {own: 2, steps: 4, lr: 0.02}\ntune: {steps: 3, lr: 3.0e-4, locality: 1}\nedit: {polish: 0}\n"


@pytest.fixture(scope="module")
def inverter(run: Path) -> Inverter:
    with RunFolder(run, Execution()) as run_folder:
        opened = open_inverter(run_folder, FEW)
        assert opened.background and opened.units[0] > 0  # read while the files are open
        yield opened


@pytest.fixture(scope="module")
def samples(inverter: Inverter) -> np.ndarray:
    return inverter.generate_seeds([5_000_000, 5_000_001, 5_000_002])


@pytest.fixture(scope="module")
def folder(samples: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images that the generator makes, and noise."""
    place = tmp_path_factory.mktemp("photographs")
    for i, pixels in enumerate(samples):
        Image.fromarray(pixels).save(place / f"face_{i}.png")
    noise = np.random.default_rng(0).integers(0, 256, (80, 100, 3), np.uint8)
    Image.fromarray(noise).save(place / "noise.png")
    return place


@pytest.fixture(scope="module")
def inverted(run: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with inversions.h5 and a tuned generator."""
    place = shutil.copytree(run, tmp_path_factory.mktemp("inverted") / "run")
    (place / "quick.yaml").write_text(QUICK)
    done("invert", folder, "--run", place, "--config", place / "quick.yaml", "--tune")
    return place


# Encoders


def small_encoder(shape: tuple[int, int, int] = (1, 48, 32)) -> ConvEncoder:
    chart = fit_chart(Space("w", 5, 3), torch.randn(64, 5, generator=torch.Generator().manual_seed(1)))
    config = EncoderConfig("fingerprint", "w", shape, layers=3, dim=5, coordinates=5, widths=(4, 4), features=4)
    return ConvEncoder(config, chart).eval()


def test_an_encoder_is_read_as_it_was_written(tmp_path: Path) -> None:
    encoder = small_encoder()
    save_encoder(encoder, tmp_path / "encoder.safetensors")
    again, images = read_encoder(tmp_path / "encoder.safetensors"), torch.rand(2, 1, 48, 32)
    assert again.encode(images).shape == (2, 3, 5) == (2, *again.latent_shape)
    assert torch.allclose(again.encode(images), encoder.encode(images), atol=5e-3)  # half precision
    assert again.fingerprint == read_encoder(tmp_path / "encoder.safetensors").fingerprint != ""


def test_large_images_are_shrunk_for_an_encoder() -> None:
    assert small_encoder((3, 1024, 512)).config.input_size == (128, 64)


def test_files_that_are_no_encoders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        encoders.load(str(tmp_path / "missing.safetensors"))
    (tmp_path / "text.safetensors").write_text("text")
    with pytest.raises(InputError, match="not a encoder file"):
        encoders.load(str(tmp_path / "text.safetensors"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dim": 7}, "the chart's mean has the shape"),
        ({"layers": 3.0}, "no positive whole numbers"),
        ({"image_shape": (1, 0, 32)}, "no positive whole numbers"),
        ({"space": "q"}, "space 'q'"),
        ({"generator": 5}, "generator 5"),
        ({"layers": 2}, "size mismatch for own.bias"),
    ],
)
def test_configurations_that_no_encoder_has(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    encoder = small_encoder()
    encoder.config = replace(encoder.config, **changed)
    save_encoder(encoder, tmp_path / "encoder.safetensors")
    with pytest.raises(InputError, match=message):
        read_encoder(tmp_path / "encoder.safetensors")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("chart_axes", torch.ones(1, 1), "the chart's axes has the shape"),
        ("chart_scale", torch.full((5,), torch.nan), "chart_scale is not finite"),
        ("common.bias", torch.full((5,), torch.inf), "common.bias is not finite"),
    ],
)
def test_weights_that_no_encoder_has(name: str, value: torch.Tensor, message: str, tmp_path: Path) -> None:
    encoder = small_encoder()
    config = asdict(encoder.config)
    write_weights(tmp_path / "encoder.safetensors", encoder.state_dict() | {name: value}, "encoder", config)
    with pytest.raises(InputError, match=message):
        read_encoder(tmp_path / "encoder.safetensors")


def test_a_configuration_too_deep_to_parse(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "deep.safetensors", {"encoder": "[" * 100_000})
    with pytest.raises(InputError, match="recursion"):
        read_encoder(tmp_path / "deep.safetensors")


def test_a_configuration_of_any_size_takes_no_memory(tmp_path: Path) -> None:
    encoder = small_encoder()
    encoder.config = replace(encoder.config, features=1 << 40)
    save_encoder(encoder, tmp_path / "huge.safetensors")
    with pytest.raises(InputError, match="do not match"):
        read_encoder(tmp_path / "huge.safetensors")


def test_the_embedded_encoder_belongs_to_the_embedded_generator(samples: np.ndarray) -> None:
    """Reconstructions of unseen samples are five times closer than another sample is."""
    generator = generators.load("avatars")
    found = encoders.find_encoder(generator)
    assert found and found[0] == "avatars"
    images = from_bytes(samples)
    with torch.no_grad():
        again = generator.synthesize(found[1].encode(images))
    assert (again - images).abs().mean() < 0.2 * (images - images.roll(1, 0)).abs().mean()
    assert check_encoder(found[1], generator, "avatars") is found[1]
    generator.fingerprint = "another"
    assert encoders.find_encoder(generator) is None
    with pytest.raises(InputError, match="of another generator"):
        check_encoder(found[1], generator, "avatars")


def make_training(images: int = 96) -> EncoderTraining:
    renderer = Renderer(generators.load("avatars"), SampleSettings())
    return EncoderTraining(EncoderSettings(images=images, batch=16), renderer, load_classifier("avatars"))


def test_a_stopped_training_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    def train(out: Path, stops: bool) -> bytes:
        training, execution = make_training(), Execution()

        def tick(now: int, total: int, words: str) -> None:
            if stops and now == 48:
                execution.stop.ask()

        execution = Execution(tick=tick)
        out.mkdir(exist_ok=True)
        train_encoder(out, training.settings, training.renderer, training.classifier, execution)
        return (out / "encoder.safetensors").read_bytes()

    whole = train(tmp_path / "whole", stops=False)
    with pytest.raises(Stopped):
        train(tmp_path / "parts", stops=True)
    assert not (tmp_path / "parts" / "encoder.safetensors").exists()
    assert train(tmp_path / "parts", stops=False) == whole
    sheet = (tmp_path / "whole" / "samples.png").read_bytes()
    assert sheet == (tmp_path / "parts" / "samples.png").read_bytes()
    other = make_training(images=64)
    with pytest.raises(InputError, match="different settings: images is 96 there and 64 now"):
        train_encoder(tmp_path / "parts", other.settings, other.renderer, other.classifier, Execution())


def test_layers_get_their_own_deviations_one_after_the_other() -> None:
    training = make_training(images=16_000)
    (images, disturbed, x), (_, _, apart) = training.draw_part(0), training.draw_part(1)
    assert x.shape == apart.shape == (8, 10, training.chart.dim)
    assert (x.std(1).mean(1) < 1e-4).all() and (apart.std(1).mean(1) > 1e-4).all()  # a part has layers of its own
    assert not torch.equal(images, disturbed)
    assert training.take_step().keys() == {"coordinates"}, "no images are compared yet"
    gradient = training.network.own.bias.grad.unflatten(0, (10, -1)).abs().sum(1)
    assert gradient[0] > 0 and (gradient[1:] == 0).all()


def test_training_needs_one_generator(tmp_path: Path) -> None:
    for words in ((), ("--run", tmp_path, "--gan", "avatars")):
        check(gmmedit("train", "encoder", "--out", tmp_path / "out", *words), "--run DIR and --gan NAME")


# Inversion in memory


def test_samples_are_found_again(inverter: Inverter, samples: np.ndarray) -> None:
    found = [inverter.invert_pixels(pixels) for pixels in samples]
    for inversion, pixels in zip(found, samples, strict=True):
        assert inversion.error < inversion.start_error < 0.1
        assert inversion.latent.shape == (10, 128) and inversion.reconstruction.shape == pixels.shape
        assert np.abs(inversion.reconstruction.astype(float) - pixels).mean() / 127.5 == pytest.approx(
            inversion.error, abs=1e-4
        )
        assert np.isnan(inversion.percentile) and inversion.verdict() == ""


def test_an_image_alone_and_among_others(inverter: Inverter, samples: np.ndarray) -> None:
    told: list[tuple[int, int]] = []
    images = [Image.fromarray(pixels) for pixels in samples]
    together = inverter.invert(images, lambda now, total, words: told.append((now, total)))
    alone = inverter.invert(images[2:])
    assert torch.equal(together[2].latent, alone[0].latent)
    assert np.array_equal(together[2].reconstruction, alone[0].reconstruction)
    assert told == [(step + 1, 18) for step in range(18)]


def test_without_an_encoder_the_best_sample(inverter: Inverter) -> None:
    """A sample of the run is found among all, by its thumbnail."""
    alone = replace(inverter, encoder=None, settings=FEW.model_copy(update={"steps": 0}))
    pixels = to_bytes(alone.renderer.generate(torch.from_numpy(alone.samples["w"][417:418]), "w"))[0]
    found = alone.invert_pixels(pixels)
    assert found.start_error == found.error < 0.01
    assert np.allclose(found.latent, alone.samples["w"][417], atol=1e-3)


def test_one_latent_for_all_layers(inverter: Inverter, samples: np.ndarray) -> None:
    shared = replace(inverter, shared=True).invert_pixels(samples[0])
    free = inverter.invert_pixels(samples[0])
    assert torch.equal(shared.latent, shared.latent[:1].expand(10, -1))
    assert not torch.equal(free.latent, free.latent[:1].expand(10, -1))


def test_the_prior_keeps_latents_typical(inverter: Inverter, samples: np.ndarray) -> None:
    strong = replace(inverter, settings=FEW.model_copy(update={"prior": 100.0}))
    assert strong.invert_pixels(samples[0]).density < inverter.invert_pixels(samples[0]).density


def test_an_inversion_stops_when_asked(inverter: Inverter, samples: np.ndarray) -> None:
    stopping = replace(inverter, execution=Execution())
    stopping.execution.stop.ask()
    with pytest.raises(Stopped):
        stopping.invert_pixels(samples[0])


def test_percentiles(inverter: Inverter, samples: np.ndarray) -> None:
    beside = with_own_errors(inverter, np.array([0.3, 1e-6]))
    found = beside.invert_pixels(samples[0])
    assert found.percentile == 0.5 and found.verdict() == ""
    noise = np.random.default_rng(0).integers(0, 256, samples[0].shape, np.uint8)
    assert with_own_errors(inverter, np.array([0.1])).invert_pixels(noise).verdict() != ""


def test_the_rate_rises_and_falls() -> None:
    rates = [rate_at(step, 100) for step in range(100)]
    top = rates.index(max(rates))
    assert rates[:top] == sorted(rates[:top]) and rates[top:] == sorted(rates[top:], reverse=True)
    assert max(rates) == pytest.approx(1, abs=0.01) and rates[-1] < 0.01


def test_spaces_and_encoders_that_do_not_fit(run: Path, tmp_path: Path) -> None:
    save_encoder(small_encoder(), tmp_path / "encoder.safetensors")
    with RunFolder(run, Execution()) as run_folder:
        with pytest.raises(InputError, match="of another generator"):
            open_inverter(run_folder, FEW.model_copy(update={"encoder": str(tmp_path / "encoder.safetensors")}))
        with pytest.raises(InputError, match="gives latents of W"):
            open_inverter(run_folder, FEW.model_copy(update={"encoder": "avatars", "space": "z"}))
        assert open_inverter(run_folder, FEW.model_copy(update={"space": "z"})).encoder is None
        assert open_inverter(run_folder, FEW.model_copy(update={"features": "none"})).features is None


# The command


def test_a_folder_of_photographs(inverted: Path, folder: Path) -> None:
    with artifacts.open(inverted / "inversions.h5", "inversions") as found:
        assert found.spec.config["files"] == ["face_0.png", "face_1.png", "face_2.png", "noise.png"]
        assert found["error"][3] > 3 * found["error"][:3].max() and found["percentile"][3] == 1
        assert len(found["own_errors"]) == 2 and found["latents"].shape == (4, 10, 128)
        assert found["start_error"].mean() > found["error"].mean()
    names = {path.name for path in (inverted / "inversions").iterdir()}
    assert {"sheet.png", "image_3_cut.png", "image_3.png", "image_3_tuned.png"} <= names
    again = done("invert", folder, "--run", inverted, "--config", inverted / "quick.yaml", "--json")
    rows = json.loads(again.stdout)["images"]
    assert [bool(row["verdict"]) for row in rows][3] and rows[0]["file"] == "face_0.png"


def test_bad_files_are_named_and_the_others_done(inverted: Path, folder: Path, tmp_path: Path) -> None:
    place = shutil.copytree(inverted, tmp_path / "run")
    shutil.copy(folder / "face_0.png", tmp_path / "good.png")
    (tmp_path / "bad.jpg").write_text("text")
    words = ("--run", place, "--config", place / "quick.yaml")
    result = gmmedit("invert", tmp_path / "bad.jpg", tmp_path / "good.png", *words, "--force")
    assert result.exit_code == 2 and "wrote" in result.stdout
    assert f"error: {tmp_path / 'bad.jpg'} is not an image" in result.stderr
    with artifacts.open(place / "inversions.h5") as found, artifacts.open(inverted / "inversions.h5") as before:
        assert found.spec.config["files"] == ["good.png"]
        assert np.array_equal(found["latents"][0], before["latents"][0])  # whatever else is inverted
    ended = [line for line in (place / "gmmedit.log").read_text().splitlines() if "ended:" in line][-1]
    assert "done but for 1" in ended and "bad.jpg is not an image" in ended
    check(gmmedit("invert", tmp_path / "bad.jpg", *words), "is not an image", "PNG")


def test_a_killed_inversion_resumes_to_the_same_bytes(
    inverted: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = shutil.copytree(inverted, tmp_path / "run")
    whole = (place / "inversions.h5").read_bytes()
    (place / "inversions.h5").unlink()
    invert = Inverter.invert_pixels
    calls: list[int] = []

    def killed(self: Inverter, pixels: np.ndarray) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return invert(self, pixels)

    monkeypatch.setattr(Inverter, "invert_pixels", killed)
    words = ("invert", folder, "--run", place, "--config", place / "quick.yaml")
    assert gmmedit(*words).exit_code == 130
    assert (place / "inversions.h5.partial").exists()
    done(*words)
    assert len(calls) == 5  # two before, two after, and the one that was killed
    assert (place / "inversions.h5").read_bytes() == whole


def test_other_images_need_force(inverted: Path, folder: Path, tmp_path: Path) -> None:
    place = shutil.copytree(inverted, tmp_path / "run")
    before = state(place)
    result = gmmedit("invert", folder / "face_1.png", "--run", place, "--config", place / "quick.yaml")
    check(result, "--force", "face_1.png")
    assert {k: v for k, v in state(place).items() if k.endswith(".h5")} == {
        k: v for k, v in before.items() if k.endswith(".h5")
    }


def test_edits_of_inversions(inverted: Path, tmp_path: Path) -> None:
    words = ("edit", "--run", inverted, "--config", inverted / "quick.yaml", "--attr", "smile", "--alpha", "0")
    shown = done(*words, "--inverted", "--out", tmp_path / "a").stdout
    assert "inversions.generator.safetensors" in shown  # without being named
    with artifacts.open(tmp_path / "a" / "edits.h5") as edits, artifacts.open(inverted / "inversions.h5") as found:
        assert np.array_equal(edits["latent"], found["latents"]) and edits["index"].tolist() == [0, 1, 2, 3]
        assert np.array_equal(edits["images_before"], found["images"])
        assert np.array_equal(edits["images_after"][0], found["images"])  # at strength 0 the photographs themselves
    done(*words, "--inverted", "--no-paste", "--out", tmp_path / "a")
    with artifacts.open(tmp_path / "a" / "edits.h5") as edits:
        tuned = np.stack([np.asarray(Image.open(inverted / "inversions" / f"image_{i}_tuned.png")) for i in range(4)])
        assert np.array_equal(edits["images_before"], tuned)
    done(*words, "--latents", inverted / "inversions.h5", "--out", tmp_path / "b")
    done(*words, "--inverted", "--index", "2", "--out", tmp_path / "c")
    with artifacts.open(tmp_path / "b" / "edits.h5") as edits, artifacts.open(inverted / "inversions.h5") as found:
        assert np.array_equal(edits["images_before"], found["reconstructions"])  # through the run's own generator
    with artifacts.open(tmp_path / "c" / "edits.h5") as edits:
        assert edits["index"].tolist() == [2]
    done("verify", tmp_path / "c" / "edits.h5", inverted / "inversions.h5", "--run", inverted)


def test_edits_are_pasted_into_the_photographs(inverted: Path, tmp_path: Path) -> None:
    words = ("edit", "--run", inverted, "--config", inverted / "quick.yaml", "--attr", "glasses:-1", "--attr", "age")
    words += ("--inverted", "--alphas", "0.5,1")
    place = shutil.copytree(inverted, tmp_path / "run")
    done(*(place if word == inverted else word for word in words))
    done(*words, "--no-paste", "--out", tmp_path / "whole")
    with artifacts.open(place / "edits.h5") as edits, artifacts.open(tmp_path / "whole" / "edits.h5") as whole:
        assert np.array_equal(edits["latents"], whole["latents"])
        photographs, generated, pasted = edits["images_before"], whole["images_after"], edits["images_after"]
        apart = [np.abs(part.astype(float) - photographs).mean((2, 3, 4)) for part in (pasted, generated)]
        assert (apart[0] <= apart[1]).all() and (apart[0][1] > 0).all()
        assert (apart[0] < apart[1]).mean() > 0.5  # whole where no part alone keeps the effect
        labels = load_classifier("avatars").probabilities(from_bytes(pasted[1])).numpy()
        assert np.abs(labels - edits["labels_after"][1]).max() < 0.3  # of what is shown; calibrated in the run
        assert edits.spec.config["photographs"] and "photographs" not in whole.spec.config
    done("verify", place / "edits.h5", "--run", place)


def test_where_an_edit_changes_nothing_the_photograph_stays() -> None:
    random = torch.Generator().manual_seed(1)
    photograph, unedited = (torch.rand(1, 3, 64, 64, generator=random) * 2 - 1 for _ in range(2))
    edited = unedited.clone()
    edited[..., 40:60, 40:60] = -edited[..., 40:60, 40:60].sign()  # a change as large as that of two samples
    unit, one = 0.5, torch.ones(1)
    found = paste_edits(edited, unedited, photograph, unit, one, 0.2)
    assert torch.equal(found[..., :30, :30], photograph[..., :30, :30])
    assert torch.allclose(found[..., 46:54, 46:54], edited[..., 46:54, 46:54], atol=1e-5)
    assert torch.equal(paste_edits(edited, unedited, photograph, unit, 0 * one, 0.2), photograph)
    half = unedited + 0.5 * (edited - unedited)
    shares = [weigh(edited, unedited, unit * one, 0.2), weigh(half, unedited, 0.5 * unit * one, 0.2)]
    assert torch.allclose(*shares, atol=1e-5)  # a weak edit is shown where the full one is
    large = [F.interpolate(images, scale_factor=4) for images in (edited, unedited, photograph)]
    assert torch.allclose(paste_edits(*large, unit, one, 0.2)[..., ::4, ::4], found, atol=0.35)


def test_as_much_of_a_photograph_is_kept_as_leaves_the_edit_its_effect() -> None:
    """Two patches change, one a little: it is shown only where the label depends on it."""
    photograph, unedited = torch.zeros(2, 1, 3, 64, 64)
    edited = torch.zeros(2, 3, 64, 64)
    edited[0, :, 8:24, 8:24], edited[0, :, 40:56, 40:56] = 0.15, 0.5  # .3 and 1 of the difference of two samples
    edited[1] = 0.5 * edited[0]
    one = torch.ones(1)

    def pasted(place: slice, strengths: list[torch.Tensor], sign: float = 1) -> torch.Tensor:
        def label(images: torch.Tensor) -> torch.Tensor:
            return (0.5 + sign * images[:, :, place, place].mean((1, 2, 3)))[:, None].clamp(0, 1)

        columns = [(strength.abs(), [(0, strength)]) for strength in strengths]
        return paste_columns(edited, unedited, photograph, 0.5, columns, label)

    sweep = [one, 0.5 * one]
    strict = pasted(slice(44, 52), sweep)
    assert (strict[0, :, 12:20, 12:20] == 0).all() and (strict[0, :, 44:52, 44:52] > 0.49).all()
    both = pasted(slice(12, 20), sweep)
    assert (both[0, :, 12:20, 12:20] > 0.05).all()
    assert torch.allclose(both[1], 0.5 * both[0], atol=1e-5)  # the weaker one in the same places
    away = pasted(slice(12, 20), [-one, -0.5 * one], sign=-1)
    assert torch.allclose(away, both)
    columns = [(amount_of([], 1.5 * one, along=True), [])]  # along a direction no label is aimed at
    along = paste_columns(edited[:1], unedited, photograph, 0.5, columns, lambda images: images[:, 0, 0, :1])
    assert 0 < along[0, 0, 16, 16] < 0.15 and along[0, 0, 48, 48] > 0.49


def test_edits_of_photographs_are_scored(inverted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is scored are the edits of `edit --inverted`; a killed command resumes to the same bytes."""
    place = shutil.copytree(inverted, tmp_path / "run")
    (place / "quick.yaml").write_text("evaluate: {polish: 0}\nedit: {polish: 0}\n")
    words = ("evaluate", "--run", place, "--inverted", "--config", place / "quick.yaml")
    check(gmmedit(*words, "--editors", "mixture"), "--editors cannot be combined with --inverted", "edit --inverted")
    shown = done(*words).stdout
    assert "reconstructions of 4 photographs" in shown and "noise.png" in shown
    path = place / "inverted_evaluation.h5"
    whole = path.read_bytes()
    done("edit", "--run", place, "--inverted", "--config", place / "quick.yaml", "--attr", "smile", "--out", tmp_path)
    judge = load_classifier("avatars-eval")
    with artifacts.open(path) as scored, artifacts.open(tmp_path / "edits.h5") as edits, torch.no_grad():
        names = [name for name, _ in scored.attributes]
        column = sum(len(values) for _, values in scored.attributes[: names.index("smile")]) + 1
        lacking = np.isfinite(scored["edited_logits"][:, column]).all(1)
        assert (scored["photograph_logits"][:, column] <= scored["photograph_logits"][:, column - 1])[lacking].all()
        again = judge.logits(from_bytes(edits["images_after"][0])).numpy()
        assert lacking.any() and np.abs(scored["edited_logits"][lacking, column] - again[lacking]).max() < 0.5
        edited = scored["edited_logits"][lacking, column]
        arrived = (edited[:, column] > edited[:, column - 1]).mean()
        seen, before = judge.logits(from_bytes(edits["images_before"])).numpy(), scored["photograph_logits"]
        assert np.abs(seen - before).max() < 0.5
    rows = {
        (row["method"], row["metric"], row["attribute"]): row
        for row in map(json.loads, path.with_suffix(".jsonl").read_text().splitlines())
    }
    assert rows["edits", "flips@1", "smile=yes"]["value"] == pytest.approx(arrived, abs=1e-5)
    assert rows["edits", "flips@1", "smile=yes"]["n"] == lacking.sum() < 4 == rows["inversion", "kept", "all"]["n"]
    pooled = [row["n"] for (_, metric, name), row in rows.items() if metric == "kept@1" and "=" in name]
    assert rows["edits", "kept@1", "all"]["n"] == sum(pooled)
    done("verify", path, "--run", place)
    path.unlink()
    score, calls = Scoring.score, []

    def killed(self: Scoring, number: int, *rest: Any) -> object:
        calls.append(number)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return score(self, number, *rest)

    monkeypatch.setattr(Scoring, "score", killed)
    assert gmmedit(*words).exit_code == 130
    done(*words)
    assert calls == [0, 1, 2, 2, 3] and path.read_bytes() == whole
    assert "up to date" in done(*words).stdout
    check(gmmedit(*words, "-n", 2), "--force")
    assert "reconstructions of 2 photographs" in done(*words, "-n", 2, "--force").stdout
    with artifacts.open(path) as scored:
        assert scored.spec.config["files"] == ["face_0.png", "face_1.png"] and len(scored["logits"]) == 2
    done("verify", path, "--run", place)


# Tuning


def test_a_tuned_generator_comes_closer_and_keeps_other_images(inverted: Path) -> None:
    generator, path = generators.load("avatars"), tuned_path(inverted / "inversions.h5")
    assert is_tuned(path)
    tuned = read_tuned(path, generator)
    assert tuned.fingerprint != generator.fingerprint
    with artifacts.open(inverted / "inversions.h5") as found, torch.no_grad():
        images, latents = from_bytes(found["images"][:3]), torch.from_numpy(found["latents"][:3])
        errors = [(each.synthesize(latents) - images).abs().mean() for each in (generator, tuned)]
        others = generator.map(generator.draw(range(8)))
        change = (tuned.synthesize(others) - generator.synthesize(others)).abs().mean()
    assert errors[1] < errors[0] and change < errors[0]
    assert torch.equal(tuned.map(generator.draw([1])), generator.map(generator.draw([1])))  # the mapping stays
    generator.fingerprint = "another"
    with pytest.raises(InputError, match="tuned from another generator"):
        read_tuned(path, generator)


def test_a_generator_tuned_around_other_inversions_is_not_used(inverted: Path, folder: Path, tmp_path: Path) -> None:
    place = shutil.copytree(inverted, tmp_path / "run")
    words = ("--run", place, "--config", place / "quick.yaml")
    done("invert", folder / "face_1.png", *words, "--force")
    shown = done("edit", *words, "--inverted", "--attr", "smile", "--alpha", "0").stdout
    assert "inversions.generator.safetensors" not in shown
