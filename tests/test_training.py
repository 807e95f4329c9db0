"""Training of the embedded generator: it resumes, grows, and hands over what it has learned."""

import copy
import json
import math
import resource
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gmmedit.classifiers.convnet import ConvNet, ConvNetConfig
from gmmedit.datasets.avatars.factors import sample_causal
from gmmedit.datasets.avatars.renderer import render
from gmmedit.datasets.streaming import Ahead, RowOrder
from gmmedit.errors import InputError, RunError
from gmmedit.generators import stylegan2
from gmmedit.generators.stylegan2 import StyleGAN2Config
from gmmedit.pictures.pixels import to_bytes
from gmmedit.runtime.execution import Execution
from gmmedit.training import embedded
from gmmedit.training import loop as runs
from gmmedit.training.attribute_terms import pair_rates
from gmmedit.training.base import Trainer
from gmmedit.training.checkpoints import read_checkpoint
from gmmedit.training.classifier import AVATARS, CRITIC
from gmmedit.training.stylegan2 import GANTraining
from gmmedit.training.stylegan2_settings import GANSettings, Knot

SETTINGS = GANSettings(phases=((16, 32), (32, 16)), batch=8, pool=32, schedule=(Knot(0, 1, 0.2, 2), Knot(16, 0.5)))


@pytest.fixture(scope="module")
def pool() -> np.ndarray:
    return to_bytes(render(sample_causal(SETTINGS.pool, 5)))


def training(pool: np.ndarray, phase: int = 0) -> GANTraining:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        critic = ConvNet(ConvNetConfig(AVATARS, widths=(4, 8), features=8)).requires_grad_(False)
    return GANTraining(SETTINGS, pool, critic, phase)


def weights(it: GANTraining) -> list[torch.Tensor]:
    return [*it.g.state_dict().values(), *it.d.state_dict().values(), *it.average.state_dict().values()]


def test_a_resumed_run_goes_on_as_if_it_had_never_stopped(pool):
    straight = training(pool)
    assert [step.images for step in straight] == [8, 16, 24, 32, 40, 48]
    for done in (2, 5):  # in either phase
        first, second = training(pool), training(pool)
        list(islice(first, done))
        second.load_state(copy.deepcopy(first.state()))
        assert len(list(second)) == 6 - done
        assert all(torch.equal(a, b) for a, b in zip(weights(straight), weights(second), strict=True))
    for wrong in (-1, 2, True, "1"):  # a negative place would be one from the end
        with pytest.raises(ValueError, match="its phase"):
            second.load_state(first.state() | {"phase": wrong})


def test_another_network_trains_without_a_critic():
    network = StyleGAN2Config(resolution=32, channels=(8, 8, 8, 4), z_dim=4, w_dim=6)
    images = np.zeros((3, 32, 32, 3), np.uint8)
    other = GANTraining(replace(SETTINGS, network=network, width=16), images, phase=1)
    assert [step.images for step in other] == [40, 48]
    assert other.average.synthesize(other.average.map(torch.zeros(2, 4))).shape == (2, 3, 32, 32)


def test_a_grown_run_takes_over_what_it_can(pool):
    small = training(pool)
    list(islice(small, 4))
    grown = training(pool)
    grown.load_state(small.state())
    grown.grow()
    assert (grown.phase, grown.resolution, grown.step) == (1, 32, 0)
    assert torch.equal(grown.g.synthesis.b16.conv1.weight, small.g.synthesis.b16.conv1.weight)
    assert torch.equal(grown.d.blocks.b8.conv0.weight, small.d.blocks.b8.conv0.weight)
    assert not grown.g.synthesis.b32.torgb.weight.any()
    assert small.knot() == Knot(0) and grown.knot() == Knot(0, 1, 0.2, 2)
    grown.step = 1
    assert grown.knot() == Knot(0, 0.75, 0.2, 2)  # half of the way to the next knot
    grown.step = 0
    assert len(list(grown)) == 2


