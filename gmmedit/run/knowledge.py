"""What a user knows of causes, parsed: `--require a->b --forbid a->b --tiers age,gender<glasses`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gmmedit.causal.knowledge import Knowledge
from gmmedit.causal.orientation import is_acyclic
from gmmedit.config import GraphSettings
from gmmedit.errors import InputError, nearest

ARROW, BEFORE = "->", "<"
EDGE, TIERS = "CAUSE->EFFECT, e.g. 'age->glasses'", "e.g. 'gender<age<glasses,hair_color'"


def parse_knowledge(settings: GraphSettings, names: Sequence[str]) -> Knowledge:
    """The required and forbidden edges between the attributes of these names.

    InputError: a text cannot be parsed, an attribute is unknown or in two tiers, or requirements contradict each other
    or form a cycle.
    """
    count = len(names)
    required, forbidden = np.zeros((count, count), bool), np.zeros((count, count), bool)
    for text in settings.require:
        required[parse_edge(text, "--require", names)] = True
    for text in settings.forbid:
        forbidden[parse_edge(text, "--forbid", names)] = True
    if settings.tiers is not None:
        tiers = parse_tiers(settings.tiers, names)
        for place, later in enumerate(tiers):
            for earlier in (name for tier in tiers[:place] for name in tier):
                forbidden[later, earlier] = True
    for cause, effect in np.argwhere(required & forbidden):
        text = f"{names[cause]}{ARROW}{names[effect]}"
        raise InputError(f"{text} is required, and forbidden or against the tiers", hint="drop one of the two")
    if not is_acyclic(required):
        raise InputError(f"the required edges form a cycle: {describe_cycle(required, names)}", hint="drop one of them")
    return Knowledge(required, forbidden)


def parse_edge(text: str, option: str, names: Sequence[str]) -> tuple[int, int]:
    """The places of cause and effect in `age->glasses`. InputError: another syntax, or an unknown attribute."""
    parts = [part.strip() for part in text.split(ARROW)]
    if len(parts) != 2 or not all(parts):
        raise InputError(f"{option} {text!r} cannot be parsed", hint=f"{option} {EDGE}")
    cause, effect = (find_attribute(part, option, names) for part in parts)
    if cause == effect:
        raise InputError(f"{option} {text!r}: an attribute does not cause itself", hint=f"{option} {EDGE}")
    return cause, effect


def parse_tiers(text: str, names: Sequence[str]) -> list[list[int]]:
    """The places of the attributes of each tier, causes first.

    InputError: another syntax, an unknown attribute, or one in two places.
    """
    tiers = [[part.strip() for part in tier.split(",")] for tier in text.split(BEFORE)]
    if len(tiers) < 2 or not all(part for tier in tiers for part in tier):
        raise InputError(f"--tiers {text!r} cannot be parsed", hint=f"--tiers {TIERS}")
    named = [part for tier in tiers for part in tier]
    for part in named:
        if named.count(part) > 1:
            raise InputError(f"--tiers {text!r} names {part} twice", hint=f"--tiers {TIERS}")
    return [[find_attribute(part, "--tiers", names) for part in tier] for tier in tiers]


def find_attribute(name: str, option: str, names: Sequence[str]) -> int:
    """The place of an attribute. InputError: it is unknown."""
    if name not in names:
        raise InputError(f"{option}: unknown attribute {name!r}", hint=nearest(name, names))
    return names.index(name)


def describe_cycle(required: np.ndarray, names: Sequence[str]) -> str:
    """A cycle of the edges (A, A), which have one: `a->b->a`."""
    path = [next(node for node in range(len(required)) if reaches(required, node, node))]
    while path[-1] not in path[:-1]:  # whoever is on the way back to the start has a next one that is, too
        path.append(next(step for step in np.flatnonzero(required[path[-1]]).tolist() if reaches(required, step, step)))
    return ARROW.join(names[place] for place in path[path.index(path[-1]) :])


def reaches(edges: np.ndarray, start: int, goal: int) -> bool:
    """Whether a path of at least one edge leads from start to goal."""
    seen, front = set[int](), [start]
    while front:
        for step in np.flatnonzero(edges[front.pop()]).tolist():
            if step == goal:
                return True
            if step not in seen:
                seen.add(step)
                front.append(step)
    return False
