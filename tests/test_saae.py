"""SAAE: it trains in phases to the same bits, opens as three networks, and a fitted mixture is its prior."""

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from conftest import done, gmmedit
from PIL import Image
from safetensors.torch import load_file, save_file
from small_data import write_idx, write_images, write_typefaces

from gmmedit import artifacts, classifiers, datasets, encoders, generators
from gmmedit.datasets.glyphs import find_plainest
from gmmedit.errors import InputError
from gmmedit.fitting.data import check_values
from gmmedit.networks.saae import SAAE, read_saae, save_saae
from gmmedit.networks.saae_parts import SAAEConfig
from gmmedit.networks.weights import read_training
from gmmedit.run.folder import RunFolder
from gmmedit.run.prior import read_prior
from gmmedit.runtime.execution import Execution
from gmmedit.runtime.signals import Stopped, StopRequest
from gmmedit.training import loop, saae_result
from gmmedit.training.from_data import DataRequest
from gmmedit.training.saae import SAAETraining
from gmmedit.training.saae_measures import describe_measures, measure_held_out
from gmmedit.training.saae_result import group_codes, train_saae
from gmmedit.training.saae_settings import Phase, SAAESettings, read_settings
from gmmedit.training.style_data import GlyphStyles, split_styles

PHASES = (Phase("critic", 2), Phase("generator", 2), Phase("both", 2, 0.5))
TINY = SAAESettings(phases=PHASES, style=6, width=6, fold=4, groups=2, batch=6, letters=2)
FACES = 12


