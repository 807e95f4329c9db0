"""Directions without labels: the three stages, the file, exact resume, edits along them, and what is refused."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from conftest import check, done, gmmedit, refuse, rewrite
from small_material import LAYOUT, directions, drawn, edited, logits_of, material
from torch import Tensor

from gmmedit import artifacts, generators
from gmmedit.config import SampleSettings
from gmmedit.discovery import candidates, contrast, decomposition
from gmmedit.discovery.candidates import Navigator
from gmmedit.discovery.decomposition import decompose, orthonormal, principal_directions
from gmmedit.discovery.effects import label_affinity, measure_effects
from gmmedit.discovery.latents import Latents, draw_shifts, random_directions, step_random
from gmmedit.discovery.reader import ReaderSettings, ReaderTraining, changed_places, reading_bank, share_codes
from gmmedit.discovery.reading import nearest_label, read_directions, read_encoder
from gmmedit.discovery.summary import direction_report
from gmmedit.discovery.training import complete
from gmmedit.discovery.varimax import varimax_directions
from gmmedit.editing.directions import open_mover
from gmmedit.editing.steps import describe_directions, parse_directions
from gmmedit.editors.base import Discovered, Unsuitable
from gmmedit.editors.direction import fit_direction
from gmmedit.errors import InputError
from gmmedit.generators import Generator
from gmmedit.generators.stylegan2 import StyleGAN2, StyleGAN2Config, save_generator
from gmmedit.report.sections.directions import directions_section, measure_cosines
from gmmedit.run.folder import RunFolder
from gmmedit.run.rendering import Renderer
from gmmedit.runtime.execution import Execution
from gmmedit.spaces import Space, fit_chart
from gmmedit.stages import discover
from gmmedit.training import loop

DATA = Path(__file__).parent / "data"
SETTINGS = (
    "discover: {k: 4, method: contrastive, steps: 6, candidate_steps: 4, groups: 3, repeats: 2, precision: fp32}\n"
)


class Ramp(Generator):
    """Three numbers paint three bands of an image, each with its own strength; a fourth and a fifth do nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.z_dim, self.w_shape, self.image_shape, self.n_classes = 5, None, (1, 16, 16), 0
        self.register_buffer("strength", torch.tensor([0.1, 0.2, 0.05]))
        self.anchor = torch.nn.Parameter(torch.zeros(()))
        self.fingerprint = "r" * 64

    def map(self, z: Tensor, c: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        return z

    def synthesize(self, w: Tensor) -> Tensor:
        bands = (w[:, :3] * self.strength).repeat_interleave(5, 1)
        return torch.nn.functional.pad(bands, (0, 1))[:, None, :, None].expand(-1, 1, 16, 16) + self.anchor


def latents_of(generator: Generator) -> Latents:
    space = list(generator.spaces.values())[-1]
    x = generator.draw(range(200))
    return Latents(Renderer(generator, SampleSettings()), space, fit_chart(space, x), x, "fp32")


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A StyleGAN2 of 16 pixels that has learned nothing."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = StyleGAN2(StyleGAN2Config(resolution=16, channels=(8, 8, 8), z_dim=6, w_dim=6))
    path = tmp_path_factory.mktemp("generator") / "generator.safetensors"
    save_generator(network.requires_grad_(False), path, {})
    return path


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory, generator: Path) -> Path:
    """A run with samples.h5 only, and the settings beside it."""
    folder = tmp_path_factory.mktemp("unlabelled")
    (folder / "small.yaml").write_text(SETTINGS)
    done("sample", "--gan", generator, "-n", 120, "--run", folder / "run", "--quiet")
    return folder / "run"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, unlabelled: Path) -> Path:
    """The same run with its directions; nobody may change it."""
    run = shutil.copytree(unlabelled, tmp_path_factory.mktemp("found") / "run")
    done("discover", "--run", run, "--config", unlabelled.parent / "small.yaml", "--quiet")
    return run


