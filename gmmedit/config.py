"""Settings of the stages: built-in defaults < YAML file < flags, validated.

Only what a result depends on stands here; how it is computed (device, batch) does not, and is never stored.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gmmedit.errors import InputError, nearest
from gmmedit.runtime import yaml_files
from gmmedit.runtime.regular_files import expand_path

Positive = Annotated[int, Field(ge=1, lt=2**31)]
Several = Annotated[int, Field(ge=2, lt=2**31)]  # one would have no spread
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]  # float32 has no room for more
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Precision = Literal["fp32", "bf16"]  # in which generator and classifier compute
AutoPrecision = Literal["auto", "fp32", "bf16"]  # auto: bf16 where the hardware multiplies it


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SampleSettings(Section):
    """Step 1: which latents are drawn from which generator."""

    gan: str = "avatars"
    n: Positive = 20_000
    seed: Seed = 0
    psi: Annotated[float, Field(ge=-2, le=2)] = 1.0
    cutoff: Annotated[int, Field(ge=0, lt=2**31)] | None = None  # layers that psi truncates; None: all
    class_index: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    noise: Literal["const", "none", "random"] = "const"
    images: bool = False


class LabelSettings(Section):
    """Step 2: who labels. `auto` is the classifier that the catalogue pairs with the generator."""

    classifier: str = "auto"
    precision: Precision = "fp32"


class FitSingleSettings(Section):
    """Step 3: subspaces and one Gaussian per category."""

    space: Literal["auto", "z", "w"] = "auto"  # auto: w where the generator has a mapping
    scope: Literal["subspace", "full"] = "subspace"  # full: the Gaussians fill the whole latent space
    read: Literal["auto", "linear", "network"] = "auto"
    likelihood: Literal["group", "peak"] = "group"
    covariance: Literal["tied", "free"] = "tied"
    seed: Seed = 0
    steps: Positive = 2_500
    batch: Several = 512
    lr: Rate = 2e-3
    held_out: Annotated[float, Field(gt=0, lt=0.9)] = 0.1


class FitMixtureSettings(Section):
    """Step 4: the mixture, its write, and the terms that run through generator and classifier."""

    consistency: Literal["exact", "surrogate", "off"] = "exact"
    precision: AutoPrecision = "auto"  # of generator and classifier inside the fit
    seed: Seed = 0
    steps: Positive = 2_000
    batch: Several = 32  # edits a step: half coupled draws, half samples
    lr: Rate = 1e-3
    sampling: Weight = 1.0
    decoupling: Weight = 1.0
    least_change: Weight = 1e-2
    picture: Weight = 10.0  # of the mean absolute change of the pixels


class EditSettings(Section):
    """Step 5: how a control vector is drawn and how far to go."""

    draw: Literal["coupled", "sample", "mean"] = "coupled"
    polish: Annotated[int, Field(ge=0, le=1000)] = 32  # steps on each image's zs, through G and f
    precision: Precision = "fp32"  # of generator and classifier in those steps; pictures are painted in full
    gan: str | None = None  # another generator of the same latent space; None: the run's
    seed: Seed = 0


class EvaluateSettings(Section):
    """Who is judged, by whom, and on how many samples that no fit has seen."""

    n: Several = 1_000
    starts: Positive = 100  # of them, for each category: the most that are edited towards it
    first_seed: Seed = 5_000_000  # of the samples; where samples.h5 has one of them, they begin beyond its last
    editors: Annotated[list[str], Field(min_length=1)] | None = None  # None: ours (evaluate), all that suit (compare)
    classifier: str = "auto"  # auto: the one trained to judge the labelling one; else the labelling one, with a note
    features: str = "auto"  # network whose features tell identities apart; auto: the evaluation classifier's own
    precision: AutoPrecision = "auto"
    polish: Annotated[int, Field(ge=0, le=1000)] = 32  # of mixture-polished
    seed: Seed = 0


class Config(Section):
    """One YAML file serves all stages, a section each."""

    sample: SampleSettings = SampleSettings()
    label: LabelSettings = LabelSettings()
    fit_single: FitSingleSettings = FitSingleSettings()
    fit_mixture: FitMixtureSettings = FitMixtureSettings()
    edit: EditSettings = EditSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    compare: EvaluateSettings = EvaluateSettings()


FILES = (("sample", "gan"), ("label", "classifier"), ("edit", "gan"), ("evaluate", "classifier"),
         ("evaluate", "features"), ("compare", "classifier"), ("compare", "features"))  # fmt: skip  # may name files
SECTIONS = f"a YAML file with the sections {', '.join(Config.model_fields)}"


def load(path: Path | None = None, **flags: dict[str, Any]) -> Config:
    """Defaults, overlaid by the YAML file, overlaid by the flags that are not None (section -> key -> value).

    InputError: no such file, not YAML, an unknown key (with the nearest name), or a wrong type or range.
    """
    data = beside(path, read_yaml(path)) if path else {}
    validated(data, f"{path}: ")
    for section, values in flags.items():
        given = {
            key: expand_path(value) if (section, key) in FILES else value
            for key, value in values.items()
            if value is not None
        }
        if given:
            data[section] = {**(data.get(section) or {}), **given}
    return validated(data)


def beside(path: Path, data: dict[str, Any]) -> dict[str, Any]:
    """The settings with the files that they name found relative to the YAML file, where there are such files.

    ~ and $VARIABLES are replaced. InputError: a variable is not set.
    """
    for section, key in FILES:
        values = data.get(section) or {}
        name = values.get(key)
        if isinstance(name, str) and ("/" in name or "." in name):
            name = expand_path(name, path.parent)
            there = path.parent / name
            found = there.with_name(there.name.partition(":")[0]).exists()  # module.py:factory
            data[section] = values | {key: str(there) if found else name}
    return data


def validated(data: dict[str, Any], where: str = "") -> Config:
    """InputError: a key or value that is no setting; `where` goes before the message."""
    try:
        return Config.model_validate({key: value or {} for key, value in data.items()})
    except ValidationError as error:
        message, hint = explain(error)
        raise InputError(where + message, hint=hint) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping of sections in a YAML file."""
    data = yaml_files.read_yaml(path, SECTIONS)
    if data is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(value, dict | None) for value in data.values()):
        raise InputError(f"{path} must hold sections with keys", hint=SECTIONS)
    return data


def explain(error: ValidationError) -> tuple[str, str]:
    """The first problem as `section.key: what is wrong`, and a hint."""
    problem = error.errors()[0]
    *sections, key = [str(part) for part in problem["loc"][:2]]
    where = ".".join(str(part) for part in problem["loc"])
    model: Any = Config.model_fields[sections[0]].annotation if sections else Config
    if key not in model.model_fields:
        return f"{where} is not a setting", nearest(key, model.model_fields)
    default = model.model_fields[key].default
    return f"{where}: {problem['msg']} (got {problem['input']!r})", f"the default is {default}"
