"""Attribute graphs from labels whose causal model is known: equivalence classes, errors of labels, counterfactuals."""

from importlib.util import find_spec
from itertools import product

import numpy as np
import pytest

from gmmedit.causal import dagma, external, gae
from gmmedit.causal.cells import Cells, association
from gmmedit.causal.confusion import apply, from_probabilities, from_truth, unfold
from gmmedit.causal.dagma import DagmaSettings
from gmmedit.causal.gae import GaeSettings
from gmmedit.causal.independence import IndependenceTest, chi2_survival
from gmmedit.causal.knowledge import Knowledge
from gmmedit.causal.learning import Frequencies, cut, keep_known, keep_stable, learn, measure_frequencies
from gmmedit.causal.mechanisms import Mechanism, fit_mechanism
from gmmedit.causal.model import CausalModel, fit_model
from gmmedit.causal.orientation import apply_knowledge, close, directed, equivalence_class, is_acyclic, sort_causes
from gmmedit.datasets.avatars.factors import ATTRIBUTES, CAUSAL_MODEL, sample_causal

NAMES, SIZES = list(ATTRIBUTES), [len(values) for values in ATTRIBUTES.values()]
N = 5000


def arrows(count: int, *edges: tuple[int, int]) -> np.ndarray:
    found = np.zeros((count, count), bool)
    for cause, effect in edges:
        found[cause, effect] = True
    return found


def chain(*tables: list[list[float]]) -> CausalModel:
    """0 -> 1 -> 2 ... of two values each."""
    first = Mechanism((), np.array([0.5, 0.5]), "table")
    rest = [Mechanism((place,), np.array(table), "table") for place, table in enumerate(tables)]
    edges = [(place, place + 1) for place in range(len(tables))]
    return CausalModel(arrows(len(tables) + 1, *edges), (first, *rest))


STEP = [[0.8, 0.2], [0.25, 0.75]]
COLLIDER = CausalModel(
    arrows(3, (0, 2), (1, 2)),
    (
        Mechanism((), np.array([0.6, 0.4]), "table"),
        Mechanism((), np.array([0.3, 0.7]), "table"),
        Mechanism((0, 1), np.array([[[0.9, 0.1], [0.6, 0.4]], [[0.5, 0.5], [0.1, 0.9]]]), "table"),
    ),
)


def truth() -> np.ndarray:
    edges = [(NAMES.index(p), NAMES.index(name)) for name, (parents, _) in CAUSAL_MODEL.items() for p in parents]
    return arrows(len(NAMES), *edges)


def cells_of(model: CausalModel, seed: int = 0) -> Cells:
    return Cells.of(model.sample(N, seed), model.sizes)


# Graphs


@pytest.mark.parametrize("seed", range(2))
def test_the_default_finds_the_class_of_the_avatars_and_directs_nothing_that_data_cannot(seed: int) -> None:
    values = sample_causal(N, seed).attributes.numpy()
    nothing, wanted = Knowledge.nothing(len(NAMES)), equivalence_class(truth())
    assert not directed(wanted).any()  # the true class: every edge could be the other way
    found = learn("pc-stable", Cells.of(values, SIZES), nothing, least=0.05).edges
    pairs = np.triu((found != wanted) | (found.T != wanted.T))
    assert pairs.sum() <= 1 and not directed(found).any()


def test_the_order_of_attributes_does_not_matter() -> None:
    values = sample_causal(N, 0).attributes.numpy()
    order = np.array([4, 0, 6, 2, 5, 1, 3])
    nothing = Knowledge.nothing(len(NAMES))
    found = learn("pc-stable", Cells.of(values, SIZES), nothing).edges
    other = learn("pc-stable", Cells.of(values[:, order], [SIZES[a] for a in order]), nothing).edges
    assert np.array_equal(found[np.ix_(order, order)], other)


def test_a_collider_is_directed_and_a_chain_is_not() -> None:
    nothing = Knowledge.nothing(3)
    assert np.array_equal(learn("pc-stable", cells_of(COLLIDER), nothing).edges, COLLIDER.arrows)
    found = learn("pc-stable", cells_of(chain(STEP, STEP)), nothing).edges
    assert np.array_equal(found, arrows(3, (0, 1), (1, 0), (1, 2), (2, 1)))


