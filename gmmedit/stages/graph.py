"""Learn which attribute causes which, with what can and cannot be known, and how each follows from its causes.

Reads labels.h5, a table of labels or a data set's, and the classifier where its errors are measured; writes graph.h5,
graph.png and graph.svg.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gmmedit import artifacts, datasets
from gmmedit.artifacts import RunSpec
from gmmedit.causal.cells import Cells, association
from gmmedit.causal.external import MODULES, import_method
from gmmedit.causal.knowledge import Knowledge
from gmmedit.causal.learning import Learned, keep_known, keep_stable, learn, measure_frequencies
from gmmedit.causal.model import CausalModel, fit_model
from gmmedit.causal.orientation import directed
from gmmedit.classifiers import Attribute
from gmmedit.config import GraphSettings
from gmmedit.datasets.known_labels import read_labels_table
from gmmedit.errors import InputError, writing
from gmmedit.pictures.graphs import draw_graph, draw_svg
from gmmedit.pictures.sheets import sheet_to_png
from gmmedit.run.folder import RunFolder
from gmmedit.run.graph_labels import (
    NONE,
    PROBABILITIES,
    Labels,
    check_labels,
    leave_out,
    measure_confusions,
    read_run_labels,
    true_labels,
)
from gmmedit.run.graphs import Attributes, to_marks
from gmmedit.run.knowledge import parse_knowledge
from gmmedit.runtime.execution import Execution, prepare
from gmmedit.runtime.storage import lock, write_file

MEASURED_ON = 2000  # images of a data set, on which a classifier's errors are measured
HALVES = {"pc-stable": 20, "pc": 20, "ges": 20, "gae": 4, "dagma": 4}
SHOWN = 0.5  # share of the halves with an edge, below which a note says so
UNCORRECTED = "{} takes labels for true: only pc-stable corrects for the classifier's errors"
UNSUPPORTED = "required, but no edge by the labels alone: {}"
SELDOM = "causes that fewer than half of the halves show: {}; --forbid leaves an edge out"
SUGGESTED = (
    "{} directions that data suggest are not used: they would hold for this generator's images, which are no data of "
    "the world; --orient data takes them, --require and --tiers say what you know"
)


def run(
    folder: Path, settings: GraphSettings, execution: Execution, table: Path | None = None, data: str | None = None
) -> Path:
    """Write folder/graph.h5, graph.png and graph.svg; the path of the first.

    table: a CSV or HDF5 file of labels; data: the name, folder or file of a data set; neither: labels.h5. InputError:
    labels are missing, too few or constant; the user's knowledge contradicts itself; graph.h5 has other settings; the
    method needs causal-learn, which is not installed.
    """
    prepare(execution)
    check_method(settings)
    path = folder / "graph.h5"
    with RunFolder(folder, execution) as run_folder:
        labels = leave_out(find_labels(run_folder, settings, table, data), settings)
        check_labels(labels, str(table or data or run_folder.file("labels")))
        knowledge = parse_knowledge(settings, [name for name, _ in labels.attributes])
        spec = run_spec(run_folder, labels, settings)
        if artifacts.is_up_to_date(path, spec, execution):
            if not all(place.is_file() for place in pictures_of(path)):  # a run was stopped before them
                with lock(path):
                    write_pictures(path)
            return path
        with lock(path):
            write_graph(path, spec, labels, knowledge, settings, execution)
    return path


def write_graph(
    path: Path, spec: RunSpec, labels: Labels, knowledge: Knowledge, settings: GraphSettings, execution: Execution
) -> None:
    """Learn the graph, its stability and its mechanisms, and write them."""
    cells, method, notes = Cells.of(labels.values, labels.sizes), settings.method, list(labels.notes)
    confusions = labels.confusions if method == "pc-stable" else None
    if labels.confusions is not None and confusions is None:
        notes.append(UNCORRECTED.format(method))

    def learn_one(part: Cells, known: Knowledge = knowledge) -> Learned:
        execution.stop.check()
        return learn(method, part, known, settings.alpha, settings.least, settings.seed, confusions)

    learned = learn_one(cells)
    names = [name for name, _ in labels.attributes]
    if knowledge.required.any():
        free = learn_one(cells, replace(knowledge, required=np.zeros_like(knowledge.required))).edges
        missing = [f"{names[a]} -> {names[b]}" for a, b in np.argwhere(knowledge.required & ~(free | free.T))]
        notes += [UNSUPPORTED.format(", ".join(missing))] if missing else []
    halves = HALVES[method] if settings.halves is None else settings.halves
    found = measure_frequencies(
        learn_one, cells, halves, settings.seed, lambda done, total: execution.tick(done, total, "halves")
    )
    by_data = settings.orient == "data" or (settings.orient == "auto" and not labels.generated)
    suggested = keep_stable(learned.edges, found, knowledge) if halves else learned.edges
    edges = suggested if by_data else keep_known(learned.edges, knowledge)
    if (suggested != edges).any():
        notes.append(SUGGESTED.format(int((suggested != edges).sum())))
    seldom = np.argwhere(directed(edges) & ~knowledge.required & (found.edge < SHOWN))
    if halves and len(seldom):
        notes.append(SELDOM.format(", ".join(f"{names[a]} -> {names[b]} ({found.edge[a, b]:.2f})" for a, b in seldom)))
    model = make_model(edges, cells, labels)
    arrays = {
        "marks": to_marks(edges), "required": knowledge.required.astype(np.uint8),
        "forbidden": knowledge.forbidden.astype(np.uint8),
        "frequency": found.edge if halves else np.full_like(found.edge, np.nan),
        "direction": found.direction if halves else np.full_like(found.edge, np.nan),
        "association": associations(cells),
        **({} if learned.weights is None else {"weights/edges": learned.weights}),
        **{f"mechanisms/{place}": each.table for place, each in enumerate(model.mechanisms)},
        **{f"confusion/{place}": each for place, each in enumerate(labels.confusions or [])},
    }  # fmt: skip
    facts = {"notes": notes, "forms": [each.form for each in model.mechanisms], "corrected": confusions is not None}
    with writing(path.with_suffix(".png")):
        for place in pictures_of(path):  # those of an earlier graph
            place.unlink(missing_ok=True)
    artifacts.write_whole(path, spec, arrays, facts)
    write_pictures(path)


def pictures_of(path: Path) -> list[Path]:
    """The pictures beside a graph.h5."""
    return [path.with_suffix(".png"), path.with_suffix(".svg")]


def write_pictures(path: Path) -> None:
    """Write the pictures of a graph.h5 beside it."""
    with artifacts.open(path, "graph") as graph, writing(path.with_suffix(".png")):
        names = [name for name, _ in graph.attributes]
        marks, frequency = graph["marks"], graph["frequency"]
        write_file(path.with_suffix(".png"), sheet_to_png(draw_graph(names, marks, frequency)))
        write_file(path.with_suffix(".svg"), draw_svg(names, marks, frequency).encode())


def associations(cells: Cells) -> np.ndarray:
    """Cramer's V (A, A) of all pairs."""
    count = len(cells.sizes)
    found = np.eye(count)
    for a in range(count):
        for b in range(a):
            found[a, b] = found[b, a] = association(cells, a, b)
    return found