def copy_of(run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(run, tmp_path / "run")


# The stages


def test_a_navigator_stays_orthonormal_and_in_its_span() -> None:
    start = random_directions(3, 6, 1)
    navigator = Navigator(start, 2)
    torch.nn.init.normal_(navigator.turn, generator=torch.Generator().manual_seed(0))
    rows = navigator().detach()
    assert torch.allclose(rows @ rows.T, torch.eye(2), atol=1e-5)
    assert torch.allclose(rows @ start.T @ start, rows, atol=1e-5)
    assert not torch.allclose(rows, start[:2], atol=0.1)


def test_a_basis_is_completed() -> None:
    rows = random_directions(2, 5, 0)
    whole = complete(rows)
    assert torch.allclose(whole[:2], rows, atol=1e-5) and torch.allclose(whole @ whole.T, torch.eye(5), atol=1e-5)
    assert torch.allclose(orthonormal(2 * whole), whole, atol=1e-5)


def test_shifts_are_never_small() -> None:
    shifts = draw_shifts(400, 3.0, step_random(0))
    assert shifts.abs().min() >= 0.5 and 2.9 < shifts.abs().max() <= 3 and 0.4 < (shifts > 0).float().mean() < 0.6


def test_the_basis_of_an_unknown_generator_is_that_of_its_jacobian() -> None:
    basis = decompose(latents_of(Ramp()), Execution())
    assert basis.source == "jacobian"
    assert basis.rows[:3].abs().argmax(1).tolist() == [1, 0, 2]  # by strength
    assert torch.allclose(basis.rows[:3].abs().amax(1), torch.ones(3), atol=1e-2)
    assert basis.values[3] < 1e-3 * basis.values[2]


def test_the_basis_of_styles_changes_them_most(unlabelled: Path) -> None:
    with RunFolder(unlabelled, Execution()) as run:
        latents = Latents(run.renderer, run.space("w"), *chart_and_x(run), "fp32")
        basis = decompose(latents, Execution())
        matrix = torch.cat([matrix for _, matrix, _ in run.generator.styles()])
    assert basis.source == "styles" and torch.allclose(basis.rows @ basis.rows.T, torch.eye(len(basis.rows)), atol=1e-5)
    slopes = decomposition.style_slopes(latents).float()
    changed = (matrix @ slopes @ basis.rows.T).norm(dim=0)
    assert changed[0] > 2 * changed[-1]


def chart_and_x(run: RunFolder) -> tuple:
    w = torch.from_numpy(run.samples["w"])
    chart = fit_chart(run.space("w"), w)
    return chart, chart.to_x(w)


def test_the_basis_of_pggan_is_that_of_its_first_layer() -> None:
    generator = generators.load(str(DATA / "ig_pggan_32.pth"))
    first = generator.first_layer()
    assert first is not None and first.shape[1] == generator.z_dim
    basis = decompose(latents_of(generator), Execution())
    gram = torch.nn.functional.normalize(first.double(), dim=1)
    values = torch.linalg.eigvalsh(gram.T @ gram).flip(0)
    assert basis.source == "first layer" and torch.allclose(basis.values.double(), values, atol=1e-4)


def test_principal_components_of_z_are_those_of_the_images() -> None:
    rows = principal_directions(latents_of(Ramp()), 3, Execution())
    assert rows.abs().argmax(1).tolist() == [1, 0, 2]
    assert torch.allclose(rows @ rows.T, torch.eye(3), atol=1e-4)


def test_varimax_parts_what_a_rotation_has_mixed() -> None:
    """Of three bands that change by their own direction each, turned at random, the bands are found again."""
    latents, mixed = latents_of(Ramp()), random_directions(3, 3, 4) @ torch.eye(5)[:3]
    assert mixed.abs().amax(1).min() < 0.9
    found = varimax_directions(latents, mixed, Execution())
    assert sorted(found.abs().argmax(1).tolist()) == [0, 1, 2]
    assert torch.allclose(found.abs().amax(1), torch.ones(3), atol=1e-3)
    assert torch.allclose(found @ found.T, torch.eye(3), atol=1e-5)


def test_directions_that_change_the_same_places_share_a_code() -> None:
    latents = latents_of(Ramp())
    maps = changed_places(latents, torch.eye(5)[[0, 1, 2]], Execution())
    assert maps.shape == (3, 256)
    assert maps[1].reshape(16, 16)[5:10].min() > 0 == maps[1].reshape(16, 16)[:5].max()
    twice = torch.cat([maps, 4 * maps[:1]])
    assert share_codes(twice, 0.9) == ((0, 3), (1,), (2,))
    assert share_codes(twice, 1.0) == ((0,), (1,), (2,), (3,))
    assert share_codes(torch.ones(4, 5) + torch.eye(4, 5), 1e-9) == ((0,), (1,), (2,), (3,))  # none alike
    assert len(share_codes(maps[:1].repeat(4, 1), 0.9)) == 2


def test_a_reader_learns_coordinates(unlabelled: Path) -> None:
    with RunFolder(unlabelled, Execution()) as run:
        latents = Latents(run.renderer, run.space("w"), *chart_and_x(run), "fp32")
        bank = reading_bank(latents)
        settings = ReaderSettings("x", ((0, 2), (1,)), 0, 60, 32, 3e-3)
        reader = ReaderTraining(settings, latents, bank, bank.x @ torch.eye(6, 3))
        errors = [step.losses["unexplained"] for step in reader]
    assert np.mean(errors[-5:]) < 0.7 * np.mean(errors[:3])
    assert reader.encoder(torch.zeros(2, 3, 16, 16)).shape == (2, 2)


def test_contrast_by_hand() -> None:
    apart, same = torch.eye(2).repeat_interleave(2, 0), torch.tensor([0, 0, 1, 1])
    same = same[:, None] == same
    loss = contrast.contrast_loss(apart, same, "bce", 1.0)
    assert loss.item() == pytest.approx(np.log1p(np.exp(-5)), rel=1e-4)  # cosines 1 and 0, the middle between them
    alike = contrast.contrast_loss(torch.ones(4, 1), same, "bce", 0.95)
    assert alike.item() == pytest.approx(np.log(2), rel=1e-4)  # all the same, and flipped
    assert contrast.contrast_loss(apart[[0, 2, 1, 3]], same, "bce", 1.0) > loss
    right, wrong = (contrast.contrast_loss(rows, same, "nce", 1.0) for rows in (apart, apart[[0, 2, 1, 3]]))
    assert right < 0.01 < wrong


def test_hard_negatives_are_flipped() -> None:
    """Without flipping, alike variations of two directions are pushed apart; with it, together."""
    same, alike = torch.eye(2, dtype=torch.bool), torch.tensor([[1.0, 0.05], [1.0, 0.0]])
    slopes = []
    for flip in (1.0, 0.95):
        variations = torch.nn.functional.normalize(alike, dim=1).requires_grad_()
        negatives = torch.cat([variations, variations])  # positives too, so that both terms are there
        contrast.contrast_loss(negatives, same.repeat(2, 2), "bce", flip).backward()
        slopes.append(float(variations.grad[1] @ torch.tensor([0.0, 1.0])))
    assert slopes[0] > 0 > slopes[1]  # of the step away from the other one


def test_entropy_needs_its_temperature() -> None:
    one, even = torch.eye(4)[:1], torch.full((1, 4), 0.5)
    assert contrast.entropy_of(even, 0.1).item() == pytest.approx(np.log(4), abs=1e-5)
    assert contrast.entropy_of(one, 0.1) < 0.01 and contrast.entropy_of(one, 1.0) > 1.2


def test_a_step_is_a_standard_deviation_of_what_changes() -> None:
    """The code is linear in the bands: a shift of 1 changes each band by its own deviation, whatever its strength."""
    latents = latents_of(Ramp())
    latents = replace(latents, x=torch.nn.functional.normalize(latents.x - latents.x.mean(0), dim=0) * 200**0.5)

    class Bands(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.anchor = torch.nn.Parameter(torch.zeros(()), requires_grad=False)

        def forward(self, images: Tensor) -> Tensor:
            return images[:, 0, [2, 7, 12], 0]

    effects = measure_effects(latents, torch.eye(5)[[1, 0, 2, 3]], Bands(), None, Execution())
    assert effects.dominant[:3].tolist() == [1, 0, 2]
    assert torch.allclose(effects.scale[:3], torch.ones(3), atol=0.15)
    assert effects.scale[3] == 2 and effects.change[3] < 1e-3 < effects.change[2]  # one that does nothing


def test_affinity_finds_the_direction_of_a_label() -> None:
    latents = drawn(4000, 6)
    affinity = label_affinity(latents, directions(), logits_of(latents), LAYOUT)
    assert affinity.shape == (5, 7)
    assert affinity[0, 1] > 0.95 and affinity[0, 0] < -0.95 and 0.4 < affinity[1, 1] < 0.8


# The command


def test_directions_are_found_and_the_generator_stays(found: Path, unlabelled: Path) -> None:
    with artifacts.open(found / "directions.h5", "directions") as artifact:
        rows = artifact["directions"]
        assert np.allclose(rows @ rows.T, np.eye(4), atol=1e-5)
        assert (np.diff(artifact["change"]) <= 0).all() and "affinity" not in artifact
        assert {"candidates/directions", "basis/rows"} <= set(artifact.names)
        assert artifact.attrs["basis"] == "styles"
        encoder, steps = read_encoder(artifact), read_directions(artifact).steps
    assert encoder(torch.zeros(2, 3, 16, 16)).shape == (2, 4) and steps.shape[0] == 4
    assert len(list((found / "directions").glob("direction_*.png"))) == 4
    assert (found / "directions" / "sheet.png").exists()
    with RunFolder(found, Execution()) as run:
        assert run.generator.fingerprint == run.samples.spec.generator["fingerprint"]
    done("verify", "--run", found)


def test_a_stopped_discovery_resumes_to_the_same_bytes(
    found: Path, unlabelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, config = copy_of(unlabelled, tmp_path), unlabelled.parent / "small.yaml"
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 1)
    step = contrast.ContrastTraining.take_step

    def failing(self: contrast.ContrastTraining) -> dict[str, float]:
        if self.step == 4:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(contrast.ContrastTraining, "take_step", failing)
    assert gmmedit("discover", "--run", run, "--config", config, "--quiet").exit_code != 0
    assert not (run / "directions.h5").exists() and (run / "directions" / "contrast.checkpoint").exists()
    monkeypatch.setattr(contrast.ContrastTraining, "take_step", step)
    done("discover", "--run", run, "--config", config, "--quiet")
    assert (run / "directions.h5").read_bytes() == (found / "directions.h5").read_bytes()


def test_a_stopped_reader_resumes_to_the_same_bytes(
    unlabelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--config", unlabelled.parent / "small.yaml", "--method", "varimax", "--quiet")
    whole, run = shutil.copytree(unlabelled, tmp_path / "whole"), copy_of(unlabelled, tmp_path)
    done("discover", "--run", whole, *words)
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 1)
    step = ReaderTraining.take_step

    def failing(self: ReaderTraining) -> dict[str, float]:
        if self.step == 4:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(ReaderTraining, "take_step", failing)
    assert gmmedit("discover", "--run", run, *words).exit_code != 0
    monkeypatch.setattr(ReaderTraining, "take_step", step)
    done("discover", "--run", run, *words)
    assert (run / "directions.h5").read_bytes() == (whole / "directions.h5").read_bytes()
    with artifacts.open(run / "directions.h5") as artifact:
        assert read_encoder(artifact)(torch.zeros(2, 3, 16, 16)).shape[1] <= 4
        assert not {"candidates/directions"} & set(artifact.names)


def test_a_contrast_may_be_followed_by_a_regression(found: Path, unlabelled: Path, tmp_path: Path) -> None:
    (tmp_path / "read.yaml").write_text(SETTINGS.replace("k: 4", "k: 4, encoder: regression"))
    run = copy_of(unlabelled, tmp_path)
    done("discover", "--run", run, "--config", tmp_path / "read.yaml", "--quiet")
    with artifacts.open(run / "directions.h5") as artifact, artifacts.open(found / "directions.h5") as contrast:
        same = np.abs(artifact["directions"] @ contrast["directions"].T)
        assert np.allclose(np.sort(same, 1)[:, -1], 1, atol=1e-4)


def test_images_that_a_stopped_run_lacks_are_made(found: Path, unlabelled: Path, tmp_path: Path) -> None:
    run, images = copy_of(found, tmp_path), [f"direction_{number:02d}.png" for number in range(4)]
    for name in ("direction_01.png", "sheet.png"):
        (run / "directions" / name).unlink()
    done("discover", "--run", run, "--config", unlabelled.parent / "small.yaml", "--quiet")
    for name in (*images, "sheet.png"):
        assert (run / "directions" / name).read_bytes() == (found / "directions" / name).read_bytes()
    assert (run / "directions.h5").read_bytes() == (found / "directions.h5").read_bytes()


@pytest.mark.parametrize("method", ["components", "varimax", "sefa", "pca", "random", "shift"])
def test_every_method_finds_orthonormal_directions(method: str, unlabelled: Path, tmp_path: Path) -> None:
    run = copy_of(unlabelled, tmp_path)
    done("discover", "--run", run, "--config", unlabelled.parent / "small.yaml", "--method", method, "--steps", 2)
    with artifacts.open(run / "directions.h5", "directions") as artifact:
        rows = artifact["directions"]
        assert np.allclose(rows @ rows.T, np.eye(4), atol=1e-5)
        if method == "sefa":
            assert np.allclose(np.sort((rows @ artifact["basis/rows"][:4].T) ** 2, 1)[:, -1], 1, atol=1e-4)


def test_other_settings_need_force_and_the_same_need_no_work(found: Path, unlabelled: Path, tmp_path: Path) -> None:
    run, config = copy_of(found, tmp_path), unlabelled.parent / "small.yaml"
    assert "up to date" in done("discover", "--run", run, "--config", config).stdout
    refuse(run, "discover", "--config", config, "--steps", 3, says=("steps is 6 there and 3 now",))
    done("discover", "--run", run, "--config", config, "--steps", 3, "--force", "--quiet")


@pytest.mark.parametrize("method", ["contrastive", "shift"])
def test_a_generator_without_gradients_is_told_what_remains(
    method: str, unlabelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Generator, "differentiable", False)
    run = copy_of(unlabelled, tmp_path)
    refuse(
        run,
        "discover",
        "-k",
        4,
        "--method",
        method,
        says=("no gradients", "--method components, varimax, sefa, pca or random"),
    )
    if method == "shift":
        done("discover", "--run", run, "-k", 4, "--method", "random", "--steps", 1, "--quiet")


def test_more_directions_than_dimensions_are_refused(unlabelled: Path, tmp_path: Path) -> None:
    run = copy_of(unlabelled, tmp_path)
    refuse(run, "discover", "-k", 60, says=("60 directions are more than the 6 dimensions of W", "-k 6"))


def test_a_single_dimension_is_refused(generator: Path, tmp_path: Path) -> None:
    """Of two samples in W, whatever -k is; the hint works."""
    words = ("--gan", generator, "--run", tmp_path, "--quiet")
    done("sample", *words, "-n", 2)
    for k in ("auto", 2):
        says = ("2 samples span one dimension of W", f"gmmedit sample --gan {generator} -n 1000 --force --run")
        refuse(tmp_path, "discover", "-k", k, "--space", "w", says=says)


@pytest.mark.parametrize(("spaces", "hint"), [("zw", "--space w"), ("z", "--gan of gmmedit sample")])
def test_a_single_dimension_of_many_samples_is_refused(spaces: str, hint: str, tmp_path: Path) -> None:
    latents = latents_of(Ramp())
    generator = SimpleNamespace(spaces={name: Space(name, 5, normal=False) for name in spaces})
    single = replace(latents, renderer=SimpleNamespace(generator=generator), x=latents.x[:, :1])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="200 samples span one dimension of Z of ramp") as told:
        discover.check_dimensions(single, "ramp", tmp_path)
    assert told.value.hint.startswith(hint)


def test_images_that_do_not_vary_are_refused(generator: Path, tmp_path: Path) -> None:
    done("sample", "--gan", generator, "--run", tmp_path, "-n", 20, "--psi", 0, "--quiet")
    for k in ("auto", 2):
        says = ("the images of 20 samples are all the same", "--psi above 0")
        refuse(tmp_path, "discover", "--space", "z", "-k", k, "--method", "random", says=says)


def test_a_damaged_chart_or_encoder_is_refused(found: Path, tmp_path: Path) -> None:
    with artifacts.open(found / "directions.h5") as old:
        spec, attrs, arrays = old.spec, old.attrs, {name: old[name] for name in old.names}
    for change, reader in (
        ({"chart/scale": arrays["chart/scale"][:3]}, read_directions),
        ({"encoder/code.bias": np.zeros(9, np.float32)}, read_encoder),
    ):
        artifacts.write_whole(tmp_path / "directions.h5", spec, arrays | change, attrs)
        with artifacts.open(tmp_path / "directions.h5") as damaged, pytest.raises(InputError, match=r"do(es)? not"):
            reader(damaged)


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("change", {}), ("affinity", {}), ("history/told", {}), ("scale", {}), ("", {"encoder": "x"}),
        ("", {"encoder": None}), ("", {"encoder": {"image_shape": [3, 16, 16], "code": 10**9, "features": 128}}),
    ],
)  # fmt: skip
def test_what_no_discovery_writes_is_not_shown(
    found: Path, tmp_path: Path, name: str, facts: dict[str, object]
) -> None:
    with artifacts.open(found / "directions.h5") as old:
        spec, attrs, arrays = old.spec, old.attrs, {key: np.array(old[key]) for key in old.names}
    arrays |= {"affinity": np.zeros((len(arrays["scale"]), 2)), "history/unexplained": np.ones(1)}
    arrays |= {"history/told": np.ones(1)}
    spec = replace(spec, attributes=(("smile", ("no", "yes")),))
    for wrong in [np.nan, np.inf] if name else [0.0]:
        changed = {name: np.full_like(arrays[name], wrong)} if name else {}
        artifacts.write_whole(tmp_path / "directions.h5", spec, arrays | changed, attrs | facts)
        with pytest.raises(InputError, match=name or "the shape of its encoder") as told:
            direction_report(tmp_path / "directions.h5")
        assert "gmmedit discover --force" in told.value.hint


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("directions", np.nan), ("directions", np.inf), ("scale", 0), ("scale", -1), ("scale", np.nan),
        ("chart/slope", 0), ("chart/mean", np.nan), ("chart/axes", np.inf), ("chart/scale", 0),
    ],
)  # fmt: skip
def test_numbers_that_no_discovery_writes_are_refused(found: Path, tmp_path: Path, name: str, wrong: float) -> None:
    with artifacts.open(found / "directions.h5") as old:
        spec, attrs, arrays = old.spec, old.attrs, {key: np.array(old[key]) for key in old.names}
    arrays[name][(0,) * arrays[name].ndim] = wrong
    artifacts.write_whole(tmp_path / "directions.h5", spec, arrays, attrs)
    with (
        artifacts.open(tmp_path / "directions.h5") as damaged,
        pytest.raises(InputError, match="scale|slope|hold") as told,
    ):
        read_directions(damaged)
    assert "gmmedit discover --force" in told.value.hint


