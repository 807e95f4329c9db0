"""Classifiers by name, by file, or by the YAML file that describes them."""

from pathlib import Path

from gmmedit.classifiers.base import Classifier
from gmmedit.classifiers.checks import check_classifier
from gmmedit.runtime.registry import Registry

REGISTRY = Registry(
    "classifier",
    {
        "avatars": "gmmedit.classifiers.embedded:load_avatars",
        "avatars-eval": "gmmedit.classifiers.embedded:load_avatars_eval",  # trained independently, never used in a fit
        "avatars-factors": "gmmedit.classifiers.embedded:load_avatars_factors",  # nor when settings were chosen
    },
    "gmmedit.classifiers",
)
"""Names of functions without arguments that return a `Classifier`."""

EVALUATION = {"avatars": "avatars-eval"}
"""Classifiers and their evaluation classifiers: independently trained, with the same attributes."""

READY = {"clip-faces": Path(__file__).parent / "ready" / "clip-faces.yaml"}


def load(name_or_path: str, device: str = "cpu", trusted: bool = True) -> Classifier:
    """The classifier of that name or file, frozen and in evaluation mode.

    trusted: whether the user gave the name; if a file did, Python files run only if the user has named them before
    (see runtime/trust.py). InputError: the name is unknown, the file is missing, damaged or not supported, its
    description does not match it, or a function fails or may not run.
    """
    if name_or_path in REGISTRY.targets() and name_or_path not in READY:
        classifier = check_classifier(REGISTRY.load(name_or_path)(), name_or_path)
    else:
        from gmmedit.classifiers.opening import open_classifier  # with the readers of every kind of file

        classifier = open_classifier(str(READY.get(name_or_path, name_or_path)), device, trusted, list_names())
    return classifier.to(device).eval().requires_grad_(False)


def evaluation_classifier(name: str) -> str:
    """The independently trained evaluation classifier for this one; `name` itself if none is known."""
    return EVALUATION.get(name, name)


def list_names() -> list[str]:
    """The names of all classifiers: embedded, of other packages, and described in gmmedit/classifiers/ready."""
    return [*REGISTRY.targets(), *READY]
