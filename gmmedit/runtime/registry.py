"""Plug-ins by name, imported when they are used: built-in ones, and those of other installed packages."""

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from operator import attrgetter
from typing import Any

from gmmedit.errors import InputError, nearest


class Registry:
    """One kind of plug-in, e.g. `Registry("generator", {"avatars": "module:Attr"}, "gmmedit.generators")`.

    Other packages add names through the entry point group; built-in names take precedence.
    """

    def __init__(self, kind: str, builtin: Mapping[str, str], entry_point_group: str) -> None:
        self.kind = kind
        self.builtin = dict(builtin)
        self.entry_point_group = entry_point_group

    def targets(self) -> dict[str, str]:
        """Every known name with its "module:Attr"; imports nothing. Built-in names come first."""
        points = entry_points(group=self.entry_point_group)
        outside = {point.name: f"{point.module}:{point.attr}" for point in points}
        return self.builtin | {name: outside[name] for name in sorted(outside.keys() - self.builtin.keys())}

    def names(self) -> list[str]:
        """Every known name, built-in ones first."""
        return list(self.targets())

    def unknown(self, name: str) -> InputError:
        """The error for a name that is not registered."""
        return InputError(f"there is no {self.kind} called {name!r}", hint=nearest(name, self.targets()))

    def load(self, name: str) -> Any:
        """The object behind `name`, imported now. InputError: the name is unknown or cannot be imported."""
        targets = self.targets()
        if name not in targets:
            raise self.unknown(name)
        path, _, attribute = targets[name].partition(":")
        try:
            module = import_module(path)
        except ModuleNotFoundError as error:
            hint = f"pip install {(error.name or path).partition('.')[0]}"
            raise InputError(f"{self.kind} {name!r} cannot be imported: {error}", hint=hint) from error
        try:
            return attrgetter(attribute)(module)
        except AttributeError as error:
            hint = f"correct the entry point in {self.entry_point_group!r} of the package that offers it"
            raise InputError(f"{self.kind} {name!r}: {error}", hint=hint) from error
