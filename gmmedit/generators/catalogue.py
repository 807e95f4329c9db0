"""Generators by name or file: those of the catalogue, of other packages, and any network's file."""

from pathlib import Path

from gmmedit.errors import InputError, nearest
from gmmedit.generators.base import Generator
from gmmedit.hub import CATALOGUE, is_url, locate, locate_url
from gmmedit.runtime.registry import Registry

REGISTRY = Registry("generator", {}, "gmmedit.generators")
"""Generators of other packages: names to functions without arguments that return a module (see custom.py)."""


def load(name_or_path: str, device: str = "cpu", trusted: bool = True) -> Generator:
    """The generator of that name, file, address that has been fetched, or `my_gan.py:function`, in evaluation mode.

    trusted: whether the user answers for the name. If not, as when a file names it, a Python file runs only if he has
    named it before. InputError: unknown name, missing, foreign or damaged file, a function that fails, or one that is
    not to run.
    """
    import torch

    from gmmedit.generators import custom
    from gmmedit.generators.formats import detect

    if not is_url(name_or_path) and custom.is_python(name_or_path):
        network = custom.from_python(name_or_path, trusted)
    elif name_or_path not in CATALOGUE and name_or_path in REGISTRY.targets():
        network = custom.from_package(name_or_path, REGISTRY)
    else:
        _, network = detect.read(find(name_or_path))
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)


def find(name_or_path: str) -> Path:
    """The file of that catalogue name, fetched from that address, or at that path.

    InputError: there is none, and where to get it.
    """
    if is_url(name_or_path):
        return locate_url(name_or_path)
    if name_or_path in CATALOGUE:
        return locate(name_or_path)
    path = Path(name_or_path)
    if path.exists():
        return path
    if not path.suffix and len(path.parts) == 1:
        known = [*CATALOGUE, *REGISTRY.targets()]
        raise InputError(f"there is no generator called {name_or_path!r}", hint=nearest(name_or_path, known))
    raise InputError(f"there is no generator file {path}", hint="gmmedit sample --gan avatars")
