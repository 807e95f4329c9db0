"""The rivals beside vectors made with their originals' arithmetic, and where they cannot work.

Each tests/data/rival_NAME.npz holds a small seeded problem and what NumPy, SciPy or scikit-learn make of it by the
formulas of the original repository; which ones is said at each test.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_material import D, drawn, logits_of, material, unit
from torch import Tensor

from gmmedit import generators
from gmmedit.editors import catalogue
from gmmedit.editors.base import Material, Unsuitable
from gmmedit.editors.baselines.flow import label_targets, log_likelihood
from gmmedit.editors.baselines.interfacegan import fit_svm_normal, project_normals
from gmmedit.editors.baselines.regressions import fit_coefficients
from gmmedit.editors.baselines.stylespace import REACH, find_isolated_channels, signal_to_noise
from gmmedit.editors.baselines.unsupervised import factorise_styles, principal_components
from gmmedit.generators.stylegan1 import StyleGAN1, StyleGAN1Config
from gmmedit.mixture import Layout

DATA = Path(__file__).parent / "data"
TWO = Layout((2,))


def stored(rival: str) -> Callable[[str], Tensor]:
    import numpy as np

    arrays = np.load(DATA / f"rival_{rival}.npz")
    return lambda name: torch.from_numpy(arrays[name])


def pair(score: Tensor) -> Tensor:
    """Logits (N, 2) of a two-valued attribute whose log-odds are the score."""
    return torch.stack([-score / 2, score / 2], 1)


def steps(name: str, it: Material) -> Tensor:
    return catalogue.fit_editor(name, it).steps


def close(found: Tensor, wanted: Tensor, atol: float) -> None:
    torch.testing.assert_close(found.double(), wanted.double(), atol=atol, rtol=0)


# As the originals compute


def test_interfacegan() -> None:
    """`train_boundary` with 50 samples a side, all of them for training; `project_boundary` on two conditions."""
    ref = stored("interfacegan")
    boundary = ref("boundary")
    for score, wanted in zip(ref("scores").T, boundary, strict=True):
        close(fit_svm_normal(ref("latents"), score), wanted, atol=1e-5)
    both = torch.stack([-boundary, boundary], 1).flatten(0, 1)
    found = project_normals(both, Layout((2, 2, 2)).columns)
    close(found[1::2], ref("projected"), atol=1e-5)
    close(found[::2], -ref("projected"), atol=1e-5)


def test_regressions() -> None:
    """scikit-learn's LogisticRegression with a sample for each side of a soft label; weighted means."""
    ref = stored("regressions")
    wanted = ref("logistic")
    close(fit_coefficients(ref("latents"), ref("labels")) / wanted.norm(), wanted / wanted.norm(), atol=1e-4)
    labels, layout = torch.cat([torch.stack([1 - p, p], 1) for p in ref("labels").T], 1), Layout((2, 2))
    it = replace(material(ref("latents"), labels, layout), labels=labels)
    close(unit(steps("mean-difference", it)[1::2, 0]), unit(ref("difference")), atol=1e-5)


def test_moments() -> None:
    """Weighted means and covariances; Monge maps between the Gaussians, with SciPy's matrix roots."""
    ref = stored("moments")
    it = replace(material(ref("latents"), ref("labels"), TWO), labels=ref("labels"))
    mixture = catalogue.fit_editor("moments", it).model.gaussians.mixture(0)
    close(mixture.means.detach(), ref("mean"), atol=1e-4)
    close(mixture.covariance().detach(), ref("covariance"), atol=1e-4)
    close(
        catalogue.fit_editor("moments", it).trajectory(ref("latents")[:10, None], 1)(1.0)[:, 0], ref("moved"), atol=2e-3
    )
    patent = catalogue.fit_editor("patent", it)
    mixture, back = patent.model.gaussians.mixture(0), patent.chart.axes * patent.chart.scale
    close(patent.chart.from_x(mixture.means.detach()), ref("mean"), atol=1e-4)
    close(back @ mixture.covariance().detach() @ back.T, ref("covariance"), atol=1e-4)


