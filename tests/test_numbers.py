"""Attributes that are numbers: scales and classes, data sets, structural equations, training, and the commands."""

import csv
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import done, gmmedit

from gmmedit import artifacts, classifiers, datasets, generators
from gmmedit.classifiers.attributes import Attribute
from gmmedit.datasets.known_labels import read_labels_table
from gmmedit.datasets.table_columns import parse_measures
from gmmedit.editing.do import to_do
from gmmedit.editing.own_causes import find_own_causes
from gmmedit.editing.request import Aim, Request, edited_columns
from gmmedit.errors import InputError
from gmmedit.evaluation.latent_attributes import find_structure
from gmmedit.networks.bigan import BiGAN, BiGANConfig, parse_config, read_bigan, save_bigan
from gmmedit.networks.numbers import log_between
from gmmedit.networks.rest import RestGivenCauses
from gmmedit.networks.scales import Scale, class_of, parse_scale
from gmmedit.networks.structural import StructuralEquations
from gmmedit.runtime.execution import Execution
from gmmedit.runtime.signals import Stopped, StopRequest
from gmmedit.training import bigan_from_data
from gmmedit.training.bigan import BiGANTraining
from gmmedit.training.bigan_from_data import train_bigan
from gmmedit.training.from_data import DataRequest
from gmmedit.training.labelled import choose_labels, read_targets
from gmmedit.training.structure import fit_equations

DIGIT, THICK, BRIGHT = 0, 1, 2  # places


