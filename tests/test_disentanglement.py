"""Metrics of disentanglement on codes whose score is known, and the command on a small file of Shapes3D's layout."""

import json
import math
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from conftest import check, done, gmmedit

from gmmedit import artifacts, datasets
from gmmedit.datasets import arrays
from gmmedit.datasets.arrays import Grid, count
from gmmedit.discovery import protocol
from gmmedit.discovery.controls import NAMES, ControlSettings, make_control
from gmmedit.discovery.network import CodeConfig, CodeNetwork
from gmmedit.discovery.protocol import PUBLISHED, QUICK, Pool, measure, measure_all
from gmmedit.evaluation.metrics import disentanglement as metrics
from gmmedit.evaluation.metrics.disentanglement import Coded, Voted
from gmmedit.runtime.execution import Execution
from gmmedit.stages import disentanglement

SIZES = (3, 4, 5)
SMALL = replace(QUICK, train=200, test=100, factor_batches=(60, 40, 8), beta_batches=(80, 60, 8), variance=200, trees=4,
                pool=0)  # fmt: skip


def factors(n: int = 400) -> np.ndarray:
    source = np.random.default_rng(0)
    return np.stack([source.integers(size, size=n) for size in SIZES], 1)


def coded(codes: np.ndarray) -> tuple[Coded, Coded]:
    return Coded(codes[:300], factors()[:300]), Coded(codes[300:], factors()[300:])


def rotated() -> np.ndarray:
    """The factors, each of variance 1, turned so that every dimension holds all of them."""
    own = (factors() - factors().mean(0)) / factors().std(0)
    return own @ np.array([[2, 2, -1], [-1, 2, 2], [2, -1, 2]]) / 3


def test_a_perfect_code_has_perfect_scores() -> None:
    perfect = 7.0 * factors()[:, [2, 0, 1]] - 3  # permuted, of another scale
    found = metrics.score_codes(*coded(perfect), trees=10)
    assert found["mig"] > 0.97  # of so few samples the next dimension knows a little
    assert found["dci_disentanglement"] > 0.999 and found["dci_completeness"] > 0.999
    assert found["dci_informativeness"] == 1


def test_a_rotated_code_is_informative_and_not_disentangled() -> None:
    found = metrics.score_codes(*coded(rotated()), trees=10)
    assert found["dci_informativeness"] > 0.9
    assert max(found["mig"], found["dci_disentanglement"], found["dci_completeness"]) < 0.35


def test_a_random_code_has_no_scores() -> None:
    found = metrics.score_codes(*coded(np.random.default_rng(2).normal(size=(400, 4))), trees=10)
    assert found["mig"] < 0.05 and found["sap"] < 0.08 and found["dci_informativeness"] < 0.4
    assert found["dci_disentanglement"] < 0.15


def test_sap_of_two_values_is_the_gap_to_chance() -> None:
    """A perfect dimension predicts all of them, any other half: 0.5."""
    binary = np.random.default_rng(3).integers(2, size=(600, 2))
    train, test = (Coded(part + 0.0, part) for part in (binary[:400], binary[400:]))
    assert metrics.separated_predictability(train, test) == pytest.approx(0.5, abs=0.08)


def test_importance_by_hand() -> None:
    assert metrics.disentanglement(np.eye(3)) == pytest.approx(1)
    assert metrics.completeness(np.ones((3, 3))) == pytest.approx(0, abs=1e-9)
    lopsided = np.array([[1.0, 0.0], [1.0, 1.0]])  # the second dimension holds both factors, with two thirds of all
    assert metrics.disentanglement(lopsided) == pytest.approx(1 / 3, abs=1e-9)
    assert metrics.completeness(lopsided) == pytest.approx(1 / 3, abs=1e-9)
    assert metrics.disentanglement(np.zeros((2, 2))) == pytest.approx(0, abs=1e-9)


def test_mutual_information_by_hand() -> None:
    a, b = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    assert metrics.mutual_information(a, b) == pytest.approx(0)
    assert metrics.mutual_information(a, 5 - a) == pytest.approx(math.log(2))
    assert metrics.mutual_information(np.array([0, 0, 0, 1]), a) == pytest.approx(
        0.5 * math.log(4 / 3) + 0.25 * math.log(2 / 3) + 0.25 * math.log(2)
    )


def test_binning_is_numpys() -> None:
    assert metrics.bin_codes(np.array([0.0, 0.49, 0.51, 1.0]), 2).tolist() == [1, 1, 2, 2]


def votes(n: int, codes: np.ndarray, kind: str) -> Voted:
    """Batches of the codes of images that share a factor, as the protocol draws them."""
    source, own = np.random.default_rng(n), factors()
    fixed, features = source.integers(3, size=n), []
    for factor in fixed:
        alike = np.flatnonzero(own[:, factor] == source.integers(SIZES[factor]))
        if kind == "variance":
            features.append(codes[source.choice(alike, 24)].var(0, ddof=1))
        else:
            features.append(np.abs(codes[source.choice(alike, 24)] - codes[source.choice(alike, 24)]).mean(0))
    return Voted(np.stack(features), fixed)