@pytest.fixture(scope="module")
def fonts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fonts")
    write_typefaces(folder, FACES)
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step is logged and saved, and networks compute in float32, as everywhere."""
    for name in ("LOG_EVERY", "CHECKPOINT_EVERY", "SHEET_EVERY"):
        monkeypatch.setattr(loop, name, 1)
    monkeypatch.setattr(saae_result, "gains_from_bf16", lambda device: False)


@pytest.fixture(scope="module")
def trained(fonts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    request = DataRequest(str(fonts), 16)
    return train_saae(tmp_path_factory.mktemp("saae"), request, TINY, None, Execution())[0]


def stop_at(count: int) -> Execution:
    """An execution that is stopped at a step."""
    stop, steps = StopRequest(), iter(range(100))
    return Execution(tick=lambda *_: stop.ask(signal.SIGINT) if next(steps) == count - 1 else None, stop=stop)


@pytest.mark.parametrize("critic", ["multi", "binary"])
def test_it_resumes_to_the_same_bytes_across_phases(critic: str, fonts: Path, tmp_path: Path) -> None:
    request = DataRequest(str(fonts), 16, seed=3)
    settings = replace(TINY, critic=critic, loss="softmax" if critic == "multi" else "sigmoid")
    whole, data, _ = train_saae(tmp_path / "whole", request, settings, None, Execution())
    for steps in (2, 1, 2):  # after 2, at the end of a phase, and after 3 and 5, within the others
        with pytest.raises(Stopped):
            train_saae(tmp_path / "broken", request, settings, None, stop_at(steps))
    broken, *_ = train_saae(tmp_path / "broken", request, settings, None, Execution())
    assert broken.read_bytes() == whole.read_bytes()
    for name in ("saae.png", "samples.png"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    lines = [json.loads(line) for line in (tmp_path / "whole" / "saae.jsonl").read_text().splitlines()]
    assert [line["images"] for line in lines] == [6, 12, 18, 24, 30, 36]
    assert data.name == "glyphs"


def test_a_phase_trains_what_it_names(fonts: Path) -> None:
    training = SAAETraining(TINY, split_styles(datasets.load(str(fonts), 16), None), bf16=False)
    network = training.network
    for phase in PHASES:
        for _ in range(phase.steps):
            before = network.critic.out.weight.clone(), network.decoder.style_map.weight.clone()
            training.take_step()
            training.step += 1
            after = network.critic.out.weight, network.decoder.style_map.weight
            same = torch.equal(before[0], after[0]), torch.equal(before[1], after[1])
            assert same == (phase.train == "generator", phase.train == "critic")


def test_the_letters_of_a_strip_are_others_than_the_target(fonts: Path) -> None:
    data = datasets.load(str(fonts), 16)
    styles = GlyphStyles(data)
    images, contents, strips = styles.batch(styles.rows[:40], 3, seed=1)
    assert strips.shape[1:3] == (1, 16) and strips.shape[3] % 16 == 0
    assert styles.templates[contents].shape == images.shape
    for image, strip in zip(images, strips, strict=True):
        assert all(not torch.equal(letter, image) for letter in strip.split(16, dim=2))
    again = styles.batch(styles.rows[:40], 3, seed=1)
    assert all(torch.equal(a, b) for a, b in zip((images, contents, strips), again, strict=True))
    assert len(styles.whole_styles()) == FACES - len(set(data.labels(data.held_out())[:, 1].tolist()))


def test_other_images_are_styles_of_their_own(tmp_path: Path) -> None:
    write_idx(tmp_path / "digits", "train", 120, zipped=False)
    settings = replace(TINY, phases=(Phase("both", 2),))
    path, *_ = train_saae(tmp_path / "out", DataRequest(str(tmp_path / "digits"), 16), settings, None, Execution())
    network = read_saae(path)
    assert network.config.content == "digit" and len(network.config.contents) == 10
    assert 100 < network.config.styles <= 120


def test_its_file_opens_as_generator_classifier_and_encoder(trained: Path) -> None:
    generator, network = generators.load(str(trained)), read_saae(trained)
    space = generator.spaces["z"]
    assert {name: part.stop - part.start for name, part in space.blocks.items()} == {"content": 36, "style": 6}
    z = generator.draw([5, 6, 5])
    assert torch.equal(z[0], z[2]) and not torch.equal(z[0], z[1])
    assert torch.equal(z[:, :36].sum(1), torch.ones(3))
    images = generator.synthesize(z)
    codes = z[:, space.blocks["style"]]
    contents = z[:, :36].argmax(1)
    assert torch.allclose(images, network.decoder(network.content(network.templates)[contents], codes), atol=1e-6)
    assert generator.name_labels(z)["letter"] == [network.config.contents[number] for number in contents]
    assert torch.allclose(images[:1], generator.synthesize(z[:1]), atol=1e-5)  # rows do not depend on each other
    classifier = classifiers.load(str(trained))
    assert [(a.name, a.values) for a in classifier.attributes] == [("style", ("1", "2"))]
    assert classifier.logits(images).shape == (3, 2)
    encoder = encoders.load(str(trained))
    latents = encoder.encode(images)
    assert encoder.generator == generator.fingerprint and latents.shape == (3, 1, 42)
    assert torch.equal(latents[:, 0, :36].sum(1), torch.ones(3))


def test_a_damaged_file_is_refused(trained: Path, tmp_path: Path) -> None:
    tensors = load_file(trained)
    network = read_saae(trained)
    network.codes[0, 0] = float("nan")
    save_saae(network, tmp_path / "nan.safetensors")
    with pytest.raises(InputError, match="codes is not finite"):
        generators.load(str(tmp_path / "nan.safetensors"))
    for change in (
        {"width": 7}, {"contents": ["A"]}, {"fold": 3}, {"image_shape": [1, 16]}, {"binary": 2}, {"decoder": "b"},
        {"content": "style"}, {"contents": ["A"] * 36}, {"content": ""}, {"content": "glyph\n"},
        {"contents": [" A", *map(str, range(35))]},
    ):  # fmt: skip
        config = {**json.loads(json.dumps(network.config.__dict__)), **change}
        save_file(tensors, tmp_path / "wrong.safetensors", {"saae": json.dumps(config)})
        with pytest.raises(InputError, match="do not match"):
            read_saae(tmp_path / "wrong.safetensors")


@pytest.mark.parametrize(("part", "message"), [("spread", "not positive"), ("critic", "negative")])
def test_a_file_of_impossible_spreads_is_refused(part: str, message: str, trained: Path, tmp_path: Path) -> None:
    network = read_saae(trained)
    spread = network.spread if part == "spread" else network.critic.layers[0][1].running_var
    spread.view(-1)[0] = -0.5
    save_saae(network, tmp_path / "impossible.safetensors")
    for load in (generators.load, classifiers.load, encoders.load):
        with pytest.raises(InputError, match=message):
            load(str(tmp_path / "impossible.safetensors"))


def test_styles_of_held_out_typefaces_are_measured(fonts: Path) -> None:
    styles = GlyphStyles(datasets.load(str(fonts), 16))
    targets, contents, strips = styles.held_out()
    held = styles.data.held_out()
    assert len(targets) == len(held) and strips.shape[3] == 4 * 16
    assert torch.equal(contents, styles.data.labels(held)[:, 0])
    mean = torch.stack([styles.glyphs.render(torch.arange(36), face.expand(36)) for face in styles.styles]).mean(0)
    found = styles.baselines()
    assert found["mean typeface"] == pytest.approx(float((mean[contents] - targets).abs().mean()) / 2, rel=1e-4)
    assert found["nearest training typeface"] < found["mean typeface"]  # they differ by a scale alone
    network = SAAETraining(TINY, styles, bf16=False).average
    facts = measure_held_out(network, styles)
    wanted = (network(contents, strips) - targets).abs().mean() / 2
    assert facts["held_out_error"] == pytest.approx(float(wanted), abs=1e-4)
    assert describe_measures(facts)[1].startswith("note: ")  # untrained


def test_the_command_prints_held_out_figures(fonts: Path, tmp_path: Path) -> None:
    phases = "phases: [{train: both, steps: 2}]"
    (tmp_path / "tiny.yaml").write_text(f"{phases}\nstyle: 6\nwidth: 6\ngroups: 2\nbatch: 6\n")
    words = ("--data", fonts, "--size", 16, "--config", tmp_path / "tiny.yaml", "--out", tmp_path / "out")
    printed = done("train", "saae", *words).output
    assert (
        "difference to the true image, 36 of held-out styles: " in printed and "(nearest training typeface " in printed
    )
    told = read_training(tmp_path / "out" / "saae.safetensors", "saae") or {}
    assert set(told["held_out_baselines"]) == {"nearest training typeface", "mean typeface"}
    assert f"{told['held_out_error']:.3f}" in printed


def test_a_group_without_samples_names_the_setting() -> None:
    labels = SimpleNamespace(attributes=[("style", ("1", "2"))], spec=SimpleNamespace(parents={}))
    grouped = cast(artifacts.Artifact, labels)
    with pytest.raises(InputError, match="0 of 40 samples are labelled style=2") as refusal:
        check_values(grouped, torch.eye(2)[[0] * 40])
    assert "groups in --config" in str(refusal.value.hint)


def test_adaptive_normalisation_reads_the_code(fonts: Path, tmp_path: Path) -> None:
    settings = replace(TINY, decoder="adain", phases=(Phase("both", 2),))
    path, *_ = train_saae(tmp_path, DataRequest(str(fonts), 16), settings, None, Execution())
    decoder = read_saae(path).decoder
    maps, codes = torch.randn(2, 6, 4, 4), torch.randn(2, 6)
    images = decoder(maps, codes)
    assert images.shape == (2, 1, 16, 16) and not torch.allclose(images, decoder(maps, codes + 1))
    assert torch.allclose(images, decoder(3 * maps + 5, codes), atol=1e-3)  # the maps' own moments are lost


@pytest.fixture(scope="module")
def fitted(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose style block is fitted; its labels come from a table, as two groups of so few styles are nothing."""
    folder = tmp_path_factory.mktemp("run")
    generator = generators.load(str(trained))
    codes = generator.draw(range(160))[:, 36]
    lines = [f"{i},{int(code > codes.median())}" for i, code in enumerate(codes)]
    (folder / "labels.csv").write_text("\n".join(["seed,weight", *lines]) + "\n")
    (folder / "table.yaml").write_text("file: labels.csv\nattributes:\n  weight: {values: [light, bold]}\n")
    done("sample", "--gan", trained, "-n", 160, "--run", folder, "--quiet")
    done("label", "--classifier", folder / "table.yaml", "--run", folder, "--quiet")
    done("fit-single", "--block", "style", "--read", "linear", "--steps", 60, "--run", folder, "--quiet")
    return folder


