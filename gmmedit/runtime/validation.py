"""What pydantic found wrong with settings, as one line and a hint."""

import reprlib
from collections.abc import Iterable
from types import UnionType
from typing import Any, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from gmmedit.errors import nearest

Location = tuple[int | str, ...]
UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")  # of a model, of a dataclass


def explain_error(error: ValidationError, model: type[Any], hint: str = "") -> tuple[str, str]:
    """The first problem, unknown keys before others, as `section.key: what is wrong`, and a hint.

    model: the pydantic model or dataclass.

    The hint is the nearest key of the same section for an unknown key, else `hint`, else the key's default.
    """
    problem = min(error.errors(), key=lambda each: each["type"] not in UNKNOWN_KEY)
    location, given = problem["loc"], problem["input"]
    where = "".join(f"{part}." for part in location).removesuffix(".")
    if problem["type"] in UNKNOWN_KEY:
        return f"{where}: unknown key", nearest(str(location[-1]), known_keys(model, location[:-1]))
    reason = problem["msg"].removeprefix("Value error, ")
    if problem["type"] not in ("missing", "value_error"):
        reason += f" (got {reprlib.repr(given)})"
    return f"{where}: {reason}" if where else reason, hint or default_hint(model, location)


def known_keys(model: type[Any], location: Location) -> Iterable[str]:
    """The keys of the model or the nested model at that location."""
    kind: Any = model
    for part in location:
        fields = fields_of(kind)
        kind = fields[str(part)].annotation if fields else element_of(kind)
        kind = get_args(kind)[0] if isinstance(kind, UnionType) else kind  # X of X | None
    return fields_of(kind)


def fields_of(kind: Any) -> dict[str, FieldInfo]:
    """The fields of a pydantic model or dataclass by name; none of any other type."""
    return getattr(kind, "__pydantic_fields__", {})


def element_of(kind: Any) -> Any:
    """X of dict[str, X] and of tuple[X, ...]."""
    arguments = get_args(kind)
    return arguments[0] if arguments[-1] is Ellipsis else arguments[-1]


def default_hint(model: type[Any], location: Location) -> str:
    """Text that gives the default of the setting at that location, "" if it has none."""
    kind: Any = model
    field: FieldInfo | None = None
    for part in location:
        if part not in fields_of(kind):
            break
        field = fields_of(kind)[str(part)]
        kind = field.annotation
    return "" if field is None or field.is_required() else f"the default is {field.default}"