@pytest.mark.parametrize(("name", "least", "most"), [("perfect", 1, 1), ("rotated", 0.3, 0.9), ("random", 0.1, 0.6)])
def test_votes_tell_codes_apart(name: str, least: float, most: float) -> None:
    noise = np.random.default_rng(4).normal(size=(400, 3))
    codes = {"perfect": factors() + 0.0, "rotated": rotated(), "random": noise}[name]
    pairs = [votes(n, codes, "variance") for n in (200, 100)]
    assert least <= metrics.score_factor_vae(*pairs, codes.var(0, ddof=1)) <= most
    if name != "rotated":  # a linear classifier undoes a rotation in part
        pairs = [votes(n, codes, "difference") for n in (200, 100)]
        assert least <= metrics.score_beta_vae(*pairs) <= most


def test_dimensions_that_hardly_vary_have_no_vote() -> None:
    codes = np.concatenate([factors() + 0.0, 1e-3 * np.random.default_rng(5).normal(size=(400, 1))], 1)
    constant = np.zeros((400, 2))
    pairs = [votes(n, codes, "variance") for n in (100, 50)]
    assert metrics.score_factor_vae(*pairs, codes.var(0, ddof=1)) == 1
    flat = [votes(n, constant, "variance") for n in (20, 10)]
    assert metrics.score_factor_vae(*flat, constant.var(0)) == 0


# The protocol


def write_grid(path: Path, monkeypatch: pytest.MonkeyPatch, size: int = 16) -> Path:
    """A file as 3dshapes.h5, of fewer values: the factors are the brightness of three columns of an image."""
    grid = Grid("shapes3d", {"floor_hue": count(3), "scale": count(4), "shape": ("cube", "ball", "cone", "cup", "die")})
    monkeypatch.setattr(arrays, "GRIDS", (grid,))
    places = np.stack(np.unravel_index(np.arange(60), SIZES), 1)
    pixels = np.zeros((60, size, size, 3), np.uint8)
    pixels[:, :, :3] = (40 * places)[:, None, :, None]
    with h5py.File(path, "w") as file:
        file["images"], file["labels"] = pixels, places.astype(float)
    return path


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(protocol.PROTOCOLS, "quick", SMALL)
    monkeypatch.setattr(protocol, "FEWEST_IMAGES", 20)
    return write_grid(tmp_path / "3dshapes.h5", monkeypatch)


def test_an_encoder_that_reads_the_factors_is_perfect(small: Path) -> None:
    pool = Pool(datasets.load(str(small)), SMALL)
    found = measure(lambda images: images[:, 0, 0, :3], pool, 0, Execution())
    assert pool.factors.names == ["floor_hue", "scale", "shape"]
    assert found["mig"] > 0.95 and found["factor_vae"] == found["beta_vae"] == found["dci_informativeness"] == 1


def test_a_small_pool_is_held_out_and_read_once(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "FEWEST_IMAGES", 4)
    data = datasets.load(str(small))
    pool = Pool(data, replace(SMALL, pool=6))
    assert set(pool.factors.rows) <= set(data.held_out())
    first = pool.images(np.array([1, 0, 1]))
    assert torch.allclose(first, data.images(pool.factors.rows[[1, 0, 1]]), atol=1 / 127)
    monkeypatch.setattr(type(data), "images", None)
    assert torch.equal(pool.images(np.array([0, 1])), first[[1, 0]])


def test_images_alike_share_the_value(small: Path) -> None:
    own = Pool(datasets.load(str(small)), SMALL).factors
    drawn = own.draw_alike(1, 7, 50, np.random.default_rng(0))
    assert set(own.values[drawn, 1]) == {own.values[7, 1]} and len(set(own.values[drawn, 2])) == 5


@pytest.mark.parametrize("name", NAMES)
def test_controls_encode(name: str, small: Path) -> None:
    encode = make_control(name, datasets.load(str(small)), ControlSettings(code=4, vae_steps=2), Execution())
    codes = encode(torch.rand(5, 3, 16, 16))
    assert codes.shape == (5, 4) and codes.isfinite().all() and not codes.requires_grad


def test_a_vae_learns(small: Path) -> None:
    told: list[str] = []
    watching = Execution(tick=lambda done, total, text: told.append(text))
    make_control("vae", datasets.load(str(small)), ControlSettings(code=4, vae_steps=40), watching)
    losses = [float(text.rpartition(" ")[2]) for text in told]
    assert losses[-1] < 0.7 * losses[0]