def test_a_fit_in_a_block_keeps_the_rest(fitted: Path) -> None:
    with RunFolder(fitted, Execution()) as run:
        chart, z = run.chart("single"), torch.from_numpy(run.samples["z"])
        assert chart.dim <= 6 and not chart.axes[:36].any()
        moved = chart.carry(z, chart.to_x(z) + 1)
        assert torch.equal(moved[:, :36], z[:, :36]) and (moved[:, 36:] != z[:, 36:]).all()
        assert run.artifact("single").spec.config["block"] == "style"


def test_an_edit_after_it_keeps_the_content(fitted: Path) -> None:
    done("fit-mixture", "--consistency", "off", "--steps", 20, "--run", fitted, "--quiet")
    result = done("edit", "--attr", "weight=bold", "--index", "0-3", "--run", fitted)
    assert "the fit is of the block style alone" in result.output + result.stderr
    with artifacts.open(fitted / "edits.h5") as edits:
        before, after = edits["latent"], edits["latents"][0]
    assert np.array_equal(before[..., :36], after[..., :36]) and (before[..., 36:] != after[..., 36:]).any()


def test_latents_are_drawn_from_a_fitted_mixture(fitted: Path, trained: Path, tmp_path: Path) -> None:
    generator = generators.load(str(trained))
    prior = read_prior(fitted / "single.h5", generator.fingerprint, None)
    z = prior.redraw(generator.draw(range(400)), list(range(400)))
    assert torch.equal(z[:, :36], generator.draw(range(400))[:, :36])
    known = generator.draw(range(160))[:, 36:]
    assert len(torch.unique(z[:, 36:], dim=0)) == 400 > len(torch.unique(known, dim=0))
    assert ((z[:, 36:].mean(0) - known.mean(0)).abs() < known.std(0) / 2).all()
    assert ((z[:, 36:].std(0) / known.std(0) - 1).abs() < 0.3).all()
    done("sample", "--gan", trained, "--prior", fitted / "single.h5", "-n", 400, "--run", tmp_path / "new", "--quiet")
    with RunFolder(tmp_path / "new", Execution()) as run:
        assert np.array_equal(run.samples["z"], z.numpy())
        assert torch.equal(run.renderer.draw([7]), z[7:8])
    done("verify", "--run", tmp_path / "new", "--quiet")


