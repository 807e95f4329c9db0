"""What a classifier labels: attributes and their values."""

from collections.abc import Sequence
from dataclasses import dataclass

from gmmedit.errors import InputError
from gmmedit.networks.scales import Scale as Scale


@dataclass(frozen=True)
class Attribute:
    """What can be labelled, e.g. `Attribute("smile", ("no", "yes"))`: exactly one of its C_a values holds.

    scale: of a number, whose values are classes of equal frequency; None: it is none.
    """

    name: str
    values: tuple[str, ...]
    scale: Scale | None = None


def check_attributes(attributes: Sequence[Attribute], where: str) -> None:
    """InputError: an attribute has fewer than two values, a value occurs twice, or two attributes share a name."""
    for attribute in attributes:
        if len(set(attribute.values)) < 2 or len(set(attribute.values)) < len(attribute.values):
            message = f"{where}: {attribute.name} has the values {', '.join(attribute.values) or 'none'}"
            raise InputError(message, hint="an attribute needs at least two values, all different")
    if len({attribute.name for attribute in attributes}) < len(attributes):
        raise InputError(f"{where} has two attributes of the same name", hint="give each attribute its own name")


def check_addressable(attributes: Sequence[Attribute], where: str, hint: str = "") -> None:
    """InputError: an attribute or value of `where` cannot be named in `--attr NAME=VALUE:STRENGTH`, or occurs twice.

    hint: what to do, if it is not to write a YAML file.
    """
    names = [attribute.name for attribute in attributes]
    for attribute in attributes:
        for name in (attribute.name, *attribute.values):
            if not name or name != name.strip() or not name.isprintable() or set(name) & set("=:"):
                kind = "an attribute" if name == attribute.name else f"a value of {attribute.name!r}"
                message = f"{where} has {kind} called {name!r}, which --attr NAME=VALUE:STRENGTH cannot express"
                described = f"rename it in a YAML file: attributes: {{NAME: {{outputs: {name!r}, values: [A, B]}}}}"
                raise InputError(message, hint=hint or described)
        if names.count(attribute.name) > 1 or len(set(attribute.values)) < len(attribute.values):
            described = "rename them in a YAML file: attributes: {NAME: {outputs: COLUMN}}"
            message = f"{where} has the attribute {attribute.name!r} or one of its values twice"
            raise InputError(message, hint=hint or described)