def test_a_report_tells_of_damaged_directions(found: Path, tmp_path: Path) -> None:
    run = copy_of(found, tmp_path)
    with h5py.File(run / "directions.h5", "r+") as file:
        file["change"][0] += 1
    assert "note: directions.h5 is damaged: the checksum of /change" in done("report", "--run", run).stdout
    assert "the checksum of /change" in (run / "report.html").read_text()


def test_the_reason_of_an_unsuitable_encoder_is_told(found: Path, tmp_path: Path) -> None:
    with artifacts.open(found / "directions.h5") as old:
        spec, attrs, arrays = old.spec, old.attrs, {name: old[name] for name in old.names}
    wrong = {"encoder/code.bias": np.zeros(9, np.float32)}
    artifacts.write_whole(tmp_path / "directions.h5", spec, arrays | wrong, attrs)
    with artifacts.open(tmp_path / "directions.h5") as damaged, pytest.raises(InputError, match=r"code\.bias"):
        read_encoder(damaged)


# Edits


def test_options_are_parsed() -> None:
    assert parse_directions(["3", "0:-1.5"]) == ((3, 1.0), (0, -1.5))
    assert describe_directions(((3, 1.0), (0, -1.5))) == "direction 3, direction 0:-1.5"
    for wrong in ("x", "3:", "-1", "3:nan", "3=2"):
        with pytest.raises(InputError):
            parse_directions([wrong])
    with pytest.raises(InputError, match="twice"):
        parse_directions(["3", "3:2"])