def test_errors_of_labels_look_like_edges_unless_they_are_known() -> None:
    """Two effects of one cause, whose label is wrong in a tenth: given that label they stay dependent."""
    fork = CausalModel(
        arrows(3, (1, 0), (1, 2)),
        (Mechanism((1,), np.array([[0.95, 0.05], [0.1, 0.9]]), "table"), Mechanism((), np.array([0.5, 0.5]), "table"),
         Mechanism((1,), np.array([[0.9, 0.1], [0.05, 0.95]]), "table")),
    )  # fmt: skip
    values, confusion = fork.sample(N, 1), np.array([[0.92, 0.1], [0.08, 0.9]])
    flips = np.random.default_rng(0).random(N)
    values[:, 1] = np.where(values[:, 1] == 1, flips < 0.9, flips < 0.08)
    cells, nothing = Cells.of(values, fork.sizes), Knowledge.nothing(3)
    confusions = [np.eye(2), confusion, np.eye(2)]
    assert learn("pc-stable", cells, nothing).edges[0, 2]
    assert not learn("pc-stable", cells, nothing, confusions=confusions).edges[0, 2]
    mechanism = fit_mechanism(cells, 0, [1], confusions)
    assert np.abs(mechanism.table - fork.mechanisms[0].table).max() < 0.03
    assert np.abs(fit_mechanism(cells, 0, [1]).table - fork.mechanisms[0].table).max() > 0.05


def test_weak_dependence_counts_as_none() -> None:
    weak = chain([[0.52, 0.48], [0.48, 0.52]])
    cells = Cells.of(weak.sample(100_000, 0), weak.sizes)
    assert learn("pc-stable", cells, Knowledge.nothing(2)).edges.any()
    assert not learn("pc-stable", cells, Knowledge.nothing(2), least=0.05).edges.any()
    assert association(cells, 0, 1) == pytest.approx(0.04, abs=0.01)


def test_the_level_of_the_tests_is_kept() -> None:
    """Under independence given a third, p-values are below 0.05 in about a twentieth of the data sets."""
    model = CausalModel(
        arrows(3, (1, 0), (1, 2)),
        (Mechanism((1,), np.array(STEP), "table"), Mechanism((), np.array([0.3, 0.7]), "table"),
         Mechanism((1,), np.array([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6]]), "table")),
    )  # fmt: skip
    low = sum(
        (IndependenceTest(Cells.of(model.sample(600, seed), model.sizes), 0.05).p_value(0, 2, (1,)) or 0) < 0.05
        for seed in range(200)
    )
    assert low <= 20
    assert chi2_survival(3.841, 1) == pytest.approx(0.05, abs=1e-3)


def test_halves_measure_frequencies_and_unstable_directions_are_dropped() -> None:
    cells, nothing = cells_of(COLLIDER), Knowledge.nothing(3)
    found = measure_frequencies(lambda half: learn("pc-stable", half, nothing), cells, 6, seed=0)
    assert found.edge[0, 2] == 1 and found.edge[0, 1] < 0.2 and found.direction[0, 2] > 0.5
    again = measure_frequencies(lambda half: learn("pc-stable", half, nothing), cells, 6, seed=0)
    assert np.array_equal(found.edge, again.edge)
    rare = Frequencies(found.edge, found.direction * 0.1)
    assert np.array_equal(keep_stable(COLLIDER.arrows, rare, nothing), COLLIDER.arrows | COLLIDER.arrows.T)
    assert np.array_equal(keep_known(COLLIDER.arrows, nothing), COLLIDER.arrows | COLLIDER.arrows.T)
    assert cells.draw_half(np.random.default_rng(0)).total == N // 2


