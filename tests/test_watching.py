"""Trials of held-out samples, and the fit that ends when they no longer improve."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import done
from test_refining import CONTRAST, HELD, LAYOUT, fitted, pictured, score, softmaxes, world  # noqa: F401
from torch import Tensor, nn

from gmmedit import artifacts, config
from gmmedit.artifacts import Artifact
from gmmedit.editors.mixture import MixtureEditor
from gmmedit.fitting import loop as fitting
from gmmedit.mixture import watching
from gmmedit.mixture.adam import Fit, generator_for
from gmmedit.mixture.objectives import band_change, image_change
from gmmedit.mixture.refining import Refinement, Weights
from gmmedit.mixture.trials import Trials, choose_starts
from gmmedit.mixture.watching import WatchedFit, no_longer_improves
from gmmedit.report.summaries import fit_report
from gmmedit.run.folder import RunFolder
from gmmedit.run.optimisation import make_optimisation
from gmmedit.runtime.execution import Execution
from gmmedit.stages import fit_mixture

PARTS = ("arrived", "kept", "change")


# Trials


def test_trials_match_a_computation_edit_by_edit(world):  # noqa: F811
    x, labels, _ = world
    model = fitted(x, labels)
    trials = Trials(x[:300], labels[:300], pictured, LAYOUT, CONTRAST / 2, seed=1, each=9, rows=5)
    outcome = trials(model.offset)
    rows, categories, _ = choose_starts(labels[:300], LAYOUT, 1, 9)
    quality = []
    for category in range(LAYOUT.categories):
        attribute, value = LAYOUT.locate(category)
        arrived, kept, change, soft = [], [], [], []
        for row in rows[categories == category].tolist():
            assert labels[row, LAYOUT.columns[attribute]].argmax() != value
            with torch.no_grad():
                moved = x[row : row + 1, None] + model.offset(x[row : row + 1], torch.tensor([category]))
            before, after = (softmaxes(score(z))[0] for z in (x[row : row + 1, None], moved))
            values = [[int(p[c].argmax()) for c in LAYOUT.columns] for p in (before, after)]
            arrived.append(values[1][attribute] == value)
            others = [a for a in range(3) if a != attribute]
            kept.append(np.mean([values[0][a] == values[1][a] for a in others]))
            change.append(2 * float(band_change(pictured(x[row : row + 1, None])[1], pictured(moved)[1], CONTRAST)))
            overlaps = [float(torch.minimum(before[LAYOUT.columns[a]], after[LAYOUT.columns[a]]).sum()) for a in others]
            soft.append(float(after[category]) + np.mean(overlaps) - change[-1])
        assert len(arrived) == 9
        for name, part in zip(PARTS, (arrived, kept, change), strict=True):
            assert float(getattr(outcome, name)[category]) == pytest.approx(np.mean(part), abs=1e-5)
        quality.append(np.mean(soft))
    assert outcome.quality == pytest.approx(np.mean(quality), abs=1e-5)


def test_a_brief_trial_is_of_the_first_samples_of_each_value(world):  # noqa: F811
    x, labels, _ = world
    model = fitted(x, labels)
    brief = Trials(x[:300], labels[:300], pictured, LAYOUT, CONTRAST, 1, each=12, rows=8)(model.offset, brief=True)
    few = Trials(x[:300], labels[:300], pictured, LAYOUT, CONTRAST, 1, each=6, rows=8)(model.offset)
    for name in PARTS:
        torch.testing.assert_close(getattr(brief, name), getattr(few, name))


def test_a_value_that_every_sample_has_is_not_measured(world):  # noqa: F811
    x, labels, _ = world
    same = labels[:, :2].argmax(1) == 1
    outcome = Trials(x[same], labels[same], pictured, LAYOUT, CONTRAST, 0, each=2, rows=8)(fitted(x, labels).offset)
    assert outcome.arrived.isnan().tolist() == [False, True, False, False, False, False, False]
    assert math.isfinite(outcome.quality)


def test_the_change_of_the_image_counts_in_units_of_two_samples(world):  # noqa: F811
    x, labels, logits = world
    model = fitted(x, labels)
    found = [
        Refinement(model, x, labels, logits, pictured, Weights(), 0, edits=8, contrast=unit)(0)["picture"].item()
        for unit in (CONTRAST, 4 * CONTRAST)
    ]  # fmt: skip
    assert found[0] == pytest.approx(4 * found[1]) and found[1] > 0


def test_images_may_come_from_elsewhere_than_the_labels(world):  # noqa: F811
    x, labels, logits = world
    model = fitted(x, labels)

    def terms(**more: Callable[[Tensor], Tensor]) -> dict[str, float]:
        loss = Refinement(model, x, labels, logits, pictured, Weights(), 0, edits=8, **more)
        return {name: float(term.detach()) for name, term in loss(0).items()}

    assert terms(show=lambda z: pictured(z)[1]) == terms()


# The end of a fit


def rising(until: int) -> list[float]:
    return [0.1 * min(i, until) for i in range(until + 30)]


def test_a_fit_settles_when_a_window_is_no_better_than_the_one_before():
    qualities = rising(10)
    ends = next(n for n in range(len(qualities)) if no_longer_improves(qualities[:n]))
    assert ends == 10 + 2 * watching.WINDOW
    assert not any(no_longer_improves([0.004 * i for i in range(n)]) for n in range(60)), "slowly is not at an end"
    assert no_longer_improves([1.0] * 5 + [1.005] * 5), "by less than counts"
    noisy = [0.004 * i + 0.01 * (-1) ** i for i in range(60)]
    assert not any(no_longer_improves(noisy[:n]) for n in range(60))
    first_worse = [1.2, 1.1, 1.0, 0.9, 0.9, 1.0, 1.02, 1.05, 1.07, 1.1, 1.12]
    assert not any(no_longer_improves(first_worse[:n]) for n in range(len(first_worse)))


def watched(steps: int = 900, until: int = 5, trials: list[int] | None = None) -> tuple[nn.Parameter, WatchedFit]:
    """A fit whose quality rises for `until` trials; the number of trials is the parameter's own business."""
    parameter = nn.Parameter(torch.tensor([1.0, -2.0]))

    def loss(step: int) -> dict[str, Tensor]:
        return {"square": (parameter - torch.randn(2, generator=generator_for(0, step))).square().sum()}

    def trial() -> float:
        if trials is not None:
            trials.append(fit.count)
        return 0.1 * min(fit.count // watching.EVERY, until)

    fit = WatchedFit([parameter], loss, steps, 0.01, trial)
    return parameter, fit


def test_the_rate_falls_to_zero_and_the_fit_ends():
    trials: list[int] = []
    _, fit = watched(trials=trials)
    rates = [fit.rate(step.step) for step in fit]
    turn = watching.EVERY * (5 + 2 * watching.WINDOW - 1)
    assert trials == list(range(watching.EVERY, turn + 1, watching.EVERY))
    assert fit.count == fit.steps == turn + round(watching.REST * turn) < 900
    assert fit.settled_at == turn - watching.WINDOW * watching.EVERY
    assert rates[-1] < 0.01 * max(rates) and all(a >= b for a, b in zip(rates[turn:], rates[turn + 1 :], strict=False))
    assert max(rates) == pytest.approx(0.01, rel=0.02)


def test_steps_are_a_bound():
    _, fit = watched(steps=100)
    assert sum(1 for _ in fit) == 100 and fit.settled_at == 0
    _, whole = watched(steps=100, until=10**6)
    plain = Fit(whole.parameters, whole.loss_fn, 100, 0.01)
    assert [whole.rate(step) for step in range(100)] == [plain.rate(step) for step in range(100)]


@pytest.mark.parametrize("stopped", [7, 130, 559, 560, 561, 600])
def test_a_watched_fit_goes_on_where_it_was(stopped: int):
    parameter, whole = watched()
    steps = list(whole)
    _, first = watched()
    for _ in range(stopped):
        next(first)
    again, second = watched()
    second.load_state(first.state())
    rest = list(second)
    assert len(steps) == 700 and rest == steps[stopped:]
    assert torch.equal(again, parameter) and second.qualities == whole.qualities


# fit-mixture


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> config.FitMixtureSettings:
    """Trials after every two steps, that soon stop improving."""
    monkeypatch.setattr(watching, "EVERY", 2)
    monkeypatch.setattr(watching, "WINDOW", 1)
    monkeypatch.setattr(watching, "BETTER", 9.0)
    return config.FitMixtureSettings(steps=12, batch=4)


def edits_of(fit: Artifact) -> dict[str, np.ndarray]:
    return {name: fit[f"report/edits/{name}"] for name in PARTS}


def test_a_stopped_fit_settles_at_the_same_step(
    own_quick_run: Path, quick: config.FitMixtureSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own_quick_run / "mixture.h5").unlink()
    path = fit_mixture.run(own_quick_run, quick, Execution())
    whole = path.read_bytes()
    report = fit_report(path)
    assert "in 5 of at most 12 steps; stopped: edits of held-out samples no longer" in report["verdict"]
    path.unlink()
    monkeypatch.setattr(fitting, "CHECKPOINT_EVERY", 1)
    for last in (3, 4):  # before and after its last trial

        def tick(count: int, total: int, text: str, last: int = last) -> None:
            if count == last:
                raise InterruptedError

        with pytest.raises(InterruptedError):
            fit_mixture.run(own_quick_run, quick, Execution(tick=tick))
    assert fit_mixture.run(own_quick_run, quick, Execution()).read_bytes() == whole


def test_the_table_is_of_edits_in_one_pass(run: Path) -> None:
    with RunFolder(run, Execution()) as folder, torch.no_grad():
        fit, classifier, renderer = folder.artifact("mixture"), folder.classifier, folder.renderer
        table, settings = edits_of(fit), fit.spec.config
        layout = folder.model().layout
        each = settings["steps"] * settings["batch"] // layout.categories
        count = round(settings["held_out"] * fit.spec.n)
        labels = torch.from_numpy(folder.labels["labels"])[-count:]
        rows, categories, _ = choose_starts(labels, layout, settings["seed"], each)
        one_pass = make_optimisation(folder, renderer, folder.model(), "fp32", 12.0, 0, settings["held_out"])
        editor = MixtureEditor(folder.model(), folder.chart(), optimisation=one_pass)
        latents = torch.from_numpy(folder.samples["w"])[-count:]
        for category in (1, 12):
            x = folder.chart().to_x_(latents.clone())[rows[categories == category], None]
            before, after = (
                renderer.generate(folder.chart().from_x(z), "w") for z in (x, x + editor.offset(x, category))
            )
            attribute, value = layout.locate(category)
            values = [
                torch.stack([classifier.logits(images)[:, c].argmax(1) for c in layout.columns], 1)
                for images in (before, after)
            ]
            others = [a for a in range(len(layout.values)) if a != attribute]
            assert table["arrived"][category] == pytest.approx(float((values[1][:, attribute] == value).float().mean()))
            kept = (values[0] == values[1])[:, others].float().mean()
            assert table["kept"][category] == pytest.approx(float(kept))
            change = band_change(before, after, folder.robustness.band_contrast).mean()
            assert table["change"][category] == pytest.approx(float(change), rel=0.02)
            assert float(image_change(before, after).mean()) > 0


def test_fit_mixture_prints_what_its_edits_came_to(own_run: Path, settings: Path) -> None:
    out = done("fit-mixture", "--run", own_run, "--config", settings).stdout
    assert "edits of held-out samples, one pass" in out and "others kept" in out
    with artifacts.open(own_run / "mixture.h5") as fit:
        table = edits_of(fit)
        assert fit.kind.version == 4 and fit.attrs["settled"] == 0
    row = next(line for line in out.splitlines() if "hair_color=grey" in line)
    assert [cell.strip() for cell in row.split("│")[2:5]] == [f"{table[name][-1]:.2f}" for name in PARTS]
    assert "5 steps; edits of held-out samples may improve with more --steps" in out


def test_without_edits_a_line_says_why(own_run: Path, settings: Path) -> None:
    out = done("fit-mixture", "--run", own_run, "--config", settings, "--consistency", "off", "--force").stdout
    assert "note: no edits of held-out samples were measured: --consistency off" in out
    assert "others kept" not in out
    with artifacts.open(own_run / "mixture.h5") as fit:
        assert "report/edits/arrived" not in fit and "settled" not in fit.attrs