def test_ganspace() -> None:
    """scikit-learn's full PCA of the centred latents; the component of the highest correlation, with its sign."""
    ref = stored("ganspace")
    found = principal_components(ref("latents"))
    close((found * ref("components")).sum(1).abs(), torch.ones(6), atol=1e-5)
    layout = Layout((2, 2))
    it = material(ref("latents"), torch.cat([pair(s) for s in ref("scores").T], 1), layout, styles=layer_of_styles(6))
    close(unit(steps("ganspace", it)[1::2, 0]), ref("direction"), atol=1e-4)


def test_sefa() -> None:
    """`factorize_weight`: np.linalg.eig of the stacked style weights, each channel's to unit norm."""
    ref = stored("sefa")
    matrices = ref("matrix").split(ref("sizes").tolist())
    styles = list(zip(ref("layers").tolist(), matrices, ref("images").tolist(), strict=True))
    close((factorise_styles(styles) * ref("boundaries")).sum(1).abs(), torch.ones(6), atol=1e-4)
    assert (ref("values").diff() < -0.1).all(), "no two eigenvectors could have changed places"


def test_stylespace() -> None:
    """`S2N` of 30 positives: |mean| / deviation of the styles, normalised by the population's."""
    ref = stored("stylespace")
    codes = ref("latents") @ ref("matrix").T
    best = codes[ref("scores").topk(30).indices]
    found = signal_to_noise((best - codes.mean(0)) / codes.std(0, correction=0))
    close(found.abs(), ref("s2n"), atol=1e-4)
    it = material(ref("latents"), pair(ref("scores")), TWO, styles=[(1, ref("matrix"), False)], layers=3)
    channel, step = int(ref("s2n").argmax()), steps("stylespace", it)[1]
    wanted = torch.zeros(7)
    wanted[channel] = REACH * ref("deviation")[channel] * ref("sign")[channel]
    close(ref("matrix") @ step[1], wanted, atol=1e-3)
    assert not step[[0, 2]].any(), "the other layers stay"


def test_flow() -> None:
    """PluGeN's likelihood: Normal(label, sigma) in the attributes' dimensions, Normal(0, 1) in the rest, the volume."""
    ref = stored("flow")
    p = ref("probability")
    targets = label_targets(torch.stack([1 - p, p], 2).flatten(1), Layout((2, 2, 2)))
    close(log_likelihood(ref("base"), ref("volume"), targets, 0.4), ref("likelihood"), atol=1e-4)


# On problems whose answer is known


def layer_of_styles(dim: int) -> list[tuple[int, Tensor, bool]]:
    return [(0, torch.eye(dim), False)]


def test_ganspace_finds_a_planted_component() -> None:
    spread, mixed = torch.tensor([5.0, 3.0, 2.0, 1.0]), torch.linalg.qr(drawn(4, 4)).Q
    base = drawn(2000, 4, seed=1)
    it = material(base * spread @ mixed, pair(-3 * base[:, 2]), TWO, styles=layer_of_styles(4))
    found = unit(steps("ganspace", it)[:, 0])
    assert (found[1] @ -mixed[2]) > 0.99 and (found[0] @ mixed[2]) > 0.99


def test_sefa_finds_a_planted_direction() -> None:
    mixed = torch.linalg.qr(drawn(6, 6)).Q
    share = torch.tensor([10, 8, 6, 4, 2, 1])  # so many channels look along each direction, whatever their gain
    rows = mixed.repeat_interleave(share, 0) * drawn(31, 1, seed=1)
    latents = drawn(2000, 6, seed=2)
    it = material(latents, pair(latents @ mixed[3]), TWO, styles=[(0, rows[:15], False), (1, rows[15:], False)])
    assert unit(steps("sefa", it)[1, 0]) @ mixed[3] > 0.999


def test_stylespace_finds_the_one_channel_and_leaves_those_of_the_image() -> None:
    rows, latents = drawn(7, 8), drawn(2000, 8, seed=1)
    it = material(latents, pair(latents @ rows[5]), TWO, layers=2)
    free = replace(it, styles=[(0, rows[:3], False), (1, rows[3:], False)])
    moved = rows @ steps("stylespace", free)[1].T  # (7 channels, 2 layers)
    assert moved[5, 1] == pytest.approx(REACH * float((latents @ rows[5]).std()), rel=1e-3)
    assert moved[[3, 4, 6], 1].abs().max() < 1e-3 and not moved[:, 0].any()
    image = steps("stylespace", replace(it, styles=[(0, rows[:3], False), (1, rows[3:], True)]))[1]
    assert not image[1].any() and image[0].any()