def test_edits_without_labels(found: Path, tmp_path: Path) -> None:
    run = copy_of(found, tmp_path)
    words = ("--direction", "1:2", "--direction", "0:-1", "--alphas", "0,0.5,1", "--index", "0-2")
    done("edit", "--run", run, *words)
    with artifacts.open(run / "edits.h5", "edits") as edits, artifacts.open(run / "directions.h5") as artifact:
        before, after = torch.from_numpy(edits["latent"]), torch.from_numpy(edits["latents"])
        assert torch.equal(after[0], before) and not torch.equal(after[2], before)
        assert torch.allclose(after[2], read_directions(artifact).move(before, {1: 2.0, 0: -1.0}), atol=1e-5)
        assert "labels_after" not in edits
    assert (run / "edits" / "sheet.png").exists()
    done("verify", "--run", run)
    first = (run / "edits.h5").read_bytes()
    done("edit", "--run", run, *words, "--restart", "--quiet")
    assert (run / "edits.h5").read_bytes() == first


def test_edits_without_labels_refuse_what_needs_them(found: Path, tmp_path: Path) -> None:
    run = copy_of(found, tmp_path)
    refuse(run, "edit", "--direction", "9", says=("no direction 9", "--direction 0 to 3"))
    refuse(run, "edit", "--direction", "1", "--inverted", says=("no mixture.h5",))
    refuse(run, "edit", "--direction", "1", "--target", "0.9", says=("--direction cannot be combined",))
    refuse(run, "edit", "--direction", "1", "--index", "999", says=("row 999 is not in",))


