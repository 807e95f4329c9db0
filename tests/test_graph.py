"""`gmmedit graph` and `gmmedit edit --do` on the shared run: files, knowledge, errors, what follows and what stays."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import check, done, gmmedit, refuse, rewrite

from gmmedit import artifacts
from gmmedit.config import GraphSettings
from gmmedit.datasets.avatars.factors import ATTRIBUTES, sample_causal
from gmmedit.editors.base import Editor
from gmmedit.errors import InputError
from gmmedit.report.graphs import graph_report
from gmmedit.report.sections.causes import causes_section
from gmmedit.run.folder import RunFolder
from gmmedit.run.graphs import DIRECTED, UNDIRECTED, read_directed, read_graph
from gmmedit.run.knowledge import parse_knowledge
from gmmedit.runtime.execution import Execution
from gmmedit.stages import graph as stage

NAMES = list(ATTRIBUTES)
TIERS = "gender<age<smile,bangs,beard,glasses,hair_color"
FEW = ("--halves", 2)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of true labels of 3000 avatars."""
    path = tmp_path_factory.mktemp("table") / "labels.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", *NAMES])
        for row, values in enumerate(sample_causal(3000, 3).attributes.tolist()):
            texts = [ATTRIBUTES[name][value] for name, value in zip(NAMES, values, strict=True)]
            writer.writerow([f"{row}.png", *texts])
    return path


@pytest.fixture
def ordered(run: Path, own_run: Path, table: Path) -> Path:
    """A run whose graph.h5 has all directions, by tiers, from the table."""
    done("graph", "--run", own_run, "--table", table, "--tiers", TIERS, *FEW)
    return own_run


def test_a_graph_of_true_labels_directs_nothing_on_its_own(tmp_path: Path, table: Path) -> None:
    report = json.loads(done("graph", "--run", tmp_path, "--table", table, "--json", *FEW).stdout)
    assert {edge["kind"] for edge in report["edges"]} == {"direction not known"}
    pairs = {frozenset((edge["cause"], edge["effect"])) for edge in report["edges"]}
    assert {"gender", "beard"} in pairs and {"smile", "beard"} not in pairs and 7 <= len(pairs) <= 9
    assert all(row["right"] is None and row["causes"] == [] for row in report["attributes"])
    assert (tmp_path / "graph.png").stat().st_size > 5000
    assert "<svg" in (tmp_path / "graph.svg").read_text() and "stroke-dasharray" in (tmp_path / "graph.svg").read_text()
    before = (tmp_path / "graph.h5").read_bytes()
    assert "up to date" in done("graph", "--run", tmp_path, "--table", table, *FEW).output
    done("graph", "--run", tmp_path, "--table", table, "--force", *FEW)
    assert (tmp_path / "graph.h5").read_bytes() == before


def test_a_required_edge_that_the_labels_do_not_show_is_told(tmp_path: Path, table: Path) -> None:
    require = ("--require", "gender->beard", "--require", "smile->glasses")
    report = json.loads(done("graph", "--run", tmp_path, "--table", table, *require, "--json", *FEW).stdout)
    assert [line for line in report["lines"] if "smile -> glasses" in line and "gender" not in line]


def test_pictures_that_a_stopped_run_lacks_are_made(tmp_path: Path, table: Path) -> None:
    words = ("graph", "--run", tmp_path, "--table", table, "--halves", 0, "--quiet")
    done(*words)
    before = (tmp_path / "graph.png").read_bytes()
    (tmp_path / "graph.png").unlink()
    done(*words)
    assert (tmp_path / "graph.png").read_bytes() == before


def test_what_the_user_knows_is_in_the_graph(ordered: Path) -> None:
    with artifacts.open(ordered / "graph.h5", "graph") as graph:
        marks, frequency = graph["marks"], graph["frequency"]
        gender, beard, smile = (NAMES.index(name) for name in ("gender", "beard", "smile"))
        assert marks[gender, beard] == DIRECTED and marks[beard, gender] == 0 and marks[smile, beard] == 0
        assert graph["forbidden"][beard, gender] == 1 and frequency[gender, beard] == 1
        assert np.allclose(graph[f"mechanisms/{beard}"], [[0.965, 0.035], [0.38, 0.62]], atol=0.05)
        assert "confusion/0" not in graph and graph.spec.parents == {}
    assert "mechanisms/5" in done("inspect", ordered / "graph.h5").output