@pytest.fixture(scope="module")
def it() -> Material:
    latents = drawn(500, D)
    return material(latents, logits_of(latents), styles=layer_of_styles(D))


@pytest.mark.parametrize("name", ["ganspace", "sefa", "stylespace"])
def test_methods_of_w_refuse_z_and_generators_without_styles(name: str, it: Material) -> None:
    catalogue.fit_editor(name, it)
    with pytest.raises(Unsuitable, match=f"{name} works in W, not in Z"):
        catalogue.fit_editor(name, replace(it, space="z"))
    with pytest.raises(Unsuitable, match=f"{name} needs a generator that makes styles"):
        catalogue.fit_editor(name, replace(it, styles=[]))


def test_channels_that_cannot_be_moved_alone_are_passed_over(it: Material) -> None:
    crowded = [(0, drawn(D + 1, D), False)]
    assert len(find_isolated_channels(crowded)[1]) == 0
    layers, moves, rows = find_isolated_channels([*crowded, (3, drawn(2, D), False)])
    assert layers == [3, 3]
    close(rows @ moves.T, torch.eye(2), atol=1e-5)
    with pytest.raises(Unsuitable, match="no style channel can be moved alone"):
        catalogue.fit_editor("stylespace", replace(it, styles=crowded))


# The styles of generators


STYLED = ("sg2_c_cond32.pkl", "sg2_d_orig16gray.pkl", "sefa_stylegan2_32.pth", "sg3_a_t32.pkl")


@pytest.mark.parametrize("file", STYLED)
@torch.no_grad()
def test_a_change_of_w_moves_one_style_alone(file: str) -> None:
    """The styles are watched while the network paints, in the order in which it makes them."""
    network = generators.load(str(DATA / file))
    seen: list[Tensor] = []
    for name, module in network.synthesis.named_modules():
        if name.endswith(".affine") and name != "input.affine":
            module.register_forward_hook(lambda it, given, made: seen.append(made))

    def styles(w: Tensor) -> list[Tensor]:
        seen.clear()
        network.synthesize(w)
        return list(seen)

    w = drawn(1, *network.w_shape)
    before, matrices = styles(w), network.styles()
    assert [len(it.T) for it in before] == [len(matrix) for _, matrix, _ in matrices]
    assert matrices[-1][2], "the image is made last"
    found, moves, _ = find_isolated_channels(matrices)
    assert found, "no channel to try"
    some = max(1, len(found) // 6)
    for layer, move in zip(found[::some], moves[::some], strict=True):
        changed = w.clone()
        changed[:, layer] += move
        change = torch.cat([after - it for after, it in zip(styles(changed), before, strict=True)], 1)[0]
        assert change.max() == pytest.approx(1, abs=1e-3)
        assert change.abs().sort().values[-2] < 1e-3


@torch.no_grad()
def test_a_change_of_w_moves_one_scale_or_shift_of_an_adain_alone() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = StyleGAN1(StyleGAN1Config(channels=(5, 3), z_dim=4, w_dim=12, mapping_layers=1))
    network.synthesis.layer0.const.copy_(drawn(1, 5, 4, 4))
    seen: list[Tensor] = []
    for i in range(4):
        network.synthesis.get_submodule(f"layer{i}.style").register_forward_hook(lambda *it: seen.append(it[2]))

    def pictures(w: Tensor) -> list[Tensor]:
        seen.clear()
        network.synthesize(w)
        return list(seen)

    w = drawn(1, 4, 12)
    before, (layers, moves, _) = pictures(w), find_isolated_channels(network.styles())
    assert layers == [0] * 10 + [1] * 10 + [2] * 6 + [3] * 6  # scales, then shifts
    for i, (layer, move) in enumerate(zip(layers, moves, strict=True)):
        changed = w.clone()
        changed[:, layer] += move
        channels = before[layer].shape[1]
        change = (pictures(changed)[layer] - before[layer])[0]
        others = [c for c in range(channels) if c != (i - layers.index(layer)) % channels]
        assert change.abs().max() > 0.1 and change[others].abs().max() < 1e-3


def test_other_families_have_no_styles() -> None:
    assert generators.load(str(DATA / "sefa_pggan_32_fused.pth")).styles() == []