def draw_truth(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A digit of three, a thickness, and an intensity that follows from it as MorphoMNIST's does."""
    random = np.random.default_rng(0)
    thick = 0.5 + random.gamma(10, 0.2, n)
    bright = 64 + 191 / (1 + np.exp(-(0.5 * random.normal(size=n) + 2 * thick - 5)))
    return random.integers(0, 3, n), thick, bright


def scale_of(name: str, numbers: np.ndarray) -> Scale:
    column = parse_measures(name, numbers)
    assert column is not None and column.attribute.scale is not None
    return column.attribute.scale


@pytest.fixture(scope="module")
def truth() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return draw_truth(8_000)


@pytest.fixture(scope="module")
def equations(truth: tuple[np.ndarray, np.ndarray, np.ndarray]) -> StructuralEquations:
    """Fitted to the truth, thickness a cause of intensity."""
    digit, thick, bright = truth
    scales = (None, scale_of("thickness", thick), scale_of("intensity", bright))
    mask = torch.zeros(3, 3, dtype=torch.bool)
    mask[THICK, BRIGHT] = True
    fitted = StructuralEquations((3, 4, 4), mask, scales)
    fit_equations(fitted, targets_of(fitted, digit, thick, bright))
    return fitted.requires_grad_(False)


def targets_of(equations: StructuralEquations, digit: np.ndarray, *numbers: np.ndarray) -> torch.Tensor:
    shares = [scale.share(column) for scale, column in zip(equations.numbers.scales, numbers, strict=True)]
    return torch.from_numpy(np.stack([digit, *shares], 1)).float()


def latents_of(equations: StructuralEquations, digit: np.ndarray, *numbers: np.ndarray) -> torch.Tensor:
    targets = targets_of(equations, digit, *numbers)
    w = 5.0 * torch.nn.functional.one_hot(torch.from_numpy(digit), 3).float()
    return torch.cat([w, equations.numbers.standardise(targets[:, 1:])], dim=1)


def test_numbers_get_classes_of_equal_frequency() -> None:
    numbers = np.concatenate([np.linspace(0.25, 10, 400) ** 2, [np.nan]])
    column = parse_measures("size", numbers)
    assert column is not None and column.attribute.scale is not None
    scale = column.attribute.scale
    assert np.bincount(column.values[:-1]).tolist() == [100] * 4 and column.values[-1] == -1
    assert (scale.low, scale.high) == (0.0625, 100) and column.attribute.values == scale.names()
    assert [class_of(scale.names(), each) for each in scale.middles] == [0, 1, 2, 3]
    assert class_of(scale.names(), -1e9) == 0 and class_of(scale.names(), 1e9) == 3
    assert class_of(("-3..-1", "-1..2.5", "2.5..1e+04"), 2) == 1 and class_of(("no", "yes"), 2) is None
    assert scale.number(scale.share(7.5)) == pytest.approx(7.5)
    assert parse_measures("id", np.arange(500.0)) is None and parse_measures("few", np.arange(6) / 4) is None
    assert parse_measures("nearly equal", 1 + np.arange(100) * 1e-9) is None


@pytest.mark.parametrize(
    "change",
    [{"high": -1}, {"deviation": 0}, {"borders": (3, 2, 5)}, {"middles": (1, 2)}, {"mean": float("nan")}, {"low": "a"}],
)
def test_wrong_scales_are_refused(change: dict[str, object]) -> None:
    right = {"low": 0, "high": 9, "mean": 4, "deviation": 1, "borders": [2, 4, 6], "middles": [1, 3, 5, 7]}
    assert parse_scale(right).borders == (2, 4, 6)
    with pytest.raises((ValueError, TypeError)):
        parse_scale(right | change)


def test_draws_have_the_moments_of_the_truth(
    equations: StructuralEquations, truth: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    normal = torch.randn(20_000, equations.dim, generator=torch.Generator().manual_seed(0))
    drawn = equations.targets(equations.solve(equations.noise(normal)))[:, 1:].numpy()
    thick, bright = (scale.number(drawn[:, i]) for i, scale in enumerate(equations.numbers.scales))
    for mine, true, step in ((thick, truth[THICK], 0.03), (bright, truth[BRIGHT], 3)):
        levels = np.arange(1, 10) / 10
        assert np.abs(np.quantile(mine, levels) - np.quantile(true, levels)).max() < step
    wanted = np.corrcoef(truth[THICK], truth[BRIGHT])[0, 1]
    assert np.corrcoef(thick, bright)[0, 1] == pytest.approx(wanted, abs=0.02)


def test_counterfactuals_are_those_of_the_true_mechanism(equations: StructuralEquations) -> None:
    digit, thick, bright = draw_truth(500)
    other = np.roll(thick, 1)
    w, shares = latents_of(equations, digit, thick, bright), equations.numbers.scales[0].share(other)
    changed = equations.targets(equations.counterfactual(w, {THICK: torch.from_numpy(shares).float()}))
    noise = np.log((bright - 64) / (255 - bright)) - (2 * thick - 5)
    wanted = 64 + 191 / (1 + np.exp(-(noise + 2 * other - 5)))
    assert np.abs(equations.numbers.scales[1].number(changed[:, BRIGHT].numpy()) - wanted).mean() < 2
    assert changed[:, THICK].numpy() == pytest.approx(shares, abs=1e-4)
    assert np.array_equal(changed[:, DIGIT].numpy(), digit)
    brighter = equations.counterfactual(w, {BRIGHT: torch.full((500,), 0.9)})
    assert torch.equal(brighter[:, :4], w[:, :4]), "an effect moves none of its causes, to the bit"


def test_null_acts_keep_the_bits_and_acts_can_be_undone(equations: StructuralEquations) -> None:
    digit, thick, bright = draw_truth(200)
    w = latents_of(equations, digit, thick, bright)
    w[0, 3], w[1, 4] = 60.0, -60.0  # an encoder may leave the range
    for place in (THICK, BRIGHT):
        own = equations.targets(w)[:, place]
        assert torch.equal(equations.counterfactual(w, {place: own})[2:], w[2:])
        there = equations.counterfactual(w, {place: torch.full((200,), 0.4)})
        back = equations.counterfactual(there, {place: own})
        assert torch.allclose(back[2:], w[2:], atol=2e-3)
    assert torch.equal(equations.counterfactual(w, {DIGIT: torch.from_numpy(digit)}), w)
    assert bool(equations.counterfactual(w, {THICK: torch.full((200,), 0.4)}).isfinite().all())
    assert equations.follow([THICK]) == [BRIGHT] and equations.follow([BRIGHT]) == []


def test_classes_of_a_number_are_probable_by_its_spread(equations: StructuralEquations) -> None:
    w = latents_of(equations, *draw_truth(50))
    for spread in (-8.0, -2.0):
        scores = equations.class_scores(w, torch.full_like(w, spread))
        assert torch.allclose(torch.stack(scores).exp().sum(2), torch.ones(2, 50), atol=1e-3)
    classes = torch.stack([each.argmax(1) for each in equations.class_scores(w, torch.full_like(w, -8.0))], 1)
    assert torch.equal(classes, equations.values(w)[:, 1:])
    ends = torch.tensor([-1.0, 6.0, 8.0, 20.0]), torch.tensor([1.0, 7.0, 9.0, 30.0])
    wanted = torch.special.log_ndtr(-ends[0]).exp() - torch.special.log_ndtr(-ends[1]).exp()
    assert torch.allclose(log_between(*ends)[:3], wanted[:3].log(), rtol=1e-3) and log_between(*ends).isfinite().all()


def write_digits(folder: Path, n: int = 600) -> Path:
    """Idx files of both parts, with tables: squares that are as thick and bright as they say."""
    digit, thick, bright = draw_truth(n)
    folder.mkdir()
    for name, rows in (("train", slice(0, n - 100)), ("t10k", slice(n - 100, n))):
        images = np.zeros((n, 16, 16), np.uint8)
        for image, kind, size, level in zip(images, digit, thick, bright, strict=True):
            image[3 : 3 + round(2 * size), 2 + 3 * kind : 6 + 3 * kind] = round(level)
        for kind, array in (("images-idx3", images[rows]), ("labels-idx1", digit[rows].astype(np.uint8))):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
            (folder / f"{name}-{kind}-ubyte").write_bytes(header + array.tobytes())
        with (folder / f"{name}-morpho.csv").open("w", newline="") as file:
            lines = zip(range(n), thick[rows], bright[rows], strict=False)
            csv.writer(file).writerows([("index", "thickness", "intensity"), *lines])
    return folder


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("numbers") / "digits")


def test_a_table_beside_idx_files_gives_numbers(digits: Path, tmp_path: Path) -> None:
    data = datasets.load(str(digits))
    assert [a.name for a in data.attributes] == ["label", "thickness", "intensity"]
    assert data.factors == ("thickness", "intensity") and len(data.held_out()) == 100
    _, labels, factors = data.batch([0, 599])
    assert factors is not None
    digit, thick, bright = draw_truth(600)
    assert factors.numpy() == pytest.approx(np.stack([thick, bright], 1)[[0, 599]], rel=1e-5)
    assert class_of(data.attributes[1].values, thick[599]) == labels[1, 1]
    targets = read_targets(data, choose_labels(data, [], numbers=True), np.arange(600))
    assert targets[:, 0].tolist() == digit.tolist() and 0 == targets[:, 1:].min() < targets[:, 1:].max() == 1
    assert [a.name for a in choose_labels(data, []).attributes] == ["label"]  # classifiers are not asked for numbers
    assert datasets.load(str(digits), 32).batch([0])[2] is not None
    wrong = write_digits(tmp_path / "wrong", 300)
    table = wrong / "t10k-morpho.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(InputError, match="has 99 lines, t10k-images-idx3-ubyte 100 images"):
        datasets.load(str(wrong))


def test_arrays_have_measures(tmp_path: Path) -> None:
    _, thick, _ = draw_truth(40)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=pixels, thickness=thick, kind=np.arange(40) % 2)
    data = datasets.load(str(tmp_path / "a.npz"))
    assert [a.name for a in data.attributes] == ["thickness", "kind"] and data.factors == ("thickness",)
    factors = data.batch([3, 1])[2]
    assert factors is not None and factors[:, 0].numpy() == pytest.approx(thick[[3, 1]])


