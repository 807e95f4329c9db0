"""Settings of the stages, validated: built-in defaults, overridden by a YAML file, overridden by options.

They hold what a result depends on. How it is computed (device, batch) is in Execution and is not stored.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from gmmedit.errors import InputError
from gmmedit.runtime import yaml_files
from gmmedit.runtime.regular_files import expand_path
from gmmedit.runtime.validation import explain_error

Positive = Annotated[int, Field(ge=1, lt=2**31)]
Several = Annotated[int, Field(ge=2, lt=2**31)]  # the variance of one is undefined
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]  # float32 overflows beyond
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Name = Annotated[str, Field(min_length=1)]  # of a network, or its file
Precision = Literal["fp32", "bf16"]  # of generator and classifier
Auto = Literal["auto"]
AutoPrecision = Literal["auto", "fp32", "bf16"]  # auto: bf16 on hardware that supports it


MOST_DIRECTIONS = 4096


def count_or_auto(value: Any) -> int | Auto:
    """A number of directions, also as text, or "auto". ValueError: neither."""
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if number == "auto" or (type(number) is int and 2 <= number <= MOST_DIRECTIONS):
        return number
    raise ValueError(f"{value!r} is neither auto nor a whole number from 2 to {MOST_DIRECTIONS}")


class Section(BaseModel):
    """Settings of one stage: immutable, without unknown keys and without NaN or infinite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SampleSettings(Section):
    """Step 1: the generator, and the latents drawn from its prior."""

    gan: Name = "avatars"
    n: Positive = 20_000
    seed: Seed = 0
    psi: Annotated[float, Field(ge=-2, le=2)] = 1.0
    cutoff: Annotated[int, Field(ge=0, lt=2**31)] | None = None  # number of layers that psi truncates; None: all
    class_index: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    noise: Literal["const", "none", "random"] = "const"
    images: bool = False
    prior: str | None = None  # mixture.h5 or single.h5 that latents are drawn from; None: the generator's own prior
    prior_fingerprint: str | None = None  # of that file, found by the command
    do: list[str] = []  # NAME=VALUE that a generator with causes is made to have, with what follows

    def record(self) -> dict[str, Any]:
        """As an artifact records them: without what was not asked for and older files do not have."""
        left_out = set() if self.prior else {"prior", "prior_fingerprint"}
        return self.model_dump(exclude=left_out if self.do else left_out | {"do"})


class LabelSettings(Section):
    """Step 2: the labelling classifier. `auto`: the one that the catalogue pairs with the generator."""

    classifier: str = "auto"
    precision: Precision = "fp32"


class FitSingleSettings(Section):
    """Step 3: the subspace of each attribute and one Gaussian per category."""

    space: Literal["auto", "z", "w"] = "auto"  # auto: w if the generator has a mapping network
    block: str | None = None  # of the space, to fit in alone; None: all of it
    scope: Literal["subspace", "full"] = "subspace"  # full: Gaussians over the whole latent space
    read: Literal["auto", "linear", "network"] = "auto"
    likelihood: Literal["group", "peak"] = "group"
    covariance: Literal["tied", "free"] = "tied"
    seed: Seed = 0
    steps: Positive = 2_500
    batch: Several = 512
    lr: Rate = 2e-3
    held_out: Annotated[float, Field(gt=0, lt=0.9)] = 0.1

    def record(self) -> dict[str, Any]:
        """As an artifact records them: without a block that was not asked for, which older files do not have."""
        return self.model_dump(exclude={"block"} if self.block is None else None)


class FitMixtureSettings(Section):
    """Step 4: the mixture, the correction of its edits, and the losses that use generator and classifier."""

    consistency: Literal["exact", "surrogate", "off"] = "exact"
    precision: AutoPrecision = "auto"  # of generator and classifier inside the fit
    seed: Seed = 0
    steps: Positive = 2_000  # a bound with `exact`: the fit ends when its edits no longer improve
    batch: Several = 32  # edits per step: half coupled draws, half samples
    lr: Rate = 1e-3
    sampling: Weight = 1.0
    decoupling: Weight = 1.0
    least_change: Weight = 1e-2
    picture: Weight = 3.0  # weight of the change of the image, in units of the change between two samples


