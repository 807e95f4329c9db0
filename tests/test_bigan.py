"""BiGAN with causal latents: structural equations, edges, training to the same bits, and the file as every network."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import check, done, gmmedit
from PIL import Image

from gmmedit import artifacts, classifiers, datasets, encoders, generators
from gmmedit.causal.orientation import is_acyclic
from gmmedit.datasets.avatars.factors import ATTRIBUTES, CAUSAL_MODEL, sample_causal
from gmmedit.editors.structural import StructuralEditor
from gmmedit.errors import InputError
from gmmedit.evaluation.latent_attributes import find_structure
from gmmedit.networks.structural import StructuralEquations
from gmmedit.runtime.execution import Execution
from gmmedit.runtime.signals import Stopped, StopRequest
from gmmedit.training import bigan_from_data
from gmmedit.training.bigan import BiGANTraining
from gmmedit.training.bigan_from_data import train_bigan
from gmmedit.training.from_data import DataRequest
from gmmedit.training.labelled import choose_labels
from gmmedit.training.structure import acyclicity, choose_edges, fit_equations

NAMES = list(ATTRIBUTES)


@pytest.fixture(scope="module")
def equations() -> StructuralEquations:
    """Those of the avatars' causal model, fitted to its labels."""
    mask = torch.zeros(len(NAMES), len(NAMES), dtype=torch.bool)
    for effect, (causes, _) in CAUSAL_MODEL.items():
        for cause in causes:
            mask[NAMES.index(cause), NAMES.index(effect)] = True
    fitted = StructuralEquations([len(values) for values in ATTRIBUTES.values()], mask)
    fit_equations(fitted, sample_causal(20_000, 3).attributes)
    return fitted.requires_grad_(False)


def draw(equations: StructuralEquations, n: int = 20_000) -> torch.Tensor:
    return equations.solve(equations.noise(torch.randn(n, equations.dim, generator=torch.Generator().manual_seed(0))))


def test_draws_have_the_labels_of_the_model(equations: StructuralEquations) -> None:
    drawn, true = equations.values(draw(equations)), sample_causal(20_000, 4).attributes
    for column, name in enumerate(NAMES):
        for value in range(len(ATTRIBUTES[name])):
            share = [(labels[:, column] == value).float().mean().item() for labels in (drawn, true)]
            assert share[0] == pytest.approx(share[1], abs=0.015), (name, value)


def test_abduction_gives_the_noise_back(equations: StructuralEquations) -> None:
    noise = equations.noise(torch.randn(100, equations.dim, generator=torch.Generator().manual_seed(1)))
    assert torch.allclose(equations.abduct(equations.solve(noise)), noise, atol=2e-3)


def test_latents_in_the_gap_keep_their_values(equations: StructuralEquations) -> None:
    w = 0.3 * torch.randn(200, equations.dim, generator=torch.Generator().manual_seed(2))
    values = equations.values(w)
    assert torch.equal(equations.values(equations.close_gap(w)), values)
    for node in range(len(NAMES)):
        assert torch.equal(equations.counterfactual(w, {node: values[:, node]}), w), "the null intervention"


def test_a_cause_moves_its_effects_and_no_effect_its_cause(equations: StructuralEquations) -> None:
    u = draw(equations)
    before = equations.values(u)
    gender, beard = NAMES.index("gender"), NAMES.index("beard")
    male = equations.values(equations.counterfactual(u, {gender: torch.ones(len(u), dtype=torch.long)}))
    assert bool((male[:, gender] == 1).all())
    assert male[:, beard].float().mean().item() == pytest.approx(0.62, abs=0.02)  # as CAUSAL_MODEL says
    stayed = before[:, gender] == 1
    assert torch.equal(male[stayed], before[stayed])  # the null intervention changes nothing
    bearded = equations.values(equations.counterfactual(u, {beard: torch.ones(len(u), dtype=torch.long)}))
    others = [i for i in range(len(NAMES)) if i != beard]
    assert torch.equal(bearded[:, others], before[:, others])


@pytest.mark.parametrize("value", range(5))
def test_one_of_many_values_is_set(equations: StructuralEquations, value: int) -> None:
    u, hair = draw(equations, 50), NAMES.index("hair_color")
    changed = equations.counterfactual(u, {hair: torch.full((50,), value)})
    assert bool((equations.values(changed)[:, hair] == value).all())
    part, before = (equations.close_gap(w)[:, equations.nodes[hair]] for w in (changed, u))
    clear = part.topk(2).values.diff().abs() + 1e-3 >= before.topk(2).values.diff().abs()
    assert bool(clear.all()), "as clearly as it had another value"


