"""How much of identity an edit changes, in units of two samples: what is measured, stored, printed and checked."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import check, done, gmmedit
from torch.nn import functional as F

from gmmedit import artifacts, config
from gmmedit.editing import identity
from gmmedit.features import load_embedder
from gmmedit.pictures.pixels import as_shown, from_bytes
from gmmedit.report.summaries import edit_report
from gmmedit.run.folder import RunFolder
from gmmedit.runtime.execution import Execution
from gmmedit.stages import edit

EVALUATOR = "avatars-eval"
SIMPLE = config.EditSettings(polish=0)


def request(index: str = "0-2") -> edit.Request:
    return edit.Request.parse(["smile=yes"], 1.0, None, None, index, None, None, False, [("smile", ["no", "yes"])])


@pytest.fixture(scope="module")
def edited(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first three samples, edited in one pass."""
    return edit.run(run, SIMPLE, request(), Execution(), tmp_path_factory.mktemp("edited"))


def rewrite_attrs(path: Path, **arrays: np.ndarray) -> None:
    """edits.h5 with other arrays."""
    with artifacts.open(path) as old:
        spec, attrs, contents = old.spec, old.attrs, {name: old[name] for name in old.names}
    alphas = {"alphas": contents.pop("alphas")}
    with artifacts.create_rows(path, spec, alphas, attrs=attrs, held=False) as out:
        out.write(0, spec.n, contents | arrays)
        out.finish()


def test_identity_is_the_cosine_of_the_evaluation_networks_features(run: Path, edited: Path) -> None:
    embedder = load_embedder(EVALUATOR)
    with artifacts.open(edited) as edits, artifacts.open(run / "samples.h5") as samples, torch.no_grad():
        before, after = (embedder.features(from_bytes(edits[f"images_{when}"].reshape(-1, 64, 64, 3))) for when in
                         ("before", "after"))  # fmt: skip
        assert edits["identity"].shape == (1, 3, 1) and edits["identity"].max() <= 1
        assert np.allclose(edits["identity"][0, :, 0], F.cosine_similarity(before, after), atol=1e-5)
        assert edits.spec.config["features"] == EVALUATOR and edits.spec.config["embedder"] == embedder.fingerprint
        with RunFolder(run, Execution()) as folder:
            images = folder.renderer.generate(torch.from_numpy(samples["w"][: identity.COMPARED]), "w")
        found = F.normalize(embedder.features(as_shown(images)))
        count = len(found)
        mean = float((found.sum(0).square().sum() - count) / (count * (count - 1)))
        assert edits.attrs["pair_identity"] == pytest.approx(mean, abs=1e-4) and 0.5 < mean < 0.95
        change = float(1 - (edits["identity"].mean() - mean) / (1 - mean))
    line = edit_report(edited)["changes"][0]
    assert line.startswith("alpha 1: images changed by ")
    assert line.endswith(f", identity by {change:.2f} (features of {EVALUATOR})")


def test_an_image_does_not_depend_on_the_others(run: Path, edited: Path, tmp_path: Path) -> None:
    alone = edit.run(run, SIMPLE, request("1"), Execution(batch=4), tmp_path)
    with artifacts.open(edited) as three, artifacts.open(alone) as one:
        assert np.array_equal(three["identity"][:, 1:2], one["identity"])
        assert three.attrs["pair_identity"] == one.attrs["pair_identity"]


def test_images_that_may_show_somebody_else_are_named(edited: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(edited, tmp_path))
    with artifacts.open(path) as edits:
        pairs = edits.attrs["pair_identity"]
    kept = np.float32([[[1.0], [pairs], [pairs + 0.2 * (1 - pairs)]]])
    rewrite_attrs(path, identity=kept)
    lines = edit_report(path)["changes"]
    assert ", identity by 0.60 (" in lines[0]
    assert lines[-1] == "alpha 1: 2 of 3 images lost most of their identity and may show somebody else: images 1, 2"


def test_without_a_network_nothing_is_said_of_identity(run: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("gmmedit.classifiers.catalogue.EVALUATION", {})
    monkeypatch.setattr(identity, "load_embedder", lambda *_, **__: pytest.fail("no second network is asked for"))
    path = edit.run(run, SIMPLE, request("0"), Execution(), tmp_path)
    with artifacts.open(path) as edits:
        assert "identity" not in edits and "pair_identity" not in edits.attrs and "embedder" not in edits.spec.config
    (line,) = edit_report(path)["changes"]
    assert "images changed by" in line and "identity" not in line


def test_a_network_that_is_named(run: Path, tmp_path: Path) -> None:
    words = ("edit", "--run", run, "--out", tmp_path, "--attr", "smile", "--polish", 0, "--index", "0")
    result = done(*words, "--features", "avatars")
    assert "(features of avatars)" in result.stdout
    check(gmmedit(*words, "--features", tmp_path / "none.pt2"), "none.pt2")


def test_verify_recomputes_it(own_run: Path) -> None:
    path = edit.run(own_run, SIMPLE, request("0-1"), Execution())
    assert "feature network avatars-eval" in done("verify", "--run", own_run).stdout
    with artifacts.open(path) as edits:
        kept = edits["identity"] - np.float32(0.01)
    rewrite_attrs(path, identity=kept)
    result = gmmedit("verify", "--run", own_run)
    assert result.exit_code == 1 and "/identity differs by" in result.stdout
