"""scikit-learn, an optional dependency of some metrics."""

from importlib import import_module
from typing import Any

from gmmedit.errors import InputError


def import_sklearn(module: str, metric: str) -> Any:
    """A module of scikit-learn. InputError: it is not installed; the hint says how to install it."""
    try:
        return import_module(module)
    except ImportError as error:
        package = error.name or module
        raise InputError(f"{metric} needs the package {package}", hint="pip install 'gmmedit[baselines]'") from error
