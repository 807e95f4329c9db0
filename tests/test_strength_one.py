"""What is observed at strength 1, on hand-made edits whose answers are known, and what commands make of it."""

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import check, done, gmmedit
from small_world import EVALUATION
from torch import Tensor

from gmmedit import artifacts
from gmmedit.editors.base import Editor, RawLatent
from gmmedit.editors.baselines.linear import LinearEditor
from gmmedit.evaluation import strength_one, sweep
from gmmedit.evaluation.figures import Figure
from gmmedit.evaluation.figures_at_one import Unedited, figures_of_edits, figures_of_samples
from gmmedit.evaluation.judge import EvaluationSamples
from gmmedit.evaluation.results import COUNTED, SHARES, interval_of, read_figures
from gmmedit.evaluation.strength_one import (
    Starts,
    choose_strength,
    observe_edits,
    observe_realism,
    observe_samples_alone,
    split_samples,
)
from gmmedit.mixture import Layout

LAYOUT = Layout((2, 3))


class Mirror:
    """A judge of latents (N, 1, 5) that are their own logits, labelling logits, images and features."""

    def examine(self, latent: Tensor, other: Tensor) -> tuple[Tensor, ...]:
        rows = latent[:, 0]
        return rows, rows[:, :1] * 0, rows, rows, (rows - other[:, 0]).abs().mean(1)


@dataclass(frozen=True)
class Setter(Editor):
    """Raises the target's logit above the others of its attribute, by strength * 2, and lowers those."""

    chart = RawLatent()

    def offset(self, x: Tensor, category: int, away: bool = False) -> Tensor:
        columns = LAYOUT.columns[LAYOUT.locate(category)[0]]
        change = torch.zeros_like(x)
        change[..., columns] = -1.0 - x[..., columns]
        change[..., category] = 1.0 - x[..., category]
        return change


def samples_of(values: list[tuple[int, int]]) -> EvaluationSamples:
    """Samples whose logits are 1 at their values and -1 elsewhere."""
    rows = torch.full((len(values), 5), -1.0)
    for i, (first, second) in enumerate(values):
        rows[i, first], rows[i, 2 + second] = 1.0, 1.0
    return EvaluationSamples(rows[:, None], rows, rows[:, :1] * 0, rows, rows, (rows - rows.roll(-1, 0)).abs().mean(1))


def test_an_exact_edit_arrives_keeps_the_rest_and_is_undone() -> None:
    samples = samples_of([(0, 0), (1, 1), (0, 2), (1, 0), (0, 1), (1, 2)])
    starts = Starts(samples, LAYOUT, 4, torch.tensor([0, 1, 3, 4]))
    assert starts.values().tolist() == [2, 3, 2, 3]
    editor = Setter()
    one = observe_edits(editor, Mirror(), starts, editor.trajectory(starts.latent, 4), 1.0)  # type: ignore[arg-type]
    assert not one["undone_pixels"].any() and torch.equal(one["undone_logits"], samples.logits[starts.rows])
    assert one["pixels"].tolist() == pytest.approx([4 / 5] * 4), "two of five pixels change by 2"
    unedited = Unedited(samples.logits, samples.logits, samples.nuisances, torch.full((6,), 0.5), None, [])
    found = figures_of_edits(one, starts.rows, unedited, LAYOUT, 4, [0])
    value = {name: figure.value for name, (figure, _) in found.items()}
    assert {value[f"{name}@1"] for name in ("flips", "label_flips", "kept", "worst_kept", "returned")} == {1}
    assert value["picture@1"] == pytest.approx(1.6) and value["reversal@1"] == 0
    assert value["identity@1"] == pytest.approx(1 / 5) and math.isnan(value["precision@1"]), "two samples have it"
    alone = figures_of_edits(one, starts.rows, unedited, LAYOUT, 4, [])
    assert math.isnan(alone["kept@1"][0].value) and alone["flips@1"][0].value == 1


def test_no_more_edits_are_undone_than_the_rule_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strength_one, "UNDONE", 2)
    samples = samples_of([(0, 0), (0, 1), (0, 2), (1, 0)])
    starts, editor = Starts(samples, LAYOUT, 1, torch.tensor([0, 1, 2])), Setter()
    one = observe_edits(editor, Mirror(), starts, editor.trajectory(starts.latent, 1), 1.0)  # type: ignore[arg-type]
    assert one["undone_logits"].shape == (2, 5) and one["logits"].shape == (3, 5)
    unedited = Unedited(samples.logits, samples.logits, samples.nuisances, torch.ones(4), None, [])
    found = figures_of_edits(one, starts.rows, unedited, LAYOUT, 1, [1])
    assert found["reversal@1"][1] == 2 and found["flips@1"][1] == 3


