"""Modules of the extra `baselines`, imported where they are needed."""

from importlib import import_module
from typing import Any

from gmmedit.errors import InputError


def import_extra(module: str, user: str) -> Any:
    """A module of an optional dependency, which an editor or a metric, the user, needs.

    InputError: it is not installed; the hint says how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = error.name or module
        raise InputError(f"{user} needs the package {package}", hint="pip install 'gmmedit[baselines]'") from error
