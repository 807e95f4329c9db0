"""The YAML file that describes a network: its file, its input, and the meaning of a classifier's outputs.

docs/classifiers.md has an example for every kind of file, docs/evaluation.md for feature networks.
"""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from gmmedit.classifiers.attributes import Attribute
from gmmedit.classifiers.columns import Activation
from gmmedit.classifiers.preprocessing import LARGEST_EDGE, Colors, Interpolation, Preprocessing
from gmmedit.errors import InputError
from gmmedit.runtime import yaml_files
from gmmedit.runtime.regular_files import expand_path
from gmmedit.runtime.validation import explain_error

HINT = "docs/classifiers.md has an example of every kind"
BEST = 0.9  # default share of right labels of prompts

Pixels = Annotated[int, Field(ge=1, le=LARGEST_EDGE)]
Share = Annotated[float, Field(gt=0, lt=1)]
Texts = Annotated[list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]
Scale = Annotated[tuple[float, float], BeforeValidator(lambda value: value if isinstance(value, list) else (0, value))]


def as_square(size: Any) -> Any:
    """One number as (height, width)."""
    return (size, size) if isinstance(size, int) else size


class Part(BaseModel):
    """A part of a description: unknown keys are refused, numbers are accepted as text."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, coerce_numbers_to_str=True)
    added: ClassVar[tuple[str, ...]] = ()  # keys that older versions did not have

    @model_serializer(mode="wrap")
    def without_unset_additions(self, serialize: Any) -> dict[str, Any]:
        """A description that uses no added key keeps the fingerprint that an older version gave it."""
        return {key: value for key, value in serialize(self).items() if key not in self.added or value is not None}


class Input(Part):
    """The images that the network takes, see `Preprocessing`."""

    added: ClassVar[tuple[str, ...]] = ("layout",)

    # (height, width), or one number for both; None: from the file
    size: Annotated[tuple[Pixels, Pixels] | None, BeforeValidator(as_square)] = None
    resize: Pixels | None = None  # of the shorter edge, before the centre is cut out; None: straight to `size`
    interpolation: Interpolation = "bilinear"
    colors: Colors = "rgb"
    range: tuple[float, float] = (0.0, 1.0)  # of a black and a white pixel
    mean: list[float] = [0.0]
    std: list[Annotated[float, Field(gt=0)]] = [1.0]
    layout: Literal["nchw", "nhwc"] | None = None  # None: from the file, else nchw

    @field_validator("mean", "std")
    @classmethod
    def one_per_color(cls, numbers: list[float]) -> list[float]:
        """ValueError: there is neither one number nor three."""
        if len(numbers) not in (1, 3):
            raise ValueError("one number, or one for each of three colours")
        return numbers

    def preprocessing(
        self, size: tuple[int, int] | None = None, channels: int | None = None, takes_bytes: bool = False
    ) -> Preprocessing | None:
        """The preprocessing, with size and channels from the file where they are not set. None: the size is unknown."""
        size = self.size or size
        if size is None:
            return None
        colors = "grey" if channels == 1 and "colors" not in self.model_fields_set else self.colors
        values = (0.0, 255.0) if takes_bytes and "range" not in self.model_fields_set else self.range
        shape = (size, self.resize, self.interpolation, colors, values)
        return Preprocessing(*shape, mean=tuple(self.mean), std=tuple(self.std))


class Readout(Part):
    """One attribute: its values, and the names of its outputs.

    In a table, `values` may map cells to values (None: no label), `threshold` is the smallest number of the second of
    two values, and `scale` the numbers that stand for no and yes. Of a network's regressed output, `threshold` is the
    number at which both of two values are as probable, and `scale` (one number) the unit of the log-odds.
    """

    added: ClassVar[tuple[str, ...]] = ("threshold", "scale")

    values: list[str] | dict[str, str | None] = ["no", "yes"]
    outputs: Texts | None = None
    threshold: float | None = None
    scale: Scale | None = None

    @field_validator("values")
    @classmethod
    def several(cls, values: list[str] | dict[str, str | None]) -> list[str] | dict[str, str | None]:
        """ValueError: fewer than two values, or a value twice."""
        names = names_of(values)
        if len(set(names)) < 2 or len(set(names)) < len(names):
            raise ValueError("an attribute needs at least two values, all different")
        return values

    @model_validator(mode="after")
    def one_reading(self) -> "Readout":
        """ValueError: settings that exclude each other."""
        single = self.cells is not None or self.threshold is not None
        if single and self.outputs is not None and len(self.outputs) > 1:
            raise ValueError("a threshold, or values that name cells, read one column")
        if self.cells is not None and (self.threshold is not None or self.scale is not None):
            raise ValueError("values that name cells exclude threshold and scale")
        if self.threshold is not None and len(self.names) > 2:
            raise ValueError("a threshold is between two values")
        check_scale(self.scale)
        return self

    @property
    def regressed(self) -> bool:
        """Whether a network's output is a quantity, read with threshold and scale."""
        return self.threshold is not None or self.scale is not None

    @property
    def names(self) -> list[str]:
        """The names of the values."""
        return names_of(self.values)

    @property
    def cells(self) -> dict[str, str | None] | None:
        """The values that a table's cells stand for; None: `values` only lists the names."""
        return self.values if isinstance(self.values, dict) else None


def check_scale(scale: tuple[float, float] | None) -> None:
    """ValueError: both ends are the same."""
    if scale and scale[0] == scale[1]:
        raise ValueError("a scale cannot be 0" if scale[0] == 0 else "a scale has two ends")