def test_label_flips_count_images_that_the_labels_do_not_give_the_value_to() -> None:
    samples = samples_of([(0, 0), (0, 0), (0, 1), (1, 0)])
    labels = samples.logits.clone()
    labels[0, :2] = torch.tensor([-1.0, 1.0])  # has it already, by the labelling classifier
    one = {"strength": torch.tensor(1.0), "logits": samples.logits[:3], "label_logits": labels[:3].clone(),
           "pixels": torch.zeros(3), "undone_logits": samples.logits[:3], "undone_pixels": torch.zeros(3)}  # fmt: skip
    one["label_logits"][1, :2] = torch.tensor([-1.0, 1.0])
    unedited = Unedited(samples.logits, labels, samples.nuisances[:, :0], torch.ones(4), None, [])
    figure, n = figures_of_edits(one, torch.arange(3), unedited, LAYOUT, 1, [1])["label_flips@1"]
    assert (figure.value, n) == (0.5, 2)
    assert figures_of_samples(unedited, LAYOUT, 0)["agreement"][0].value == 0.75
    assert figures_of_samples(unedited, LAYOUT, 3)["agreement"][0].value == 1


def test_strength_one_of_directions_is_where_they_arrive() -> None:
    flips, strengths = torch.tensor([0.0, 0.5, 0.78, 0.8, 0.6]), [0.0, 0.1, 0.2, 0.5, 1.0]
    assert choose_strength(Setter(), flips, strengths) == 1.0
    direction = LinearEditor(torch.zeros(5, 1, 5))
    assert choose_strength(direction, flips, strengths) == 0.2, "the first with 0.95 of 0.8"
    assert choose_strength(direction, flips * 0, strengths) == 0.0, "no strength is better than none"


def test_samples_that_play_edits_are_not_those_they_are_measured_among() -> None:
    draw = torch.Generator().manual_seed(0)
    values = [(int(i % 4 == 0), i % 3) for i in range(120)]
    samples = samples_of(values)
    samples = EvaluationSamples(*vars(samples).values())
    object.__setattr__(samples, "features", torch.randn(120, 4, generator=draw))
    apart, reference = split_samples(samples, LAYOUT, 1, 20)
    assert len(apart) == 15 and len(reference) == 15, "at most half of those that have the value"
    having = samples.features[::4]
    both = torch.cat([apart, reference])
    assert torch.equal(both.sort(0).values, having.sort(0).values)
    found = observe_samples_alone(samples, LAYOUT, 20)
    assert found["own/1/precision"].shape == (15,) and found["own/0/precision"].shape == (20,)
    assert found["pair_pixels"].shape == found["pair_identity"].shape == (120,)
    # Pixels: the sample and the next differ in both attributes' values or in one.
    assert float(found["pair_pixels"][0]) == pytest.approx((2 * 2 + 2 * 2) / 5)


def test_too_few_samples_with_a_value_give_no_realism() -> None:
    edited = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    found = observe_realism(edited, 8, edited[:5])
    assert all(part.isnan().all() for part in found.values()) and found["precision"].shape == (8,)
    found = observe_realism(edited, 2, edited.repeat(3, 1))
    assert found["precision"].all() and found["recall"].isnan() and found["kid"].isnan()


@pytest.mark.parametrize("metric", sorted(COUNTED | SHARES))
def test_intervals_of_shares_stay_between_0_and_1(metric: str) -> None:
    draws = torch.tensor([-0.2, 0.5, 1.0, 1.3] * 50)
    for value in (0.0, 0.4, 1.0):
        low, high = interval_of(f"{metric}@1", Figure(value, draws), 12)
        assert 0 <= low < high <= 1
    assert interval_of("kid@1", Figure(0.0, draws), 12) == pytest.approx((-0.2, 1.3))


@pytest.mark.parametrize(("editor", "package"), [("interfacegan", "sklearn"), ("flow", "zuko")])
def test_missing_extras_are_told_before_any_work(
    editor: str, package: str, own_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)  # type: ignore[arg-type]
    monkeypatch.setattr(sweep, "load_inputs", lambda *_: pytest.fail("work before the check"))
    for words in (("--editors", f"mixture,{editor}"), ()):
        result = gmmedit("compare", "--run", own_run, *words)
        check(result, "needs the package", "pip install 'gmmedit[baselines]'")


