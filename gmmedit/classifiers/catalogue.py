"""Classifiers by name."""

from pathlib import Path

from gmmedit.classifiers.base import Classifier
from gmmedit.errors import InputError, nearest

WEIGHTS = Path(__file__).parent.parent / "avatars" / "weights"

CATALOGUE = {
    "avatars": WEIGHTS / "classifier.safetensors",
    "avatars-eval": WEIGHTS / "evaluator.safetensors",  # trained apart, never used in a fit
}


def load(name_or_path: str, device: str = "cpu") -> Classifier:
    """The classifier of that catalogue name or file, in evaluation mode.

    InputError: unknown name, missing or foreign file.
    """
    from gmmedit.classifiers.convnet import read

    path = CATALOGUE.get(name_or_path, Path(name_or_path))
    if name_or_path not in CATALOGUE and not path.suffix:
        raise InputError(f"there is no classifier called {name_or_path!r}", hint=nearest(name_or_path, CATALOGUE))
    if not path.is_file():
        raise InputError(f"there is no classifier file {path}", hint="gmmedit label --classifier avatars")
    return read(path).to(device).eval().requires_grad_(False)
