"""What a classifier labels: attributes and their values."""

from collections.abc import Sequence
from dataclasses import dataclass

from gmmedit.errors import InputError


@dataclass(frozen=True)
class Attribute:
    """What can be labelled, e.g. `Attribute("smile", ("no", "yes"))`: exactly one of its C_a values holds."""

    name: str
    values: tuple[str, ...]


def check_attributes(attributes: Sequence[Attribute], where: str) -> None:
    """InputError: an attribute has fewer than two values, a value occurs twice, or two attributes share a name."""
    for attribute in attributes:
        if len(set(attribute.values)) < 2 or len(set(attribute.values)) < len(attribute.values):
            message = f"{where}: {attribute.name} has the values {', '.join(attribute.values) or 'none'}"
            raise InputError(message, hint="an attribute needs at least two values, all different")
    if len({attribute.name for attribute in attributes}) < len(attributes):
        raise InputError(f"{where} has two attributes of the same name", hint="give each attribute its own name")
