"""The networks that the claims compare: SAAEs of several schedules and critics, and an independent classifier."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from gmmedit import classifiers, datasets
from gmmedit.classifiers import Classifier
from gmmedit.datasets.glyphs import Glyphs
from gmmedit.networks.saae import SAAE, read_saae
from gmmedit.runtime.execution import Execution
from gmmedit.training.from_data import DataRequest, train_classifier
from gmmedit.training.saae_result import train_saae
from gmmedit.training.saae_settings import Phase, SAAESettings


@dataclass(frozen=True)
class Variant:
    """An SAAE: steps in all, which are shared among the settings' phases."""

    steps: int
    settings: SAAESettings


THREE, JOINT = SAAESettings(), SAAESettings(phases=(Phase("both", 1),))
MAIN, CONTROL = 2_400, 600  # steps
VARIANTS = {
    "main": Variant(MAIN, THREE),
    "three": Variant(CONTROL, THREE),
    "half": Variant(CONTROL // 2, THREE),
    "joint": Variant(CONTROL, JOINT),
    "binary": Variant(CONTROL, SAAESettings(critic="binary")),
    "no-critic": Variant(CONTROL, SAAESettings(judgement=0.0)),
    "adain": Variant(CONTROL, SAAESettings(decoder="adain")),
    "judged": Variant(CONTROL, SAAESettings(judgement=1.2)),
}


def open_fonts(folder: str) -> Glyphs:
    """The typefaces of a folder."""
    data = datasets.load(folder)
    assert isinstance(data, Glyphs)
    return data


def train_variant(out: Path, fonts: str, name: str, seed: int, execution: Execution) -> SAAE:
    """The networks of a variant, trained in OUT/NAME-SEED unless they are there."""
    variant, folder = VARIANTS[name], out / f"{name}-{seed}"
    path = folder / "saae.safetensors"
    if not path.exists():
        request = DataRequest(fonts, images=variant.steps * variant.settings.batch, seed=seed)
        train_saae(folder, request, replace(variant.settings, seed=seed), None, execution)
    return read_saae(path)


def train_evaluator(out: Path, fonts: str, images: int, execution: Execution) -> Classifier:
    """A classifier of letters, of another shape and seed than any critic, that sees so many training images."""
    path = out / "evaluator" / "evaluator.safetensors"
    if not path.exists():
        request = DataRequest(fonts, images=images, seed=7)
        train_classifier(path.parent, request, ["letter"], True, execution)
    torch.set_num_threads(1)
    return classifiers.load(str(path))
