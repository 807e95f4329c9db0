"""The settings that an artifact of a run records: a received file may hold values that no stage writes."""

from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from gmmedit.artifacts import Artifact
from gmmedit.config import (
    DiscoverSettings,
    EvaluateSettings,
    FitMixtureSettings,
    FitSingleSettings,
    GraphSettings,
    InvertSettings,
    LabelSettings,
    SampleSettings,
)
from gmmedit.errors import InputError
from gmmedit.mixture.objectives import BANDS
from gmmedit.runtime.validation import explain_error

LEAST_CONTRAST = 1e-3  # of images that are all alike
Difference = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]  # of pixels in [-1, 1]


class Robustness(BaseModel):
    """What `label` measured of classifier and images: see `gmmedit.run.robustness.measure_robustness`."""

    model_config = ConfigDict(frozen=True)

    shift: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    noise: Difference
    mirror: bool
    contrast: Difference
    bands: Annotated[list[Difference], Field(min_length=BANDS, max_length=BANDS)]

    @property
    def band_contrast(self) -> Tensor:
        """The change (BANDS,) between two samples, at least LEAST_CONTRAST."""
        return torch.tensor(self.bands).clamp_min(LEAST_CONTRAST)


def read_robustness(labels: Artifact) -> Robustness:
    """The record in labels.h5. InputError: there is none, as a table gave the labels, or not as `label` writes it."""
    found = labels.attrs.get("robustness")
    if found is None:
        message = f"{labels.path} has no robustness, as a table gave the labels"
        raise InputError(message, hint="--polish 0, or label with a network that classifies images")
    try:
        return Robustness.model_validate(found)
    except ValidationError as error:
        message, _ = explain_error(error, Robustness)
        raise InputError(f"{labels.path}: robustness: {message}", hint=labels.again) from None


MODELS: dict[str, tuple[type[BaseModel], ...]] = {  # by kind; the first that has a key says what it may be
    "samples": (SampleSettings,),
    "labels": (LabelSettings,),
    "single": (FitSingleSettings,),
    "mixture": (FitMixtureSettings, FitSingleSettings),  # with the space and the rows of fit-single
    "inversions": (InvertSettings,),
    "graph": (GraphSettings,),
    "directions": (DiscoverSettings,),
    "evaluation": (EvaluateSettings, FitSingleSettings),  # with the space of the mixture
    "do_evaluation": (EvaluateSettings, FitSingleSettings),
    "comparison": (EvaluateSettings, FitSingleSettings),
}


def check_config(artifact: Artifact) -> None:
    """InputError: a setting is of another type or range than its stage takes. Missing and unknown ones pass."""
    for model, values in split_config(artifact):
        try:
            model.model_validate(values, strict=True)
        except ValidationError as error:
            message, _ = explain_error(error, model)
            raise InputError(f"{artifact.path}: {message}", hint=artifact.again) from None


def split_config(artifact: Artifact) -> Iterator[tuple[type[BaseModel], dict[str, object]]]:
    """Each model of the kind, and the settings that are its."""
    left = dict(artifact.spec.config)
    for model in MODELS.get(artifact.kind.name, ()):
        yield model, {key: left.pop(key) for key in model.model_fields if key in left}
