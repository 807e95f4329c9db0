"""Fits: recovery of known mixtures, the choice of a read, exact resumption, divergence."""

import math
import subprocess
import sys
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

from gmmedit.fitting.loop import describe_progress
from gmmedit.mixture import Layout
from gmmedit.mixture.adam import Adam, Fit, FitStep, Terms, generator_for, has_converged
from gmmedit.mixture.coordinates import FullSpace
from gmmedit.mixture.fitting import ReadFit
from gmmedit.mixture.gaussians import Gaussians
from gmmedit.mixture.objectives import likelihood_term

LAYOUT = Layout((2, 3))


def latents(n: int, dim: int = 10) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(0))


def straight(x: Tensor) -> Tensor:
    """Labels (N, 5) of two attributes that are linear in x, the second leaning on the first."""
    three = torch.stack([x[:, 1], x[:, 2], x[:, 3] + 0.5 * x[:, 0]], 1)
    return torch.cat([torch.stack([-x[:, 0], x[:, 0]], 1).mul(4).softmax(1), three.mul(6).softmax(1)], 1)


def bent(x: Tensor) -> Tensor:
    """The same, but on one side of x_4 the first attribute is read along another direction."""
    turned = x.clone()
    turned[:, 0] = torch.where(x[:, 4] > 0, x[:, 0], x[:, 5])
    return straight(turned)


def small(labels: Tensor, x: Tensor, **options: object) -> ReadFit:
    settings: dict[str, object] = {"hidden": 24, "steps": 250, "batch": 256, "lr": 5e-3} | options
    return ReadFit(x, labels, LAYOUT, **settings)  # type: ignore[arg-type]


def finish(fit: Iterable[FitStep]) -> list[FitStep]:
    return list(fit)


def quadratic(steps: int = 30, **options: float) -> tuple[nn.Parameter, Fit]:
    """Minimises the distance to noisy targets; a second parameter joins in at step 10."""
    parameters = [nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(3))]

    def loss(step: int) -> Terms:
        target = torch.randn(3, generator=generator_for(7, step)) + 3
        terms = {"near": (parameters[0] - target).square().sum()}
        return terms | {"late": (parameters[1] - target).square().sum()} if step >= 10 else terms

    return parameters[0], Fit(parameters, loss, steps, lr=0.1, **options)


# Adam


def test_generators_depend_on_seed_and_step_alone() -> None:
    def draw(seed: int, step: int) -> list[float]:
        return torch.randn(4, generator=generator_for(seed, step)).tolist()

    assert draw(1, 2) == draw(1, 2)
    assert len({tuple(draw(seed, step)) for seed in range(5) for step in range(-2, 5)}) == 35


def test_a_step_reports_itself() -> None:
    _, fit = quadratic()
    steps = finish(fit)
    assert [s.step for s in steps] == list(range(30))
    assert fit.count == fit.steps == 30 and fit.done
    assert all(s.loss == pytest.approx(sum(s.terms.values())) for s in steps)
    assert [s.loss for s in steps] == fit.history
    assert set(steps[-1].terms) == {"near", "late"}
    assert steps[-1].loss < steps[0].loss


def test_schedule_warms_up_and_ends_at_zero() -> None:
    parameter, fit = quadratic(100)
    moves = [fit.rate(done.step) for done in fit]
    assert moves[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])
    assert moves[5:] == sorted(moves[5:], reverse=True)
    assert moves[-1] < 1e-4
    assert parameter.grad is not None and parameter.grad.norm() < 1.001  # clipped


def test_only_the_decayed_shrink() -> None:
    kept, pulled = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    finish(
        Fit(
            [kept, pulled],
            lambda _: {"zero": 0 * (kept + pulled).sum()},
            20,
            0.1,
            decayed=[pulled],
            weight_decay=1,
        )
    )
    assert torch.equal(kept, torch.ones(2))
    assert pulled.max() < 0.5


