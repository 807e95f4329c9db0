"""Where in a file the generator lies: under G_ema, params_ema, state_dict, its tensors behind module., decoder. ...

A dictionary in a dictionary is taken for a prefix of its names, so that what wraps a generator is one thing to strip:
`{"g_ema": {"module.conv1.weight": ...}}` holds `g_ema.module.conv1.weight`.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from gmmedit.generators.formats.states import State
from gmmedit.networks.lazy_tensors import LazyTensor
from gmmedit.networks.pickle_machine import Inert, Refused, printable

DEEPEST = 8  # dictionaries in dictionaries
AVERAGED = re.compile(r"(^|[._])(ema|smooth|gs)([._]|$)", re.IGNORECASE)  # a part of a name that tells a moving average


def leaves(content: Any) -> Iterator[tuple[str, Any]]:
    """Dotted names and values of a dictionary and those inside, each of them once; ("", content) if it is none."""
    seen: set[int] = set()
    waiting = [("", content, 0)]
    while waiting:
        name, value, depth = waiting.pop()
        if type(value) is not dict:
            yield name, value
        elif depth < DEEPEST and id(value) not in seen:
            seen.add(id(value))
            dot = f"{name}." if name else ""
            inner = [(f"{dot}{key}", value[key], depth + 1) for key in value if isinstance(key, str)]
            waiting += reversed(inner)


def find_state(content: Any, mark: str) -> State | None:
    """The tensors of the generator that has one whose name matches `mark`, without their common prefix.

    Where there are several it is the averaged one. None: there is no such name. Refused: several, none averaged.
    """
    tensors = {name: value for name, value in leaves(content) if isinstance(value, LazyTensor | Inert)}
    pattern = re.compile(rf"(.*\.)?(?:{mark})")
    prefixes = {match[1] or "" for name in tensors if (match := pattern.fullmatch(name))}
    if not prefixes:
        return None
    prefix = choose_averaged(sorted(prefixes))
    return State({name.removeprefix(prefix): it for name, it in tensors.items() if name.startswith(prefix)})


def choose_averaged(names: Sequence[str]) -> str:
    """The one of the names that tells a moving average, or the only one. Refused: which one is not clear."""
    averaged: Collection[str] = [name for name in names if AVERAGED.search(name)]
    chosen = list(averaged or names)
    if len(chosen) > 1:
        places = " and ".join(printable(name.rstrip(".")) or "the top" for name in chosen[:2])
        raise Refused(f"holds {len(chosen)} generators, and which one to read is not clear: at {places}")
    return chosen[0]