def test_what_is_no_prior_is_refused(fitted: Path, tmp_path: Path) -> None:
    words = ("sample", "-n", 4, "--run", tmp_path)
    result = gmmedit(*words, "--prior", fitted / "samples.h5", "--gan", fitted / "samples.h5")
    assert result.exit_code == 2
    result = gmmedit(*words, "--prior", fitted / "single.h5")
    assert result.exit_code == 2 and "another generator" in result.stderr
    with pytest.raises(InputError, match="not a fit"):
        read_prior(fitted / "samples.h5", "", None)
    result = gmmedit("fit-single", "--block", "styl", "--run", fitted, "--force")
    assert result.exit_code == 2 and "no block 'styl'" in result.stderr and "style" in result.stderr


def test_generate_writes_a_labelled_data_set(trained: Path, fitted: Path, tmp_path: Path) -> None:
    words = ("generate", "--gan", trained, "-n", 300, "--prior", fitted / "single.h5", "--classifier", trained)
    done(*words, "--data-out", tmp_path / "whole", "--quiet")
    data = datasets.load(str(tmp_path / "whole"))
    assert [attribute.name for attribute in data.attributes] == ["letter", "style"] or len(data.attributes) == 1
    assert len(data) == 300 and data.image_shape == (3, 16, 16)
    lines = (tmp_path / "whole" / "labels.csv").read_bytes()
    assert lines.splitlines()[0] == b"file,letter,style"
    broken = tmp_path / "broken"
    done(*words, "--data-out", broken, "--quiet")
    assert (broken / "labels.csv").read_bytes() == lines
    (broken / "labels.csv").rename(broken / "labels.csv.partial")  # as a run that was stopped in its last chunk
    (broken / "labels.csv.partial").write_bytes(b"\n".join(lines.splitlines()[:280]) + b"\n000")
    done(*words, "--data-out", broken, "--quiet")
    assert (broken / "labels.csv").read_bytes() == lines
    assert "up to date" in done(*words, "--data-out", broken).output
    other = gmmedit("generate", "--gan", trained, "-n", 30, "--data-out", broken)
    assert other.exit_code == 2 and "different settings" in other.stderr
    full = gmmedit("generate", "--gan", trained, "-n", 30, "--data-out", fitted)
    assert full.exit_code == 2 and "is not empty" in full.stderr
    silent = gmmedit("generate", "-n", 30, "--data-out", tmp_path / "none")
    assert silent.exit_code == 2 and "--classifier" in silent.stderr


def test_generate_writes_through_no_link_and_misses_no_image(trained: Path, tmp_path: Path) -> None:
    mine, out = tmp_path / "mine.txt", tmp_path / "data"
    mine.write_text("my notes")
    out.mkdir()
    (out / "labels.csv.partial").symlink_to(mine)
    words = ("generate", "--gan", trained, "-n", 2, "--data-out", out)
    result = gmmedit(*words)
    assert result.exit_code == 2 and "symbolic link" in result.output and mine.read_text() == "my notes"
    (out / "labels.csv.partial").unlink()
    done(*words)
    (out / "000001.png").unlink()
    result = gmmedit(*words)
    assert result.exit_code == 2 and "000001.png, which is missing" in result.output