def test_adam_is_pytorchs() -> None:
    start = [torch.full((3,), 2.0), torch.ones(2, 2), torch.ones(1)]
    ours, theirs = ([nn.Parameter(it.clone()) for it in start] for _ in range(2))
    adam, reference = Adam(ours, weight_decay=0.3), torch.optim.AdamW(theirs, weight_decay=0.3)
    for step in range(5):
        for parameters in (ours, theirs):
            for i, parameter in enumerate(parameters[:2] if step < 3 else parameters):  # the last one joins in late
                parameter.grad = torch.randn(parameter.shape, generator=generator_for(i, step))
        adam.step(lr=0.1 * (step + 1))
        reference.param_groups[0]["lr"] = 0.1 * (step + 1)
        reference.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_fits_do_not_load_the_compiler() -> None:
    """It takes 100 MB and seconds, and PyTorch loads it behind one's back."""
    code = """
import sys, torch
from gmmedit.fitting.loop import describe_progress
from gmmedit.mixture import Layout
from gmmedit.mixture.fitting import ReadFit
x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
fit = ReadFit(x, torch.stack([x[:, 0], -x[:, 0]], 1).softmax(1), Layout((2,)), steps=2)
list(fit), fit.result()
sys.exit("torch._dynamo" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("stop", [0, 4, 15, 30])
def test_resume_is_bit_exact(stop: int) -> None:
    whole, undisturbed = quadratic()
    finish(undisturbed)
    _, first = quadratic()
    for _ in range(stop):
        next(first)
    resumed, second = quadratic()
    second.load_state(first.state())
    finish(second)
    assert torch.equal(whole, resumed)
    assert second.history == undisturbed.history
    assert all(torch.equal(a, b) for a, b in zip(undisturbed.parameters, second.parameters, strict=True))


def test_state_is_a_copy() -> None:
    _, fit = quadratic()
    next(fit)
    state = fit.state()
    before = {name: value.clone() for name, value in state.items()}
    finish(fit)
    assert all(torch.equal(state[name], value) for name, value in before.items())


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_divergence_says_what_to_change(broken: float) -> None:
    parameter = nn.Parameter(torch.ones(1))
    fit = Fit([parameter], lambda step: {"label": parameter.sum() * (broken if step == 2 else 1)}, 9, 0.1)
    next(fit), next(fit)
    before = parameter.clone()
    with pytest.raises(FloatingPointError, match=r"step 2 \(label .*lower the learning rate \(now 0.1\)"):
        next(fit)
    assert torch.equal(parameter, before)


def test_converged() -> None:
    noise = torch.randn(1000, generator=torch.Generator().manual_seed(0)).tolist()
    still = [1 + math.exp(-i / 50) + 0.01 * n for i, n in enumerate(noise)]
    falling = [2 - i / 1000 + 0.01 * n for i, n in enumerate(noise)]
    assert has_converged(still)
    assert not has_converged(falling)
    assert not has_converged([1.0] * 19)
    assert has_converged([1.0] * 20)


# Mixtures and reads


def test_a_known_mixture_is_recovered_from_samples() -> None:
    layout = Layout((3,))
    truth, fitted = Gaussians(layout, tied=False), Gaussians(layout, tied=False)
    mixture = truth.mixture(0)
    with torch.no_grad():
        mixture.means.copy_(torch.tensor([[-1.0, 0.0], [0.5, 1.5], [1.0, -2.0]]))
        mixture.log_scale.copy_(torch.tensor([[-0.5, 0.2], [0.1, -0.7], [0.0, 0.0]]))
        assert mixture.lower is not None
        mixture.lower[:, 1, 0] = torch.tensor([0.5, -0.3, 0.0])
    counts = (3000, 2000, 1000)
    generator = torch.Generator().manual_seed(0)
    y = torch.cat([truth.draw(c, n, generator) for c, n in enumerate(counts)]).detach()
    labels = torch.eye(3).repeat_interleave(torch.tensor(counts), 0)

    def loss(step: int) -> Terms:
        return {"likelihood": likelihood_term(fitted.log_joint(y), labels)}

    finish(Fit(fitted.parameters(), loss, 200, 0.05))
    torch.testing.assert_close(fitted.mixture(0).means, mixture.means, atol=0.1, rtol=0)
    torch.testing.assert_close(fitted.mixture(0).covariance(), mixture.covariance(), atol=0.15, rtol=0)
    torch.testing.assert_close(fitted.mixture(0).log_weights().exp(), torch.tensor([3, 2, 1]) / 6, atol=0.01, rtol=0)


def test_auto_keeps_the_linear_read_of_a_straight_world() -> None:
    x = latents(1500)
    fit = small(straight(x), x)
    steps = finish(fit)
    result = fit.result()
    assert (fit.count, fit.steps, len(steps)) == (500, 500, 500)
    assert result.read == "linear" and result.coordinates.linear
    assert result.accuracy["linear"].min() > 0.9
    assert result.converged


def test_auto_takes_the_network_in_a_bent_world() -> None:
    x = latents(4000)
    fit = small(bent(x), x, steps=400)
    finish(fit)
    result = fit.result()
    assert result.read == "network" and not result.coordinates.linear
    assert result.accuracy["network"].mean() > result.accuracy["linear"].mean() + 0.05
    y = result.coordinates(x).detach()
    for a, rows in enumerate(LAYOUT.rows):  # the gauge holds, and values lie apart in units of their spread
        torch.testing.assert_close(y[:, rows].var(0).mean(), torch.ones(()))
        assert result.gaussians.mixture(a).separation() > 1.5
    moments = Gaussians(LAYOUT)
    moments.fit_moments_(y, bent(x))
    for a in range(2):  # components are the densities of y given the value
        torch.testing.assert_close(result.gaussians.mixture(a).means, moments.mixture(a).means, atol=0.2, rtol=0)


@pytest.mark.parametrize("options", [{}, {"scope": "full", "likelihood": "peak", "covariance": "free"}])
def test_a_read_fit_resumes_bit_exactly(options: dict[str, object]) -> None:
    x = latents(300)

    def fresh() -> ReadFit:
        return small(straight(x), x, steps=12, **options)

    whole, first, second = fresh(), fresh(), fresh()
    finish(whole)
    for _ in range(7 if options else 17):
        next(first)
    second.load_state(first.state())
    finish(second)
    one, other = whole.result(), second.result()
    assert one.read == other.read
    for module in ("coordinates", "gaussians"):
        states = getattr(one, module).state_dict(), getattr(other, module).state_dict()
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_patent_read_literally() -> None:
    x = latents(600, 4)
    fit = small(straight(x), x, steps=60, scope="full", likelihood="peak", covariance="free")
    steps = finish(fit)
    result = fit.result()
    assert isinstance(result.coordinates, FullSpace) and result.read == "full"
    assert result.gaussians.mixture(1).means.shape == (3, 4)
    assert steps[-1].terms["label"] < steps[0].terms["label"]
    assert result.accuracy["full"].min() > 0.75


def test_float64_and_tiny_samples() -> None:
    x = latents(8).double()
    fit = small(straight(x), x, steps=5)
    finish(fit)
    assert fit.result().gaussians.responsibilities(fit.result().coordinates(x)).isfinite().all()


def test_bad_samples_are_refused() -> None:
    x = latents(20)
    labels = straight(x)
    broken = x.clone()
    broken[3, 2] = math.nan
    cases = [
        (x[:3], labels[:3], "4 or more"),
        (x, labels[:, :4], r"\(N, 5\)"),
        (broken, labels, "latents hold NaN"),
        (x, labels * math.nan, "between 0 and 1"),
        (x, labels * 2, "between 0 and 1"),
        (x, labels * torch.tensor([1, 1, 1, 0, 1]), "no sample has value 1 of attribute 1"),
    ]
    for latent, label, message in cases:
        with pytest.raises(ValueError, match=message):
            small(label, latent)


def test_progress_counts_the_steps_of_each_fit() -> None:
    x = latents(64)
    fit = small(straight(x), x, steps=2)
    said = [describe_progress(fit, "single") for _ in fit]
    first, second = "single, fit 1 of 2 (linear)", "single, fit 2 of 2 (network)"
    assert said == [(first, 1, 2), (first, 2, 2), (second, 1, 2), (second, 2, 2)]
    _, alone = quadratic(2)
    assert [describe_progress(alone, "single") for _ in alone] == [("single", 1, 2), ("single", 2, 2)]