def test_a_generator_without_a_name_is_told_by_its_fingerprint(found: Path, tmp_path: Path) -> None:
    with artifacts.open(found / "directions.h5") as old:
        spec, attrs, arrays = old.spec, old.attrs, {name: old[name] for name in old.names}
    spec = replace(spec, generator={"fingerprint": "0" * 64})
    artifacts.write_whole(tmp_path / "directions.h5", spec, arrays, attrs)
    with artifacts.open(found / "samples.h5") as samples, artifacts.open(tmp_path / "directions.h5") as directions:
        with pytest.raises(InputError, match="another generator than .*unnamed 0000"):
            artifacts.check_parents(directions, samples=samples)


def test_hints_act_on_the_run_that_they_are_about(found: Path, tmp_path: Path) -> None:
    with RunFolder(found, Execution()) as run, pytest.raises(InputError, match="directions of W") as told:
        open_mover(run, ((0, 1.0),), "z")
    assert told.value.hint == f"run: gmmedit discover --space z --force --run {found}"
    words = ("sample", "--gan", "avatars", "-n", 2, "--run", tmp_path / "new")
    check(gmmedit(*words, "--prior", "nosuch.h5"), "--prior nosuch.h5 does not exist", "give a mixture.h5")


def test_directions_of_another_generator_are_refused(found: Path, own_run: Path) -> None:
    shutil.copy(found / "directions.h5", own_run)
    check(gmmedit("edit", "--run", own_run, "--direction", 1, "--polish", 0), "was made from another")