def test_a_graph_of_a_table_takes_numbers_by_their_classes(tmp_path: Path) -> None:
    digit, thick, bright = draw_truth(1_000)
    with (tmp_path / "table.csv").open("w", newline="") as file:
        lines = zip(range(1_000), digit, thick, bright, strict=True)
        csv.writer(file).writerows([("id", "digit", "thickness", "intensity"), *lines])
    values, attributes = read_labels_table(tmp_path / "table.csv")
    assert [(a.name, len(a.values), a.scale is not None) for a in attributes] == [
        ("digit", 3, False), ("thickness", 4, True), ("intensity", 4, True),
    ]  # fmt: skip
    assert (values >= 0).all()
    done("graph", "--run", tmp_path / "run", "--table", tmp_path / "table.csv", "--quiet")
    with artifacts.open(tmp_path / "run" / "graph.h5", "graph") as graph:
        assert graph["marks"].tolist() == [[0, 0, 0], [0, 0, 2], [0, 2, 0]]


@pytest.fixture(scope="module")
def trained(digits: Path) -> Path:
    """A training of six steps with the edge from thickness to intensity."""
    out = digits.parent / "bigan"
    done("graph", "--run", out, "--data", digits, "--require", "thickness->intensity", "--quiet")
    request = DataRequest(str(digits), 16, 192)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bigan_from_data, "MEASURED", 100)
        path, _, facts = train_bigan(out, request, [], str(out / "graph.h5"), False, Execution())
    assert facts["edges"] == ["thickness->intensity"] and set(facts["held_out_off"]) == {"thickness", "intensity"}
    return path


