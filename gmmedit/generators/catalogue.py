"""Generators by name or file: from the catalogue, other packages, or any supported file."""

from pathlib import Path

from gmmedit.errors import InputError, nearest
from gmmedit.generators.base import Generator
from gmmedit.hub import CATALOGUE, is_url, locate_model, locate_url
from gmmedit.networks.python import PATTERN as PYTHON_NAME
from gmmedit.runtime.registry import Registry

REGISTRY = Registry("generator", {}, "gmmedit.generators")
"""Generators of other packages: names of functions without arguments that return a module (see custom.py)."""


def load(name_or_path: str, device: str = "cpu", trusted: bool = True) -> Generator:
    """The generator of a catalogue name, file, fetched address or `my_gan.py:function`, frozen, in evaluation mode.

    trusted: whether the user gave the name; if a file did, Python files run only if the user has named them before
    (see runtime/trust.py). InputError: the name is unknown, the file is missing, damaged or not supported, or the
    function fails or may not run.
    """
    import torch

    from gmmedit.generators.formats import detect

    if not is_url(name_or_path) and PYTHON_NAME.fullmatch(name_or_path):
        from gmmedit.generators.custom import load_from_python

        network = load_from_python(name_or_path, trusted)
    elif name_or_path not in CATALOGUE and name_or_path in REGISTRY.targets():
        from gmmedit.generators.custom import load_from_package

        network = load_from_package(name_or_path, REGISTRY)
    else:
        _, network = detect.read_checkpoint(find_file(name_or_path))
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)


def paired_classifier(name: str) -> str:
    """The name of the classifier that the catalogue pairs with a generator. InputError: with none."""
    entry = CATALOGUE.get(name)
    if entry is None or entry.classifier is None:
        raise InputError(f"no default classifier for {name}", hint="gmmedit label --classifier NAME")
    return entry.classifier


def find_file(name_or_path: str) -> Path:
    """The file of a catalogue name, of a fetched address, or at a path.

    InputError: there is none; the hint says how to get it.
    """
    if is_url(name_or_path):
        return locate_url(name_or_path)
    if name_or_path in CATALOGUE:
        return locate_model(name_or_path)
    path = Path(name_or_path)
    if path.exists():
        return path
    if not path.suffix and len(path.parts) == 1:
        known = [*CATALOGUE, *REGISTRY.targets()]
        raise InputError(f"there is no generator called {name_or_path!r}", hint=nearest(name_or_path, known))
    raise InputError(f"there is no generator file {path}", hint="check the path; `gmmedit models` lists known names")
