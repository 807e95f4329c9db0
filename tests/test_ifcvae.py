"""IFcVAE-GAN: its file as generator, encoder and classifier, its training, and the editor that sets one unit."""

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import done, gmmedit
from small_material import drawn, logits_of, material
from test_train_data import make_labelled, make_one, make_plain, write_stripes

from gmmedit import artifacts, classifiers, datasets, encoders, generators
from gmmedit.editors.base import Unsuitable
from gmmedit.editors.catalogue import fit_editor
from gmmedit.errors import InputError
from gmmedit.evaluation.latent_attributes import find_codes
from gmmedit.networks.ifcvae import IFcVAE, IFcVAEConfig, read_ifcvae, save_ifcvae
from gmmedit.networks.weights import starts_safetensors
from gmmedit.runtime.execution import Execution
from gmmedit.runtime.signals import Stopped, StopRequest
from gmmedit.training import ifcvae_from_data, ifcvae_settings, loop
from gmmedit.training.from_data import DataRequest
from gmmedit.training.ifcvae_alignment import fit_alignment
from gmmedit.training.ifcvae_from_data import train_ifcvae
from gmmedit.training.ifcvae_gan import Moments, joint_rates
from gmmedit.training.ifcvae_result import make_sheet

PAIRS = (("smile", ("no", "yes")), ("hat", ("none", "straw")))
CONFIG = IFcVAEConfig(PAIRS, identity=5, image_shape=(3, 16, 16), widths=(8, 8), features=16)


def write_network(path: Path) -> IFcVAE:
    """A random network whose own labels of its samples are yes about as often as no, with an alignment."""
    torch.manual_seed(0)
    network = IFcVAE(CONFIG)
    fit_alignment(network.alignment, torch.randn(60, 5), torch.randn(60, 5) - 2, torch.randint(2, (60, 2)))
    network.rates.copy_(torch.tensor([0.5, 0.0, 0.2, 0.3]))
    with torch.no_grad():
        latents = torch.cat([torch.randint(2, (200, 2)).float(), torch.randn(200, 5)], 1)
        log_odds = network.encoder(network.decode(latents))[2]
        head = network.encoder.attribute
        scale = 3 / log_odds.std(0)
        head.weight.mul_(scale[:, None])
        head.bias.copy_((head.bias - log_odds.median(0).values) * scale)
    save_ifcvae(network, path, {"data": "none"})
    return network


