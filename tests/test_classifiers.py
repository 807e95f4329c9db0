"""The classifier contract, the small network behind it, its training, and the two shipped networks."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import done
from safetensors.torch import load_file, save_file
from torch import Tensor

import gmmedit.datasets.avatars
from gmmedit.classifiers.attributes import Attribute
from gmmedit.classifiers.base import Classifier
from gmmedit.classifiers.convnet import ConvNetConfig
from gmmedit.classifiers.embedded import build_network, read_network, save_network
from gmmedit.classifiers.patchnet import PatchNetConfig, shift
from gmmedit.classifiers.preprocessing import resize
from gmmedit.classifiers.trained import NetworkConfig, TrainedNetwork
from gmmedit.datasets.avatars.factors import ATTRIBUTES, DETAILS, NUISANCES, sample_independent
from gmmedit.datasets.avatars.renderer import render
from gmmedit.errors import InputError
from gmmedit.training.classifier import (
    EVALUATION,
    LABELLING,
    MILD,
    NETWORKS,
    AvatarClassifierTraining,
    ClassifierSettings,
    accuracy,
)
from gmmedit.training.disturbances import Augmentation, StrongAugmentation, blur, displace, shift_pixels
from gmmedit.training.loop import check_settings

WEIGHTS = Path(gmmedit.datasets.avatars.__file__).parent / "weights"
SHIPPED = dict(NETWORKS.values())
SIZES = [len(values) for values in ATTRIBUTES.values()]
TINY = ConvNetConfig(LABELLING.network.attributes, NUISANCES, widths=(8, 8), features=8)
TINY_PATCHES = PatchNetConfig(
    LABELLING.network.attributes, NUISANCES, widths=(9, 9), depths=(1, 1), heads=2, features=8
)


def start(settings: ClassifierSettings) -> AvatarClassifierTraining:
    return AvatarClassifierTraining(settings, "classifier")


class Linear(Classifier):
    """Logits that are the first pixels."""

    attributes = [Attribute("smile", ("no", "yes")), Attribute("hair", ("black", "red", "grey"))]  # noqa: RUF012

    def logits(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :5]


@pytest.fixture(scope="module")
def images() -> Tensor:
    return render(sample_independent(16, seed=91))


@pytest.fixture(params=SHIPPED)
def shipped(request) -> TrainedNetwork:
    return read_network(WEIGHTS / f"{request.param}.safetensors")


def tiny(seed: int = 0, config: NetworkConfig = TINY) -> TrainedNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_network(config).eval()


def test_probabilities_are_a_softmax_within_each_attribute():
    odds = torch.linspace(-6, 6, 5)
    logits = torch.stack([-odds / 2, odds / 2, odds, 0 * odds, 1 - odds], dim=1)
    labels = Linear().probabilities(logits.view(5, 1, 1, 5).expand(5, 3, 1, 5))
    torch.testing.assert_close(labels[:, 1], odds.sigmoid())
    torch.testing.assert_close(labels[:, 2:], logits[:, 2:].softmax(1))


def test_shipped_probabilities_sum_to_one_over_centred_logits(shipped, images):
    labels, logits = shipped.probabilities(images), shipped.logits(images)
    assert labels.shape == (16, sum(SIZES))
    assert labels.amin() >= 0
    for label, logit in zip(labels.split(SIZES, 1), logits.split(SIZES, 1), strict=True):
        torch.testing.assert_close(label.sum(1), torch.ones(16))
        torch.testing.assert_close(logit.sum(1), torch.zeros(16), atol=1e-5, rtol=0)


def test_gradient_flows_to_each_image_from_its_own_labels_only(shipped, images):
    images = images.clone().requires_grad_(True)
    labels = shipped.probabilities(images)
    for column in range(0, labels.shape[1], 2):
        (gradient,) = torch.autograd.grad(labels[3, column], images, retain_graph=True)
        assert gradient.isfinite().all()
        assert gradient[3].abs().max() > 0
        assert not gradient[:3].any() and not gradient[4:].any()


def test_rows_do_not_depend_on_the_batch(shipped, images):
    whole = shipped.probabilities(images)
    for row in range(16):
        alone = shipped.probabilities(images[row : row + 1])
        torch.testing.assert_close(alone[0], whole[row], atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("augmentation", [None, MILD], ids=["clean", "mild"])
def test_shipped_weights_read_held_out_avatars(name, augmentation):
    network = read_network(WEIGHTS / f"{name}.safetensors")
    assert network.config == SHIPPED[name].network
    scores = accuracy(network, 500, seed=77, augmentation=augmentation)
    assert list(scores) == [*ATTRIBUTES, *network.config.nuisances]
    assert all(scores[name] >= 0.97 for name in ATTRIBUTES), scores
    assert all(scores[name] >= 0.9 for name in NUISANCES if name in network.config.nuisances), scores
    details = [scores[name] for name in DETAILS if name in network.config.nuisances]
    assert not details or sum(score >= 0.5 for score in details) >= 6, scores  # jaw and wrinkles are too faint


def test_quality_tells_of_the_generator_and_of_both_classifiers(monkeypatch):
    monkeypatch.setattr("gmmedit.training.quality.HELD_OUT", 64)
    told = json.loads(done("train", "quality", "-n", 100).stdout, parse_constant=pytest.fail)
    assert told["samples"] == 100 and told["rates"].keys() == {f"{a}={v}" for a in ATTRIBUTES for v in ATTRIBUTES[a]}
    assert told["frechet"]["two halves of the data"] < told["frechet"]["generator"]
    nuisances = {"avatars": (), "avatars-eval": NUISANCES, "avatars-factors": DETAILS + NUISANCES}
    assert told["agreement"]["avatars-eval"] == pytest.approx(dict.fromkeys([*ATTRIBUTES, *NUISANCES], 1))
    assert list(told["agreement"]["avatars-factors"]) == [*ATTRIBUTES, *NUISANCES]
    assert min(told["agreement"]["avatars-factors"].values()) > 0.7
    assert list(told["agreement"]["avatars"]) == list(ATTRIBUTES)
    assert told["accuracy"].keys() == nuisances.keys()
    for name, readings in told["accuracy"].items():
        assert readings.keys() == {"clean", "mildly disturbed"}
        for scores in readings.values():
            assert list(scores) == [*ATTRIBUTES, *nuisances[name]]
            assert min(score for factor, score in scores.items() if factor not in DETAILS) > 0.8


def test_shipped_networks_are_small_and_different():
    paths = [WEIGHTS / f"{name}.safetensors" for name in SHIPPED]
    assert all(path.stat().st_size < 1.5e6 for path in paths)
    assert len({read_network(path).fingerprint for path in paths}) == len(paths)


@pytest.mark.parametrize("config", [TINY, TINY_PATCHES], ids=["convnet", "patchnet"])
def test_what_was_saved_is_read(tmp_path, images, config):
    network = tiny(config=config)
    save_network(network, tmp_path / "a.safetensors")
    copy = read_network(tmp_path / "a.safetensors")
    assert type(copy) is type(network) and copy.config == network.config
    network.load_state_dict({k: v.to(network.stored).float() for k, v in network.state_dict().items()})
    assert torch.equal(copy.probabilities(images), network.probabilities(images))
    assert copy.features(images).shape == (16, 8)
    assert torch.equal(copy.nuisances(images), network.nuisances(images))
    assert copy.nuisances(images).shape == (16, len(NUISANCES))
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]


def test_the_fingerprint_is_of_the_weights(tmp_path):
    network = tiny()
    prints = []
    for name in "abc":
        if name == "c":
            network.head.bias.data[5] *= -1
        save_network(network, tmp_path / name)
        prints.append(read_network(tmp_path / name).fingerprint)
    assert prints[0] == prints[1] != prints[2]
    assert len(prints[0]) == 64


def test_what_is_no_classifier_is_refused(tmp_path):
    path = tmp_path / "network.safetensors"
    with pytest.raises(InputError, match="there is no file"):
        read_network(path)
    save_network(tiny(), path)
    whole, tensors = path.read_bytes(), load_file(path)
    for content in (b"", b"{}", whole[:-4]):
        path.write_bytes(content)
        with pytest.raises(InputError, match="is not a convnet file that gmmedit wrote"):
            read_network(path)
    for metadata, phrase in (
        (None, "is not a convnet file that gmmedit wrote"),
        ({"stylegan2": "{}"}, "is not a convnet file that gmmedit wrote"),
        ({"convnet": "{}"}, "weights and configuration do not match"),
        ({"convnet": '["?"]'}, "weights and configuration do not match"),
    ):
        save_file(tensors, path, metadata)
        with pytest.raises(InputError, match=phrase):
            read_network(path)


def test_images_of_another_size_are_resized(images):
    network = read_network(WEIGHTS / "classifier.safetensors")
    assert resize(images, (64, 64)) is images
    guesses = network.logits(images).sign()
    for double in (images.repeat_interleave(2, 2).repeat_interleave(2, 3), resize(images, (150, 130))):
        assert (network.logits(double).sign() == guesses).float().mean() > 0.97
    stripes = torch.ones(1, 3, 256, 256)
    stripes[..., ::2] = -1
    assert resize(stripes, (64, 64))[..., 1:-1].abs().max() < 1e-6  # low-passed, not picked


def test_blur_keeps_flat_images_and_spreads_a_point_as_a_gaussian():
    sigma = torch.tensor([0.0, 0.5, 1.0, 2.0])[:, None, None, None]
    flat = torch.full((4, 3, 64, 64), 0.7)
    torch.testing.assert_close(blur(flat, sigma), flat)
    point = torch.zeros(4, 3, 64, 64)
    point[:, :, 30, 20] = 1
    spread = blur(point, sigma)
    torch.testing.assert_close(spread[0], point[0])
    offsets = (torch.arange(64.0) - 20) ** 2
    variance = (spread[:, 0].sum(dim=1) * offsets).sum(dim=1)
    torch.testing.assert_close(variance[2:], torch.tensor([1.0, 4.0]), atol=1e-3, rtol=0)


def test_augmentation_follows_its_generator_and_strengths(images):
    def disturbed(augmentation: Augmentation, seed: int) -> Tensor:
        return augmentation(images, torch.Generator().manual_seed(seed))

    none = Augmentation(blur=0, noise=0, gain=0, bias=0, coarsest=1)
    torch.testing.assert_close(disturbed(none, 1), images)
    assert torch.equal(disturbed(MILD, 1), disturbed(MILD, 1))
    assert not torch.equal(disturbed(MILD, 1), disturbed(MILD, 2))
    for name, strength in {"blur": 1, "noise": 0.08, "gain": 0.1, "bias": 0.1, "coarsest": 0.5}.items():
        change = (disturbed(replace(none, **{name: strength}), 1) - images).abs()
        touched = change.flatten(1).amax(1) > 1e-3
        assert touched.sum() in ([4] if name == "coarsest" else range(13, 17)), name  # a few draw about 0
        assert change.mean() < 0.1, name


@pytest.mark.parametrize("kind", ["evaluation", "factors"])
def test_training_resumes_as_if_never_stopped(tmp_path, kind):
    network = {"evaluation": TINY, "factors": replace(TINY_PATCHES, nuisances=DETAILS + NUISANCES)}[kind]
    settings = replace(NETWORKS[kind][1], network=network, images=32, batch=8)
    whole = start(settings)
    log = [(p.images, p.losses) for p in whole]
    assert [images for images, _ in log] == [8, 16, 24, 32]

    first = start(settings)
    steps = iter(first)
    halves = [next(steps) for _ in range(2)]
    torch.save(first.state(), tmp_path / "checkpoint.pt")
    second = start(settings)
    second.load_state(torch.load(tmp_path / "checkpoint.pt", weights_only=True))
    halves += second
    assert [(p.images, p.losses) for p in halves] == log
    for name, tensor in whole.average.state_dict().items():
        assert torch.equal(tensor, second.average.state_dict()[name]), name
        assert torch.equal(whole.network.state_dict()[name], second.network.state_dict()[name]), name


def test_strong_disturbances_follow_their_generator_and_strengths(images):
    def disturbed(augmentation: Augmentation, seed: int) -> Tensor:
        return augmentation(images, torch.Generator().manual_seed(seed))

    none = StrongAugmentation(blur=0, noise=0, gain=0, bias=0, coarsest=1, ghost=0, bend=0, blotches=0)
    torch.testing.assert_close(disturbed(none, 1), images, atol=1e-4, rtol=0)
    assert torch.equal(disturbed(StrongAugmentation(), 1), disturbed(StrongAugmentation(), 1))
    for name, strength in {"ghost": 0.25, "bend": 0.8, "blotches": 0.06}.items():
        change = (disturbed(replace(none, **{name: strength}), 1) - images).abs()
        assert (change.flatten(1).amax(1) > 1e-3).sum() >= 13, name  # a few draw about 0
        assert change.mean() < 0.1, name


def test_displaced_images_are_taken_from_elsewhere(images):
    right = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(16, 2, 64, 64)
    torch.testing.assert_close(displace(images, right)[..., :-1], images[..., 1:], atol=1e-4, rtol=0)


def test_shifts_move_each_group_of_channels_to_another_neighbour():
    point = torch.zeros(1, 5, 5, 18)
    point[0, 2, 2] = 1
    places = shift(point)[0].nonzero()
    assert sorted(places[:, :2].unique(dim=0).tolist()) == [[i, j] for i in (1, 2, 3) for j in (1, 2, 3)]
    assert places[:, 2].sort().values.tolist() == list(range(18))


def test_shifted_images_are_whole_and_moved():
    images = torch.rand(64, 1, 8, 8)
    moved = shift_pixels(images, 2, torch.Generator().manual_seed(0))
    inner = images[:, :, 3:5, 3:5]
    places = [(y, x) for y in range(5) for x in range(5)]
    found = [
        [torch.equal(moved[i, :, 3 + y - 2 : 5 + y - 2, 3 + x - 2 : 5 + x - 2], inner[i]) for y, x in places]
        for i in range(64)
    ]
    assert all(sum(row) == 1 for row in found)  # each was moved as a whole, by at most two pixels
    assert len({row.index(True) for row in found}) > 15


def test_training_learns():
    network = replace(TINY, features=32)
    settings = replace(LABELLING, network=network, images=960, batch=16, lr=0.01, average_images=100)
    training = start(settings)
    losses = [step.losses["loss"] for step in training]
    assert losses[-1] < 0.7 * losses[0]
    assert accuracy(training.average, 128, seed=5)["hair_color"] > 0.6  # 0.2 by chance


def test_a_checkpoint_of_other_settings_is_refused():
    settings = replace(LABELLING, network=TINY)
    saved = start(replace(settings, batch=64)).state()["settings"]
    check_settings(saved, replace(settings, batch=64), Path("a.checkpoint"))
    with pytest.raises(InputError, match="different settings: batch is 64 there and 128 now"):
        check_settings(saved, settings, Path("a.checkpoint"))


def test_the_worst_picture_is_near_and_worse():
    training = start(replace(LABELLING, network=TINY, radius=0.5))
    images, values, _ = training.draw_part(0)
    worst = training.find_worst(images, values)
    assert (worst - images).flatten(1).norm(dim=1).max() <= 0.5 + 1e-4
    with torch.no_grad():
        losses = [training.label_loss(training.predict(x)[0], values) for x in (images, worst)]
    assert losses[1] > losses[0]


def test_the_labelling_network_is_harder_to_talk_over_than_the_evaluating_one():
    factors = sample_independent(48, 21)
    images, found = render(factors), {}
    for settings, name in ((LABELLING, "avatars"), (EVALUATION, "avatars-eval")):
        training = start(replace(settings, radius=2.0))
        training.network.load_state_dict(gmmedit.classifiers.load(name).state_dict())
        columns, _ = training.predict(training.find_worst(images, factors.attributes))
        guesses = torch.stack([column.argmax(1) for column in columns], 1)
        found[name] = (guesses == factors.attributes).float().mean().item()
    assert found["avatars"] > found["avatars-eval"]
    assert found["avatars"] > 0.9