def test_the_file_keeps_numbers(trained: Path, digits: Path) -> None:
    generator, classifier = generators.load(str(trained)), classifiers.load(str(trained))
    data = datasets.load(str(digits))
    assert list(classifier.attributes) == list(data.attributes)
    z = generator.draw(range(5))
    w = generator.map(z)
    named = generator.name_labels(z)
    assert generator.scales[1] is not None
    assert generator.scales[1].number(generator.read_causes(w)[0, 1].item()) == pytest.approx(
        float(named["thickness"][0]), rel=1e-4
    )
    moved = generator.counterfactual(w, {1: torch.full((5,), 0.5)})
    assert torch.allclose(generator.read_causes(moved)[:, 1], torch.full((5,), 0.5), atol=1e-4)
    assert generator.follow([1]) == [2]
    assert classifier.logits(generator.synthesize(w)).shape == (5, 11)
    again = trained.with_name("again.safetensors")
    save_bigan(read_bigan(trained), again)
    assert torch.equal(generators.load(str(again)).map(z), w)
    structure = find_structure(generator, [(a.name, list(a.values)) for a in data.attributes])
    assert structure is not None and structure.places[3] == (1, 0, 4)
    to_class = structure.counterfactual(w, {1: torch.full((5,), 3)})
    assert generator.network.equations.values(to_class[:, : generator.config.causes])[:, 1].tolist() == [3] * 5
    with pytest.raises(ValueError, match="do not belong"):
        parse_config({"attributes": [["a", ["x", "y"]]], "resolution": 16, "channels": [16, 16, 16], "rest": 4,
                      "scales": [None, None]})  # fmt: skip


def test_the_rest_is_freed_of_the_causes() -> None:
    generator = torch.Generator().manual_seed(0)
    told, noise = torch.randn(4_000, 3, generator=generator), torch.randn(4_000, 2, generator=generator)
    weight, factor = torch.tensor([[2.0, 0.0], [0.0, -1.0], [0.0, 0.0]]), torch.tensor([[0.5, 0.0], [0.3, 0.2]])
    rest = 1.5 + told @ weight + noise @ factor.T
    given = RestGivenCauses(3, 2)
    assert torch.equal(given.open(noise, told), noise), "nothing, before it is fitted"
    given.fit(rest, torch.full((4_000, 2), 0.01), told)
    assert torch.allclose(given.weight, weight, atol=0.05) and torch.allclose(given.bias, torch.tensor(1.5), atol=0.05)
    assert torch.allclose(given.factor @ given.factor.T, factor @ factor.T + 0.01 * torch.eye(2), atol=0.02)
    e = given.close(rest, told)
    assert torch.allclose(given.open(e, told), rest, atol=1e-4)
    assert torch.corrcoef(torch.cat([e, told], 1).T)[:2, 2:].abs().max() < 0.02


