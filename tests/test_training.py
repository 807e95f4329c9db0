"""Training of the embedded generator: it resumes, grows, and hands over what it has learned."""

import json
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gmmedit.classifiers.convnet import ConvNet, ConvNetConfig
from gmmedit.datasets.avatars.factors import sample_causal
from gmmedit.datasets.avatars.renderer import render
from gmmedit.errors import InputError, RunError
from gmmedit.generators import stylegan2
from gmmedit.generators.stylegan2 import StyleGAN2Config
from gmmedit.pictures.pixels import to_bytes
from gmmedit.runtime.execution import Execution
from gmmedit.training import loop as runs
from gmmedit.training.classifier import AVATARS, CRITIC
from gmmedit.training.stylegan2 import GANTraining, pair_rates
from gmmedit.training.stylegan2_settings import GANSettings, Knot

SETTINGS = GANSettings(phases=((16, 32), (32, 16)), batch=8, pool=32, schedule=(Knot(0, 1, 0.2, 2), Knot(16, 0.5)))


@pytest.fixture(scope="module")
def pool() -> np.ndarray:
    return to_bytes(render(sample_causal(SETTINGS.pool, 5)))


def training(phase: int = 0) -> GANTraining:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        critic = ConvNet(ConvNetConfig(AVATARS, widths=(4, 8), features=8)).requires_grad_(False)
    return GANTraining(SETTINGS, critic, phase)


def weights(it: GANTraining) -> list[torch.Tensor]:
    return [*it.g.state_dict().values(), *it.d.state_dict().values(), *it.average.state_dict().values()]


def test_a_resumed_run_goes_on_as_if_it_had_never_stopped(pool):
    straight, first, second = training(), training(), training()
    steps = list(straight.run(pool))
    assert [step.images for step in steps] == [8, 16, 24, 32]
    iterator = first.run(pool)
    next(iterator), next(iterator)
    second.load_state(first.state())
    assert len(list(second.run(pool))) == 2
    assert all(torch.equal(a, b) for a, b in zip(weights(straight), weights(second), strict=True))


def test_another_network_trains_without_a_critic():
    network = StyleGAN2Config(resolution=32, channels=(8, 8, 8, 4), z_dim=4, w_dim=6)
    other = GANTraining(replace(SETTINGS, network=network, width=16), None, phase=1)
    images = np.zeros((3, 32, 32, 3), np.uint8)
    assert [step.images for step in other.run(images)] == [8, 16]
    assert other.average.synthesize(other.average.map(torch.zeros(2, 4))).shape == (2, 3, 32, 32)


def test_a_grown_run_takes_over_what_it_can(pool):
    small = training()
    list(small.run(pool))
    grown = small.grow()
    assert (grown.phase, grown.resolution) == (1, 32)
    assert torch.equal(grown.g.synthesis.b16.conv1.weight, small.g.synthesis.b16.conv1.weight)
    assert torch.equal(grown.d.blocks.b8.conv0.weight, small.d.blocks.b8.conv0.weight)
    assert not grown.g.synthesis.b32.torgb.weight.any()
    assert small.knot() == Knot(0) and grown.knot() == Knot(0, 1, 0.2, 2)
    grown.step = 1
    assert grown.knot() == Knot(0, 0.75, 0.2, 2)  # half of the way to the next knot
    grown.step = 0
    assert len(list(grown.run(pool))) == 2


def test_a_full_disk_is_one_line_and_the_training_goes_on(tmp_path, monkeypatch):
    network = ConvNetConfig(AVATARS, widths=(4, 8), features=8)
    monkeypatch.setattr(runs, "CRITIC", replace(CRITIC, network=network, images=8, batch=8))
    monkeypatch.setattr(runs, "CHECKPOINT_EVERY", 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in (0, 100_000, 1_000_000):  # stops at the critic, the renders, a checkpoint
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            with pytest.raises(RunError, match="no space left for"):
                runs.train_generator(tmp_path, SETTINGS, Execution())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert stylegan2.read_generator(runs.train_generator(tmp_path, SETTINGS, Execution())).image_shape == (
        3,
        32,
        32,
    )


@pytest.mark.parametrize("phases", ["", "64", "128:10", "64:10,32:10", "64:10:3", "x:1"])
def test_what_are_no_phases(phases):
    with pytest.raises(InputError, match="--phases"):
        GANSettings.parse(None, phases)


def test_phases():
    assert GANSettings.parse(3, "16:10,64:20") == GANSettings(seed=3, phases=((16, 10), (64, 20)))
    assert GANSettings.parse(None, None) == GANSettings()


def test_the_rates_of_pairs_are_those_of_the_factors():
    factors = sample_causal(500, 3)
    pairs, old, grey = pair_rates(factors), 7, 16
    assert torch.equal(pairs, pairs.T)
    together = (factors.attributes[:, 3] == 1) & (factors.attributes[:, 6] == 4)
    assert pairs[old, grey] == pytest.approx(together.float().mean().item())
    assert pairs[grey, grey] == pytest.approx((factors.attributes[:, 6] == 4).float().mean().item())


def test_imbalance_favours_what_is_missing():
    it = training(1)
    columns = [len(values.values) for values in AVATARS]
    labels = torch.cat([torch.eye(n)[torch.zeros(8, dtype=torch.long)] for n in columns], 1).requires_grad_(True)
    for _ in range(50):  # nobody ever smiles
        term = it.imbalance(labels)
    (gradient,) = torch.autograd.grad(term, labels)
    assert (gradient[:, 1] < gradient[:, 0]).all()


def test_the_log_joins(tmp_path, monkeypatch):
    """A training that ends between two checkpoints: the steps that are done again are not logged twice."""
    network = ConvNetConfig(AVATARS, widths=(4, 8), features=8)
    settings = replace(CRITIC, network=network, images=56, batch=8)
    monkeypatch.setattr(runs, "LOG_EVERY", 1)
    monkeypatch.setattr(runs, "CHECKPOINT_EVERY", 2)

    def breaks(images: int, *_: object) -> None:
        if images == 48:
            raise KeyboardInterrupt

    def logged(folder: Path) -> list[tuple[int, float]]:
        rows = [json.loads(line) for line in (folder / "critic.jsonl").read_text().splitlines()]
        return [(row["images"], row["loss"]) for row in rows]

    with pytest.raises(KeyboardInterrupt):
        runs.train_network(tmp_path / "broken", "critic", settings, Execution(tick=breaks))
    assert [images for images, _ in logged(tmp_path / "broken")] == [8, 16, 24, 32, 40]
    for folder in ("broken", "whole"):
        runs.train_network(tmp_path / folder, "critic", settings, Execution())
    assert logged(tmp_path / "broken") == logged(tmp_path / "whole")
    assert len(logged(tmp_path / "whole")) == 7