def test_directions_of_a_labelled_run(own_run: Path) -> None:
    """Named by its labels; moved together with an attribute; compared with the mixture's subspaces."""
    done("discover", "--run", own_run, "-k", 3, "--method", "pca", "--steps", 1, "--quiet")
    shown = done("discover", "--run", own_run, "-k", 3, "--method", "pca", "--steps", 1).stdout
    assert "goes with label" in shown and "up to date" in shown
    words = ("--run", own_run, "--polish", 0, "--index", "0-1", "--quiet")
    done("edit", *words, "--attr", "smile")
    with artifacts.open(own_run / "edits.h5") as edits:
        alone = torch.from_numpy(edits["latents"][0])
    done("edit", *words, "--attr", "smile", "--direction", "2:0.5")
    with artifacts.open(own_run / "edits.h5") as edits, artifacts.open(own_run / "directions.h5") as artifact:
        moved, found = torch.from_numpy(edits["latents"][0]), read_directions(artifact)
        assert torch.allclose(moved, found.move(alone, {2: 0.5}), atol=1e-4)
        assert edits.spec.parents.keys() == {"mixture", "directions"} and "labels_after" in edits
        assert artifact["affinity"].shape[0] == 3
    done("edit", *words, "--direction", "2:0.5")
    with RunFolder(own_run, Execution()) as run:
        run.find_all()
        cosines = measure_cosines(run, run.artifact("directions"))
        (section,) = directions_section(run)
    assert cosines.min() >= 0 and cosines.max() <= 1.0001 and "cosine" in str(section.contents).lower()