def test_settings_are_read_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "saae.yaml"
    path.write_text("phases: [{train: both, steps: 30}, {train: critic, steps: 10, lr: 0.5}]\nstyle: 8\n")
    settings = read_settings(path)
    assert settings.phases == (Phase("both", 30), Phase("critic", 10, 0.5)) and settings.style == 8
    assert [phase.steps for phase in settings.lasting(4).phases] == [3, 1]
    assert [settings.phase_at(step).train for step in (0, 29, 30, 40)] == ["both", "both", "critic", "critic"]
    assert read_settings(None).steps == sum(phase.steps for phase in SAAESettings().phases)
    for text, message in [
        ("phases: [{train: all, steps: 3}]", "phases.0.train"),
        ("phases: []", "phases"),
        ("phases: [{train: both, step: 3}]", "phases.0.step: unknown key"),
        ("critc: binary", "critc: unknown key"),
        ("data: x", "data: unknown key"),
        ("- 3", "keys and values"),
    ]:
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_settings(path)


def make_few(path: Path) -> None:
    write_typefaces(path, 4)


def make_unlabelled(path: Path) -> None:
    write_images(path, 24)


def make_sizes(path: Path) -> None:
    names = write_images(path, 20)
    Image.new("RGB", (9, 9)).save(path / names[3])


def make_unspeakable(path: Path) -> None:
    lines = [f'{name},"{"a" if i % 2 else "b"}\nc"' for i, name in enumerate(write_images(path, 40))]
    (path / "labels.csv").write_text("\n".join(["file,kind", *lines]) + "\n")


def make_confused(path: Path) -> None:
    lines = [f"{name},{'ab'[i % 2]}" for i, name in enumerate(write_images(path, 40))]
    (path / "labels.csv").write_text("\n".join(["file,style", *lines]) + "\n")


def make_broken(path: Path) -> None:
    path.mkdir()
    (path / "broken.ttf").write_bytes(b"no typeface")


@pytest.mark.parametrize(
    ("make", "words", "message"),
    [
        (make_sizes, (), "images of different sizes"),
        (make_unspeakable, ("--size", 16), "has a value of 'kind' called"),
        (make_confused, ("--size", 16), "calls its content 'style'"),
        (make_broken, (), "0 of 1 typefaces can be used"),
        (make_few, (), "training typefaces, at least 8"),
        (make_unlabelled, ("--size", 16), "has no attribute"),
        (make_unlabelled, ("--size", 128), "at most 64 pixels"),
        (make_few, ("--attr", "colour"), "has no attribute 'colour'"),
    ],
)
def test_data_that_cannot_be_used_are_one_line(
    make: Callable[[Path], None], words: tuple[object, ...], message: str, tmp_path: Path
) -> None:
    make(tmp_path / "data")
    result = gmmedit("train", "saae", "--data", tmp_path / "data", "--out", tmp_path / "out", *words)
    assert result.exit_code == 2 and message in result.stderr and " hint: " in result.stderr


def test_groups_are_found_without_a_draw() -> None:
    random = torch.Generator().manual_seed(0)
    middles = torch.tensor([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]])
    codes = torch.cat(
        [middle + torch.randn(n, 2, generator=random) for n, middle in zip((30, 20, 10), middles, strict=True)]
    )
    centres, spread = group_codes(codes, 3)
    assert (centres - middles).abs().max() < 1 and 0.7 < float(spread) < 1.3
    same, _ = group_codes(torch.ones(5, 3), 3)
    assert same.isfinite().all()


def test_the_plainest_typeface_has_the_most_usual_shapes() -> None:
    upright, crossed = np.eye(6), np.fliplr(np.eye(6))
    shapes = [upright, crossed, upright + np.eye(6, k=1), np.zeros((6, 6)), upright]
    drawn = np.stack([(255 - 200 * shape[None].repeat(2, 0)).clip(0).astype(np.uint8) for shape in shapes])
    assert find_plainest(drawn) in (0, 2, 4)


def test_content_and_style_have_half_of_the_channels() -> None:
    config = SAAEConfig("letter", ("A", "B"), (3, 16, 16), style=5, width=6)
    network = SAAE(config).eval()
    assert network.decoder.layers[0][0].weight.shape[1] == 2 * network.content[-1][0].weight.shape[0]
    assert network(torch.tensor([0, 1]), torch.zeros(2, 3, 16, 48)).shape == (2, 3, 16, 16)
    for encoder in (network.content, network.style.maps):
        assert sum(isinstance(layer, torch.nn.Conv2d) for layer in encoder.modules()) == 3
