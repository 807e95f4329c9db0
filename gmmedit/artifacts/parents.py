"""Whether artifacts belong together: the fingerprints that a child records, compared with its parents."""

from collections.abc import Mapping
from typing import Any

from gmmedit.artifacts.reading import Artifact
from gmmedit.artifacts.spec import shorten
from gmmedit.artifacts.stale import redo_hint
from gmmedit.errors import InputError


def check_parents(child: Artifact, **parents: Artifact) -> None:
    """Check that `child` was made from exactly these artifacts, with the same generator and classifier.

    `check_parents(labels, samples=samples)`. A kind with `own_classifier` has a classifier of its own, which is not
    compared. InputError: `child` does not record such a parent, or a fingerprint differs.
    """
    for name, parent in parents.items():
        recorded = child.spec.parents.get(name)
        if recorded is None:
            message = f"{child.path} does not say from which {name} it was made"
            raise InputError(message, hint=redo_hint(parent.path.parent, child.kind.name))
        if recorded != parent.fingerprint:
            message = f"{child.path} was made from another {parent.path}"
            fingerprints = f"fingerprint {shorten(recorded)}, expected {shorten(parent.fingerprint)}"
            raise InputError(f"{message} ({fingerprints})", hint=redo_hint(parent.path.parent, child.kind.name))
        for part in ("generator",) if child.kind.own_classifier else ("generator", "classifier"):
            _check_same_network(child, parent, part)


def _check_same_network(child: Artifact, parent: Artifact, part: str) -> None:
    theirs, ours = getattr(parent.spec, part), getattr(child.spec, part)
    if theirs and ours and theirs.get("fingerprint") != ours.get("fingerprint"):
        found, expected = (_describe(record) for record in (ours, theirs))
        message = f"{child.path} was made with another {part} than {parent.path}"
        hint = redo_hint(parent.path.parent, child.kind.name)
        raise InputError(f"{message} ({found}, expected {expected})", hint=hint)


def _describe(network: Mapping[str, Any]) -> str:
    """Name and fingerprint of a recorded network, as far as it has them."""
    return f"{network.get('name') or 'unnamed'} {shorten(str(network.get('fingerprint') or 'without fingerprint'))}"