def test_chosen_edges_have_no_cycle() -> None:
    strengths = torch.tensor([[0.0, 0.9, 0.05], [0.3, 0.0, 0.8], [0.4, 0.0, 0.0]])
    edges = choose_edges(strengths)
    assert edges.tolist() == [[False, True, False], [False, False, True], [False, False, False]]
    assert acyclicity(strengths) > 0.01
    assert acyclicity(strengths * edges).item() == pytest.approx(0, abs=1e-6)


REQUEST = DataRequest("avatars", 16, 192)
CHOSEN = ["smile", "gender", "hair_color"]


def train(out: Path, execution: Execution | None = None) -> Path:
    """A training of six steps; edges are fixed before the fifth."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bigan_from_data, "MEASURED", 100)
        return train_bigan(out, REQUEST, CHOSEN, "learned", False, execution or Execution())[0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a few steps."""
    return train(tmp_path_factory.mktemp("bigan"))


@pytest.mark.parametrize("steps", [2, 5])
def test_a_stopped_training_resumes_to_the_same_bytes(trained: Path, tmp_path: Path, steps: int) -> None:
    stop = StopRequest()

    def tick(images: int, *_: object) -> None:
        if images == steps * 32:
            stop.ask(signal.SIGINT)

    with pytest.raises(Stopped):
        train(tmp_path, Execution(tick=tick, stop=stop))
    assert not (tmp_path / trained.name).exists() and (tmp_path / "bigan.checkpoint").exists()
    assert train(tmp_path).read_bytes() == trained.read_bytes()


def test_the_file_is_generator_encoder_and_classifier(trained: Path) -> None:
    generator, encoder, classifier = (room.load(str(trained)) for room in (generators, encoders, classifiers))
    assert generator.fingerprint == encoder.generator == classifier.fingerprint
    w = generator.map(generator.draw(range(4)))
    assert w.shape == (4, generator.spaces["w"].dim)
    assert generator.spaces["w"].blocks == {"causes": slice(0, 7), "rest": slice(7, w.shape[1])}
    images = generator.synthesize(w)
    assert images.shape == (4, 3, 16, 16)
    named = generator.name_labels(generator.draw(range(4)))
    assert named["gender"] == [
        ("female", "male")[value] for value in generator.network.equations.values(w[:, :7])[:, 1]
    ]
    assert encoder.encode(images).shape == (4, 1, w.shape[1])
    assert torch.allclose(encoder.encode(images[:1]), encoder.encode(images)[:1], atol=1e-5)  # rows are apart
    assert [(a.name, len(a.values)) for a in classifier.attributes] == [("smile", 2), ("gender", 2), ("hair_color", 5)]
    causes = encoder.encode(images)[:, 0, :7]
    values = generator.network.equations.values(causes)
    logits = classifier.logits(images)
    assert torch.equal(torch.stack([part.argmax(1) for part in logits.split([2, 2, 5], dim=1)], dim=1), values)


def test_inspect_tells_of_the_training(trained: Path) -> None:
    facts = json.loads(done("inspect", trained, "--json").output)
    assert facts["family"] == "BiGAN" and facts["training_system"] == "bigan"
    assert set(facts["training_held_out_accuracy"]) == {"smile", "gender", "hair_color"}
    assert facts["training_graph"] == "learned"


def test_commands_work_on_the_file(trained: Path, tmp_path: Path) -> None:
    run = ("--run", tmp_path / "run", "--quiet")
    done("sample", "--gan", trained, "-n", 64, "--images", *run)
    done("label", "--classifier", trained, *run)
    with artifacts.open(tmp_path / "run" / "samples.h5") as samples:
        Image.fromarray(samples["images"][0]).save(tmp_path / "photo.png")
    (tmp_path / "quick.yaml").write_text("invert: {own: 2}\n")
    done("invert", tmp_path / "photo.png", "--steps", 0, "--config", tmp_path / "quick.yaml", *run)
    with artifacts.open(tmp_path / "run" / "inversions.h5") as inversions:
        assert inversions.spec.config["encoder"] == str(trained), "the file's own encoder"
        start = inversions["latents"][0, 0]
    done("invert", tmp_path / "photo.png", "--steps", 8, "--config", tmp_path / "quick.yaml", *run, "--force")
    with artifacts.open(tmp_path / "run" / "inversions.h5") as inversions:
        found = inversions["latents"][0, 0]
        assert inversions["error"][0] < inversions["start_error"][0]
    assert np.array_equal(found[:7], start[:7]) and not np.isclose(found[7:], start[7:], atol=1e-4).any()


