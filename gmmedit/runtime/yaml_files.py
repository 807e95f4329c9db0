"""YAML in which `no`, `off` and `yes` are strings, and keys that are given twice or aliases are errors."""

import re
from pathlib import Path
from typing import Any

import yaml

from gmmedit.errors import InputError
from gmmedit.runtime.regular_files import LARGEST_TEXT, check_regular

SURROGATE = re.compile("[\ud800-\udfff]")
# What PyYAML raises, also on invalid dates, tags and depth.
DAMAGE = (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError, RecursionError)


class PlainLoader(yaml.SafeLoader):
    """The safe loader without aliases, a few lines of which can expand to more than any memory holds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """See PyYAML. MarkedYAMLError: the node is an alias."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not supported, write it out", problem_mark=mark)
        return super().compose_node(parent, index)


class SettingsLoader(PlainLoader):
    """Without YAML 1.1's booleans, which turn `n: true` into a number and `noise: off` into False."""

    def construct_scalar(self, node: Any) -> Any:
        """See PyYAML. MarkedYAMLError: the text contains a surrogate."""
        value = super().construct_scalar(node)
        if SURROGATE.search(value):
            raise yaml.MarkedYAMLError(
                problem="a surrogate (\\uD800 to \\uDFFF) is no letter", problem_mark=node.start_mark
            )
        return value

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """See PyYAML. MarkedYAMLError: a key is given twice."""
        given: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in given:
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} is given twice", problem_mark=key.start_mark)
            given.add(key.value)
        return super().construct_mapping(node, deep)


SettingsLoader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(path: Path, hint: str) -> Any:
    """The content of a YAML file, in which `true` is a string too.

    InputError, with this hint: the file cannot be read, is too large, or is not valid.
    """
    check_regular(path, hint, LARGEST_TEXT)
    try:
        return yaml.load(path.read_text(encoding="utf-8"), SettingsLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}", hint=hint) from error
    except DAMAGE as error:
        problem = " ".join(str(error).replace('"<unicode string>", ', "").split())
        raise InputError(f"{path} is not valid YAML: {problem}", hint=hint) from error
