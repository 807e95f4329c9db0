"""Generators tuned around inversions: the weights that differ, as a safetensors file beside inversions.h5."""

import copy
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from gmmedit.artifacts import Artifact
from gmmedit.errors import InputError
from gmmedit.generators import Generator
from gmmedit.networks import weights

KEY = "tuned"
HINT = "gmmedit invert --tune writes it anew"


def tuned_path(inversions: Path) -> Path:
    """The file of the tuned generator beside an inversions.h5."""
    return inversions.with_suffix(".generator.safetensors")


def find_tuned(inversions: Artifact) -> Path | None:
    """The tuned generator of exactly these inversions; None: there is none. InputError: the file is unreadable."""
    path = tuned_path(inversions.path)
    return path if is_tuned(path) and read_record(path).get("inversions") == inversions.fingerprint else None


def is_tuned(path: Path) -> bool:
    """Whether the file holds a tuned generator, of which only the changed weights are stored."""
    if path.suffix != ".safetensors" or not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def write_tuned(path: Path, tensors: dict[str, Tensor], record: dict[str, object]) -> None:
    """Write the changed weights by name, and what they were made from; a file at `path` is replaced atomically."""
    weights.write_weights(path, tensors, KEY, record)


def read_record(path: Path) -> dict[str, object]:
    """What the file was made from: `generator` and `inversions` (fingerprints), settings. InputError: unreadable."""
    return weights.read_weights(path, KEY)[0]


def read_tuned(path: Path, generator: Generator) -> Generator:
    """A copy of the generator with the weights of the file. InputError: they are of another generator, or damaged."""
    record, tensors = weights.read_weights(path, KEY)
    if record.get("generator") != generator.fingerprint:
        raise InputError(f"{path} was tuned from another generator", hint=HINT)
    tuned = copy.deepcopy(generator)
    try:
        unknown = tuned.load_state_dict(tensors, strict=False).unexpected_keys
    except RuntimeError as error:
        raise InputError(f"{path}: {str(error).splitlines()[-1].strip()}", hint=HINT) from error
    if unknown:
        raise InputError(f"{path} holds weights that the generator has not: {unknown[0]}", hint=HINT)
    tuned.fingerprint = weights.fingerprint_tensors(tensors)
    return tuned.eval().requires_grad_(False)