def test_the_structural_editor_is_the_counterfactual(trained: Path) -> None:
    generator = generators.load(str(trained))
    structure = find_structure(generator, [(name, list(values)) for name, values in generator.causes])
    assert structure is not None and structure.places[3] == (1, 1, 2) and len(structure.places) == 9
    assert find_structure(generators.load("avatars"), [("smile", ["no", "yes"])]) is None
    editor = StructuralEditor(structure)
    w = generator.map(generator.draw(range(8)))
    moved = editor.trajectory(w[:, None], 3)(1.0)[:, 0]
    ones = torch.ones(8, dtype=torch.long)
    assert torch.allclose(moved, generator.counterfactual(w, {1: ones}), atol=1e-6)
    away = editor.edit(w[:, None], 3, torch.full((8,), -1.0))[:, 0]
    assert torch.allclose(away, generator.counterfactual(w, {1: 0 * ones}), atol=1e-6)


def test_samples_follow_an_intervention(trained: Path, tmp_path: Path) -> None:
    done("sample", "--run", tmp_path / "as_drawn", "--gan", trained, "-n", 64, "--quiet")
    done("sample", "--run", tmp_path / "male", "--gan", trained, "-n", 64, "--do", "gender=male", "--quiet")
    equations = generators.load(str(trained)).network.equations
    with (
        artifacts.open(tmp_path / "as_drawn" / "samples.h5") as drawn,
        artifacts.open(tmp_path / "male" / "samples.h5") as male,
    ):
        before, after = (equations.values(torch.from_numpy(each["w"][:, :7])) for each in (drawn, male))
        assert np.array_equal(drawn["z"], male["z"])
    assert bool((after[:, 1] == 1).all()) and bool((before[:, 1] == 0).any())
    assert torch.equal(after[before[:, 1] == 1], before[before[:, 1] == 1])
    twice = ("gender=male", "--do", "gender=female")
    for wrong, named in ((("gender=men",), "male"), (("gendre=male",), "gender"), (twice, "twice")):
        result = gmmedit("sample", "--run", tmp_path / "x", "--gan", trained, "--do", *wrong)
        assert result.exit_code == 2 and named in result.output
    result = gmmedit("sample", "--run", tmp_path / "x", "--do", "gender=male")
    assert result.exit_code == 2 and "no causes" in result.output


@pytest.mark.parametrize("images", [20, 64])
def test_edges_are_fixed_in_a_training_of_very_few_steps(images: int) -> None:
    data = datasets.load("avatars", 16)
    labels = choose_labels(data, CHOSEN)
    settings = bigan_from_data.size_bigan(data, labels, replace(REQUEST, images=images), "learned", (), False)
    training = BiGANTraining(settings, data, labels)
    assert not is_acyclic(training.network.equations.mask.numpy())
    for _ in training:
        pass
    assert is_acyclic(training.average.equations.mask.numpy())


def test_a_start_of_other_data_is_refused(trained: Path, tmp_path: Path) -> None:
    data = datasets.load("avatars", 16)
    settings = bigan_from_data.size_bigan(data, choose_labels(data, CHOSEN), REQUEST, "learned", (), False)
    assert bigan_from_data.read_start(trained, settings).config.attributes == settings.network.attributes
    with pytest.raises(InputError, match="other images") as told:
        bigan_from_data.read_start(trained, replace(settings, data="0" * 64))
    assert "--data" in told.value.hint
    words = ("train", "bigan", "--size", 16, "--attr", "smile", "--out", tmp_path)
    check(gmmedit(*words, "--start", ""), "--start names no file", "omit --start")
    check(gmmedit(*words, "--start", "none.safetensors"), "--start 'none.safetensors' is no file", "omit --start")


def test_unknown_attributes_are_refused(tmp_path: Path) -> None:
    result = gmmedit("train", "bigan", "--attr", "smiel", "--out", tmp_path, "--size", 16)
    assert result.exit_code == 2 and "smile" in result.output


def test_no_log_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("my notes")
    (tmp_path / "bigan.jsonl").symlink_to(tmp_path / "mine.txt")
    with pytest.raises(InputError, match="symbolic link"):
        train(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "my notes"


def test_data_without_labels_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number in range(70):
        Image.new("RGB", (16, 16), (number, 0, 0)).save(tmp_path / "data" / f"{number}.png")
    result = gmmedit("train", "bigan", "--data", tmp_path / "data", "--out", tmp_path / "out")
    assert result.exit_code == 2 and "no attribute" in result.output


def test_the_edges_of_a_graph_are_used(tmp_path: Path) -> None:
    done("graph", "--run", tmp_path, "--data", "avatars", "--require", "gender->beard", "--quiet")
    name, edges = bigan_from_data.read_graph(str(tmp_path / "graph.h5"))
    assert ("gender", "beard") in edges and len(name) == 64
    data = datasets.load("avatars", 16)
    assert bigan_from_data.find_edges(choose_labels(data, ["gender", "beard"]), [("gender", "beard")]) == ((0, 1),)
    with pytest.raises(InputError, match="the graph has beard"):
        bigan_from_data.find_edges(choose_labels(data, ["gender", "age"]), edges)