def test_labels_of_generated_images_direct_nothing_and_their_errors_are_told(own_run: Path) -> None:
    report = json.loads(done("graph", "--run", own_run, "--json", *FEW).stdout)
    assert {edge["kind"] for edge in report["edges"]} == {"direction not known"}
    right = {row["attribute"]: row["right"] for row in report["attributes"]}
    assert 0.8 < right["gender"]["male"] < 1 and set(right["hair_color"]) == set(ATTRIBUTES["hair_color"])
    with artifacts.open(own_run / "graph.h5", "graph") as graph, artifacts.open(own_run / "labels.h5") as labels:
        assert graph.spec.parents == {"labels": labels.fingerprint} and graph.attrs["corrected"]
    require = ("--require", "gender->beard", "--force", "--without", "smile", "--errors", "none")
    report = json.loads(done("graph", "--run", own_run, *require, "--json", *FEW).stdout)
    kinds = {(edge["cause"], edge["effect"]): edge["kind"] for edge in report["edges"]}
    assert kinds["gender", "beard"] == "causes, required" and len(report["attributes"]) == 6
    assert list(kinds.values()).count("direction not known") == len(kinds) - 1


def test_errors_of_a_classifier_are_measured_on_a_data_set(
    own_run: Path, monkeypatch: pytest.MonkeyPatch, little_work: None
) -> None:
    monkeypatch.setattr(stage, "MEASURED_ON", 24)
    done("graph", "--run", own_run, "--errors", "avatars", "--quiet", *FEW)
    with artifacts.open(own_run / "graph.h5", "graph") as graph:
        assert all(np.allclose(table.sum(0), 1) for table in graph.group("confusion").values())
        assert graph["confusion/1"].diagonal().min() > 0.7
    refuse(own_run, "graph", "--errors", "shapes", "--force", says=("other attributes",))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--require", "gender->bread"), ("bread", "did you mean 'beard'")),
        (("--require", "gender=>beard"), ("cannot be parsed", "age->glasses")),
        (("--require", "age->age"), ("does not cause itself",)),
        (("--require", "age->smile", "--require", "smile->beard", "--require", "beard->age"), ("cycle", "age->")),
        (("--require", "beard->gender", "--tiers", "gender<beard"), ("against the tiers",)),
        (("--require", "age->smile", "--forbid", "age->smile"), ("required, and forbidden",)),
        (("--tiers", "gender,age<age"), ("twice",)),
        (("--tiers", "gender"), ("cannot be parsed",)),
        (("--forbid", "hat->age"), ("unknown attribute 'hat'",)),
        (("--without", "hat"), ("unknown attribute 'hat'",)),
        (("--errors", "probabilities"), ("taken for true",)),
        (("--data", "avatars"), ("exclude each other",)),
        (tuple(word for name in NAMES[1:] for word in ("--without", name)), ("a graph needs two",)),
    ],
)
def test_what_cannot_be(tmp_path: Path, table: Path, words: tuple[str, ...], says: tuple[str, ...]) -> None:
    check(gmmedit("graph", "--run", tmp_path, "--table", table, *words), *says)
    assert not (tmp_path / "graph.h5").exists()


