"""Generators by name: which file they live in, and which classifier labels their images."""

from dataclasses import dataclass
from pathlib import Path

from gmmedit.errors import InputError, nearest
from gmmedit.generators.base import Generator

PACKAGE = Path(__file__).parent.parent


@dataclass(frozen=True)
class Entry:
    """A catalogued generator."""

    file: Path
    classifier: str
    summary: str


CATALOGUE = {
    "avatars": Entry(
        file=PACKAGE / "avatars" / "weights" / "generator.safetensors",
        classifier="avatars",
        summary="the embedded StyleGAN2 of 64-pixel avatars",
    ),
}


def load(name_or_path: str, device: str = "cpu") -> Generator:
    """The generator of that catalogue name or file, in evaluation mode.

    InputError: unknown name, missing or foreign file.
    """
    import torch

    from gmmedit.generators.stylegan2 import read

    entry = CATALOGUE.get(name_or_path)
    path = entry.file if entry else Path(name_or_path)
    if not entry and not path.suffix:
        raise InputError(f"there is no generator called {name_or_path!r}", hint=nearest(name_or_path, CATALOGUE))
    if not path.is_file():
        raise InputError(f"there is no generator file {path}", hint="gmmedit sample --gan avatars")
    network = read(path).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)
