"""What pydantic found wrong with settings, as one line and a hint."""

import reprlib
from collections.abc import Iterable
from types import UnionType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from gmmedit.errors import nearest

Location = tuple[int | str, ...]


def explain_error(error: ValidationError, model: type[BaseModel], hint: str = "") -> tuple[str, str]:
    """The first problem, unknown keys before others, as `section.key: what is wrong`, and a hint.

    The hint is the nearest key of the same section for an unknown key, else `hint`, else the key's default.
    """
    problem = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    location, given = problem["loc"], problem["input"]
    where = "".join(f"{part}." for part in location).removesuffix(".")
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key", nearest(str(location[-1]), known_keys(model, location[:-1]))
    reason = problem["msg"].removeprefix("Value error, ")
    if problem["type"] not in ("missing", "value_error"):
        reason += f" (got {reprlib.repr(given)})"
    return f"{where}: {reason}" if where else reason, hint or default_hint(model, location)


def known_keys(model: type[BaseModel], location: Location) -> Iterable[str]:
    """The keys of the model or the nested model at that location."""
    kind: Any = model
    for part in location:
        kind = kind.model_fields[part].annotation if hasattr(kind, "model_fields") else get_args(kind)[1]  # of a dict
        kind = get_args(kind)[0] if isinstance(kind, UnionType) else kind  # X of X | None
    return kind.model_fields


def default_hint(model: type[BaseModel], location: Location) -> str:
    """Text that gives the default of the setting at that location, "" if it has none."""
    kind: Any = model
    field: FieldInfo | None = None
    for part in location:
        if part not in getattr(kind, "model_fields", {}):
            break
        field = kind.model_fields[part]
        kind = field.annotation
    return "" if field is None or field.is_required() else f"the default is {field.default}"