def test_unusable_labels(tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    path.write_text("a,b\n" + "0,1\n1,0\n" * 20)
    check(gmmedit("graph", "--run", tmp_path, "--table", tmp_path), "is a folder, not a file")
    check(gmmedit("graph", "--run", tmp_path, "--table", path), "40 complete lines", "100")
    path.write_text("a,b,c\n" + "0,1,\n1,0,\n" * 80 + "0,0,1\n1,1,0\n")
    check(gmmedit("graph", "--run", tmp_path, "--table", path), "2 complete lines")
    path.write_text("a,b,c\n" + "0,1,0\n1,0,1\n" * 60 + ",,2\n")
    done("graph", "--run", tmp_path, "--table", path, *FEW)
    path.write_text("a,b,c\n" + "0,1,0\n1,1,0\n" * 60 + ",0,1\n")
    check(gmmedit("graph", "--run", tmp_path, "--table", path), "b is yes in all 120 labels", "--without b")
    check(gmmedit("graph", "--run", tmp_path / "none"), "labels.h5")


def test_methods_of_the_extra_say_what_to_install(tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "causallearn", None)
    check(gmmedit("graph", "--run", tmp_path, "--table", table, "--method", "ges"), "causal-learn", "gmmedit[causal]")


def test_cycles_of_forbidden_directions_are_refused() -> None:
    with pytest.raises(InputError, match="cycle"):
        parse_knowledge(GraphSettings(require=["a->b", "b->c", "c->a"]), ["a", "b", "c"])
    known = parse_knowledge(GraphSettings(tiers="a<b,c", forbid=["b->c"]), ["a", "b", "c"])
    assert np.argwhere(known.forbidden).tolist() == [[1, 0], [1, 2], [2, 0]]


# Edits


def test_a_do_edit_moves_what_follows_and_nothing_else(ordered: Path) -> None:
    shown = done("edit", "--run", ordered, "--do", "gender=male", "--polish", 0, "--index", "0-5").output
    assert "beard follows" in shown and "non-descendants kept" not in shown
    with artifacts.open(ordered / "edits.h5", "edits") as edits:
        targets, before = edits["targets"][0], values(edits["labels_before"])
        assert edits.spec.config["descendants"] == [[name for name in NAMES if name != "gender"]]
        assert edits.spec.parents["graph"] == artifacts.file_fingerprint(ordered / "graph.h5")
        gender = NAMES.index("gender")
        assert (targets[:, gender] == 1).all()
        was = before[:, gender] == 1
        assert was.any() and np.array_equal(targets[was], before[was])
        assert np.array_equal(edits["latents"][0][was], edits["latent"][was])  # a null edit is none
        assert (edits["latents"][0][~was] != edits["latent"][~was]).any((1, 2)).all()
        many = edits["latents"][0]
    done("edit", "--run", ordered, "--do", "gender=male", "--polish", 0, "--index", "4,1", "--quiet")
    with artifacts.open(ordered / "edits.h5", "edits") as edits:
        assert np.array_equal(edits["latents"][0], many[[4, 1]])
    assert "0 failed" in done("verify", "--run", ordered, "--rows", 2).output


def test_effects_do_not_move_their_causes(ordered: Path) -> None:
    shown = done(
        "edit", "--run", ordered, "--do", "beard", "--do", "age=old", "--each", "--polish", 0, "--index", "0-3"
    )
    assert "do(age=old): glasses follows" in shown.output and "do(beard): glasses" not in shown.output
    assert shown.output.count("non-descendants kept") == 2
    with artifacts.open(ordered / "edits.h5", "edits") as edits:
        targets, before = edits["targets"], values(edits["labels_before"])
        assert edits.spec.config["headings"] == ["do(beard)", "do(age=old)"]
        others = [place for place, name in enumerate(NAMES) if name != "beard"]
        assert np.array_equal(targets[0][:, others], before[:, others])
        fixed = [NAMES.index(name) for name in ("gender", "smile", "bangs", "beard")]
        assert np.array_equal(targets[1][:, fixed], before[:, fixed])


def test_a_weak_do_edit_lies_on_the_way_of_an_isolated_one(ordered: Path) -> None:
    found = []
    for way in ("--do", "--attr"):  # nothing follows from a beard
        done("edit", "--run", ordered, way, "beard=yes", "--alpha", 0.5, "--polish", 2, "--index", "0-1", "--quiet")
        with artifacts.open(ordered / "edits.h5", "edits") as edits:
            found.append((edits["latents"][0], edits["latent"], values(edits["labels_before"])))
    (did, start, before), (isolated, *_) = found
    lacking = before[:, NAMES.index("beard")] == 0
    assert lacking.any() and (did[lacking] != start[lacking]).any()
    np.testing.assert_allclose(did[lacking], isolated[lacking], atol=1e-3)


def test_nothing_follows_along_edges_of_unknown_direction(own_run: Path, table: Path) -> None:
    done("graph", "--run", own_run, "--table", table, *FEW)
    shown = done("edit", "--run", own_run, "--do", "gender=male", "--polish", 0, "--index", "0-1").output
    assert "nothing follows" in shown and "gender - beard" in shown and "beard follows" not in shown


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--do", "smile", "--attr", "age"), ("cannot be combined with --attr",)),
        (("--do", "smile", "--target", "0.9"), ("cannot be combined with --target",)),
        (("--do", "smile:0.5"), ("no strength of its own", "--alpha")),
        (("--do", "gender=1"), ("gender", "female")),
        (("--do", "foo=1"), ("foo",)),
        (("--do", "smile", "--alpha", "-1"), ("no strength below 0",)),
        (("--do", "smile:x"), ("--do smile:x: an act has no strength", "--alpha")),
        (("--do", "=x"), ("--do '=x' cannot be parsed", "NAME[=VALUE], e.g. smile, hair_color=blond\n")),
        (("--do", "age", "--do", "age=old"), ("--do age is given twice", "--each")),
        (("--do", "age", "--each", "--alphas", "0,1"), ("--each cannot be combined", "--each --do smile --do age")),
        (("--do", "hat"), ("unknown attribute 'hat'",)),
        (("--do", "hair_color"), ("has 5 values",)),
    ],
)
def test_what_cannot_be_done(run: Path, words: tuple[str, ...], says: tuple[str, ...]) -> None:
    refuse(run, "edit", *words, says=says)