def test_other_labels_keep_what_was_trained(
    found: Path, unlabelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a finished file with --force, of a stopped one without: only the names of directions are new."""
    run, words = copy_of(found, tmp_path), ("--config", unlabelled.parent / "small.yaml")
    for stage in (candidates.CandidateTraining, contrast.ContrastTraining):
        monkeypatch.setattr(stage, "take_step", None)
    label_every(run, 2)
    refuse(run, "discover", *words, says=("parents.labels is", "--force overwrites it"))
    done("discover", "--run", run, *words, "--force", "--quiet")
    with artifacts.open(run / "directions.h5") as artifact:
        spec, affinity = artifact.spec, artifact["affinity"]
    (run / "directions.h5").unlink()
    artifacts.save_checkpoint(run / "directions.h5", spec, {"begun": np.ones(1)})
    label_every(run, 3)
    done("discover", "--run", run, *words, "--quiet")
    with artifacts.open(run / "directions.h5") as artifact:
        assert np.abs(artifact["affinity"] - affinity).max() > 0.01


def label_every(run: Path, period: int) -> None:
    """Label a run of 120 samples by a table."""
    rows = "".join(f"{row},{'red' if row % period else 'blue'}\n" for row in range(120))
    (run / "labels.csv").write_text(f"row,hair\n{rows}")
    done("label", "--run", run, "--classifier", run / "labels.csv", "--force", "--quiet")


def test_labels_are_checked_before_a_training(own_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels of photographs that are not there any more."""
    monkeypatch.setattr(discover, "find_directions", None)
    rewrite(own_run / "labels.h5", parents={"inversions": "0" * 64})
    refuse(own_run, "discover", "-k", 3, says=("inversions.h5 does not exist",))


def test_away_from_one_of_two_values_is_towards_the_other() -> None:
    names = ("smile=no", "smile=yes", "hair=red", "hair=black", "hair=grey")
    assert nearest_label(names, np.array([-0.6, 0.6, 0.1, 0.2, 0.3])) == ("smile=yes", 0.6)
    assert nearest_label(names, np.array([0.6, -0.6, 0.1, 0.2, 0.3])) == ("smile=no", 0.6)
    assert nearest_label(names, np.array([0.1, -0.1, 0.1, -0.2, 0.1])) == ("hair=black", -0.2)


def test_the_editor_takes_the_direction_of_a_label() -> None:
    latents = drawn(3000, 6)
    plain = material(latents, logits_of(latents))
    own = replace(plain, discovered=Discovered(plain.chart, directions()))
    editor, start = fit_direction(own), drawn(5, 6, seed=1)
    for category, direction, sign in ((1, 0, 1), (0, 0, -1), (3, 1, 1)):
        change = edited(editor, start, category, 0.5) - start
        assert torch.allclose(change, sign * 3 * directions()[direction].expand(5, -1), atol=1e-5)
    with pytest.raises(Unsuitable, match=r"directions\.h5"):
        fit_direction(replace(own, discovered=None))
