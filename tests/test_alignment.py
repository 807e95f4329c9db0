"""The closed-form end of an IFcVAE-GAN training."""

import pytest
import torch

from gmmedit.errors import RunError
from gmmedit.mixture.transport import transport_matrix
from gmmedit.networks.alignment import Alignment
from gmmedit.training.ifcvae_alignment import fit_alignment


def leaking(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Means of z (n, 4) whose mean and spread tell both attributes (n, 2), which go together."""
    torch.manual_seed(0)
    first = torch.arange(n) % 2
    y = torch.stack([first, torch.where(torch.rand(n) < 0.7, first, 1 - first)], dim=1)
    noise = torch.randn(n, 4) @ torch.randn(4, 4)
    scale = torch.tensor([1.0, 3.0, 1.0, 1.0]) ** y[:, :1] * torch.tensor([1.0, 1.0, 0.5, 1.0]) ** y[:, 1:]
    return noise * scale + 2 * y[:, :1] - y[:, 1:], y


def test_the_identity_of_both_values_has_one_mean_and_covariance() -> None:
    mean, y = leaking(20_000)
    alignment = Alignment(2, 4)
    assert torch.equal(alignment(mean, y.float()), mean), "new, it changes nothing"
    fit_alignment(alignment, mean, torch.full_like(mean, -9.0), y)
    identity = alignment(mean, y.float())
    assert torch.allclose(alignment.restore(identity, y.float()), mean, atol=1e-3)
    assert torch.allclose(torch.cov(identity.T), torch.eye(4), atol=0.01) and identity.mean(0).abs().max() < 0.01
    for unit in (0, 1):
        for value in (0, 1):
            own, before = identity[y[:, unit] == value], mean[y[:, unit] == value]
            assert own.mean(0).abs().max() < 0.1 < (before.mean(0) - mean.mean(0)).abs().max()
            assert torch.allclose(torch.cov(own.T), torch.eye(4), atol=0.15)
    # the other value's latents, restored, are distributed as that value's z
    edited = alignment.restore(identity[y[:, 0] == 0], torch.stack([1 - y[:, 0], y[:, 1]], 1)[y[:, 0] == 0].float())
    assert edited[:, 1].std() > 2 * mean[y[:, 0] == 0, 1].std()
    between = alignment.restore(alignment(mean, torch.full((20_000, 2), 0.3)), torch.full((20_000, 2), 0.3))
    assert torch.allclose(between, mean, atol=1e-3), "also where the encoder is not sure"


def test_few_images_change_the_alignment_little() -> None:
    torch.manual_seed(0)
    shifts = []
    for n in (40, 4_000):
        alignment = Alignment(1, 4)
        fit_alignment(alignment, torch.randn(n, 4), torch.full((n, 4), -9.0), torch.arange(n)[:, None] % 2)
        assert torch.allclose(alignment.scales, torch.eye(4).expand(1, 2, 4, 4), atol=0.3)
        shifts.append(alignment.shifts.abs().max())
    assert max(shifts) < 0.3 and torch.isfinite(alignment.factor).all()
    with pytest.raises(RunError, match="stopped being finite"):
        fit_alignment(Alignment(1, 4), torch.full((40, 4), torch.nan), torch.zeros(40, 4), torch.zeros(40, 1).long())


def test_transport_is_symmetric_and_arrives() -> None:
    torch.manual_seed(0)
    a, b = (m @ m.T + torch.eye(5) for m in torch.randn(2, 5, 5, dtype=torch.float64))
    moved = transport_matrix(a, b)
    assert torch.allclose(moved, moved.T) and torch.allclose(moved @ a @ moved.T, b)
    assert torch.allclose(transport_matrix(a, a), torch.eye(5).double())


def test_restoring_within_an_autocast_is_as_exact_as_bfloat16() -> None:
    mean, y = leaking(500)
    alignment = Alignment(2, 4)
    fit_alignment(alignment, mean, torch.full_like(mean, -9.0), y)
    identity = alignment(mean, y.float())
    with torch.autocast("cpu", torch.bfloat16):
        restored = alignment.restore(identity, y.float())
    assert restored.dtype == torch.float32 and torch.allclose(restored, mean, atol=0.3, rtol=0.03)
