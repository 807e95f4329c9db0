"""The settings of an SAAE training, read from YAML: its phases, its critic, the weights of its losses."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from gmmedit.config import Positive, Rate, Seed, Weight
from gmmedit.errors import InputError
from gmmedit.runtime import yaml_files
from gmmedit.runtime.validation import explain_error

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
EXAMPLE = "phases: [{train: critic, steps: 300}, {train: generator, steps: 1500}, {train: both, steps: 1500}]"


@dataclass(frozen=True, config=STRICT)
class Phase:
    """What is trained for so many steps; what is not keeps its weights."""

    train: Literal["critic", "generator", "both"]
    steps: Positive
    lr: Rate = 1.0  # factor of the settings' rate


THREE_STEPS = (Phase("critic", 250), Phase("generator", 1_500), Phase("both", 1_000, 0.5))


@dataclass(frozen=True, config=STRICT)
class SAAESettings:
    """The settings that determine the result. The order of the phases, the losses' weights, and all sizes are ours: the
    paper's text does not tell them."""

    phases: Annotated[tuple[Phase, ...], Field(min_length=1)] = THREE_STEPS
    critic: Literal["multi", "binary"] = "multi"  # k contents and generated; real or generated
    decoder: Literal["concatenated", "adain"] = "concatenated"  # the maps; or the code sets the channels' moments
    loss: Literal["sigmoid", "softmax"] = "sigmoid"  # of a multi-class critic's outputs; the paper has sigmoids
    reconstruction: Weight = 20.0  # weight of the mean absolute difference of pixels in [-1, 1]
    judgement: Weight = 0.4  # weight of the critic's term in the generator's loss
    letters: Annotated[int, Field(ge=1, le=16)] = 4  # most images of a style that a code is read from
    style: Annotated[int, Field(ge=1, le=1024)] = 64  # dims of the code
    width: Annotated[int, Field(ge=2, le=1024)] = 96
    fold: Literal[1, 2, 4, 8] = 4
    groups: Annotated[int, Field(ge=2, le=64)] = 8  # of styles, that the result's classifier tells apart
    batch: Annotated[int, Field(ge=2, le=4096)] = 64
    lr: Rate = 2e-3  # the highest; it falls along a cosine to a twentieth
    average_images: Positive = 5_000  # half-life of the moving average of the weights
    seed: Seed = 0
    data: str = ""  # fingerprint of the data set, and what of it is content

    @property
    def steps(self) -> int:
        """Steps of all phases."""
        return sum(phase.steps for phase in self.phases)

    def phase_at(self, step: int) -> Phase:
        """The phase of the step after `step` others."""
        for phase in self.phases:
            if step < phase.steps:
                return phase
            step -= phase.steps
        return self.phases[-1]

    def lasting(self, steps: int) -> "SAAESettings":
        """The same with so many steps in all, shared among the phases as before; each keeps one at least."""
        whole = self.steps
        return replace(
            self, phases=tuple(replace(p, steps=max(1, round(p.steps * steps / whole))) for p in self.phases)
        )


def read_settings(path: Path | None) -> SAAESettings:
    """The settings of a YAML file; None: the defaults. InputError: unreadable, an unknown key, or an invalid value."""
    given = yaml_files.read_yaml(path, EXAMPLE) if path else None
    if not isinstance(given, dict | None):
        raise InputError(f"{path} must hold keys and values", hint=EXAMPLE)
    if given and "data" in given:
        raise InputError(f"{path}: data: unknown key", hint="name the data set by --data")
    try:
        return TypeAdapter(SAAESettings).validate_python(given or {})
    except ValidationError as error:
        message, hint = explain_error(error, SAAESettings, EXAMPLE if "phases" in str(error) else "")
        raise InputError(f"{path}: {message}", hint=hint) from None