def test_acts_move_the_networks_rest(trained: Path) -> None:
    network = read_bigan(trained)
    assert network.config.given and network.given is not None
    w = network.map(torch.randn(6, network.config.dim, generator=torch.Generator().manual_seed(0)))
    assert torch.allclose(network.close_rest(network.open_rest(w)), w, atol=1e-3)
    acted = network.counterfactual(w, {0: (network.equations.values(network.split(w)[0])[:, 0] + 1) % 3})
    assert torch.equal(network.split(acted)[1], network.split(w)[1]), "what a latent holds beside the causes stays"
    moved = network.split(network.open_rest(acted) - network.open_rest(w))[1]
    told = network.tell(network.split(acted)[0]) - network.tell(network.split(w)[0])
    assert torch.allclose(moved, told @ network.given.weight, atol=1e-4) and moved.abs().max() > 1e-4


def test_a_training_goes_on_from_a_file(trained: Path, digits: Path, tmp_path: Path) -> None:
    def train(name: str, stop: StopRequest) -> Path:
        def tick(images: int, *_: object) -> None:
            if images == 64:
                stop.ask(signal.SIGINT)

        graph, request = str(trained.parent / "graph.h5"), DataRequest(str(digits), 16, 128)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bigan_from_data, "MEASURED", 100)
            execution = Execution(tick=tick, stop=stop)
            return train_bigan(tmp_path / name, request, [], graph, False, execution, trained)[0]

    class Deaf(StopRequest):
        def ask(self, number: int) -> None:
            """Nobody stops this training."""

    with pytest.raises(Stopped):
        train("a", StopRequest())
    resumed, whole = train("a", Deaf()), train("b", Deaf())
    assert resumed.read_bytes() == whole.read_bytes()
    first, further = read_bigan(trained), read_bigan(whole)
    assert torch.equal(first.equations.bias, further.equations.bias)
    apart = (first.synthesis.start.weight - further.synthesis.start.weight).abs().mean()
    assert 0 < apart < 0.1 * first.synthesis.start.weight.abs().mean(), "four steps on, no new network"
    result = gmmedit("train", "bigan", "--data", "avatars", "--size", 16, "--start", trained, "--out", tmp_path / "c")
    assert result.exit_code == 2 and "other images or attributes" in result.output


def test_terms_of_a_training_that_goes_on(trained: Path, digits: Path) -> None:
    data, network = datasets.load(str(digits), 16), read_bigan(trained)
    labels = choose_labels(data, [], numbers=True)
    settings = bigan_from_data.size_bigan(data, labels, DataRequest(str(digits), 16, 320), "none", (), False)
    training = BiGANTraining(replace(settings, mixed=0.5, decay=0.5), data, labels, start=network)
    drawn, encoded = torch.zeros(4, network.config.dim), torch.ones(4, network.config.dim)
    mixed, causes = training.mix(drawn, encoded), network.config.causes
    assert mixed[:, :causes].sum() == 0 == mixed[2:].sum() and bool((mixed[:2, causes:] == 1).all())
    rates = []
    for training.step in range(10):
        training.set_rates()
        rates.append(training.adam.param_groups[0]["lr"] / settings.lr)
    assert rates[:6] == [1] * 6 and rates[6:] == pytest.approx([0.8, 0.6, 0.4, 0.2])
    nothing = torch.zeros(3, network.config.dim)
    assert training.divergence(nothing, nothing) == 0
    assert training.divergence(nothing + 1, nothing).item() == pytest.approx(network.config.rest / 2)
    image = torch.arange(256.0).view(1, 1, 16, 16).expand(40, -1, -1, -1)
    moved = training.move(image)
    assert settings.shift == 1 and len(moved.flatten(1).unique(dim=0)) == 9
    assert sorted(set((moved[:, 0, 8, 8] - image[:, 0, 8, 8]).tolist())) == [-17, -16, -15, -1, 0, 1, 15, 16, 17]
    assert torch.equal(training.move(image), moved), "as before it was stopped"