def test_the_command_prints_a_table(small: Path, tmp_path: Path) -> None:
    result = done("disentanglement", "--data", small, "--controls", "pca,random", "--out", tmp_path / "a.json")
    report = json.loads((tmp_path / "a.json").read_text())
    assert list(report["scores"]) == ["pca", "random"] and report["protocol"]["factors"][0] == "floor_hue"
    done("disentanglement", "--data", small, "--controls", "random", "--out", tmp_path / "a.json", "--quiet")
    assert list(json.loads((tmp_path / "a.json").read_text())["scores"]) == ["random"]
    assert "dci disentanglement" in result.stdout and "protocol quick: 200 and 100 of 60 images" in result.stdout


def test_the_published_protocol_is_the_fields() -> None:
    assert (PUBLISHED.train, PUBLISHED.test, PUBLISHED.trees, PUBLISHED.pool) == (10_000, 5_000, 100, 0)
    assert PUBLISHED.factor_batches == PUBLISHED.beta_batches == (10_000, 5_000, 64)


def test_a_file_of_shapes3d_goes_through_the_published_protocol(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With fewer images and trees, since the protocol's take minutes; it draws from all images, not held-out ones."""
    fewer = replace(SMALL, name="published", pool=PUBLISHED.pool)
    monkeypatch.setitem(protocol.PROTOCOLS, "published", fewer)
    words = ("--data", small, "--protocol", "published", "--controls", "pca", "--json")
    report = json.loads(done("disentanglement", *words).stdout)
    assert report["data"] == "shapes3d" and report["protocol"]["name"] == "published"
    assert report["protocol"]["images"] == 60 and report["protocol"]["pool"] == 0
    assert report["scores"]["pca"]["dci_informativeness"] > 0.5


@pytest.mark.parametrize(("words", "says"), [
    (("--controls", "none"), "nothing to measure"),
    (("--controls", "pca,vea"), "unknown control 'vea'"),
])  # fmt: skip
def test_what_cannot_be_measured_is_refused(words: tuple[str, ...], says: str, small: Path) -> None:
    check(gmmedit("disentanglement", "--data", small, "--quiet", *words), says)


@pytest.mark.parametrize(("words", "says"), [
    (("--controls", "random,vea"), ("unknown control 'vea'", "did you mean 'vae'")),
    (("--size", 7), ("--size 7 is not between 8 and 1024", "--data")),
    (("--size", 9000), ("--size 9000 is not between", "--size 64")),
    (("--out", "none/a.json"), ("no folder", "mkdir -p")),
    (("--out", "."), ("is a folder", "scores.json")),
    (("--out", "notes.txt"), ("is no result of gmmedit disentanglement", "another --out")),
    (("--out", "list.json"), ("is no result of gmmedit disentanglement",)),
])  # fmt: skip
def test_what_is_wrong_is_told_before_anything_is_measured(
    words: tuple[object, ...], says: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "load", None)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "list.json").write_text("[1]")
    check(gmmedit("disentanglement", "--data", "shapes", *words), *says)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_data_without_factors_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((200, 16, 16), np.uint8), digit=np.arange(200) % 10)
    check(gmmedit("disentanglement", "--data", tmp_path / "a.npz", "--quiet"), "1 factors", "3dshapes.h5")


def test_several_encoders_are_measured_as_each_alone(small: Path) -> None:
    encoders = {"three": lambda images: images[:, 0, 0, :3], "one and a half": lambda images: images[:, 1, 3:5, 1] / 2}
    both = measure_all(encoders, Pool(datasets.load(str(small)), SMALL), 0, Execution())
    for name, encode in encoders.items():
        assert both[name] == measure(encode, Pool(datasets.load(str(small)), SMALL), 0, Execution())


@pytest.mark.parametrize(("shape", "says"), [
    ((1, 16, 16), ("images of the shape (1, 16, 16)", "dsprites.npz")), ((3, 16, 32), ("square", "--encoder")),
    ((4, 16, 16), ("images of the shape (4, 16, 16)", "grey or RGB")),
])  # fmt: skip
def test_an_encoder_that_no_data_suit_is_refused(
    shape: tuple[int, int, int], says: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = CodeNetwork(CodeConfig(shape, 2))
    monkeypatch.setattr(disentanglement, "read_encoder", lambda _: network)
    spec = artifacts.RunSpec(kind="directions", n=2, config={"space": "z"})
    arrays = {
        "directions": np.eye(2), "scale": np.ones(2), "origin": np.zeros(2), "dominant": np.zeros(2, int),
        "change": np.ones(2), "chart/mean": np.zeros(2),
    }  # fmt: skip
    artifacts.write_whole(tmp_path / "directions.h5", spec, arrays)
    check(gmmedit("disentanglement", "--data", "shapes", "--encoder", tmp_path / "directions.h5"), *says)