def test_a_missing_graph_and_one_of_other_attributes(own_run: Path, tmp_path: Path) -> None:
    refuse(own_run, "edit", "--do", "smile", says=("graph.h5", "gmmedit graph"))
    path = tmp_path / "other.csv"
    path.write_text("smile,hat\n" + "0,1\n1,0\n1,1\n" * 50)
    done("graph", "--run", own_run, "--table", path, *FEW)
    refuse(own_run, "edit", "--do", "smile", says=("graph of other attributes", "hat"))
    done("graph", "--run", own_run, "--force", *FEW)
    rewrite(own_run / "labels.h5", labels=lambda labels: labels[:, ::1])
    rewrite(own_run / "labels.h5", logits=lambda logits: logits + 1)
    check(gmmedit("edit", "--run", own_run, "--do", "smile", "--polish", 0), "another")


def small_graph(folder: Path, table: str) -> tuple[Path, artifacts.RunSpec, dict[str, Any], dict[str, np.ndarray]]:
    """The graph.h5 of a table, and its specification, attributes and datasets."""
    path = folder / "graph.h5"
    (folder / "labels.csv").write_text(table)
    done("graph", "--run", folder, "--table", folder / "labels.csv", "--halves", 0, "--quiet")
    with artifacts.open(path) as graph:
        return path, graph.spec, graph.attrs, {name: graph[name] for name in graph.names}


@pytest.mark.parametrize("damage", ["shape", "cycle", "itself", "one way", "mechanism"])
def test_a_damaged_graph_is_told(tmp_path: Path, damage: str) -> None:
    path, spec, attrs, arrays = small_graph(tmp_path, "a,b,c\n" + "0,1,0\n1,0,1\n1,1,0\n0,0,1\n" * 40)
    marks = np.zeros((3, 3), np.uint8)
    marks[{"cycle": ([0, 1, 2], [1, 2, 0]), "itself": ([1], [1])}.get(damage, ([0], [0]))] = DIRECTED
    marks[0, 0] = 0
    if damage == "one way":
        marks[0, 1] = UNDIRECTED
    name = "mechanisms/1" if damage == "mechanism" else "marks"
    wrong = np.ones((3, 2)) / 2 if damage == "mechanism" else marks
    if damage != "mechanism":
        arrays |= {f"mechanisms/{place}": np.array([0.5, 0.5]) for place in range(3)}
    arrays[name] = wrong
    if damage == "shape":  # of two of the three attributes
        spec = replace(spec, sizes={"A": 2})
        arrays |= {name: array[:2, :2] for name, array in arrays.items() if array.shape == (3, 3)}
    artifacts.write_whole(path, spec, arrays, attrs | {"forms": 3})
    with artifacts.open(path) as graph, pytest.raises(InputError, match=f"/{name} is no part of a graph"):
        read_graph(graph, graph.attributes)
    with pytest.raises(InputError, match=f"/{name} is no part of a graph"):
        read_directed(path)
    with pytest.raises(InputError, match=f"/{name} is no part of a graph"):
        graph_report(path)


