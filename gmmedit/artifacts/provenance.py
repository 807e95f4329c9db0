"""Fingerprints, and whether artifacts belong together."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gmmedit.artifacts.spec import short
from gmmedit.errors import InputError

if TYPE_CHECKING:
    from gmmedit.artifacts.reading import Artifact


def file_fingerprint(path: str | Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensors_fingerprint(tensors: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over name, dtype, shape and little-endian bytes of each array, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = np.asarray(tensors[name])
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()


def check_parents(child: Artifact, **parents: Artifact) -> None:
    """Check that `child` was made from exactly these artifacts, with the same generator and classifier (a kind
    with `own_classifier` has another one by design).

    `check_parents(labels, samples=samples)`. InputError says what differs.
    """
    for name, parent in parents.items():
        recorded = child.spec.parents.get(name)
        hint = f"make it again: {child.kind.command} --force"
        if recorded is None:
            raise InputError(f"{child.path} does not say from which {name} it was made", hint=hint)
        if recorded != parent.fingerprint:
            message = f"{child.path} was made from another {parent.path}"
            fingerprints = f"fingerprint {short(recorded)}, expected {short(parent.fingerprint)}"
            raise InputError(f"{message} ({fingerprints})", hint=hint)
        for part in ("generator",) if child.kind.own_classifier else ("generator", "classifier"):
            _check_same_network(child, parent, part, hint)


def _check_same_network(child: Artifact, parent: Artifact, part: str, hint: str) -> None:
    theirs, ours = getattr(parent.spec, part), getattr(child.spec, part)
    if theirs and ours and theirs["fingerprint"] != ours["fingerprint"]:
        found, expected = (f"{it['name']} {short(it['fingerprint'])}" for it in (ours, theirs))
        message = f"{child.path} was made with another {part} than {parent.path}"
        raise InputError(f"{message} ({found}, expected {expected})", hint=hint)


def network_source(text: str) -> str:
    """What an artifact keeps of `--gan` and `--classifier` to find the network again: a name, or the path of a file.

    Every spelling of a file is the same settings, so that an unchanged stage does not run again. Below the
    working directory the path is relative: a project copied to another machine goes on there, to the same bytes.
    """
    if not Path(text).is_file():
        return text
    relative = os.path.relpath(text)
    return os.path.abspath(text) if relative.startswith(os.pardir) else relative


def network_record(name: str, fingerprint: str) -> dict[str, str]:
    """What an artifact keeps of a network: files go by their name, wherever they lie."""
    return {"name": Path(name).name, "fingerprint": fingerprint}