def make_model(edges: np.ndarray, cells: Cells, labels: Labels) -> CausalModel:
    """The mechanisms of the directed edges. InputError: an attribute has too many causes."""
    try:
        return fit_model(edges, cells, labels.confusions)
    except ValueError as error:
        raise InputError(
            str(error), hint="change --require or --forbid, or leave out attributes with --without"
        ) from error


def check_method(settings: GraphSettings) -> None:
    """InputError: the method's package is not installed."""
    if settings.method in MODULES:
        try:
            import_method(settings.method)
        except ImportError as error:
            message = f"--method {settings.method} needs the package causal-learn"
            raise InputError(message, hint="pip install 'gmmedit[causal]', or --method pc-stable") from error


def run_spec(run_folder: RunFolder, labels: Labels, settings: GraphSettings) -> RunSpec:
    """The specification of graph.h5."""
    own = run_folder.labels if labels.generated else None
    return RunSpec(
        kind="graph",
        n=len(labels.values),
        seed=settings.seed,
        config=settings.model_dump() | dict(labels.facts),
        sizes={"A": len(labels.attributes)},
        parents={"labels": own.fingerprint} if own else {},
        generator=own.spec.generator if own else None,
        classifier=own.spec.classifier if own else None,
        attributes=[(name, list(values)) for name, values in labels.attributes],
    )


def find_labels(run_folder: RunFolder, settings: GraphSettings, table: Path | None, data: str | None) -> Labels:
    """The labels of a table, a data set or the run.

    InputError: two sources are named, or one cannot be read; `--errors` names a data set of other attributes.
    """
    if table is not None and data is not None:
        raise InputError("--table and --data exclude each other", hint="give one of them")
    if (table is not None or data is not None) and settings.errors not in ("auto", NONE):
        raise InputError(f"--errors {settings.errors}: labels of a table are taken for true", hint="drop --errors")
    if table is not None:
        values, attributes = read_labels_table(table)
        return true_labels(values, name_values(attributes), table.name)
    if data is not None:
        known = datasets.load(data)
        return true_labels(known.labels().numpy(), name_values(known.attributes), known.name)
    if settings.errors in ("auto", NONE, PROBABILITIES):
        return read_run_labels(run_folder, settings.errors)
    return with_measured_errors(run_folder, settings.errors)


def name_values(attributes: Sequence[Attribute]) -> Attributes:
    """Names and values of attributes."""
    return [(each.name, list(each.values)) for each in attributes]


def with_measured_errors(run_folder: RunFolder, source: str) -> Labels:
    """The run's labels with the classifier's confusion on a data set. InputError: it has other attributes."""
    data = datasets.load(source)
    if name_values(data.attributes) != run_folder.labels.attributes:
        message = f"--errors: {source} has other attributes than {run_folder.labels.path}"
        raise InputError(message, hint=f"--errors {PROBABILITIES}, or --errors {NONE}")
    rows = data.held_out()[:MEASURED_ON]
    confusions = measure_confusions(run_folder, data.labels(rows).numpy(), lambda part: data.images(rows[part]))
    return replace(read_run_labels(run_folder, NONE), confusions=confusions)
