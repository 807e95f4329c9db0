"""Charts: whitening, the mapping's activation undone, round trips, null directions, W+."""

import json

import pytest
import torch
from torch import Tensor

from gmmedit.spaces import ROWS, Chart, Space, first_non_finite, fit_chart


def mapped(n: int, dim: int = 6, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Correlated Gaussians (n, dim) and the latents that a mapping's last leaky ReLU makes of them."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(dim, dim, generator=generator, dtype=torch.float64)
    gaussian = torch.randn(n, dim, generator=generator, dtype=torch.float64) @ mix + 0.5
    return gaussian.to(dtype), torch.nn.functional.leaky_relu(gaussian, 0.2).to(dtype)


def fitted(latents: Tensor, normal: bool = False) -> Chart:
    return fit_chart(Space("latent", latents.shape[1], normal=normal), latents)


def test_a_space_has_a_block_and_survives_a_file() -> None:
    w, parts = Space("w", 6, layers=3), Space("z", 4, normal=True, blocks={"style": slice(0, 1), "rest": slice(1, 4)})
    assert w.blocks == {"w": slice(0, 6)}
    assert [Space.from_record(json.loads(json.dumps(space.record()))) for space in (w, parts)] == [w, parts]


def test_z_is_the_identity() -> None:
    z = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    chart = fitted(z, normal=True)
    assert chart.dim == 5
    assert torch.equal(chart.to_x(z), z)
    assert torch.equal(chart.from_x(z), z)


def test_w_is_whitened() -> None:
    _, w = mapped(500)
    x = fitted(w).to_x(w)
    assert x.mean(0).abs().max() < 1e-12
    torch.testing.assert_close(torch.cov(x.T), torch.eye(6, dtype=x.dtype))


def test_w_undoes_the_activation() -> None:
    gaussian, w = mapped(200)
    x = fitted(w).to_x(w)
    ones = torch.ones(200, 1, dtype=x.dtype)
    inputs = torch.cat([gaussian, ones], 1)  # x is affine in what the mapping had before its activation
    torch.testing.assert_close(inputs @ torch.linalg.lstsq(inputs, x).solution, x)


def test_w_without_an_activation_is_left_straight() -> None:
    gaussian, activated = mapped(200)
    still = torch.full((200, 1), -1.7, dtype=gaussian.dtype)
    assert fitted(torch.cat([gaussian, still], 1)).slope == 1
    assert fitted(torch.cat([activated, still], 1)).slope == 5


@pytest.mark.parametrize("normal", [True, False])
def test_round_trip_in_float32(normal: bool) -> None:
    _, w = mapped(300, 64, torch.float32)
    chart = fitted(w, normal)
    _, fresh = mapped(50, 64, torch.float32, seed=0)
    for latent in (w, fresh):
        assert (chart.from_x(chart.to_x(latent)) - latent).abs().max() < 1e-4 * latent.abs().max()
    x = torch.randn(50, 64, generator=torch.Generator().manual_seed(1))
    assert (chart.to_x(chart.from_x(x)) - x).abs().max() < 1e-3


def test_null_directions_are_dropped_and_restored() -> None:
    gaussian, _ = mapped(100, 3)
    still = torch.full((100, 1), -1.7, dtype=gaussian.dtype)
    u = torch.cat([gaussian, gaussian[:, :1] - gaussian[:, 1:2], still], 1)  # a dependent and a constant one
    w = torch.nn.functional.leaky_relu(u, 0.2)
    chart = fitted(w)
    assert chart.dim == 3
    torch.testing.assert_close(chart.from_x(chart.to_x(w)), w)
    moved = chart.from_x(chart.to_x(w) + 1)
    torch.testing.assert_close(moved[:, 4], w[:, 4])


def test_fewer_latents_than_dimensions() -> None:
    _, w = mapped(5, 8)
    chart = fitted(w)
    assert chart.dim == 4
    torch.testing.assert_close(chart.from_x(chart.to_x(w)), w)


def test_arrays_carry_the_chart() -> None:
    _, w = mapped(50, dtype=torch.float32)
    chart = fitted(w)
    again = Chart.from_arrays(chart.arrays() | {"other": torch.zeros(1)})
    assert torch.equal(again.to_x(w), chart.to_x(w))
    with pytest.raises(KeyError, match="mean"):
        Chart.from_arrays({"slope": chart.slope})


def test_many_latents_become_coordinates_in_their_place() -> None:
    _, w = mapped(3 * ROWS + 5, 6)
    w[:, 2] = 0.5  # a null direction
    chart, latents = fitted(w), w.clone()
    x = chart.to_x_(latents)
    assert x.shape == (len(w), 5) and x.data_ptr() == latents.data_ptr()
    torch.testing.assert_close(x, chart.to_x(w))
    torch.testing.assert_close(x.T.cov(), torch.eye(5, dtype=w.dtype))
    torch.testing.assert_close(x.mean(0), torch.zeros(5, dtype=w.dtype))


@pytest.mark.parametrize("row", [0, ROWS - 1, ROWS, 2 * ROWS + 3])
def test_the_first_latent_that_is_no_number_is_found(row: int) -> None:
    latents = torch.zeros(2 * ROWS + 4, 3)
    assert first_non_finite(latents) is None
    latents[row, 1], latents[-1, 2] = torch.nan, torch.inf
    assert first_non_finite(latents) == row


def test_precision_follows_the_chart() -> None:
    _, w = mapped(50, dtype=torch.float32)
    wide = fitted(w).to(torch.float64)
    assert wide.to_x(w).dtype == torch.float64
    torch.testing.assert_close(wide.to_x(w).float(), fitted(w).to_x(w), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("normal", "latents", "message"),
    [
        (False, torch.tensor([[1.0, float("nan"), 0.0], [0.0, 1.0, 0.0]]), "NaN"),
        (True, torch.tensor([[1.0, float("inf"), 0.0], [0.0, 1.0, 0.0]]), "infinite"),
        (True, torch.zeros(1, 3), "at least two"),
        (False, torch.zeros(4), "shape"),
        (False, torch.ones(4, 3), "same"),
        (False, torch.zeros(4, 5), r"shape \(N, 3\)"),
    ],
)
def test_bad_latents_are_refused(normal: bool, latents: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_chart(Space("latent", 3, normal=normal), latents)


def test_a_latent_is_carried_by_its_coordinates_and_keeps_what_the_chart_cannot_say() -> None:
    _, w = mapped(40, 3)
    w = torch.cat([w, torch.full((40, 1), 2.0, dtype=w.dtype)], 1)  # a null direction
    chart = fitted(w)
    layers = torch.stack([w, w.flip(0), w.roll(1, 0)], 1)
    layers[:, 1, 3] = 5.0  # a layer outside of W, as inversions are
    x = chart.to_x(layers)
    assert torch.equal(chart.carry(layers, x), layers)
    step = torch.linspace(-1, 1, 9, dtype=w.dtype).view(3, 3)
    moved = chart.carry(layers, x + step)
    torch.testing.assert_close(moved[:, 1, 3], layers[:, 1, 3])
    inside = (chart.to_x(moved) - x)[:, [0, 2]]
    torch.testing.assert_close(inside, step[[0, 2]].expand_as(inside))