@pytest.mark.parametrize("method", ["gae", "dagma"])
def test_methods_that_direct_by_scale_report_the_class_of_their_graph(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gae, "GaeSettings", lambda seed: GaeSettings(steps=150, rounds=3, seed=seed))
    monkeypatch.setattr(dagma, "DagmaSettings", lambda: DagmaSettings(steps=120, rate=0.05))
    cells, nothing = cells_of(chain(STEP)), Knowledge.nothing(2)
    learned = learn(method, cells, nothing)  # type: ignore[arg-type]
    assert learned.arrows is not None and learned.weights is not None
    assert learned.arrows.sum() == 1 and is_acyclic(learned.arrows)
    assert learned.edges[0, 1] and learned.edges[1, 0]  # nothing directs it
    again = learn(method, cells, nothing)  # type: ignore[arg-type]
    assert np.array_equal(learned.weights, again.weights)
    forbidden = Knowledge(nothing.required, arrows(2, (0, 1), (1, 0)))
    assert not learn(method, cells, forbidden).edges.any()  # type: ignore[arg-type]


def test_edges_on_cycles_are_cut_at_the_weakest() -> None:
    weights = np.array([[0, 0.9, 0], [0, 0, 0.8], [0.5, 0, 0]])
    assert np.array_equal(cut(weights, 0.3), arrows(3, (0, 1), (1, 2)))


def test_graphs_of_causal_learn_are_read() -> None:
    marks = np.array([[0, -1, -1, 0], [1, 0, 0, 1], [-1, 0, 0, 0], [0, 1, 0, 0]])  # 0 -> 1, 0 - 2, 1 <-> 3
    assert np.array_equal(external.from_marks(marks), arrows(4, (0, 1), (0, 2), (2, 0), (1, 3), (3, 1)))


@pytest.mark.skipif(find_spec("causallearn") is None, reason="needs the extra causal")
@pytest.mark.parametrize("method", ["pc", "ges"])
def test_causal_learn_finds_the_collider(method: str) -> None:
    assert np.array_equal(learn(method, cells_of(COLLIDER), Knowledge.nothing(3)).edges, COLLIDER.arrows)  # type: ignore


# Directions


def test_rules_leave_exactly_the_class() -> None:
    """Of every graph of four attributes: a direction is kept if and only if all graphs of the class have it."""
    classes: dict[tuple[bytes, bytes], list[np.ndarray]] = {}
    pairs = [(a, b) for b in range(4) for a in range(b)]
    for way in product(range(3), repeat=len(pairs)):
        graph = arrows(4, *[(a, b) if kind == 1 else (b, a) for (a, b), kind in zip(pairs, way, strict=True) if kind])
        if is_acyclic(graph):
            classes.setdefault(signature(graph), []).append(graph)
    assert len(classes) == 185  # the number of classes of four labelled nodes
    for members in classes.values():
        assert np.array_equal(equivalence_class(members[0]), np.logical_or.reduce(members))


def signature(graph: np.ndarray) -> tuple[bytes, bytes]:
    """Skeleton and unshielded colliders."""
    linked = graph | graph.T
    found = [
        (a, c, b) for a, c, b in product(range(4), repeat=3)
        if a < b and graph[a, c] and graph[b, c] and not linked[a, b]
    ]  # fmt: skip
    return linked.tobytes(), repr(found).encode()


def test_knowledge_directs_and_what_follows_is_directed() -> None:
    line = arrows(3, (0, 1), (1, 0), (1, 2), (2, 1))
    known = Knowledge(arrows(3, (0, 1)), arrows(3))
    assert np.array_equal(apply_knowledge(line, known), arrows(3, (0, 1), (1, 2)))  # else a collider would appear
    tiers = Knowledge(arrows(3), arrows(3, (1, 0), (2, 0), (2, 1)))
    assert np.array_equal(apply_knowledge(line, tiers), arrows(3, (0, 1), (1, 2)))
    never = Knowledge(arrows(3), arrows(3, (0, 1), (1, 0)))
    assert np.array_equal(apply_knowledge(line, never), arrows(3, (1, 2), (2, 1)))
    assert np.array_equal(close(line), line)
    assert sort_causes(arrows(3, (2, 1), (1, 0))) == [2, 1, 0]


# Errors of labels