def test_one_file_is_a_generator_an_encoder_and_a_classifier(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    network = write_network(path)
    generator, encoder, classifier = (room.load(str(path)) for room in (generators, encoders, classifiers))
    latents = generator.draw(range(6))
    images = generator.synthesize(latents)
    assert images.shape == (6, 3, 16, 16) and torch.allclose(images, network.decode(latents), atol=0.02)
    blocks = generator.spaces["z"].blocks
    assert blocks == {"attribute": slice(0, 2), "identity": slice(2, 7)}
    found = encoder.encode(images)[:, 0]
    assert found.shape == latents.shape and encoder.generator == generator.fingerprint == classifier.fingerprint
    labels = classifier.probabilities(images)
    assert torch.allclose(labels[:, 1::2], found[:, blocks["attribute"]], atol=1e-5), "one head"
    assert [(a.name, a.values) for a in classifier.attributes] == list(PAIRS)
    assert torch.equal(encoder.encode(images[2:3]), encoder.encode(images)[2:3]) or torch.allclose(
        encoder.encode(images[2:3]), encoder.encode(images)[2:3], atol=1e-5
    )


def test_the_prior_draws_attributes_as_often_together_as_in_the_data(tmp_path: Path) -> None:
    values = torch.tensor([[0, 0], [1, 0], [1, 1], [1, 1]])
    assert joint_rates(values).tolist() == [0.25, 0.25, 0.0, 0.5]
    write_network(tmp_path / "model.safetensors")
    generator = generators.load(str(tmp_path / "model.safetensors"))
    latents = generator.draw(range(2_000))
    numbers = (latents[:, 0] + 2 * latents[:, 1]).long().bincount(minlength=4) / 2_000
    assert torch.allclose(numbers, torch.tensor([0.5, 0.0, 0.2, 0.3]), atol=0.04) and numbers[1] == 0
    assert torch.equal(generator.draw([7, 1_999]), latents[[7, 1_999]])
    assert abs(float(latents[:, 2:].std()) - 1) < 0.05


@pytest.mark.parametrize("change", [
    {"identity": 10**9}, {"widths": []}, {"attributes": [["smile", ["no"]]]}, {"x": 1},
    {"attributes": [["smile", ["no", "yes"]], ["smile", ["none", "straw"]]]},
    {"attributes": [["smile", ["no", "no"]], ["hat", ["none", "straw"]]]},
    {"attributes": [["", ["no", "yes"]], ["hat", ["none", "straw"]]]},
    {"attributes": [["smile", ["no", "yes\u001b[2J"]], ["hat", ["none", "straw"]]]},
])  # fmt: skip
def test_a_file_whose_shape_is_another_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    from gmmedit.networks.weights import read_weights, write_weights

    write_network(tmp_path / "model.safetensors")
    config, tensors = read_weights(tmp_path / "model.safetensors", "ifcvae-gan")
    write_weights(tmp_path / "other.safetensors", tensors, "ifcvae-gan", config | change)
    with pytest.raises(InputError, match="weights and configuration do not match") as caught:
        read_ifcvae(tmp_path / "other.safetensors")
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("rounds", [0, 1])
def test_a_file_of_an_older_version_says_so(rounds: int, tmp_path: Path) -> None:
    """They had no alignment, or one that went over the attributes once."""
    from gmmedit.networks.weights import read_weights, write_weights

    write_network(tmp_path / "model.safetensors")
    config, tensors = read_weights(tmp_path / "model.safetensors", "ifcvae-gan")
    older = {
        name: tensor[: 2 * rounds] if name in ("alignment.shifts", "alignment.scales") else tensor
        for name, tensor in tensors.items()
        if rounds or not name.startswith("alignment")
    }
    write_weights(tmp_path / "older.safetensors", older, "ifcvae-gan", config)
    with pytest.raises(InputError, match="older.safetensors was trained by an older version") as caught:
        generators.load(str(tmp_path / "older.safetensors"))
    assert caught.value.hint == "train it again: gmmedit train ifcvae-gan"


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("alignment.factor", lambda old: 0 * old, "positive diagonal"),
        ("alignment.factor", lambda old: old + 1, "lower triangular"),
        ("alignment.scales", lambda old: -old, "positive definite"),
        ("alignment.scales", lambda old: 0 * old, "positive definite"),
        ("alignment.scales", lambda old: old + torch.ones_like(old).triu(1), "symmetric"),
        ("alignment.scales", lambda old: torch.nan * old, "alignment|converge|finite"),
        ("rates", lambda old: 0 * old, "no probabilities"),
        ("rates", lambda old: torch.ones_like(old), "no probabilities"),
    ],
)
def test_a_file_that_no_training_writes_is_refused(
    name: str, change: Callable[[torch.Tensor], torch.Tensor], says: str, tmp_path: Path
) -> None:
    from gmmedit.networks.weights import read_weights, write_weights

    write_network(tmp_path / "model.safetensors")
    config, tensors = read_weights(tmp_path / "model.safetensors", "ifcvae-gan")
    whole = tensors | {"alignment.factor": tensors["alignment.factor"].double()}
    write_weights(tmp_path / "whole.safetensors", whole, "ifcvae-gan", config)
    assert read_ifcvae(tmp_path / "whole.safetensors").alignment.factor.dtype == torch.float32
    write_weights(tmp_path / "other.safetensors", tensors | {name: change(tensors[name])}, "ifcvae-gan", config)
    with pytest.raises(InputError, match=says):
        read_ifcvae(tmp_path / "other.safetensors")


