"""The first screen of the report: what the verdict says of good, bad and missing figures, and what stands below it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import done
from small_run import NOBODY, PLAIN, SIDE, N, write_run
from test_report import check_page

from gmmedit import artifacts
from gmmedit.artifacts import RunSpec
from gmmedit.evaluation.results import SAMPLES
from gmmedit.report.sections.verdict import COLUMNS, choose_columns, name_editor
from gmmedit.report.verdict import Figures, is_less, percent, reach_verdict, scale_identity
from gmmedit.runtime.execution import Execution
from gmmedit.stages import report

NAMES = ["smile=no", "smile=yes"]
GOOD = {"flips@1": 0.97, "kept@1": 0.95, "identity@1": 0.9, "precision@1": 0.9}
SAMPLE = {"agreement": 0.97, "identity@1": 0.5, "precision@1": 0.9}


def figures(mean: dict[str, Any], samples: dict[str, Any] | None = None, n: int = 100, **worse: Any) -> Figures:
    """Figures with intervals of 0.02 to each side; `worse`: of smile=yes alone."""
    found = {}
    for method, values, count in (("ours", GOOD | mean, n), (SAMPLES, SAMPLE | (samples or {}), 1000)):
        for metric, value in values.items():
            for name in ("all", *NAMES):
                own = worse.get(metric, value) if (method, name) == ("ours", NAMES[1]) else value
                low, high = (None, None) if own is None else (own - 0.02, own + 0.02)
                found[method, metric, name] = {"value": own, "low": low, "high": high, "n": count}
    return found


def sentence(mean: dict[str, Any], samples: dict[str, Any] | None = None, same: bool = False) -> str:
    return reach_verdict(figures(mean, samples), "ours", NAMES, same).sentence


def test_a_good_run() -> None:
    assert sentence({}) == (
        "Edits reach 97 % of their targets (the two classifiers agree on 97 % of unedited images), keep 95 % of other "
        "labels and keep identity (0.90; two samples: 0.50); they lie among samples about as often as samples do "
        "(90 %; samples: 90 %)."
    )
    assert reach_verdict(figures({}), "ours", NAMES, False).limits == [
        "Weakest category: smile=no (97 % reached, 95 % of other labels kept)."
    ]


@pytest.mark.parametrize(
    ("mean", "samples", "says"),
    [
        ({"flips@1": 0.85}, {}, "Edits reach only 85 % of their targets (the two classifiers agree on 97 %"),
        ({"flips@1": 0.85}, {"agreement": 0.86}, "Edits reach 85 % of their targets (the two classifiers agree on 86"),
        ({"flips@1": 0.3}, {}, "Edits miss most of their targets (30 % are reached)"),
        ({"flips@1": 0.49}, {}, "Edits reach only 49 % of their targets"),  # the interval reaches a half
        ({"kept@1": 0.6}, {}, ", change 40 % of other labels and"),
        ({"kept@1": 0.79}, {}, ", keep 79 % of other labels and"),
        ({"identity@1": 0.7}, {}, "keep identity only in part (0.70; two samples: 0.50)"),
        ({"identity@1": 0.6}, {}, "lose identity (0.60; two samples: 0.50)"),
        ({"identity@1": 0.75}, {"identity@1": -0.001}, "keep identity (0.75; two samples: 0.00)"),
        ({"precision@1": 0.8}, {}, "they lie among samples less often than samples do (80 %; samples: 90 %)"),
        ({"precision@1": 0.2}, {}, "most of them do not look like samples (20 %; samples: 90 %)"),
    ],
)
def test_what_fails_is_said(mean: dict[str, Any], samples: dict[str, Any], says: str) -> None:
    assert says in sentence(mean, samples)


def test_flips_that_nobody_measured_are_no_traceback() -> None:
    found = reach_verdict(figures({"flips@1": None}), "ours", NAMES, False)
    assert found.sentence.startswith("Edits are not measured at strength 1, keep 95 % of other labels and")
    assert "All figures rest on only 0 edits." in found.limits


def test_what_is_not_measured_is_said() -> None:
    unknown = {"identity@1": None, "precision@1": None}
    found = reach_verdict(figures(unknown, {"agreement": None}), "ours", NAMES, False)
    assert found.sentence == "Edits reach 97 % of their targets and keep 95 % of other labels."
    assert [limit for limit in found.limits if "not measured" in limit] == found.limits[1:]
    assert "a table gave the labels" in found.limits[1] and "--features NETWORK" in found.limits[2]
    found = reach_verdict(figures({"kept@1": None}), "ours", NAMES, True)
    assert found.sentence.startswith(
        "Edits reach 97 % of their targets by the classifier that made the labels and keep identity"
    )
    assert "optimistic" in found.limits[-1] and "--classifier" in found.limits[-1]
    found = reach_verdict(figures({}, **{"precision@1": None}), "ours", NAMES, False)
    assert "they lie among samples" in found.sentence
    assert found.limits[-1].startswith("Realism is not measured of smile=yes: too few samples")


def test_the_worst_category_is_named() -> None:
    found = reach_verdict(figures({}, **{"kept@1": 0.9}), "ours", NAMES, False).limits
    assert found == ["Weakest category: smile=yes (97 % reached, 90 % of other labels kept)."]
    worse = {"flips@1": 0.2, "kept@1": 0.5, "identity@1": 0.55, "precision@1": 0.1}
    assert reach_verdict(figures({}, **worse), "ours", NAMES, False).limits == [
        "Fails in 1 of 2 categories: smile=yes (20 % reached, 50 % of other labels kept, identity lost, 0.55, 10 % "
        "look like samples)."
    ]


@pytest.mark.parametrize(("n", "says"), [(12, "All figures rest on only 12 edits."), (50, None)])
def test_few_images_are_named(n: int, says: str | None) -> None:
    assert reach_verdict(figures({}, n=n), "ours", NAMES, False).limits[1:] == ([says] if says else [])
    few = figures({})
    few["ours", "flips@1", NAMES[1]]["n"] = 12
    assert "as few as 12 edits" in reach_verdict(few, "ours", NAMES, False).limits[1]


def test_shares_and_their_differences() -> None:
    assert [percent(share) for share in (0, 0.004, 0.5, 0.996, 0.9999, 1)] == [
        "0 %", "0.4 %", "50 %", "99.6 %", "99.9 %", "100 %",
    ]  # fmt: skip
    one, other = {"value": 0.83, "low": 0.79, "high": 0.86}, {"value": 0.89, "low": 0.86, "high": 0.92}
    assert is_less(one, other) and not is_less(other, one) and not is_less(one, one | {"value": 0.86, "low": 0.82})
    assert scale_identity(np.array([1.0, 0.5, 0.2]), 0.2) == pytest.approx([1, 0.375, 0])


def test_columns_of_a_sweep_reach_its_end() -> None:
    assert choose_columns(3, each=False) == [0, 1, 2] and choose_columns(40, each=True) == list(range(COLUMNS))
    swept = choose_columns(40, each=False)
    assert len(set(swept)) == COLUMNS and (swept[0], swept[-1]) == (0, 39)


def test_figures_of_another_editor_are_named() -> None:
    assert name_editor("mixture-polished") == []
    assert name_editor("mixture") == ["The figures are those of mixture: gmmedit edit --polish 0."]
    assert name_editor("random") == ["The figures are those of random: not what gmmedit edit does."]


# The page


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


def write_edits(folder: Path, aims: list[str], n: int = 6, **config: Any) -> None:
    """edits.h5 of --each aims for the rows 0 to n - 1, image i of column s being of the grey 10 (s + 1)."""
    columns, count = sum(len(values) for _, values in PLAIN), len(aims)
    settings = {"attr": [[aim, 1.0] for aim in aims], "headings": aims, "each": True, "source": "index", "target": None}
    parents = {"mixture": artifacts.file_fingerprint(folder / "mixture.h5")}
    sizes = {"S": count, "L": 1, "D": 4, "K": columns, "H": SIDE, "W": SIDE, "C": 3}
    spec = RunSpec(
        "edits", n, config=settings | config, sizes=sizes, parents=parents, generator=NOBODY, classifier=NOBODY,
        attributes=PLAIN,
    )  # fmt: skip
    grey = (10 * (1 + np.arange(count)))[:, None, None, None, None]
    rows = {
        "index": np.arange(n), "strengths": np.ones((count, n), np.float32),
        "latent": np.zeros((n, 1, 4), np.float32), "latents": np.zeros((count, n, 1, 4), np.float32),
        "labels_before": np.full((n, columns), 0.25, np.float32),
        "labels_after": np.full((count, n, columns), 0.75, np.float32),
        "images_before": np.zeros((n, SIDE, SIDE, 3), np.uint8),
        "images_after": np.broadcast_to(grey, (count, n, SIDE, SIDE, 3)).astype(np.uint8),
    }  # fmt: skip
    with artifacts.create_rows(folder / "edits.h5", spec, {"alphas": np.ones(count)}, attrs={"contrast": 0.5}) as out:
        out.write(0, n, rows)
        out.finish()


def section(text: str) -> str:
    """The first section of a page."""
    return text[text.index('id="verdict"') : text.index('id="edits"')]


def write_page(folder: Path) -> str:
    path, _ = report.run(folder, Execution())
    text = path.read_text(encoding="utf-8")
    check_page(text)
    return text


def test_the_sheet_is_that_of_the_edits_with_a_row_of_figures_for_each_category(folder: Path) -> None:
    strips = section(write_page(folder))
    columns = sum(len(values) for _, values in PLAIN)
    assert strips.count("<img") == 2 * columns, "unedited above edited, for each category"
    write_edits(folder, ["smile", "hair=red"])
    text = write_page(folder)
    first = section(text)
    assert first.count("<img") == 4 * 3 and "rows 0, 1, 2, 3 of samples.h5" in first and ">0.75<" in first
    for name, values in PLAIN:
        for value in values:
            assert first.count(f"{name}={value}</span>") == 1
    for column in ("flips (95 %)", "label flips", "agreement", "kept", "image change"):
        assert f">{column}<" in first
    assert "unedited samples" in first
    opening = text[: text.index("<nav")]
    assert "Edits reach" in opening and "by the classifier that made the labels" in opening
    assert "Identity and realism are not measured" in opening and "those of mixture" in opening
    assert f"{N} samples of nobody" in first, "what the page began with is still there"


def test_without_an_evaluation_the_labels_of_the_edits_are_there_and_the_command_for_the_rest(folder: Path) -> None:
    (folder / "evaluation.h5").unlink()
    write_edits(folder, ["smile"])
    text = write_page(folder)
    wanted = "How well edits work is not measured: evaluation.h5 does not exist; run: gmmedit evaluate."
    assert wanted in text[: text.index("<nav")]
    first = section(text)
    assert ">before<" in first and ">0.25<" in first and "smile=yes +0.50" in first
    assert "images changed by " in first and first.count("<img") == 4 * 2
    for kind in ("edits", "comparison", "strips", "mixture"):
        (folder / f"{kind}.h5").unlink()
    first = section(write_page(folder))
    assert "mixture.h5 does not exist; run: gmmedit fit-mixture" in first and "<img" not in first


@pytest.mark.parametrize(
    "config",
    [{"headings": ["a", "b"]}, {"headings": 3}, {"attr": [3]}, {"attr": []}, {"source": "<b>"}, {"attr": [[1, 1.0]]}],
)
def test_edits_that_do_not_say_what_they_are(folder: Path, config: dict[str, Any]) -> None:
    write_edits(folder, ["smile"], **config)
    result = done("report", "--run", folder)
    assert f"note: edits.h5 does not record what was edited; run: gmmedit edit --run {folder}\n" in result.stdout
    first = section((folder / "report.html").read_text(encoding="utf-8"))
    assert "edits.h5 does not record what was edited" in first and "<img" in first


def test_edits_of_another_fit_are_not_shown(folder: Path) -> None:
    write_edits(folder, ["smile"])
    write_run(folder, [*PLAIN[:2], ("hair", ["black", "red", "white"])])
    first = section(write_page(folder))
    assert "edits.h5 was made from another mixture.h5" in first and "rows 0, 1" not in first and "<img" in first