def test_a_full_disk_is_one_line_and_the_training_goes_on(tmp_path, monkeypatch):
    network = ConvNetConfig(AVATARS, widths=(4, 8), features=8)
    monkeypatch.setattr(embedded, "CRITIC", replace(CRITIC, network=network, images=8, batch=8))
    monkeypatch.setattr(runs, "CHECKPOINT_EVERY", 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in (0, 100_000, 1_000_000):  # stops at the critic, the renders, a checkpoint
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            with pytest.raises(RunError, match="no space left for"):
                embedded.train_generator(tmp_path, SETTINGS, Execution())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert stylegan2.read_generator(embedded.train_generator(tmp_path, SETTINGS, Execution())).image_shape == (
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
    it = training(np.zeros((1, 32, 32, 3), np.uint8), 1)
    columns = [len(values.values) for values in AVATARS]
    labels = torch.cat([torch.eye(n)[torch.zeros(8, dtype=torch.long)] for n in columns], 1).requires_grad_(True)
    for _ in range(50):  # nobody ever smiles
        term = it.terms.imbalance(labels)
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
        embedded.train_network(tmp_path / "broken", "critic", settings, Execution(tick=breaks))
    assert [images for images, _ in logged(tmp_path / "broken")] == [8, 16, 24, 32, 40]
    for folder in ("broken", "whole"):
        embedded.train_network(tmp_path / folder, "critic", settings, Execution())
    assert logged(tmp_path / "broken") == logged(tmp_path / "whole")
    assert len(logged(tmp_path / "whole")) == 7


class Diverging(Trainer):
    """Four steps of one parameter, whose loss is not a number in step `bad`."""

    name, batch, steps, stateful = "diverging", 2, 4, ("network",)
    settings = SETTINGS

    def __init__(self, bad: int, parameter: bool = False) -> None:
        self.bad, self.parameter, self.network = bad, parameter, torch.nn.Linear(1, 1)

    def networks(self) -> dict[str, torch.nn.Module]:
        return {"the line": self.network}

    def take_step(self) -> dict[str, float]:
        bad = self.step >= self.bad
        with torch.no_grad():
            self.network.weight.fill_(math.nan if bad and self.parameter else self.step)
        return {"loss": math.nan if bad and not self.parameter else 1.0}


@pytest.mark.parametrize(("parameter", "what"), [(False, "loss"), (True, "the parameters of the line")])
def test_a_training_stops_before_numbers_that_are_not_finite_are_saved(parameter, what, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "CHECKPOINT_EVERY", 1)
    message = f"diverging: {what} stopped being finite after 3 steps; the last good state is in .*diverging.checkpoint"
    with pytest.raises(RunError, match=message):
        runs.run_training(Diverging(2, parameter), tmp_path, lambda path: None, Execution())
    saved = read_checkpoint(tmp_path / "diverging.checkpoint")
    assert saved is not None and saved["step"] == 2 and saved["network"]["weight"].item() == 1


def test_a_training_leaves_curves_of_its_log(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "LOG_EVERY", 1)
    path = runs.run_training(Diverging(9), tmp_path, lambda path: path.touch(), Execution())
    assert path == tmp_path / "diverging.safetensors" and path.exists()
    with Image.open(tmp_path / "diverging.png") as image:
        assert image.size == (420, 264) and len(image.convert("RGB").getcolors(10_000)) > 3


def test_batches_are_loaded_ahead_in_any_order_of_steps():
    loaded = []
    ahead = Ahead(lambda step: loaded.append(step) or step * 10, ahead=2)
    assert [ahead.get(step) for step in (0, 1, 2, 7, 8, 3)] == [0, 10, 20, 70, 80, 30]
    assert max(loaded) <= 10

    def fails(step: int) -> int:
        raise RunError(f"no step {step}")

    with pytest.raises(RunError, match="no step 4"):
        Ahead(fails).get(4)


def test_every_epoch_has_every_row_once():
    rows = np.arange(5, 12)
    order = RowOrder(rows, 3, seed=1)
    drawn = np.concatenate([order.at(step) for step in range(14)])
    assert all(sorted(epoch) == rows.tolist() for epoch in drawn.reshape(6, 7))
    assert len({tuple(epoch) for epoch in drawn.reshape(6, 7)}) > 3
    assert np.array_equal(RowOrder(rows, 3, seed=1).at(9), order.at(9))
    assert len(RowOrder(rows, 20, seed=1).at(0)) == 20  # more than there are
