"""The mathematics of reads, components, losses and writes, in float64, each against a second way."""

import math
from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from gmmedit.mixture import Layout
from gmmedit.mixture.components import Mixture
from gmmedit.mixture.coordinates import Coordinates, FullSpace
from gmmedit.mixture.gaussians import Gaussians
from gmmedit.mixture.objectives import (
    label_loss,
    least_change,
    likelihood_term,
    sampling_term,
)
from gmmedit.mixture.writing import least_change_write

M = TypeVar("M", bound=nn.Module)
LAYOUT = Layout((2, 3, 2), (1, 2, 3))
COVARIANCES = pytest.mark.parametrize(
    ("tied", "diagonal"), [(True, False), (False, False), (True, True), (False, True)]
)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def shaken(module: M, size: float = 0.3, seed: int = 5) -> M:
    """The module in float64 with parameters off their start."""
    module.double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += size * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return module


def apart(tied: bool = True, rank: int = 2, gap: float = 30.0) -> Mixture:
    """Three well separated components."""
    mixture = shaken(Mixture(3, rank, tied))
    with torch.no_grad():
        mixture.means += gap * torch.eye(3, rank, dtype=torch.float64)
    return mixture


def labels_of(logits: Tensor, layout: Layout = LAYOUT) -> Tensor:
    return torch.cat([logits[:, columns].softmax(1) for columns in layout.columns], 1)


# Layout


def test_layout_slices() -> None:
    layout = Layout((2, 5))
    assert layout.ranks == (1, 4)
    assert (layout.categories, layout.width) == (7, 5)
    assert layout.columns == [slice(0, 2), slice(2, 7)]
    assert layout.rows == [slice(0, 1), slice(1, 5)]
    assert [layout.locate(c) for c in range(7)] == [(0, 0), (0, 1), *((1, v) for v in range(5))]


@pytest.mark.parametrize(("values", "ranks"), [((), ()), ((1, 2), ()), ((2, 2), (1,)), ((2,), (0,))])
def test_layout_refuses(values: tuple[int, ...], ranks: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="attribute"):
        Layout(values, ranks)


def test_layout_knows_its_categories() -> None:
    for category in (-1, 7):
        with pytest.raises(IndexError, match="0 .. 6"):
            LAYOUT.locate(category)


# Coordinates


def test_columns_are_orthonormal_within_an_attribute() -> None:
    read = shaken(Coordinates(7, LAYOUT)).read_matrix()
    for rows in LAYOUT.rows:
        own = read[:, rows]
        torch.testing.assert_close(own.T @ own, torch.eye(own.shape[1], dtype=own.dtype))