ALONE = """
from gmmedit.classifiers.base import Classifier
from gmmedit.classifiers.embedded import load_avatars, load_avatars_eval

class Smile(Classifier):
    def __init__(self, network):
        super().__init__()
        self.network, self.fingerprint = network, network.fingerprint
        self.attributes, self.input_size = network.attributes[:1], network.input_size

    def logits(self, images):
        return self.network.logits(images)[:, :2]

def label():
    return Smile(load_avatars())

def judge():
    return Smile(load_avatars_eval())
"""


@pytest.mark.usefixtures("little_work")
def test_a_single_attribute_is_evaluated_and_compared(own_run: Path, settings: Path, tmp_path: Path) -> None:
    module, few = tmp_path / "smile.py", tmp_path / "few.yaml"
    module.write_text(ALONE)
    few.write_text("evaluate: {n: 60, starts: 8}\ncompare: {n: 60, starts: 8}\n")
    run = ("--run", own_run, "--force", "--quiet")
    done("label", *run, "--config", settings, "--classifier", f"{module}:label")
    done("fit-single", *run, "--config", settings, "--steps", 8)
    done("fit-mixture", *run, "--config", settings, "--consistency", "off", "--steps", 2)
    names = "mixture,interfacegan-conditional,mean-difference"
    networks = ("--classifier", f"{module}:judge", "--features", "avatars-eval")
    for command, editors in (("evaluate", "mixture"), ("compare", names)):
        words = (command, "--run", own_run, "--config", few, "--editors", editors, *networks)
        rows = json.loads(done(*words, "--json").stdout, parse_constant=pytest.fail)["figures"]
        found = {row["metric"]: row["value"] for row in rows if (row["method"], row["attribute"]) == ("mixture", "all")}
        for metric in ("dt", "preservation@0.8", "ad_mean@1sd", "kept@1", "worst_kept@1", "entanglement@0.8"):
            assert found[metric] is None, metric
        for metric in ("flip_best", "flips@1", "identity@1", "picture@1", "reversal@1", "returned@1", "precision@1"):
            assert found[metric] is not None, metric
        assert "at strength 1" in done(*words).stdout
    text = done("report", "--run", own_run, "--trust").stdout
    assert "report.html" in text


@pytest.mark.usefixtures("little_work")
def test_figures_at_strength_one_of_a_run(
    own_quick_run: Path, quick_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep without strength 1 gets it; its figures are those of the sweep there."""
    monkeypatch.setattr(Editor, "strengths", (0.0, 0.5, 2.0))
    few = tmp_path / "few.yaml"
    few.write_text(f"evaluate: {{n: 80, starts: 6, classifier: {quick_world / EVALUATION}}}\n")
    done("evaluate", "--run", own_quick_run, "--config", few, "--editors", "mixture,none", "--quiet")
    path = own_quick_run / "evaluation.h5"
    with artifacts.open(path) as scored:
        assert scored["seen/mixture/3/strengths"].tolist() == [0, 0.5, 1, 2]
        assert (scored["seen/mixture/3/one/logits"] == scored["seen/mixture/3/logits"][2]).all()
        assert scored["seen/mixture/3/one/label_logits"].shape == scored["seen/mixture/3/one/logits"].shape
        assert scored["unedited/label_logits"].shape == scored["unedited/logits"].shape
        starts = scored["unedited/logits"][scored["seen/mixture/3/rows"]][:, 2:4].argmax(1)
        assert (starts != 1).all(), "only images without the value"
    rows: dict[tuple[str, str], dict[str, Any]] = {
        (row["method"], row["metric"]): row for row in read_figures(path) if row["attribute"] == "all"
    }
    for metric, value in (("flips", 0), ("kept", 1), ("identity", 1), ("picture", 0), ("drift", 0), ("reversal", 0)):
        assert rows["none", f"{metric}@1"]["value"] == pytest.approx(value, abs=1e-5), "what is not edited"
    alone = {metric.partition("@")[0]: row["value"] for (who, metric), row in rows.items() if who == "samples"}
    own = SimpleNamespace(**alone)
    assert own.picture == pytest.approx(1) and 0 < own.pixels < 2 and 0.5 < own.agreement <= 1
    assert own.identity < rows["mixture", "identity@1"]["value"] < 1 and own.drift > 0.3
    for row in read_figures(path):
        name = row["metric"].partition("@")[0]
        if name in COUNTED | SHARES and row["low"] is not None:
            assert 0 <= row["low"] <= row["high"] <= 1, row


@pytest.mark.parametrize("samples", [0, 40])
def test_a_value_without_edits_has_no_realism(samples: int) -> None:
    found = observe_realism(torch.empty(0, 6), 0, torch.randn(samples, 6))
    assert found["precision"].shape == (0,) and all(bool(found[name].isnan()) for name in ("recall", "coverage", "kid"))