class EditSettings(Section):
    """Step 5: how control vectors are drawn, and how the latents of each image are optimised."""

    draw: Literal["coupled", "sample", "mean"] = "coupled"
    polish: Annotated[int, Field(ge=0, le=1000)] = 64  # optimisation steps per image, through generator and classifier
    picture: Weight = 12.0  # weight of the change of the image in them, in units of the change between two samples
    precision: Precision = "fp32"  # in those steps; images are generated in fp32
    gan: Name | None = None  # another generator of the same latent space; None: the run's
    paste: bool = True  # photographs keep their own pixels where an edit changes little
    features: Name | None = (
        None  # feature network for identity; None: an embedded evaluation classifier, if there is one
    )
    seed: Seed = 0


class InvertSettings(Section):
    """How photographs are cut, and how the latents that generate them are found."""

    space: Literal["auto", "z", "w", "w+"] = "auto"  # auto: that of mixture.h5 if there is one, W as w+
    encoder: Name = "auto"  # name or file; auto: the run's or the embedded one of this generator; none: the best sample
    features: Name = "auto"  # feature network; auto: that of the labelling classifier; none
    crop: Literal["center", "box", "none"] = "center"
    steps: Annotated[int, Field(ge=0, le=10_000)] = 100
    lr: Rate = 0.1  # in chart coordinates, in which samples have variance 1
    prior: Weight = 1e-2  # weight of the mean squared chart coordinate
    rest_prior: Weight = 0.03  # the same where the latents hold causes, which stay as the encoder reads them
    feature_weight: Weight = 1.0
    own: Annotated[int, Field(ge=0, le=1000)] = 16  # own samples that are inverted to compare errors with; 0: none


class TuneSettings(Section):
    """How a copy of the generator is tuned around inverted latents (Roich et al. 2021, "Pivotal tuning")."""

    steps: Annotated[int, Field(ge=1, le=100_000)] = 350
    lr: Rate = 2e-3  # rises and falls as that of the inversion
    locality: Weight = 0.1  # weight of the change of other latents' images, in units of the difference of two samples


class GraphSettings(Section):
    """Which attribute causes which: the method, what the user knows, and how the classifier's errors are known."""

    method: Literal["pc-stable", "pc", "ges", "gae", "dagma"] = "pc-stable"
    alpha: Annotated[float, Field(gt=0, lt=1)] = 1e-3  # level of the tests of independence
    least: Annotated[float, Field(ge=0, lt=1)] = 0.05  # weaker dependence counts as none; about a correlation
    halves: Annotated[int, Field(ge=0, le=10_000)] | None = None  # random halves for frequencies; None: by method
    orient: Literal["auto", "data", "user"] = "auto"  # auto: by data, but for labels of generated images
    errors: str = "auto"  # none, probabilities, or a data set with labels; auto: probabilities, for tables none
    require: list[str] = []
    forbid: list[str] = []
    tiers: str | None = None
    without: list[str] = []  # attributes to leave out
    seed: Seed = 0


class DiscoverSettings(Section):
    """How directions are found without labels, and how the encoder that reads them is trained."""

    k: Annotated[int | Auto, PlainValidator(count_or_auto)] = "auto"  # auto: as many as change images
    method: Literal["components", "contrastive", "varimax", "sefa", "pca", "shift", "random"] = "components"
    encoder: Literal["auto", "components", "regression", "contrast"] = "auto"  # what it reads; auto: by the method
    space: Literal["auto", "z", "w"] = "auto"  # auto: w if the generator has a mapping network
    seed: Seed = 0
    candidate_steps: Annotated[int, Field(ge=0, le=10**7)] = 500  # of the latent-shift reconstructor; 0: no candidates
    steps: Positive = 1_500  # of the encoder
    groups: Several = 8  # directions in a step
    repeats: Several = 4  # samples that each of them moves
    lr: Rate = 2e-3
    shift: Rate = 3.0  # largest shift, in standard deviations of the prior
    turn: bool = True  # components by varimax; False: principal components as they are
    decomposition: bool = True  # rotate the generator's own basis; False: all of the space
    loss: Literal["bce", "nce"] = "bce"
    flip: Annotated[float, Field(gt=0, le=1)] = 0.95  # similarity from which a negative counts as a positive; 1: none
    entropy: Weight = 0.2  # weight of the entropy of a variation over the code's dimensions
    temperature: Rate = 0.1  # of the softmax in it
    share: Annotated[float, Field(gt=0, le=1)] = 0.9  # likeness of the places that change, from which a code is shared
    precision: AutoPrecision = "auto"  # of generator and encoder while they are trained


