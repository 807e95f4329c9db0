"""Generators by name: which file they live in, where that comes from, and which classifier labels their images."""

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from gmmedit.errors import InputError, nearest
from gmmedit.generators.base import Generator
from gmmedit.registry import Registry

PACKAGE = Path(__file__).parent.parent
CDN = "https://nvlabs-fi-cdn.nvidia.com"
NGC = "https://api.ngc.nvidia.com/v2/models/nvidia/research"
NVIDIA = "NVIDIA Source Code License: research and evaluation only"


@dataclass(frozen=True)
class Entry:
    """A catalogued generator. `file` has no folder where it must be downloaded first, into `models_folder`."""

    file: Path
    summary: str
    classifier: str | None = None
    url: str = ""
    licence: str = ""

    @property
    def path(self) -> Path:
        return self.file if self.file.is_absolute() else models_folder() / self.file


def models_folder() -> Path:
    """Where downloaded generators lie: GMMEDIT_CACHE/models, by default in the user's cache folder."""
    cache = os.environ.get("GMMEDIT_CACHE")
    return (Path(cache) if cache else platformdirs.user_cache_path("gmmedit")) / "models"


def public(url: str, summary: str) -> Entry:
    return Entry(Path(url.rpartition("/")[2]), summary, url=url, licence=NVIDIA)


def ngc(family: str, data: str, resolution: int) -> Entry:
    """A file of NVIDIA's registry, e.g. stylegan3-t-ffhq-1024x1024.pkl."""
    repository = family.partition("-")[0]
    url = f"{NGC}/{repository}/versions/1/files/{family}-{data}-{resolution}x{resolution}.pkl"
    return public(url, f"{repository.replace('style', 'Style').replace('gan', 'GAN')} of {data}, {resolution} px")


STYLEGAN2 = {
    "ffhq": 1024, "ffhqu": 1024, "metfaces": 1024, "metfacesu": 1024, "afhqv2": 512, "afhqcat": 512,
    "afhqdog": 512, "afhqwild": 512, "brecahad": 512, "cifar10": 32, "celebahq": 256, "lsundog": 256,
}  # fmt: skip
STYLEGAN3 = {"ffhq": 1024, "ffhqu": 1024, "metfaces": 1024, "metfacesu": 1024, "afhqv2": 512}
SMALLER = [("stylegan2", "ffhq", 512), ("stylegan2", "ffhq", 256), ("stylegan2", "ffhqu", 256),
           ("stylegan3-t", "ffhqu", 256), ("stylegan3-r", "ffhqu", 256)]  # fmt: skip
ADA = ["ffhq", "metfaces", "afhqcat", "afhqdog", "afhqwild", "cifar10", "brecahad"]

CATALOGUE = {
    "avatars": Entry(
        file=PACKAGE / "avatars" / "weights" / "generator.safetensors",
        summary="the embedded StyleGAN2 of 64-pixel avatars",
        classifier="avatars",
    ),
    **{f"stylegan2-{data}": ngc("stylegan2", data, size) for data, size in STYLEGAN2.items()},
    **{f"{family}-{data}-{size}": ngc(family, data, size) for family, data, size in SMALLER},
    **{
        f"stylegan3-{kind}-{data}": ngc(f"stylegan3-{kind}", data, size)
        for kind in "tr"
        for data, size in STYLEGAN3.items()
    },
    **{
        f"stylegan2-ada-{data}": public(
            f"{CDN}/stylegan2-ada-pytorch/pretrained/{data}.pkl", f"StyleGAN2-ADA of {data}"
        )
        for data in ADA
    },
}


REGISTRY = Registry("generator", {}, "gmmedit.generators")
"""Generators of other packages: names to functions without arguments that return a module (see outside.py)."""


def load(name_or_path: str, device: str = "cpu") -> Generator:
    """The generator of that name, file or `my_gan.py:function`, in evaluation mode.

    InputError: unknown name, missing, foreign or damaged file, or a function that fails.
    """
    import torch

    from gmmedit.generators import outside
    from gmmedit.generators.formats import detect

    if outside.is_python(name_or_path):
        network = outside.from_python(name_or_path)
    elif name_or_path not in CATALOGUE and name_or_path in REGISTRY.targets():
        network = outside.from_package(name_or_path, REGISTRY)
    else:
        _, network = detect.read(find(name_or_path))
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)


def find(name_or_path: str) -> Path:
    """The file of that catalogue name, or at that path. InputError: there is none, and where to get it."""
    path = Path(name_or_path)
    entry = CATALOGUE.get(name_or_path)
    if entry and not entry.path.is_file():
        message = f"the generator {name_or_path} is not on this computer: there is no {entry.path}"
        raise InputError(message, hint=f"download {entry.url} to that place ({entry.licence})")
    if entry:
        return entry.path
    if path.is_file():
        return path
    if not path.suffix and len(path.parts) == 1:
        known = [*CATALOGUE, *REGISTRY.targets()]
        raise InputError(f"there is no generator called {name_or_path!r}", hint=nearest(name_or_path, known))
    raise InputError(f"there is no generator file {path}", hint="gmmedit sample --gan avatars")