def test_a_header_whose_length_begins_like_a_pickle_is_of_safetensors() -> None:
    for head in (b"\x80\x02\0\0\0\0\0\0{", b"\x80\x04\0\0\0\0\0\0{"):
        assert starts_safetensors(head)
    assert not starts_safetensors(b"\x80\x02cdnnlib{") and not starts_safetensors(b"\x80\x02\0\0")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny networks, in float32."""

    def size_tiny(*words: object) -> ifcvae_settings.IFcVAESettings:
        settings = ifcvae_settings.size_ifcvae(*words)  # type: ignore[arg-type]
        network = replace(settings.network, identity=5, widths=(8, 8), features=16)
        return replace(settings, network=network, batch=16, lr=3e-3, width=8, adversary_width=16, r1_every=2)

    monkeypatch.setattr(ifcvae_from_data, "size_ifcvae", size_tiny)
    monkeypatch.setattr(ifcvae_from_data, "gains_from_bf16", lambda device: False)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step is logged and saved."""
    for name in ("LOG_EVERY", "CHECKPOINT_EVERY"):
        monkeypatch.setattr(loop, name, 1)


@pytest.mark.parametrize("value", [torch.nan, -1.0])
def test_moments_of_a_diverged_training_draw_what_is_not_finite(value: float) -> None:
    moments = Moments(3)
    moments.covariance.fill_(value)
    assert moments.draw(torch.ones(2, 3)).isnan().all()
    moments.covariance.copy_(torch.eye(3))
    assert moments.draw(torch.ones(2, 3)).tolist() == [[1.0] * 3] * 2


@pytest.mark.usefixtures("tiny", "watched")
def test_a_stopped_training_ends_with_the_same_bytes(tmp_path: Path) -> None:
    write_stripes(tmp_path / "data")
    request = DataRequest(str(tmp_path / "data"), 16, 48)

    def train(out: Path, execution: Execution) -> Path:
        return train_ifcvae(out, request, ["side"], execution)[0]

    whole = train(tmp_path / "whole", Execution())
    stop = StopRequest()
    with pytest.raises(Stopped):
        train(tmp_path / "broken", Execution(tick=lambda *_: stop.ask(signal.SIGINT), stop=stop))
    assert not (tmp_path / "broken" / whole.name).exists()
    assert train(tmp_path / "broken", Execution()).read_bytes() == whole.read_bytes()
    assert train(tmp_path / "other", Execution()).read_bytes() == whole.read_bytes()
    lines = [json.loads(line) for line in (tmp_path / "whole" / "ifcvae-gan.jsonl").read_text().splitlines()]
    assert len(lines) == 3
    assert {"reconstruction", "consistency", "adversary", "gan", "leak", "d_loss"} <= lines[0].keys()


@pytest.mark.usefixtures("tiny")
def test_what_a_command_trains_tells_the_sides_apart(tmp_path: Path) -> None:
    write_stripes(tmp_path / "data")
    words = ("--data", tmp_path / "data", "--attr", "side", "--size", 16, "--out", tmp_path / "out")
    result = done("train", "ifcvae-gan", *words, "--images", 2_400)
    path = tmp_path / "out" / "ifcvae-gan.safetensors"
    assert f"wrote {path}" in result.output and "accuracy side 1.000" in result.output
    facts = json.loads(done("inspect", path, "--json").output)
    assert facts["family"] == "IFcVAE-GAN" and facts["training_held_out_accuracy"] == {"side": 1.0}
    assert facts["attributes"] == [["side", ["left", "right"]]] and facts["training_images_shown"] == 2_400
    network = read_ifcvae(path)
    images = datasets.load(str(tmp_path / "data"), 16).images(range(8))
    sheet = make_sheet(network, images)
    assert sheet.shape == (5, 8, 16, 16, 3) and sheet.dtype == np.uint8
    left, right = sheet[2].astype(float), sheet[3].astype(float)
    change = (left - right).mean((0, 1, 3))  # by column
    assert change[:8].mean() > 20 > -20 > change[8:].mean(), "the bright half moves"


@pytest.mark.usefixtures("tiny", "watched")
@pytest.mark.parametrize("ablation", ["no-adversary", "no-consistency", "no-gan", "conditional"])
def test_ablations_leave_out_what_they_name(ablation: ifcvae_settings.Ablation, tmp_path: Path) -> None:
    write_stripes(tmp_path / "data")
    path, _, _ = train_ifcvae(
        tmp_path / "out", DataRequest(str(tmp_path / "data"), 16, 16), ["side"], Execution(), ablation
    )
    (line,) = [json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()]
    absent = {"no-adversary": {"adversary"}, "no-consistency": {"consistency"}, "no-gan": {"gan"}}
    zero = {name for name in ("adversary", "consistency", "gan") if line[name] == 0}
    assert zero == absent.get(ablation, {"adversary", "consistency"})