class EvaluateSettings(Section):
    """The editors to evaluate, the evaluation networks, and the number of samples, which no fit has used."""

    n: Several = 1_000
    mode: Literal["isolated", "do"] = "isolated"  # do: what follows from an edit, by graph.h5, may change with it
    starts: Positive = 100  # most samples that are edited towards each category
    first_seed: Seed = 5_000_000  # moved beyond those of samples.h5 where they overlap
    editors: Annotated[list[str], Field(min_length=1)] | None = None  # None: ours (evaluate), all that apply (compare)
    classifier: str = "auto"  # auto: an independently trained one, else the labelling one with a note
    features: Name = "auto"  # feature network for identity and realism; auto: the evaluation classifier
    precision: AutoPrecision = "auto"
    polish: Annotated[int, Field(ge=0, le=1000)] = 64  # optimisation steps of mixture-polished
    picture: Weight = 12.0  # weight of the change of the image in them, in units of the change between two samples
    seed: Seed = 0


class Config(Section):
    """All settings: one section per stage, as in a YAML file."""

    sample: SampleSettings = SampleSettings()
    label: LabelSettings = LabelSettings()
    fit_single: FitSingleSettings = FitSingleSettings()
    fit_mixture: FitMixtureSettings = FitMixtureSettings()
    edit: EditSettings = EditSettings()
    invert: InvertSettings = InvertSettings()
    tune: TuneSettings = TuneSettings()
    graph: GraphSettings = GraphSettings()
    discover: DiscoverSettings = DiscoverSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    compare: EvaluateSettings = EvaluateSettings()


FILES = (  # settings that may name files
    ("sample", "gan"), ("sample", "prior"), ("label", "classifier"), ("edit", "gan"), ("edit", "features"),
    ("invert", "encoder"), ("invert", "features"), ("evaluate", "classifier"), ("evaluate", "features"),
    ("compare", "classifier"), ("compare", "features"),
)  # fmt: skip
SECTIONS = f"a YAML file with the sections {', '.join(Config.model_fields)}"


def load(path: Path | None = None, **flags: dict[str, Any]) -> Config:
    """Defaults, overridden by the YAML file, overridden by the flags that are not None (section -> key -> value).

    InputError: the file is missing or not YAML; a key is unknown (with the nearest name); a value has a wrong type or
    range.
    """
    data = resolve_paths(path, read_yaml(path)) if path else {}
    validate(data, f"{path}: ")
    for section, values in flags.items():
        given = {
            key: expand_path(value) if (section, key) in FILES else value
            for key, value in values.items()
            if value is not None
        }
        if given:
            data[section] = {**(data.get(section) or {}), **given}
    return validate(data)


def resolve_paths(path: Path, data: dict[str, Any]) -> dict[str, Any]:
    """Settings of a YAML file at `path`, with the files that they name made relative to its folder if they exist there.

    ~ and $VARIABLES are expanded. InputError: a variable is not set.
    """
    for section, key in FILES:
        values = data.get(section) or {}
        name = values.get(key)
        if isinstance(name, str) and ("/" in name or "." in name):
            name = expand_path(name, path.parent)
            local = path.parent / name
            exists = local.with_name(local.name.partition(":")[0]).exists()  # module.py:factory
            data[section] = values | {key: str(local) if exists else name}
    return data


def validate(data: dict[str, Any], prefix: str = "") -> Config:
    """The sections as a Config. InputError, its message after `prefix`: an unknown key or an invalid value."""
    try:
        return Config.model_validate({key: value or {} for key, value in data.items()})
    except ValidationError as error:
        message, hint = explain_error(error, Config)
        raise InputError(prefix + message, hint=hint) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """The sections of a YAML file as dictionaries. InputError: the file is unreadable, or not a mapping of mappings."""
    data = yaml_files.read_yaml(path, SECTIONS)
    if data is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(value, dict | None) for value in data.values()):
        raise InputError(f"{path} must hold sections with keys", hint=SECTIONS)
    return data
