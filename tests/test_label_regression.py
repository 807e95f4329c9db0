"""Edits of a run whose labels are a table's, evaluated without a network of the same attributes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import check, done, gmmedit

from gmmedit import artifacts
from gmmedit.evaluation.label_regression import LabelRegression, choose_regression, fit_regression
from gmmedit.mixture import Layout
from gmmedit.pictures.pixels import as_shown
from gmmedit.run.folder import RunFolder
from gmmedit.runtime.execution import Execution

LAYOUT = Layout((2, 3))


def labelled(n: int, features: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (n, F) of squared norm about 1, and labels (n, 5) that are linear in the first four."""
    x = torch.randn(n, features, generator=torch.Generator().manual_seed(0)).double() / features**0.5
    first, second = (x[:, :1] > 0).double(), x[:, 1:4].argmax(1)
    return x, torch.cat([1 - first, first, torch.eye(3).double()[second]], 1)


def test_a_regression_reads_what_is_there_and_guesses_no_noise() -> None:
    x, labels = labelled(900, 12)
    weights, bias = choose_regression(x[:600], labels[:600], LAYOUT)
    read = x[600:].float() @ weights + bias
    for c in LAYOUT.columns:
        assert (read[:, c].argmax(1) == labels[600:, c].argmax(1)).double().mean() > 0.9
    shuffled = labels[torch.randperm(600, generator=torch.Generator().manual_seed(1))]
    strict, loose = (float(fit_regression(x[:600], shuffled, LAYOUT, r)[0].abs().max()) for r in (0.1, 1e-4))
    chosen, _ = choose_regression(x[:600], shuffled, LAYOUT)
    assert float(chosen.abs().max()) < 2 * strict < loose, "of labels that say nothing, the largest ridge"


@pytest.mark.usefixtures("little_work")
def test_a_table_is_evaluated_without_a_network(own_quick_run: Path, quick_world: Path, tmp_path: Path) -> None:
    settings = (quick_world / "small.yaml").read_text().replace("fit_mixture: {", "fit_mixture: {consistency: 'off', ")
    (tmp_path / "small.yaml").write_text(settings + "evaluate: {starts: 3}\n")
    words = ("--run", own_quick_run, "--config", tmp_path / "small.yaml", "--quiet")
    with artifacts.open(own_quick_run / "labels.h5") as labels:
        smile = labels["labels"][:, 1] > 0.5
    lines = [f"{row},{'happy' if yes else 'sad'}" for row, yes in enumerate(smile[:300])]
    table = tmp_path / "people.csv"
    table.write_text("\n".join(["row,mood", *lines]) + "\n")
    done("label", "--classifier", table, "--force", *words)
    done("fit-single", "--force", *words)
    done("fit-mixture", "--force", *words)
    refused = gmmedit("evaluate", "-n", 20, "--classifier", table, *words)
    check(refused, "cannot classify edited images", "or is left out")
    done("evaluate", "-n", 20, "--editors", "mixture,none", *words)
    with artifacts.open(own_quick_run / "evaluation.h5") as scored, RunFolder(own_quick_run, Execution()) as run:
        again = LabelRegression(run, 0.1, None)
        assert scored.spec.config["reader"] == again.reader, "known before it is fitted"
        with torch.no_grad():
            assert again.fit(run, 0.1) == scored.attrs["notes"][0]
            assert "pixels of 270 samples does, right for mood" in scored.attrs["notes"][0]
            latent = run.renderer.draw_latents(range(5_000_000, 5_000_020), "w")
            read = again.logits(as_shown(run.renderer.generate(latent, "w"))).softmax(1)
        np.testing.assert_allclose(torch.tensor(scored["unedited/logits"]).softmax(1), read, atol=0.05)
        assert 0 < (read[:, 0] > 0.5).float().mean() < 1
    kept = gmmedit("evaluate", "-n", 20, "--editors", "mixture,none", *words)
    assert kept.exit_code == 0 and "wrote" not in kept.output
