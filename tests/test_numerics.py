"""Samples and labels that are hard to fit: a finite result, or one clear line."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import check, done, gmmedit, refuse, rewrite
from torch import Tensor, nn

from gmmedit import artifacts
from gmmedit.editors.baselines.linear import LinearEditor
from gmmedit.errors import RunError
from gmmedit.fitting.loop import run_fit
from gmmedit.mixture import Layout
from gmmedit.mixture.adam import Fit
from gmmedit.mixture.fitting import ReadFit
from gmmedit.mixture.gaussians import Gaussians
from gmmedit.mixture.model import AttributeMixture
from gmmedit.runtime.execution import Execution
from gmmedit.spaces import Space, fit_affine_chart, fit_chart

LAYOUT = Layout((2, 3))


def drawn(n: int, dim: int, seed: int = 0) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def labels_of(x: Tensor, sharpness: float = 4.0) -> Tensor:
    """(N, 5): two values along the first axis, three along the next ones."""
    pair = torch.stack([-x[:, 0], x[:, 0]], 1)
    return torch.cat([(sharpness * pair).softmax(1), (sharpness * x[:, 1:4]).softmax(1)], 1)


def finite(model: AttributeMixture, x: Tensor) -> bool:
    """Whether all that an edit needs is: parameters, reads, and the edits of every draw."""
    numbers = [*model.state_dict().values(), model.responsibilities(x)]
    for category in range(model.layout.categories):
        rows = torch.full((len(x),), category)
        numbers.append(model.offset(x, rows, "coupled"))
    return all(bool(number.isfinite().all()) for number in numbers)


def fitted(x: Tensor, labels: Tensor, layout: Layout = LAYOUT, **options: object) -> AttributeMixture:
    settings: dict[str, object] = {"hidden": 16, "steps": 30, "batch": 128} | options
    fit = ReadFit(x, labels, layout, **settings)  # type: ignore[arg-type]
    for _ in fit:
        pass
    result = fit.result()
    return AttributeMixture(result.coordinates, result.gaussians)


@pytest.mark.parametrize("options", [{}, {"scope": "full", "likelihood": "peak"}, {"covariance": "free"}])
@pytest.mark.parametrize("sharpness", [1e-7, 1e4])
def test_labels_that_hardly_vary_or_only_jump(sharpness: float, options: dict[str, object]) -> None:
    x = drawn(300, 8)
    assert finite(fitted(x, labels_of(x, sharpness), **options), x)


@pytest.mark.parametrize("options", [{}, {"covariance": "free"}])
def test_an_attribute_twice(options: dict[str, object]) -> None:
    x = drawn(400, 8)
    pair = labels_of(x)[:, :2]
    model = fitted(x, torch.cat([pair, pair], 1), Layout((2, 2)), **options)
    assert finite(model, x)
    offset = model.offset(x, torch.ones(len(x), dtype=torch.long), "coupled")
    assert offset.norm(dim=-1).max() < 100, "the write is damped where two attributes are one"


def test_fewer_samples_than_dimensions() -> None:
    x = drawn(40, 64)
    assert finite(fitted(x, labels_of(x)), x)


def test_fewer_samples_than_gaussians_over_all_dimensions_need(own_run: Path, tmp_path: Path) -> None:
    fingerprint = rewrite(own_run / "samples.h5", rows=140)
    rewrite(own_run / "labels.h5", rows=140, parents={"samples": fingerprint}, labels=lambda labels: labels[:140])
    config = written(tmp_path, "fit_single: {scope: full}")
    says = ("samples to fit, Gaussians over all", "scope: subspace")
    refuse(own_run, "fit-single", "--config", config, "--force", says=says)


def test_one_class() -> None:
    x = drawn(100, 6)
    for certain in (1.0, 1 - 1e-6):
        labels = labels_of(x)
        labels[:, 0], labels[:, 1] = certain, 1 - certain
        if certain == 1:
            with pytest.raises(ValueError, match="no sample has value 1 of attribute 0: take more samples"):
                fitted(x, labels)
        else:
            assert finite(fitted(x, labels), x)


@pytest.mark.parametrize("make", [lambda w: fit_chart(Space("w", w.shape[1]), w), fit_affine_chart])
def test_a_badly_conditioned_w(make: object) -> None:
    """Directions of variance from 1e-12 to 1e8, two alike, one constant: those that are rounding are dropped."""
    w = drawn(500, 12) * torch.logspace(-6, 4, 12)
    w[:, 3], w[:, 5] = w[:, 4], 0.25
    chart = make(w)  # type: ignore[operator]
    x = chart.to_x(w)
    assert x.isfinite().all() and chart.dim < 12
    assert (x.var(0) - 1).abs().max() < 0.05
    back = chart.from_x(x)
    assert (back - w).abs().max() < 1e-2 * w.abs().max() and torch.equal(chart.carry(w, x)[:0], w[:0])


def test_a_w_of_fewer_samples_than_dimensions() -> None:
    w = drawn(20, 50)
    chart = fit_chart(Space("w", w.shape[1]), w)
    assert chart.dim <= 19 and chart.to_x(w).isfinite().all()


def test_components_without_spread() -> None:
    gaussians = Gaussians(LAYOUT)
    y = torch.zeros(50, LAYOUT.width)
    gaussians.fit_moments_(y, labels_of(drawn(50, 4)))
    assert gaussians.responsibilities(y).isfinite().all()


def test_a_fit_that_diverges_keeps_its_last_checkpoint(tmp_path: Path) -> None:
    parameter = nn.Parameter(torch.ones(3))

    def fit() -> Fit:
        return Fit([parameter], lambda step: {"label": parameter.sum() * (math.nan if step == 450 else 1)}, 600, 0.1)

    spec = artifacts.RunSpec("single", n=5, config={"steps": 600})
    with pytest.raises(RunError, match=r"the fit diverged at step 450") as caught:
        run_fit(tmp_path / "single.h5", spec, fit(), Execution())
    assert "lower the learning rate (now 0.1)" in caught.value.hint
    saved = artifacts.load_checkpoint(tmp_path / "single.h5", spec)
    assert saved is not None and len(saved["fit/losses"]) == 400
    assert all(np.isfinite(array).all() for array in saved.values())


def test_results_that_are_no_numbers_are_not_written(own_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = ReadFit.result

    def broken(self: ReadFit) -> object:
        found = result(self)
        with torch.no_grad():
            found.gaussians.mixture(0).means[0] = math.nan
        return found

    monkeypatch.setattr(ReadFit, "result", broken)
    (own_run / "single.h5").unlink()
    words = ("--config", written(own_run.parent, "fit_single: {steps: 20, batch: 64}"))
    check(gmmedit("fit-single", "--run", own_run, *words), "the fit ended with non-finite values", "lower", code=1)
    assert not (own_run / "single.h5").exists()


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(text)
    return path


def test_a_run_with_hard_samples_ends(own_run: Path, tmp_path: Path) -> None:
    """Two attributes alike, a hundred samples of 128 dimensions: every step ends, and every label is a number."""
    fingerprint = rewrite(own_run / "samples.h5", rows=120)

    def twins(labels: np.ndarray) -> np.ndarray:
        labels[:, 2:4] = labels[:, 0:2]
        half = np.arange(len(labels)) % 2
        for start in (4, 6, 8, 10, 12):
            labels[:, start], labels[:, start + 1] = half, 1 - half
        return labels

    with artifacts.open(own_run / "labels.h5") as labels:
        columns = sum(len(values) for _, values in labels.attributes)

    def whole(labels: np.ndarray) -> np.ndarray:
        labels = twins(labels)
        last = np.arange(len(labels)) % (columns - 12)
        labels[:, 12:] = np.eye(columns - 12, dtype=labels.dtype)[last]
        return labels

    rewrite(own_run / "labels.h5", rows=120, parents={"samples": fingerprint}, labels=whole)
    config = written(tmp_path, "fit_single: {steps: 20}\nfit_mixture: {steps: 2, batch: 4, consistency: off}\n")
    for command in ("fit-single", "fit-mixture"):
        done(command, "--run", own_run, "--config", config, "--force", "--restart")
    for name in ("single.h5", "mixture.h5"):
        with artifacts.open(own_run / name) as fit:
            for key in fit.names:
                unmeasured = key.startswith("report/edits/")  # towards values that all of a few samples have
                assert np.isfinite(fit[key]).all() or unmeasured, (name, key)


EXTREMES = """
fit_single: {steps: 1, batch: 2, held_out: 1.0e-9}
fit_mixture: {steps: 2, batch: 2, sampling: 1.0e+9, decoupling: 1.0e+9, least_change: 1.0e+9, picture: 1.0e+9}
evaluate: {n: 24, starts: 1, polish: 0, editors: [random]}
"""


@pytest.mark.usefixtures("little_work")
def test_settings_at_their_bounds_give_numbers(own_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LinearEditor, "strengths", (0.0, 1.0))
    for command in ("fit-single", "fit-mixture", "evaluate"):
        done(command, "--run", own_run, "--config", written(tmp_path, EXTREMES), "--force")
    for name in ("single.h5", "mixture.h5"):
        with artifacts.open(own_run / name) as fit:
            for key in fit.names:
                unmeasured = key.startswith("report/edits/")  # towards values that all of a few samples have
                assert np.isfinite(fit[key]).all() or unmeasured, (name, key)
    with artifacts.open(own_run / "evaluation.h5") as scored:
        for key in scored.names:
            few = {"frechet", "precision", "density", "recall", "coverage", "kid"}  # of one image there is none
            assert np.isfinite(scored[key]).all() or key.split("/")[-1] in few, key
