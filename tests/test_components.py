"""The default discovery: components of images, how many directions by rule, what they share; images of another kind."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import done, refuse

from gmmedit import artifacts
from gmmedit.discovery import components
from gmmedit.discovery.components import count_directions, find_components, principal_axes
from gmmedit.discovery.kind import describe_kind, read_kind
from gmmedit.discovery.latents import Bank
from gmmedit.discovery.reading import read_encoder
from gmmedit.errors import InputError
from gmmedit.generators.stylegan2 import StyleGAN2, StyleGAN2Config, save_generator
from gmmedit.stages.discover import order_of
from gmmedit.stages.disentanglement import Opened, describe_unlike


def bands(strengths: tuple[float, ...] = (0.2, 0.2, 0.2, 0.0), n: int = 500) -> Bank:
    """Images of a band for each coordinate, as bright as the coordinate times its strength, and a fifth for none."""
    x = torch.randn(n, len(strengths), generator=torch.Generator().manual_seed(0))
    painted = (x * torch.tensor(strengths)).repeat_interleave(4, 1)[:, None, :, None]
    return Bank(x, painted.expand(-1, 1, -1, 16).contiguous())


def test_turned_components_are_the_places_that_change() -> None:
    """Three bands of one strength: their principal components are any mixture, which varimax turns apart."""
    found, mixed = find_components(bands(), 3), find_components(bands(), 3, turn=False)
    assert torch.allclose(found.directions @ found.directions.T, torch.eye(3), atol=1e-5)
    assert (found.directions.abs().max(1).values > 0.98).all()
    assert mixed.directions.abs().max(1).values.min() < 0.9
    assert torch.allclose(found.scores.var(0), torch.ones(3).double(), atol=1e-2)
    share = found.places / found.places.sum(1, keepdim=True)
    assert torch.allclose(share.max(1).values, torch.tensor(1 / 64).double(), atol=2e-3)  # the pixels of one band
    together = torch.corrcoef(torch.cat([found.scores.float().T, bands().x.T]))
    assert together[:3, 3:6].abs().max(1).values.min() > 0.97


def test_directions_are_counted_by_what_images_vary_by() -> None:
    assert count_directions(bands()) == 3
    assert count_directions(bands((1.0, 0.2, 0.05, 0.05))) == 2  # 0.2 % of the variance each
    assert count_directions(bands((1.0, 0.0, 0.0, 0.0))) == 2  # at least
    assert count_directions(bands((0.1,) * 3, n=2)) == 2


def test_principal_axes_are_those_of_an_eigendecomposition() -> None:
    rows = torch.randn(60, 20, generator=torch.Generator().manual_seed(1)).double() * torch.linspace(3, 0.1, 20)
    values, axes = principal_axes(rows, 4)
    wanted, vectors = torch.linalg.eigh(rows.T @ rows)
    assert torch.allclose(values, wanted.flip(0)[:4])
    assert torch.allclose((axes @ vectors.flip(1)[:, :4]).abs(), torch.eye(4).double(), atol=1e-4)


def test_more_directions_than_components_are_refused() -> None:
    with pytest.raises(InputError, match="6 directions are more than 5 images") as told:
        find_components(bands((0.1,) * 8, n=5), 6)
    assert "-k 5" in told.value.hint


def test_images_of_another_kind_are_told() -> None:
    images = bands().images
    kind = describe_kind(images)
    assert kind.distance(images[:200]) < 0.2 < 1 < kind.distance(images + 0.5)
    assert kind.distance(images.expand(-1, 3, -1, -1)) == float("inf")
    assert read_kind({}) is None
    saved = read_kind({"mean": kind.mean, "deviation": torch.tensor(kind.deviation)})
    encode = SimpleNamespace()

    def notes(kind: object, shift: float) -> list[str]:
        pool = SimpleNamespace(
            factors=SimpleNamespace(rows=np.arange(500)), data=SimpleNamespace(name="cars"),
            images=lambda places: images[places] + shift,
        )  # fmt: skip
        return describe_unlike(Opened(encode, kind), pool, Path("a.h5"))  # type: ignore[arg-type]

    assert notes(saved, 0.0) == notes(None, 0.5) == []
    (note,) = notes(saved, 0.5)
    assert note.startswith("warning: a.h5 was trained on images of another kind than those of cars")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a StyleGAN2 of 16 pixels that has learned nothing, with the directions that are found by default."""
    folder = tmp_path_factory.mktemp("components")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = StyleGAN2(StyleGAN2Config(resolution=16, channels=(8, 8, 8), z_dim=6, w_dim=6))
    save_generator(network.requires_grad_(False), folder / "generator.safetensors", {})
    done("sample", "--gan", folder / "generator.safetensors", "-n", 150, "--run", folder / "run", "--quiet")
    done("discover", "--run", folder / "run", "--steps", 3, "--quiet")
    return folder / "run"


def test_the_default_discovers_components(run: Path) -> None:
    with artifacts.open(run / "directions.h5", "directions") as artifact:
        rows, config = artifact["directions"], artifact.spec.config
        assert (config["method"], config["k"]) == ("components", "auto") and 2 <= len(rows) <= 6
        assert np.allclose(rows @ rows.T, np.eye(len(rows)), atol=1e-5)
        assert artifact["kind/mean"].shape == (3, 16, 16) and artifact["kind/deviation"] > 0
        assert 2 <= read_encoder(artifact)(torch.zeros(1, 3, 16, 16)).shape[1] <= 6
        assert "basis/rows" not in artifact and len(artifact["history/step"]) == 0
    told = done("discover", "--run", run, "--steps", 3, "-k", "auto").stdout
    assert "up to date" in told and f"method components, {len(rows)} directions in W" in told
    done("verify", "--run", run)


def test_settings_that_make_no_sense_are_refused(run: Path, tmp_path: Path) -> None:
    refuse(run, "discover", "-k", "many", says=("'many' is neither auto nor a whole number from 2 to 4096",))
    refuse(run, "discover", "-k", 1, "--force", says=("'1' is neither auto",))
    (tmp_path / "a.yaml").write_text("discover: {method: sefa, encoder: components}")
    words = ("discover", "--config", tmp_path / "a.yaml", "--force")
    refuse(run, *words, says=("encoder: components is for --method components, not sefa",))


def test_the_rule_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "MOST", 2)
    assert count_directions(bands()) == 2


def test_directions_that_do_nothing_are_left_out() -> None:
    change = torch.tensor([0.06, 0.2, 0.04, 0.05])
    assert order_of(change, by_rule=True).tolist() == [1, 0, 3]
    assert order_of(change, by_rule=False).tolist() == [1, 0, 3, 2]
    assert order_of(torch.tensor([0.0, 1.0, 0.1]), by_rule=True).tolist() == [1, 2]