def test_a_run_of_numbers(trained: Path, tmp_path: Path) -> None:
    run = ("--run", tmp_path, "--quiet")
    shown = done("sample", "--run", tmp_path / "thick", "--gan", trained, "-n", 32, "--do", "thickness=3.1").output
    assert "do(thickness=3.1): its own encoder reads" in shown and "within 2% of the range" in shown
    with artifacts.open(tmp_path / "thick" / "samples.h5") as samples:
        generator = generators.load(str(trained))
        share = generator.read_causes(torch.from_numpy(samples["w"]))[:, 1].numpy()
    assert generator.scales[1] is not None
    assert generator.scales[1].number(share) == pytest.approx(np.full(32, 3.1), rel=1e-4)
    for wrong, says in (("99", "out of the range"), ("thick", "is a number"), ("nan", "out of the range")):
        result = gmmedit("sample", *run, "--gan", trained, "--do", f"thickness={wrong}")
        assert result.exit_code == 2 and says in result.output and "within" in result.output
    result = gmmedit("sample", *run, "--gan", trained, "--psi", 0.7)
    assert result.exit_code == 2 and "no mean w" in result.output


def test_edits_solve_the_generators_own_equations(trained: Path) -> None:
    generator = generators.load(str(trained))
    attributes = [(name, list(values)) for name, values in generator.causes]
    renderer = SimpleNamespace(generator=generator, settings=SimpleNamespace(gan="x"))
    session: Any = SimpleNamespace(space="w", renderer=renderer)
    act = ["thickness=3.1"]
    request = to_do(Request.parse(act, attributes=attributes, option="--do"), act, [], attributes)
    causes = find_own_causes(session, request, attributes)
    assert causes is not None and causes.effects == (("intensity",),) and generator.scales[1] is not None
    w = generator.map(generator.draw(range(3)))
    moved = causes.solve(session, w, causes.acts[0])
    assert torch.allclose(moved, generator.counterfactual(w, {1: torch.full((3,), generator.scales[1].share(3.1))}))
    thick = class_of(attributes[1][1], 3.1)
    assert causes.classify(session, moved)[:, 1].tolist() == [thick] * 3
    assert causes.category_of(session, 1, causes.acts[0][1]) == 3 + (thick or 0)
    with pytest.raises(InputError, match="out of the range"):
        find_own_causes(session, replace(request, aims=(Aim("thickness", "99", None),)), attributes)
    with pytest.raises(InputError, match="names no value"):
        find_own_causes(session, replace(request, aims=(Aim("thickness", None, None),)), attributes)
    assert find_own_causes(session, request, [("smile", ["no", "yes"])]) is None, "labels of another classifier"
    session.space = "z"
    with pytest.raises(InputError, match="the fit is not"):
        find_own_causes(session, request, attributes)


def test_acts_on_numbers_are_parsed() -> None:
    attributes = [("digit", ("0", "1", "2")), ("size", ("0..2", "2..4", "4..9"))]
    act = Aim.parse("size=3.5", attributes, "--do")
    assert (act.attribute, act.value, act.strength) == ("size", "3.5", None) and act.category(attributes) == 4
    assert Aim.parse("size=2..4", attributes, "--do").category(attributes) == 4
    assert Aim.parse("size=0.6", attributes).strength == 0.6  # of --attr, a strength
    written: Any = SimpleNamespace(attributes=attributes, spec=SimpleNamespace(config={"attr": [["size=3.5", 1.0]]}))
    written.spec.config["do"] = True
    assert edited_columns(written) == [4], "as the sheet, the report and verify read it"
    with pytest.raises(InputError, match="digit has no value '0.5'"):
        Aim.parse("digit=0.5", attributes, "--do").category(attributes)
    with pytest.raises(InputError, match="no strength"):
        Aim.parse("digit=2:0.5", attributes, "--do")


def test_only_names_of_classes_are_classes() -> None:
    assert class_of(("-1.5..2", "2..1e+05", "1e+05..2e+05"), 3.0) == 1
    assert class_of(("0.01..0.2", "0.2..3"), 0.1) == 0
    for names in ((), ("1..e", "e..2"), ("1..-", "-..2"), ("yes", "no"), ("1..2", "no"), ("1", "2")):
        assert class_of(names, 1.0) is None


def test_attributes_without_numbers_are_as_before() -> None:
    config = BiGANConfig((("smile", ("no", "yes")),), 16, (16, 16, 16), 4)
    names = [name for name, _ in BiGAN(config).state_dict().items()]
    assert not any("numbers" in name for name in names), "files of older versions open"
    assert Attribute("smile", ("no", "yes")) == Attribute("smile", ("no", "yes"), None)