@pytest.mark.parametrize(
    ("make", "words", "message", "hint"),
    [
        (make_labelled, ("--attr", "smile"), "has no attribute 'smile'", "there are: glasses, kind"),
        (make_one, ("--attr", "smile"), "has smile=no for every image", "choose another --attr"),
        (make_labelled, ("--attr", "glasses"), "training images with these labels, 64 are needed", "thousands"),
        (make_plain, ("--attr", ","), "no attribute to factor out", "--attr smile"),
    ],
)
def test_data_that_cannot_be_factored(
    make: object, words: tuple[str, ...], message: str, hint: str, tmp_path: Path
) -> None:
    make(tmp_path / "data")  # type: ignore[operator]
    options = ("--data", tmp_path / "data", "--out", tmp_path / "out", "--size", 16)
    result = gmmedit("train", "ifcvae-gan", *options, *words)
    assert result.exit_code == 2 and message in result.stderr and hint in result.stderr, result.output
    assert not list((tmp_path / "out").glob("*"))


def test_an_attribute_of_many_values_is_refused(tmp_path: Path) -> None:
    result = gmmedit("train", "ifcvae-gan", "--data", "avatars", "--attr", "hair_color", "--out", tmp_path)
    assert result.exit_code == 2 and "hair_color has 5 values" in result.stderr and "two values" in result.stderr


# The editor


def test_setting_a_unit_changes_nothing_else() -> None:
    latents = drawn(9, 6)
    given = material(latents, logits_of(latents))
    editor = fit_editor("code", replace(given, codes={c: (c // 2, float(c % 2)) for c in range(7)}))
    x = latents[:, None]
    moved, others = editor.trajectory(x, 3)(1.0), [0, 2, 3, 4, 5]
    assert torch.allclose(moved[..., 1], torch.ones(9, 1)) and torch.equal(moved[..., others], x[..., others])
    away = editor.edit(x, 3, torch.full((9,), -1.0))
    assert torch.allclose(away[..., 1], torch.zeros(9, 1)), "away is towards the other value"
    with pytest.raises(Unsuitable, match="a unit of the latent for every labelled attribute"):
        fit_editor("code", given)


def test_labels_and_units_are_matched_by_name(tmp_path: Path) -> None:
    write_network(tmp_path / "model.safetensors")
    generator = generators.load(str(tmp_path / "model.safetensors"))
    attributes = [("hat", ["straw", "none"]), ("age", ["young", "old"]), ("smile", ["no", "yes"])]
    assert find_codes(generator, attributes) == {0: (1, 1.0), 1: (1, 0.0), 4: (0, 0.0), 5: (0, 1.0)}
    assert find_codes(generators.load("avatars"), attributes) == {}


def test_the_steps_work_on_the_file(tmp_path: Path) -> None:
    path, run = tmp_path / "model.safetensors", ("--run", tmp_path / "run")
    write_network(path)
    (tmp_path / "quick.yaml").write_text(
        "fit_single: {steps: 60, batch: 64, read: linear}\nfit_mixture: {steps: 2, batch: 8, precision: fp32}\n"
        "invert: {own: 2}\ncompare: {starts: 4}\n"
    )
    quick = (*run, "--config", tmp_path / "quick.yaml", "--quiet")
    done("sample", "--gan", path, "-n", 200, *run, "--quiet")
    done("label", "--classifier", path, *run, "--quiet")
    done("fit-single", *quick)
    done("fit-mixture", *quick)
    done("edit", "--attr", "smile", "--polish", 4, "--index", "0-1", *run, "--quiet")
    images = next((tmp_path / "run" / "edits").glob("image_0*.png"))
    done("invert", images, "--steps", 0, *quick)
    with artifacts.open(tmp_path / "run" / "inversions.h5") as inversions:
        assert inversions.spec.config["encoder"] == str(path), "the file's own encoder"
        assert inversions["latents"].shape == (1, 1, 7)
    done("compare", "-n", 30, "--editors", "code,none", "--classifier", path, *quick)
    with artifacts.open(tmp_path / "run" / "comparison.h5") as comparison:
        assert comparison.attrs["editors"] == ["code", "none"]