def test_network_is_silent_at_the_start() -> None:
    x = random(10, 7)
    coordinates = Coordinates(7, LAYOUT, 8, torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(coordinates(x), x @ coordinates.read_matrix())
    assert not coordinates.linear


@pytest.mark.parametrize("hidden", [0, 9])
def test_jacobian_is_exact(hidden: int) -> None:
    coordinates = shaken(Coordinates(7, LAYOUT, hidden))
    x = random(4, 7)
    coordinates.standardise_(random(50, 7, seed=1))
    expected = torch.func.vmap(torch.func.jacrev(lambda row: coordinates(row[None])[0]))(x)
    torch.testing.assert_close(coordinates.jacobian(x), expected)
    torch.testing.assert_close(coordinates.jacobian(x, slice(1, 3)), expected[:, 1:3])
    assert coordinates.linear == torch.allclose(expected[0], expected[1])


def test_standardising() -> None:
    coordinates, x = shaken(Coordinates(7, LAYOUT, 9)), random(60, 7)
    batch = coordinates.standardised(coordinates(x))
    coordinates.standardise_(x)
    y = coordinates(x)
    torch.testing.assert_close(y, batch)
    assert y.mean(0).abs().max() < 1e-12
    for rows in LAYOUT.rows:
        torch.testing.assert_close(y[:, rows].var(0).mean(), y.new_ones(()))
    coordinates.standardise_(x)
    torch.testing.assert_close(coordinates(x), y)


def test_start_points_from_value_to_value() -> None:
    x, truth = random(4000, 7), torch.linalg.qr(random(7, 3, seed=2)).Q
    two = nn.functional.one_hot((x @ truth[:, 0] > 0).long(), 2)
    three = nn.functional.one_hot((x @ truth[:, 1:] @ random(2, 3, seed=3)).argmax(1), 3)
    labels = torch.cat([two, three], 1).double()
    coordinates = Coordinates(7, Layout((2, 3))).double()
    coordinates.initialise_(x, labels)
    read = coordinates.read_matrix()
    assert (read[:, 0] @ truth[:, 0]).abs() > 0.99
    assert torch.linalg.svdvals(read[:, 1:].T @ truth[:, 1:]).min() > 0.99


def test_too_many_coordinates() -> None:
    with pytest.raises(ValueError, match="space of 2"):
        Coordinates(2, LAYOUT)


# Components


@COVARIANCES
@pytest.mark.parametrize("rank", [1, 2])
def test_densities_integrate_to_one(rank: int, tied: bool, diagonal: bool) -> None:
    mixture = shaken(Mixture(3, rank, tied, diagonal))
    axis = torch.linspace(-12, 12, 241, dtype=torch.float64)
    grid = torch.cartesian_prod(*[axis] * rank).reshape(-1, rank)
    mass = mixture.log_density(grid).exp().sum(0) * 0.1**rank
    torch.testing.assert_close(mass, torch.ones(3, dtype=torch.float64))


@COVARIANCES
@pytest.mark.parametrize("layout", [LAYOUT, Layout((3, 2, 3, 2, 2), (2, 1, 2, 1, 2))])
def test_responsibilities_match_brute_force(layout: Layout, tied: bool, diagonal: bool) -> None:
    """Also where attributes of one size lie apart."""
    gaussians, y = shaken(Gaussians(layout, tied, diagonal)), random(20, layout.width)
    joint, read = [], []
    for a, rows in enumerate(layout.rows):
        mixture = gaussians.mixture(a)
        own = [
            MultivariateNormal(m, s).log_prob(y[:, rows])
            for m, s in zip(mixture.means, mixture.covariance(), strict=True)
        ]
        joint.append(torch.stack(own, 1) + mixture.log_weights())
        read.append(joint[-1].softmax(1))
    torch.testing.assert_close(gaussians.log_joint(y), torch.cat(joint, 1))
    torch.testing.assert_close(gaussians.responsibilities(y), torch.cat(read, 1))
    torch.testing.assert_close(gaussians.likelihood(y, "group"), torch.cat(read, 1))


def test_peak_is_one_at_the_mean_and_falls_with_distance() -> None:
    gaussians = shaken(Gaussians(Layout((2,))))
    mixture = gaussians.mixture(0)
    peak = gaussians.likelihood(mixture.means.detach(), "peak")
    torch.testing.assert_close(peak.diagonal(), torch.ones(2, dtype=torch.float64))
    deviation = mixture.covariance()[0, 0].sqrt()
    torch.testing.assert_close(
        gaussians.peak(mixture.means[:1] + 2 * deviation)[0, 0], deviation.new_tensor(math.exp(-2))
    )


def test_far_away_is_still_finite() -> None:
    gaussians = shaken(Gaussians(LAYOUT, tied=False)).float()
    y = 1e4 * random(6, LAYOUT.width).float()
    assert gaussians.log_responsibilities(y).isfinite().all()
    for columns in LAYOUT.columns:
        torch.testing.assert_close(gaussians.responsibilities(y)[:, columns].sum(1), torch.ones(6))


@COVARIANCES
@pytest.mark.parametrize("form", ["group", "peak"])
def test_gradients_reach_every_parameter(form: str, tied: bool, diagonal: bool) -> None:
    coordinates, gaussians = shaken(Coordinates(7, LAYOUT, 9)), shaken(Gaussians(LAYOUT, tied, diagonal))
    y, labels = coordinates(random(30, 7)), labels_of(random(30, LAYOUT.categories, seed=1))
    density = gaussians.log_joint(y.detach())
    (label_loss(gaussians.likelihood(y, form), labels) + likelihood_term(density, labels)).backward()
    for name, parameter in [*coordinates.named_parameters(), *gaussians.named_parameters()]:
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


@COVARIANCES
def test_moments(tied: bool, diagonal: bool) -> None:
    y, labels = random(200, LAYOUT.width), labels_of(random(200, LAYOUT.categories, seed=1))
    gaussians = Gaussians(LAYOUT, tied, diagonal).double()
    gaussians.fit_moments_(y, labels)
    for a, (rows, columns) in enumerate(zip(LAYOUT.rows, LAYOUT.columns, strict=True)):
        mixture, own, weights = gaussians.mixture(a), y[:, rows], labels[:, columns]
        covariances = torch.stack(
            [torch.cov(own.T, correction=0, aweights=w).view(own.shape[1], -1) for w in weights.T]
        )
        if tied:
            covariances = torch.einsum("c,cij->ij", weights.mean(0), covariances).expand_as(covariances)
        if diagonal:
            covariances = covariances * torch.eye(own.shape[1], dtype=own.dtype)
        torch.testing.assert_close(mixture.means, weights.T @ own / weights.sum(0)[:, None])
        torch.testing.assert_close(mixture.covariance(), covariances, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(mixture.log_weights().exp(), weights.mean(0))


def test_moments_of_few_samples_and_of_none() -> None:
    gaussians = Gaussians(Layout((2,), (3,)), tied=False).double()
    labels = torch.eye(2, dtype=torch.float64)[[0, 0, 1]]  # one sample spans no covariance
    gaussians.fit_moments_(random(3, 3), labels)
    assert gaussians.responsibilities(random(4, 3, seed=1)).isfinite().all()
    with pytest.raises(ValueError, match="no sample has value 1 of attribute 0"):
        gaussians.fit_moments_(random(3, 3), labels[[0, 0, 0]])


def test_draws_have_the_components_moments_and_gradients() -> None:
    gaussians = shaken(Gaussians(LAYOUT, tied=False))
    draws = gaussians.draw(3, 200_000, torch.Generator().manual_seed(0))
    mixture = gaussians.mixture(1)
    torch.testing.assert_close(draws.mean(0), mixture.means[1], atol=0.02, rtol=0)
    torch.testing.assert_close(torch.cov(draws.T), mixture.covariance()[1], atol=0.03, rtol=0)
    draws.square().sum().backward()
    assert mixture.means.grad is not None and mixture.means.grad[1].abs().min() > 0
    assert mixture.log_scale.grad is not None and mixture.log_scale.grad[1].abs().min() > 0


# Control vectors


@pytest.mark.parametrize("tied", [True, False])
def test_coupled_draw_carries_the_mixture_onto_the_component(tied: bool) -> None:
    mixture = apart(tied)
    generator = torch.Generator().manual_seed(0)
    y = torch.cat([mixture.draw(c, 30_000, generator) for c in range(3)]).detach()
    moved = mixture.transport(y, 1)
    torch.testing.assert_close(moved.mean(0), mixture.means[1], atol=0.02, rtol=0)
    torch.testing.assert_close(torch.cov(moved.T), mixture.covariance()[1], atol=0.03, rtol=0)
    torch.testing.assert_close(moved[30_000:60_000], y[30_000:60_000])  # members stay where they are


def test_transport_of_tied_components_is_a_shift() -> None:
    mixture = apart()
    y = mixture.draw(0, 50, torch.Generator().manual_seed(0))
    torch.testing.assert_close(mixture.transport(y, 2), y + mixture.means[2] - mixture.means[0])


def test_transport_keeps_rank() -> None:
    mixture = apart(tied=False, rank=1)
    y = mixture.draw(1, 200, torch.Generator().manual_seed(0)).detach()
    assert torch.equal(y.argsort(0), mixture.transport(y, 0).argsort(0))


@pytest.mark.parametrize("draw", ["coupled", "mean", "sample"])
def test_control_aims_at_the_category_or_away_from_it(draw: str) -> None:
    gaussians = Gaussians(Layout((2, 3), (1, 2))).double()
    gaussians.mixtures[1] = mixture = apart()
    y = torch.zeros(3, 3, dtype=torch.float64)
    y[:, 1:] = mixture.means + torch.tensor([[0.0, 1.0], [2.0, 0.0], [0.0, 3.0]])
    generator = torch.Generator().manual_seed(0)
    for value in range(3):
        towards = gaussians.control(y, 2 + value, draw, generator)
        assert torch.equal(mixture.log_responsibilities(towards).argmax(1), torch.full((3,), value))
        away = mixture.log_responsibilities(gaussians.control(y, 2 + value, draw, generator, away=True))
        others = mixture.log_responsibilities(y[:, 1:]).detach()
        others[:, value] = -math.inf
        assert torch.equal(away.argmax(1), others.argmax(1))


def test_sampling_needs_a_generator() -> None:
    with pytest.raises(ValueError, match="generator"):
        Gaussians(LAYOUT).control(torch.zeros(2, LAYOUT.width), 0, "sample")


def test_separation_is_in_units_of_spread() -> None:
    mixture = Mixture(3, 1).double()
    with torch.no_grad():
        mixture.means.copy_(torch.tensor([[0.0], [3.0], [10.0]]))
        mixture.log_scale.fill_(math.log(2.0))
    assert mixture.separation().item() == pytest.approx(1.5)


# Losses


def test_label_and_sampling_terms() -> None:
    a, b = labels_of(random(5, 7)), labels_of(random(5, 7, seed=1))
    expected = (a - b).square().sum() / 35
    torch.testing.assert_close(label_loss(a, b), expected)
    torch.testing.assert_close(sampling_term(a, b), expected)
    torch.testing.assert_close(least_change(a - b), expected)


def test_likelihood_term_is_least_at_the_moments() -> None:
    gaussians = Gaussians(LAYOUT).double()
    y, labels = random(100, LAYOUT.width), labels_of(random(100, 7, seed=1))
    gaussians.fit_moments_(y, labels)
    likelihood_term(gaussians.log_joint(y), labels).backward()
    for name, parameter in gaussians.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() < 1e-5, name


def test_linear_write_is_exact_and_holds_the_others() -> None:
    coordinates, x = shaken(Coordinates(9, LAYOUT)), random(12, 9)
    delta = random(12, 2, seed=1)
    moved = least_change_write(coordinates, x, slice(1, 3), delta, damping=0)
    expected = torch.zeros(12, 6, dtype=torch.float64)
    expected[:, 1:3] = delta
    torch.testing.assert_close(coordinates(moved) - coordinates(x), expected)
    jacobian = coordinates.jacobian(x[:1])[0]
    torch.testing.assert_close(moved - x, expected @ torch.linalg.pinv(jacobian).T)  # the least change
    torch.testing.assert_close(least_change_write(coordinates, x, slice(None), expected, damping=0), moved)


def test_network_write_arrives_and_holds_the_others() -> None:
    coordinates = shaken(Coordinates(32, LAYOUT, 16, torch.Generator().manual_seed(0)), 0.2)
    x = random(40, 32)
    coordinates.standardise_(x)
    jacobian = coordinates.jacobian(x)
    assert (jacobian - jacobian.mean(0)).norm() > 0.2 * jacobian.norm()  # it is bent
    delta = random(40, 2, seed=1).sign()
    change = coordinates(least_change_write(coordinates, x, slice(1, 3), delta, damping=0)) - coordinates(x)
    change[:, 1:3] -= delta
    assert change.abs().max() < 0.02


def test_damping_keeps_nearly_collinear_reads_from_exploding() -> None:
    coordinates = Coordinates(5, Layout((2, 2))).double()
    with torch.no_grad():
        coordinates.directions.zero_()
        coordinates.directions[0] = 1.0
        coordinates.directions[1, 1] = 0.01
    x, delta = random(3, 5), torch.ones(3, 1, dtype=torch.float64)
    plain = least_change_write(coordinates, x, slice(0, 1), delta, damping=0) - x
    damped = least_change_write(coordinates, x, slice(0, 1), delta) - x
    assert plain.norm(dim=1).min() > 50
    assert damped.norm(dim=1).max() < 1


def test_write_is_differentiable() -> None:
    coordinates = shaken(Coordinates(4, Layout((2, 2)), 3))
    x, delta = random(2, 4).requires_grad_(), random(2, 1, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, delta: least_change_write(coordinates, x, slice(0, 1), delta, steps=2), (x, delta)
    )


@pytest.mark.parametrize("alpha", [0.4, 1.0])
def test_full_space_write_is_the_interpolation_of_the_patent(alpha: float) -> None:
    space = FullSpace(4, (2, 3))
    gaussians = shaken(Gaussians(space.layout, tied=False))
    x = random(6, 4)
    y = space(x)
    zs = gaussians.control(y, 3, "sample", torch.Generator().manual_seed(0))
    rows = space.layout.rows[1]
    moved = least_change_write(space, x, rows, alpha * (zs - y[:, rows]))
    torch.testing.assert_close(moved, (1 - alpha) * x + alpha * zs)
    whole = torch.zeros_like(y)
    whole[:, rows] = alpha * (zs - y[:, rows])
    torch.testing.assert_close(least_change_write(space, x, slice(None), whole), moved)