def test_confusions_and_their_undoing() -> None:
    random = np.random.default_rng(0)
    true = random.integers(0, 3, 20_000)
    table = np.array([[0.9, 0.05, 0.0], [0.1, 0.9, 0.1], [0.0, 0.05, 0.9]])
    labels = (random.random((len(true), 1)) > table.cumsum(0)[:, true].T[:, :-1]).sum(1)
    found = from_truth(labels, true, 3)
    assert np.abs(found - table).max() < 0.02 and np.allclose(found.sum(0), 1)
    counts = np.bincount(labels, minlength=3).astype(float)
    assert np.abs(unfold(counts, [found]) - np.bincount(true, minlength=3)).max() < 0.01 * len(true)
    assert np.allclose(apply([np.eye(3)], counts), counts)


def test_calibrated_probabilities_tell_the_confusion() -> None:
    random = np.random.default_rng(1)
    p = random.beta(0.3, 0.3, 50_000)
    true = (random.random(len(p)) < p).astype(int)
    found = from_probabilities(np.stack([1 - p, p], 1))
    assert np.abs(found - from_truth((p > 0.5).astype(int), true, 2)).max() < 0.02


# Mechanisms and counterfactuals


def test_interventions_give_the_true_distribution_and_leave_causes_alone() -> None:
    values = COLLIDER.sample(N, 3)
    fitted = fit_model(COLLIDER.arrows, Cells.of(values, COLLIDER.sizes))
    assert [each.form for each in fitted.mechanisms] == ["table"] * 3
    done = fitted.counterfactual(values, {0: 1}, range(N), seed=0)
    assert (done[:, 0] == 1).all() and np.array_equal(done[:, 1], values[:, 1])
    wanted = COLLIDER.sample(100_000, 0, {0: 1})[:, 2].mean()
    assert done[:, 2].mean() == pytest.approx(wanted, abs=0.03)
    assert fitted.distribution(values, {0: 1})[:, -1].mean() == pytest.approx(wanted, abs=0.03)
    undone = fitted.counterfactual(values, {2: 1}, range(N), seed=0)
    assert np.array_equal(undone[:, :2], values[:, :2]) and fitted.descendants({2: 1}) == []
    assert fitted.descendants({0: 1}) == [2]


def test_a_counterfactual_of_what_is_the_case_changes_nothing_and_depends_on_the_image_alone() -> None:
    model = chain(STEP, STEP)
    values = model.sample(400, 0)
    for value in (0, 1):
        same = values[:, 0] == value
        assert np.array_equal(model.counterfactual(values, {0: value}, range(400), 7)[same], values[same])
    many = model.counterfactual(values, {0: 1}, range(400), 7)
    rows = np.array([5, 250, 17])
    assert np.array_equal(model.counterfactual(values[rows], {0: 1}, rows.tolist(), 7), many[rows])
    up = chain([[0.8, 0.2], [0.3, 0.7]])
    seen = up.sample(2000, 0)
    assert (up.counterfactual(seen, {0: 1}, range(2000), 0)[seen[:, 1] == 1, 1] == 1).all()  # more probable: kept


def test_many_parents_are_regressed() -> None:
    random = np.random.default_rng(0)
    parents = random.integers(0, 2, (300, 5))
    logits = 1.5 * parents[:, 0] - 2 * parents[:, 4]
    child = (random.random(300) < 1 / (1 + np.exp(-logits))).astype(int)
    cells = Cells.of(np.column_stack([parents, child]), [2] * 6)
    found = fit_mechanism(cells, 5, range(5))
    assert found.form == "logistic" and found.table.shape == (2,) * 6
    assert np.allclose(found.table.sum(-1), 1)
    assert found.table[1, 0, 0, 0, 0, 1] > 0.7 and found.table[0, 0, 0, 0, 1, 1] < 0.3
    with pytest.raises(ValueError, match="combinations"):
        fit_mechanism(Cells.of(np.zeros((4, 16), int), [2] * 16), 15, range(15))


def test_values_outside_of_their_attribute_are_refused() -> None:
    with pytest.raises(ValueError, match="not one of"):
        Cells.of(np.array([[0, 2]]), (2, 2))