def names_of(values: list[str] | dict[str, str | None]) -> list[str]:
    """The names of the values; several cells may stand for one."""
    if isinstance(values, dict):
        return list(dict.fromkeys(name for name in values.values() if name is not None))
    return values


class Source(Part):
    """A network: its file, and its input."""

    what: ClassVar[str]  # its name in errors
    hint: ClassVar[str]
    added: ClassVar[tuple[str, ...]] = ("output",)

    file: str  # file, folder, hub name or module.py:factory
    input: Input | None = None
    output: str | None = None  # which of several tensors: its name, or its number from 0

    def record(self) -> str:
        """Everything that its outputs depend on, as JSON; the file's place is left out."""
        return self.model_dump_json(exclude={"file"})


class FeatureDescription(Source):
    """A network whose outputs are features."""

    what = "feature network"
    hint = "docs/evaluation.md has examples"


class Description(Source):
    """A classifier. Without `attributes` and `prompts` the file itself must tell its labels."""

    what = "classifier"
    hint = HINT
    added: ClassVar[tuple[str, ...]] = (*Source.added, "first", "scale")

    activation: Activation | None = None  # what the outputs are
    outputs: list[str] | None = None  # their names, in order
    attributes: dict[str, Readout] | None = None
    prompts: dict[str, dict[str, Texts]] | None = None  # attribute -> value -> texts
    templates: Texts = ["a photo of {}"]
    accuracy: Share | dict[str, Share] | None = None  # share of labels that are right; calibrates
    rates: dict[str, dict[str, Share]] = {}  # attribute -> value -> how often it occurs; calibrates
    by: Literal["row", "seed"] | None = None  # of a table: what the numbers in its key column are
    first: Annotated[int, Field(ge=0, lt=2**31)] | None = None  # of a table: the key of row 0; None: 0
    scale: Scale | None = None  # of a table: the numbers that stand for no and yes; None: 0 and 1

    @field_validator("prompts")
    @classmethod
    def no_before_yes(cls, prompts: dict[str, dict[str, list[str]]] | None) -> dict[str, dict[str, list[str]]] | None:
        """Put no before yes, as `--attr smile` means the last of two values. ValueError: a value without texts."""
        if prompts is None:
            return None
        for name, values in prompts.items():
            if len(values) < 2:
                raise ValueError(f"{name} needs prompts for at least two values, e.g. no: and yes:")
        if not all(texts and all(texts) for values in prompts.values() for texts in values.values()):
            raise ValueError("every value needs a text")
        yes_no = {name: values.keys() == {"no", "yes"} for name, values in prompts.items()}
        return {
            name: {"no": values["no"], "yes": values["yes"]} if yes_no[name] else values
            for name, values in prompts.items()
        }

    @field_validator("templates")
    @classmethod
    def with_a_place(cls, templates: list[str]) -> list[str]:
        """ValueError: a template lacks the place {} for the text."""
        if not templates or any("{}" not in template for template in templates):
            raise ValueError("every template needs a {} for the prompt")
        return templates

    @model_validator(mode="after")
    def consistent(self) -> "Description":
        """ValueError: settings that exclude each other, or names that `--attr` cannot take."""
        if self.attributes is not None and self.prompts is not None:
            raise ValueError("attributes and prompts exclude each other")
        if self.prompts is not None and (self.outputs is not None or self.activation is not None):
            raise ValueError("prompts need neither outputs nor an activation")
        if not (self.attributes is None or self.attributes) or not (self.prompts is None or self.prompts):
            raise ValueError("there is no attribute in it")
        for attribute in self.stated():
            if any(not name or set(name) & set("=:") for name in (attribute.name, *attribute.values)):
                raise ValueError(f"names of {attribute.name!r} and its values cannot be empty or hold = or :")
        if self.outputs is not None and len(set(self.outputs)) < len(self.outputs):
            raise ValueError("outputs need different names")
        if self.activation == "pairs" and any(len(a.values) != 2 for a in (self.attributes or {}).values()):
            raise ValueError("pairs of logits are for attributes of two values")
        check_scale(self.scale)
        if self.scale and self.activation not in (None, "probabilities"):
            raise ValueError(f"a scale is one of probabilities, activation: {self.activation} reads logits")
        if self.first is not None and self.by != "row":
            raise ValueError("first is the key of row 0 and needs by: row")
        return self

    def stated(self) -> list[Attribute]:
        """The attributes in the file; [] if it has none."""
        if self.prompts:
            return [Attribute(name, tuple(values)) for name, values in self.prompts.items()]
        return [Attribute(name, tuple(readout.names)) for name, readout in (self.attributes or {}).items()]

    def table_keys(self) -> list[str]:
        """The keys in use that are for tables only."""
        used = {
            "first": self.first is not None,
            "scale beside file": self.scale is not None,
            "values: {CELL: NAME}": any(readout.cells is not None for readout in (self.attributes or {}).values()),
        }
        return [key for key, present in used.items() if present]


S = TypeVar("S", bound=Source)


def read_description(path: Path, kind: type[S]) -> S:
    """The description in a YAML file. InputError: no such file, not YAML, unknown keys, or invalid values."""
    if not path.exists():
        raise InputError(f"there is no {kind.what} file {path}", hint=kind.hint)
    data = yaml_files.read_yaml(path, kind.hint)
    if not isinstance(data, dict) or "file" not in data:
        raise InputError(f"{path} does not name the {kind.what}'s file", hint="add a line: file: my_network.pt2")
    if isinstance(data["file"], str):
        data["file"] = expand_path(data["file"], path.parent)
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        message, hint = explain_error(error, kind, kind.hint)
        raise InputError(f"{path}: {message}", hint=hint) from None