@pytest.mark.parametrize("forms", [3, None, {"a": 1}])
def test_wrong_forms_of_mechanisms_are_not_told(tmp_path: Path, forms: object) -> None:
    path, spec, attrs, arrays = small_graph(tmp_path, "a,b\n" + "0,1\n1,0\n1,1\n0,0\n" * 40)
    artifacts.write_whole(path, spec, arrays, attrs | {"forms": forms})
    assert [row["form"] for row in graph_report(path)["attributes"]] == ["", ""]


def values(labels: np.ndarray) -> np.ndarray:
    ends = np.cumsum([len(found) for found in ATTRIBUTES.values()])
    return np.stack([part.argmax(1) for part in np.split(labels, ends[:-1], axis=1)], 1)


def test_marks_are_written_both_ways_where_nothing_is_known(tmp_path: Path, table: Path) -> None:
    done("graph", "--run", tmp_path, "--table", table, "--halves", 0, "--quiet")
    with artifacts.open(tmp_path / "graph.h5", "graph") as graph:
        marks = graph["marks"]
        assert np.array_equal(marks, marks.T) and set(np.unique(marks)) == {0, UNDIRECTED}
        assert np.isnan(graph["frequency"]).all()


def test_the_report_has_a_section_of_causes(tmp_path: Path, table: Path) -> None:
    done("graph", "--run", tmp_path, "--table", table, "--tiers", TIERS, "--quiet", *FEW)
    with RunFolder(tmp_path, Execution()) as run_folder:
        (section,) = causes_section(run_folder)
    page = section.markup()
    assert 'id="causes"' in page and "gender -&gt; beard" in page and "graph of the attributes" in page
    with RunFolder(tmp_path / "none", Execution()) as run_folder:
        assert causes_section(run_folder) == []


def test_an_evaluation_of_do_edits_counts_what_follows_as_no_collateral_change(
    ordered: Path, little_work: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Editor, "strengths", (0.0, 1.0))
    words = ("--mode", "do", "-n", 40, "--editors", "counterfactual,none", "--quiet")
    config = ordered / "few.yaml"
    config.write_text("evaluate: {starts: 2, polish: 0}\n")
    done("evaluate", "--run", ordered, *words, "--config", config)
    with artifacts.open(ordered / "do_evaluation.h5", "do_evaluation") as scored:
        held = np.array(scored.attrs["held"])
        gender, beard = NAMES.index("gender"), NAMES.index("beard")
        assert not held[gender].any() and held[beard].sum() == len(NAMES) - 1
        assert scored.spec.parents["graph"] == artifacts.file_fingerprint(ordered / "graph.h5")
        assert np.allclose(scored["seen/none/2/one/predicted"].sum(1), len(NAMES))
    with RunFolder(ordered, Execution()) as run_folder:
        (section,) = causes_section(run_folder)
    assert "Scores of do-edits" in section.markup() and "counterfactual" in section.markup()
    rows = [json.loads(line) for line in (ordered / "do_evaluation.jsonl").read_text().splitlines()]
    found = {(row["method"], row["metric"], row["attribute"]): row["value"] for row in rows}
    assert found["counterfactual", "kept@1", "gender=male"] is None  # nothing had to stay
    assert found["counterfactual", "effects@1", "beard=yes"] is None  # nothing follows
    assert 0 <= found["counterfactual", "effects@1", "gender=male"] < 1
    refuse(ordered, "evaluate", "--editors", "counterfactual", "-n", 40, says=("needs a graph",))
