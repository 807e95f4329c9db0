"""Find the generator in a file: under G_ema, params_ema, state_dict, with prefixes module., decoder. ...

The key of a nested dictionary counts as a prefix of its names, so that all wrappers are prefixes to strip:
`{"g_ema": {"module.conv1.weight": ...}}` holds `g_ema.module.conv1.weight`.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from gmmedit.generators.formats.states import State
from gmmedit.networks.lazy_tensors import LazyTensor
from gmmedit.networks.pickle_values import Inert, Refused, join_names, shorten

DEEPEST = 8  # levels of nested dictionaries
AVERAGED = re.compile(r"(^|[._])(ema|smooth|gs)([._]|$)", re.IGNORECASE)  # a part of a name that marks a moving average


def walk_leaves(content: Any) -> Iterator[tuple[str, Any]]:
    """Dotted names and values of nested dictionaries, each dictionary once; ("", content) for anything else.

    Refused: a joined name is too long.
    """
    visited: set[int] = set()
    waiting = [("", content, 0)]
    while waiting:
        name, value, depth = waiting.pop()
        if type(value) is not dict:
            yield name, value
        elif depth < DEEPEST and id(value) not in visited:
            visited.add(id(value))
            inner = [(join_names(name, ".", key), value[key], depth + 1) for key in value if isinstance(key, str)]
            waiting += reversed(inner)


def find_state(content: Any, mark: str) -> State | None:
    """The tensors of the generator that has a tensor whose name matches `mark`, without their common prefix.

    Of several generators the averaged one is taken. None: no name matches. Refused: several, none or many averaged.
    """
    tensors = {name: value for name, value in walk_leaves(content) if isinstance(value, LazyTensor | Inert)}
    pattern = re.compile(rf"(.*\.)?(?:{mark})")
    prefixes = {match[1] or "" for name in tensors if (match := pattern.fullmatch(name))}
    if not prefixes:
        return None
    prefix = choose_averaged(sorted(prefixes))
    return State({name.removeprefix(prefix): tensors[name] for name in tensors if name.startswith(prefix)})


def choose_averaged(names: Sequence[str]) -> str:
    """The name that marks a moving average, or the only one. Refused: the choice is ambiguous."""
    averaged: Collection[str] = [name for name in names if AVERAGED.search(name)]
    chosen = list(averaged or names)
    if len(chosen) > 1:
        places = " and ".join(shorten(name.rstrip(".")) or "the top" for name in chosen[:2])
        raise Refused(f"holds {len(chosen)} generators, and it is ambiguous which one to read: at {places}")
    return chosen[0]
